"""What there is to say of a run, or of an upload, while it goes: rows of a name and a text."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from secoda_async.counters import Traffic
from secoda_async.forecast import Forecast, Outlook
from secoda_async.integration import SecodaIntegration
from secoda_async.phases import Phase, Phases
from secoda_async.printable import printable
from secoda_async.runner import Run

if TYPE_CHECKING:  # it imports DuckDB, which takes a tenth of a second
    from secoda_async.resend import Resend

LOOK: Final = 1.0  # seconds between looks at what is left
_LOOK_AT_WAITS: Final = 0.5  # seconds: what changes faster cannot be read
_CAUSES: Final = 3  # of waiting, shown
_SENT_SINCE: Final = 10.0  # seconds over which the pace of an upload is measured
_SHORT: Final = 0.1  # seconds: a phase that took less is not shown
_MIB: Final = 2**20

Row = tuple[str, str]


class Rows(ABC):
    """What there is to say now."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What goes on."""

    @property
    @abstractmethod
    def phases(self) -> Phases | None:
        """None: it has not begun."""

    @abstractmethod
    def rows(self, now: float) -> list[Row]:
        """Name and text of each; ``now`` is of ``time.monotonic()``. Nothing before it has begun."""

    def lasting(self, seconds: float) -> int:
        """How many phases have ended that took so long."""
        phases = self.phases
        if phases is None:
            return 0
        return sum(not one.is_under_way and one.seconds(phases.clock()) >= seconds for one in phases)


class RunRows(Rows):
    """Of an integration's run."""

    def __init__(self, integration: SecodaIntegration) -> None:
        self._integration = integration
        self._run: Run | None = None
        self._extracting: _Extracting | None = None
        self._sending: _Sending | None = None

    @property
    @override
    def title(self) -> str:
        return type(self._integration).__name__

    @property
    @override
    def phases(self) -> Phases | None:
        run = self._integration.current_run
        return None if run is None else run.phases

    @override
    def rows(self, now: float) -> list[Row]:
        run = self._integration.current_run
        if run is None:
            return []
        if self._run is not run or self._extracting is None or self._sending is None:
            self._run, self._extracting, self._sending = run, _Extracting(run, now), _Sending(run.counters.upload)
        records = records_text(Counter(run.counters.resources), run.counters.lineage)
        lost = run.findings.loss_count
        return [
            ("phases", phases_text(run.phases)),
            *(self._extracting.rows(now) if run.phases.now.name == "extract" else ()),
            *self._sending.rows(now, run.phases.now.name),
            ("records", records),
            *([("lost", f"{lost}: the run is incomplete")] if lost else ()),
        ]


class UploadRows(Rows):
    """Of `Resend`."""

    def __init__(self, resend: Resend) -> None:
        self._resend = resend
        self._sending = _Sending(resend.traffic)

    @property
    @override
    def title(self) -> str:
        return "upload"

    @property
    @override
    def phases(self) -> Phases:
        return self._resend.phases

    @override
    def rows(self, now: float) -> list[Row]:
        phases = self.phases
        return [("phases", phases_text(phases)), *self._sending.rows(now, phases.now.name)]


