"""How a run went, moment by moment: a few hundred looks at its counters, however long it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from pydantic import BaseModel

from secoda_async.counters import LimitUse, Traffic

POINTS: Final = 401
"""The most that are kept; then every second one goes, and looks become half as frequent. Odd: so the last one stays."""
_INTERVAL: Final = 0.1  # seconds between the first looks
_LIMITS: Final = 4  # declared limits whose use is followed: those that were met first


class LimitTimeline(BaseModel):
    """What left under one declared limit of a host."""

    host: str
    requests: int
    """Requests that it allows in ``per`` seconds."""
    per: float
    left: list[int]
    """Requests that had left under it, at each moment."""


class TimelineReport(BaseModel):
    """The counters of a run at moments of it; the lists are of one length."""

    seconds: list[float]
    """Since the run began."""
    under_way: list[int]
    """Requests to the source that neither wait nor have ended."""
    waiting: list[int]
    """Requests that wait: for a limit, for a slot, or to be repeated."""
    attempts: list[int]
    """Requests that had gone out to the source."""
    uploading: list[int]
    """Requests to the workspace that have not ended."""
    limits: list[LimitTimeline]
    """The first 4 declared limits."""


class TimelineSampler:
    """Looks at the counters now and then, in a thread of its own, so that it costs a request nothing.

    Usage: ``sampler = TimelineSampler(counters.source, counters.upload); sampler.start()``, then ``sampler.stop()``,
    which gives what it saw.
    """

    def __init__(self, source: Traffic, upload: Traffic, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._upload = upload
        self._clock = clock
        self.interval = _INTERVAL
        """Seconds to the next look."""
        self._began = clock()
        self._rows: list[tuple[float, int, int, int, int, tuple[int, ...]]] = []
        self._limits: list[tuple[str, LimitUse]] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to look."""
        self.look()
        threading.Thread(target=self._watch, name="secoda-async timeline", daemon=True).start()

    def stop(self, redact: Callable[[str], str] = str) -> TimelineReport:
        """Look a last time, and give all that was seen. It does not wait for the thread."""
        self._ended.set()
        with self._lock:
            now = self._clock() - self._began
            if len(self._rows) > 1 and now - self._rows[-1][0] < self.interval / 2:
                self._rows.pop()  # a rate over so short a time would be of chance
            self._rows.append(self._row(now))
            return self._report(redact)

    def look(self) -> None:
        """Note what the counters say at this moment."""
        with self._lock:
            if self._ended.is_set():
                return
            self._rows.append(self._row(self._clock() - self._began))
            if len(self._rows) >= POINTS:
                del self._rows[1::2]
                self.interval *= 2

    def _watch(self) -> None:
        while not self._ended.wait(self.interval):
            self.look()

    def _row(self, now: float) -> tuple[float, int, int, int, int, tuple[int, ...]]:
        source, upload = self._source, self._upload
        if len(self._limits) < _LIMITS:
            met = [(host, use) for host, load in [*source.hosts.items()] for _, use in [*load.limits]]
            new = [one for one in met if all(one[1] is not use for _, use in self._limits)]
            self._limits += new[: _LIMITS - len(self._limits)]
        waiting = source.waiting + source.backing_off
        under_way = max(0, source.in_flight - waiting)
        left = tuple(use.requests for _, use in self._limits)
        return round(now, 3), under_way, waiting, source.attempts, upload.in_flight, left

    def _report(self, redact: Callable[[str], str]) -> TimelineReport:
        return TimelineReport(
            seconds=[row[0] for row in self._rows],
            under_way=[row[1] for row in self._rows],
            waiting=[row[2] for row in self._rows],
            attempts=[row[3] for row in self._rows],
            uploading=[row[4] for row in self._rows],
            limits=[
                LimitTimeline(
                    host=redact(host),
                    requests=use.limit.requests,
                    per=use.limit.per,
                    # It was not met before, so nothing had left under it.
                    left=[row[5][place] if place < len(row[5]) else 0 for row in self._rows],
                )
                for place, (host, use) in enumerate(self._limits)
            ],
        )
