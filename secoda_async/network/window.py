"""The exact window: whatever length of time a rate is declared for, none of that length sees more."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from aiolimiter import AsyncLimiter

from secoda_async.counters import LimitUse
from secoda_async.settings import RateLimit

_JITTER: Final = 0.015  # share of a window kept for the jitter between leaving here and arriving there
_SPREAD: Final = 1.0  # seconds over which a window's requests are spread, at most
_LEAST_BURST: Final = 0.025  # seconds: a timer is up to 2 ms late, which a pacer that holds one request never makes up
_RESIDUE: Final = 1e-6  # seconds: leaks away what a division left in the pacer, so that its waiter does not spin


class Window:
    """Remembers the times of the last N grants, so that no window of the declared length sees more than N."""

    def __init__(self, limit: RateLimit) -> None:
        self.size = limit.requests
        self.use = LimitUse(limit)
        self._length = limit.per * (1 + _JITTER)
        self._grants: deque[float] = deque(maxlen=limit.requests)
        spread = min(limit.per, _SPREAD)
        self._burst = limit.burst or max(1, math.ceil(limit.requests / spread * _LEAST_BURST))
        self._interval = spread / limit.requests
        self._pacer = _Pacer(self._burst, self._burst * self._interval) if self._burst < self.size else None
        self._owed_until = -math.inf

    def opens_at(self, now: float, weight: int) -> float:
        """The earliest time at which the next request may leave, if it counts as ``weight`` requests."""
        grants = self._grants
        excess = len(grants) + weight - self.size
        if excess > 0 and (free := grants[excess - 1] + self._length) > now:
            return free
        pacer = self._pacer
        if pacer is None:
            return now
        if self._owed_until > now:
            return self._owed_until
        missing = 1 if weight == 1 else min(weight, self._burst)
        if not pacer.has_capacity(missing):
            # From the last grant on, not from now: each look would put the moment off, and lose what leaked so far.
            return max(grants[-1] + missing * self._interval, now + _RESIDUE)
        return now

    def grant(self, now: float, weight: int) -> None:
        """Count a request that leaves."""
        self.use.requests += weight
        if weight == 1:
            self._grants.append(now)
        else:
            self._grants.extend([now] * weight)
        if self._pacer is not None:
            self._pacer.take(min(weight, self._burst))
            if weight > self._burst:  # the pacer never holds so much at once, so the rest is waited for afterwards
                self._owed_until = now + (weight - self._burst) * self._interval


class _Pacer(AsyncLimiter):
    """A limiter whose capacity is taken right where `has_capacity` has shown it."""

    def take(self, amount: int) -> None:
        """Take capacity. ``acquire`` does the same, and costs five times as much: it looks again, in a coroutine."""
        self._level += amount
