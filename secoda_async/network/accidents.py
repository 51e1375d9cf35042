"""Tells whether a host's failures have to do with the load that it is given.

Some services fail at a few requests in a hundred, whatever they are asked: a broken instance behind a balancer, a page
that ends in an error. Fewer requests would make no fewer failures. So the share of failures is counted by load, in
requests a second: where it is much the same at a fraction of a load, that load is not the cause.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

_SLICE: Final = 0.25  # seconds, at least, over which the load is measured
_ENOUGH: Final = 8  # requests, at least, over which it is, or a trickle would seem to vary a lot
_QUIET: Final = 0.5  # seconds after a cut of which nothing is counted, since a host may refuse until its window is over
_SLICES: Final = 64  # whose requests may still be under way
_REMEMBERED: Final = 1000  # requests at each load; older ones count for less
_FRACTION: Final = 3  # powers of two by which one load is far below another
_LEAST: Final = 3  # failures at the lower one, before anything is said
_KNOWN: Final = 16  # requests at the higher one
_MORE: Final = 2.5  # times as many failures at the higher one are chance still
_MOST: Final = 0.15  # share of failures that is no accident in any case


class Finding(NamedTuple):
    """Failures have nothing to do with the load, up to some load."""

    is_far_below: bool
    """Whether the host is given a fraction of that load only."""
    good: float
    """That load, in requests a second; infinity: it was never given a load at which it failed more often."""


@dataclass(slots=True)
class _Load:
    """Requests that left at one load, and how many of them failed."""

    left: float = 0.0
    failed: float = 0.0


class Accidents:
    """Failures of one host, by its load."""

    def __init__(self) -> None:
        self._began = math.inf
        self._left = 0
        self._failed = 0
        self._not_before = -math.inf
        self._loads: dict[int, _Load] = {}
        """By the power of two of requests a second."""
        self._slices: deque[tuple[float, float, _Load]] = deque(maxlen=_SLICES)
        """Their begin, their end, and where they count."""
        self._load = 0

    def left(self, now: float) -> None:
        """Count a request that leaves."""
        if self._left >= _ENOUGH and now - self._began >= _SLICE:
            self._close(now)
        if not self._left:
            if now < self._not_before:
                return
            self._began = min(self._began, now)
        self._left += 1

    def failed(self, left: float) -> None:
        """Count a failure of a request that left then. It may end long after others that left later."""
        if left >= self._began:
            self._failed += self._left > 0
            return
        for began, ended, load in reversed(self._slices):
            if began <= left < ended:
                load.failed += 1
            if left >= began:
                return

    def react(self, now: float) -> None:
        """The host is given less from now on."""
        self._close(now)
        self._began = math.inf
        self._not_before = now + _QUIET

    def find(self) -> Finding | None:
        """Whether failures at the load of late are accidents; None: it may be their cause."""
        late = self._loads.get(self._load)
        if late is None or late.failed + self._failed > _MOST * (late.left + self._left):
            return None
        loads = sorted((load for load in self._loads if load >= self._load), reverse=True)
        for highest in loads:
            if self._is_as_good(highest):
                good = math.inf if highest == loads[0] else 2.0**highest
                return Finding(self._load <= highest - _FRACTION, good)
        return None

    def _is_as_good(self, highest: int) -> bool:
        """Whether failures at this load are about as frequent as far below it."""
        below = [counts for load, counts in self._loads.items() if load <= highest - _FRACTION]
        near = [counts for load, counts in self._loads.items() if highest - 1 <= load <= highest]
        failed_below, failed_near = (sum(counts.failed for counts in part) for part in (below, near))
        left_below, left_near = (sum(counts.left for counts in part) for part in (below, near))
        if failed_below < _LEAST or left_near < _KNOWN:
            return False
        share_below, share_near = failed_below / left_below, failed_near / left_near
        return share_near <= min(_MOST, _MORE * share_below)

    def _close(self, now: float) -> None:
        if self._left >= _ENOUGH:
            self._load = math.floor(math.log2(self._left / max(now - self._began, _SLICE)))
            counts = self._loads.setdefault(self._load, _Load())
            kept = min(1.0, _REMEMBERED / (counts.left + self._left))
            counts.left = counts.left * kept + self._left
            counts.failed = counts.failed * kept + self._failed
            self._slices.append((self._began, now, counts))
        self._began = now
        self._left = self._failed = 0