class _Extracting:
    """How far ``extract`` is, and what it waits for."""

    def __init__(self, run: Run, now: float) -> None:
        self._run = run
        self._forecast = Forecast(run.extraction.tally, run.counters.source, began=now)
        self._outlook = Outlook(0, None, None)
        self._held: list[str] = []
        self._looked = self._looked_at_waits = now
        self._ended_then = 0
        self._ended: deque[tuple[float, int]] = deque([(now, 0)], maxlen=2)

    def rows(self, now: float) -> Iterator[Row]:
        if now - self._looked >= LOOK:
            self._looked = now
            self._outlook = self._forecast.look(now)
            self._ended.append((now, self._number_ended))
        if now - self._looked_at_waits >= _LOOK_AT_WAITS or not self._held:
            self._looked_at_waits = now
            self._held = [*self._in_this_process(), *self._run.extraction.held()]
        counters = self._run.counters
        if self._outlook.total:
            yield "progress", outlook_text(self._outlook)
        yield "requests", self._requests(now)
        if self._held:
            yield "waiting", causes_text(self._held)
        yield "queue", f"{counters.undelivered / _MIB:.1f} MiB, {counters.delivered / _MIB:.1f} MiB written"

    def _in_this_process(self) -> Iterator[str]:
        before, self._ended_then = self._ended_then, self._number_ended
        if self._run.counters.source.overdue and self._ended_then > before:  # else that was some time ago
            yield "this process: answers have come that it had no time to read"

    @property
    def _number_ended(self) -> int:
        source = self._run.counters.source
        return source.requests - source.in_flight

    def _requests(self, now: float) -> str:
        source = self._run.counters.source
        (since, before), (until, ended) = self._ended[0], self._ended[-1]
        if since == until:  # the first second
            until, ended = now, self._number_ended
        rate = (ended - before) / max(until - since, LOOK / 2)
        in_flight = max(0, source.in_flight - source.waiting - source.backing_off)
        text = f"{source.requests:,} ({rate:,.0f}/s), {in_flight} in flight"
        if repeated := sum([*source.retries.values()]):
            text += f", {repeated:,} retried"
        if source.served:
            text += f", {source.served:,} from a journal"
        return text


class _Sending:
    """What is asked of the workspace, and sent to it."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._samples: deque[tuple[float, int]] = deque()

    def rows(self, now: float, phase: str) -> Iterator[Row]:
        traffic = self._traffic
        sent, size = traffic.body_sent, traffic.body_size
        is_sending = phase == "upload" and size > 0
        if is_sending:
            yield "uploading", self._text(now, sent, size)
        if traffic.waiting:
            yield "waiting", "for the workspace's limit"
        elif traffic.backing_off:
            yield "waiting", "before a retry, at the workspace"
        elif traffic.in_flight and phase != "extract" and not (is_sending and sent < size):
            yield "waiting", "for the workspace's answer"

    def _text(self, now: float, sent: int, size: int) -> str:
        samples = self._samples
        if samples and sent < samples[-1][1]:  # sent again from its beginning
            samples.clear()
        samples.append((now, sent))
        while now - samples[0][0] > _SENT_SINCE:
            samples.popleft()
        if sent >= size:
            return f"{size / _MIB:.1f} MiB, all sent"
        text = f"{sent / _MIB:.1f} of {size / _MIB:.1f} MiB"
        since, before = samples[0]
        if sent > before and now - since >= LOOK:
            pace = (sent - before) / (now - since)
            text += f", {pace / _MIB:.1f} MiB/s, about {duration((size - sent) / pace)} left"
        return text


def phases_text(phases: Phases) -> str:
    """What is done, with how long it took, and what goes on, with how far it is."""
    now = phases.clock()
    shown = [one for one in phases if one.is_under_way or one.seconds(now) >= _SHORT]
    return ", ".join(_phase_text(one, now) for one in shown)


def _phase_text(phase: Phase, now: float) -> str:
    seconds = phase.seconds(now)
    if not phase.is_under_way:
        return f"{phase.name} {f'{seconds:.1f} s' if seconds < 10 else duration(seconds)} ✓"
    return f"{phase.name} {seconds:.0f} s" + (f" ({phase.done} of {phase.total})" if phase.total else "")


def causes_text(causes: Iterable[str]) -> str:
    """The first of them; what a source has named is short, and drives no terminal."""
    shown = [printable(cause) for cause in causes]
    more = f", and {len(shown) - _CAUSES} more" if len(shown) > _CAUSES else ""
    return ", ".join(shown[:_CAUSES]) + more


def outlook_text(outlook: Outlook) -> str:
    """How far a run is whose number of requests is known."""
    assert outlook.total is not None
    share = min(outlook.done / outlook.total, 1.0)
    left = "" if outlook.seconds is None else f", about {duration(outlook.seconds)} left"
    return f"{math.floor(share * 100)} % of about {outlook.total:,} requests{left}"


def duration(seconds: float) -> str:
    """A time that need not be exact: ``40 s``, ``5 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def records_text(resources: Counter[str], lineage: int) -> str:
    """Counts by type in one line."""
    parts = [f"{count:,} {name}" for name, count in sorted(resources.items())]
    return ", ".join([*parts, f"{lineage:,} lineage"])
