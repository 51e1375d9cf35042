"""Finds how many requests a second a host takes, by what it refuses.

After a refusal nothing leaves until all that were in flight have ended, and then one request at a time. If the first
is taken, the host limits those in flight. Otherwise it limits the rate, which is then what it took over the time until
it took the next; it is raised slowly while it holds requests back, until the next refusal says what it is exactly.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from secoda_async.counters import Pace
from secoda_async.network.trips import Outcome, Ticket

_FIRST_PROBE, _PROBE_GROWTH, _LONGEST_PROBE = 0.05, 1.5, 30.0  # seconds between the probes of a host that refuses
_IN_FLIGHT_TRIALS: Final = 3  # so often a refusal is taken for a limit of those in flight, where that is possible
_FEWER: Final = 0.7  # a refusal at fewer in flight than this share of what was taken has another cause
_HORIZON: Final = 2.0  # seconds, at least, over which the first rate is measured, backwards from its probe
_SLACK: Final = 3  # requests that are left out after a refusal, so that the host is not at its limit at once again
_SHARE: Final = 0.99  # of a rate that was measured at the limit
_CUT: Final = 0.7  # of a rate that was refused for long
_BURST: Final = 0.01  # seconds of a rate that may leave at one moment, since timers are late
_FAST_RISE, _RISE = 0.05, 0.01  # share by which a rate is raised in a second, or in the host's window if that is longer
_FIRST_HOLD, _LONGEST_HOLD = 10.0, 160.0  # seconds for which a rate that was found is not raised
_STEP: Final = 0.2  # seconds between two raises
_REMEMBERED: Final = 8192
_MEASURED: Final = 20  # requests, and at least a second, over which a rate is measured


class FindRate:
    """The rate of one host, kept in ``pace`` too; None there is no limit."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.probing = False
        """Whether one request at a time tries whether the host takes any."""
        self.refused_in_flight = 0
        """The fewest requests in flight, the refused one included, of which one was refused the last time."""
        self.not_before = -math.inf
        self._left: deque[float] = deque(maxlen=_REMEMBERED)
        self._refused: deque[float] = deque(maxlen=_REMEMBERED)
        self._since = -math.inf
        self._refused_at = -math.inf
        self._refused_probes = 0
        self._wait = _FIRST_PROBE
        self._in_flight_trials = 0
        self._taken_in_flight = 0
        self._set_at = -math.inf
        self._window = 1.0
        self._rise = _RISE
        self._raised_at: float | None = None
        self._hold = _FIRST_HOLD
        self._in_a_row = 0

    def grant(self, now: float) -> None:
        """Count a request that leaves."""
        self._left.append(now)
        rate = self._pace.rate
        if rate is None or self.probing:
            return
        if self._raised_at is None:  # a rate that an earlier run found
            self._raised_at = now + self._hold
        if now - self.not_before > 1 / rate:
            self._raised_at = max(self._raised_at, now)  # it is not the rate that holds requests back
        elif now - self._raised_at >= _STEP:
            rate *= 1 + self._rise * (now - self._raised_at) / self._window
            self._pace.rate = rate
            self._pace.raised += 1
            self._raised_at = now
        self.not_before = max(self.not_before, now - _BURST) + 1 / rate

    def took(self, now: float, ticket: Ticket) -> bool:
        """Take note of an answer. True where it shows that the host limits those in flight, and not the rate."""
        if not self.probing or ticket.left <= self._refused_at:
            self._taken_in_flight = max(self._taken_in_flight, ticket.in_flight)
            return False
        self.probing = False
        self._wait = _FIRST_PROBE
        if self._pace.rate is not None:
            self._back_off(now, self._pace.rate, ticket)
        elif self._is_in_flight():
            self._in_flight_trials += 1
            return True
        else:
            horizon = max(_HORIZON, 4 * (ticket.left - self._refused_at))
            began = max(self._since, self._left[0], ticket.left - horizon)
            self._window = max(1.0, ticket.left - began)
            self._hold = max(self._hold, 2 * self._window)
            self._set(now, self._measure(began, ticket.left), rise=_FAST_RISE, hold=False)
        return False

    def refused(self, now: float, ticket: Ticket, *, told: bool) -> None:
        """Take note of a refusal. ``told``: the host said for how long, so that it is its rate which it limits."""
        self._refused.append(ticket.left)
        if self.probing:
            if ticket.left > self._refused_at:
                self._refused_probes += 1
                self._wait = min(self._wait * _PROBE_GROWTH, _LONGEST_PROBE)
                self.not_before = now + self._wait
            else:
                self._refused_probes += told
                self.refused_in_flight = min(self.refused_in_flight, ticket.in_flight)
        elif ticket.left >= self._set_at and not self._corrected(now):
            self.probing = True
            self._refused_probes = int(told)
            self._refused_at = now
            self.refused_in_flight = ticket.in_flight
            self.not_before = now + self._wait

    def recover(self, now: float, good: float) -> None:
        """What was refused had nothing to do with the rate; so many requests a second are known to be good."""
        self._wait = _FIRST_PROBE
        self._in_flight_trials = self._in_a_row = 0
        if self.probing:
            self.probing = False
            self.not_before = now
        rate = self._pace.rate
        if rate is not None and rate < good:
            self._pace.rate = None if math.isinf(good) else min(2 * rate, good)
            self._pace.raised += 1
            self._set_at = self._since = self._raised_at = self.not_before = now

    def _back_off(self, now: float, rate: float, probe: Ticket) -> None:
        """Lower a rate that was refused before it could be measured: more each time this follows on itself."""
        self._in_a_row = self._in_a_row + 1 if self._refused_at - self._set_at < self._span(rate) else 0
        share = max(_CUT, 1 - (1 - _SHARE) * 2.0**self._in_a_row)
        if self._refused_probes and probe.left - self._refused_at > self._window / 2:
            share = _CUT
        self._set(now, rate * share, rise=_RISE, hold=True)

    def _is_in_flight(self) -> bool:
        """Whether the host can be taken to limit those in flight: it took one at once, and as few were never taken."""
        return (
            not self._refused_probes
            and self._in_flight_trials < _IN_FLIGHT_TRIALS
            and self.refused_in_flight > _FEWER * self._taken_in_flight
        )

    def _corrected(self, now: float) -> bool:
        """Whether the rate that is kept to tells, by what was taken under it, what it should be."""
        rate = self._pace.rate
        if rate is None:
            return False
        span = self._span(rate)
        since = max(self._set_at, now - span)
        if now - since < span / 2 or (measured := self._measure(since, now)) < rate / 2:
            return False
        self._in_a_row = 0
        self._set(now, min(measured, rate) * _SHARE, rise=_RISE, hold=self._rise == _RISE)
        return True

    def _span(self, rate: float) -> float:
        return max(1.0, _MEASURED / rate)

    def _measure(self, since: float, until: float) -> float:
        """Requests a second that were taken in that time, from the first of them on."""
        left = [moment for moment in self._left if since <= moment < until]
        count = len(left) - sum(since <= moment < until for moment in self._refused)
        return max(count, 1) / max(until - (left[0] if left else since), 1e-3)

    def _set(self, now: float, rate: float, *, rise: float, hold: bool) -> None:
        self._pace.rate = rate
        self._pace.cut[Outcome.REFUSED.value] += 1
        self._set_at = self._since = self._raised_at = self.not_before = now
        self._rise = rise
        if hold:
            self.not_before += _SLACK / rate
            self._raised_at += self._hold
            if not self._in_a_row:
                self._hold = max(self._hold, min(2 * self._hold, _LONGEST_HOLD))
