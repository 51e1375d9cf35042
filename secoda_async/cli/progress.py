"""Shows a run while it goes: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.logging import RichHandler
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from secoda_async.cli.terminal import SpellingFormatter
from secoda_async.forecast import Forecast, Outlook
from secoda_async.integration import SecodaIntegration
from secoda_async.runner import Run

_EVERY: Final = 5.0  # seconds between plain lines
_LOOK: Final = 1.0  # seconds between looks at what is left
_REFRESH: Final = 8  # times a second
_MIB: Final = 2**20
_log: Final = logging.getLogger("secoda_async")


@contextmanager
def shown(integration: SecodaIntegration, console: Console, *, debug: bool, quiet: bool) -> Iterator[None]:
    """Show the integration's run on ``console`` meanwhile, and the package's log messages with it.

    A thread of its own reads the counters, so the display also moves while an integration's own code is busy.
    """
    with _logging(console, debug=debug, quiet=quiet):
        if quiet:
            yield
        elif console.is_terminal:
            display = _Display(integration)
            with Live(get_renderable=display, console=console, refresh_per_second=_REFRESH, transient=True):
                yield
        elif os.environ.get("CI"):  # a log that is read only where something failed: the summary tells the rest
            yield
        else:
            with _lines(integration):
                yield


@contextmanager
def _logging(console: Console, *, debug: bool, quiet: bool) -> Iterator[None]:
    handler: logging.Handler
    if console.is_terminal:  # above the live display instead of through it
        handler = RichHandler(console=console, show_path=False, markup=False, highlighter=None)
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(SpellingFormatter("%(asctime)s %(levelname)s %(message)s"))
    level = _log.level
    _log.setLevel(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(level)


@contextmanager
def _lines(integration: SecodaIntegration) -> Iterator[None]:
    ended = threading.Event()

    def tell() -> None:
        rate = _Rate()
        told = time.monotonic()
        while not ended.wait(_LOOK):
            run = integration.current_run
            if run is None:
                continue
            rate.outlook(run)
            if time.monotonic() - told >= _EVERY:
                told = time.monotonic()
                _log.info("%s", "; ".join(f"{name} {value}" for name, value in _rows(run, rate)))

    thread = threading.Thread(target=tell, name="secoda-async progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Rate:
    """Requests a second since it was last asked, and what is left."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._requests = 0
        self._rate = 0.0
        self._forecast: tuple[Run, Forecast] | None = None
        self._looked = -math.inf
        self._outlook = Outlook(0, None, None)

    def outlook(self, run: Run) -> Outlook:
        """How much of the run is left, looked at once a second."""
        now = time.monotonic()
        if self._forecast is None or self._forecast[0] is not run:
            self._forecast = run, Forecast(run.extraction.tally, run.counters.source, began=now)
        elif now - self._looked >= _LOOK / 2:
            self._looked = now
            self._outlook = self._forecast[1].look(now)
        return self._outlook

    def of(self, run: Run) -> float:
        now, requests = time.monotonic(), run.counters.source.attempts
        elapsed = now - self._at
        if elapsed >= 1.0:
            self._rate = (requests - self._requests) / elapsed
            self._at, self._requests = now, requests
        elif not self._rate and elapsed:  # the first second
            return requests / elapsed
        return self._rate


class _Display:
    """The live display: called for a fresh picture at every refresh."""

    def __init__(self, integration: SecodaIntegration) -> None:
        self._integration = integration
        self._rate = _Rate()
        self._spinner = Spinner("dots")
        self._started = time.monotonic()

    def __call__(self) -> Group:
        run = self._integration.current_run
        self._spinner.update(text=f"{type(self._integration).__name__}, {time.monotonic() - self._started:.0f} s")
        table = Table.grid(padding=(0, 2))
        if run is not None:
            for name, value in _rows(run, self._rate):
                table.add_row(Text(f"  {name}", style="dim"), Text(value))
        return Group(self._spinner, table)


def _rows(run: Run, rate: _Rate) -> list[tuple[str, str]]:
    counters = run.counters
    source = counters.source
    outlook = rate.outlook(run)
    in_flight = source.in_flight - source.waiting - source.backing_off
    requests = f"{source.requests:,} ({rate.of(run):,.0f}/s), {in_flight} in flight"
    if repeated := sum(source.retries.values()):
        requests += f", {repeated} retried"
    if source.served:
        requests += f", {source.served:,} from a journal"
    waiting = f"{source.waiting} for a limit or slot, {source.backing_off} before a retry"
    queue = f"{counters.undelivered / _MIB:.1f} MiB, {counters.delivered / _MIB:.1f} MiB written"
    rows = [
        *([("progress", outlook_text(outlook))] if run.phase == "extract" and outlook.total else []),
        ("requests", requests),
        ("waiting", waiting),
        ("records", records_text(Counter(counters.resources), counters.lineage)),
        ("queue", queue),
    ]
    if run.phase != "extract":
        rows.append(("now", run.phase))
    upload = counters.upload
    if upload.body_size:
        rows.append(("uploading", f"{upload.body_sent / _MIB:.1f} of {upload.body_size / _MIB:.1f} MiB"))
    if run.findings.loss_count:
        rows.append(("lost", f"{run.findings.loss_count}: the run is incomplete"))
    return rows


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
