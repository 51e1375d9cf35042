"""The exact window: whatever length of time a rate is declared for, none of that length sees more."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from secoda_async.settings import RateLimit

_JITTER: Final = 0.015  # share of a window kept for the jitter between leaving here and arriving there
_SPREAD: Final = 1.0  # seconds over which a window's requests are spread, at most
_LEAST_BURST: Final = 0.025  # seconds: a timer is up to 2 ms late, which a burst of one request never makes up


class Window:
    """Remembers the times of the last N grants, so that no window of the declared length sees more than N.

    Within it a leaky bucket (GCRA) spreads them: each grant fills it by ``interval``, and it holds a burst.
    """

    def __init__(self, limit: RateLimit) -> None:
        self.size = limit.requests
        self._length = limit.per * (1 + _JITTER)
        self._grants: deque[float] = deque(maxlen=limit.requests)
        spread = min(limit.per, _SPREAD)
        self._interval = spread / limit.requests
        self._burst = limit.burst or max(1, math.ceil(limit.requests / spread * _LEAST_BURST))
        self._is_spread = self._burst < self.size
        self._empty_at = -math.inf  # when the bucket will have leaked all

    def opens_at(self, now: float, weight: int) -> float:
        """The earliest time at which the next request may leave, if it counts as ``weight`` requests."""
        grants = self._grants
        excess = len(grants) + weight - self.size
        if excess > 0 and (free := grants[excess - 1] + self._length) > now:
            return free
        if self._empty_at <= now:
            return now
        # One that is heavier than a burst leaves when all has leaked, and is waited for afterwards.
        room = self._burst - weight if weight < self._burst else 0
        return self._empty_at - room * self._interval

    def grant(self, now: float, weight: int) -> None:
        """Count a request that leaves."""
        if weight == 1:
            self._grants.append(now)
        else:
            self._grants.extend([now] * weight)
        if self._is_spread:
            self._empty_at = max(self._empty_at, now) + weight * self._interval
