"""Finds how many requests a host can take at once, by how long their round trips are.

While round trips stay as short as they were, the number of slots is raised, fast at first. Where they grow, requests
queue at the host: fewer slots are tried, down to what it does without a queue (throughput times the shortest round
trip), and kept where the host does as much with them; else the host itself became slower, and the slots come back. Now
and then fewer are tried without a cause, since a queue that was there from the beginning is seen in no other way.
A round's mean is that of requests that left one after another: of those that come back, the fast ones are the first.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from secoda_async.counters import FIRST_SLOTS, MOST_SLOTS, Pace
from secoda_async.network.trips import Outcome, Round, Ticket

_LEAST_ROUND, _MOST_ROUND = 8, 400  # requests: so many at least, and more where round trips differ a lot
_CERTAIN: Final = 0.08  # share of the mean that its standard error may be
_NEAR, _OVER = (1.15, 0.003), (1.5, 0.005)  # round trips over so many times the shortest, plus so many seconds
_CALM: Final = 4  # rounds without any sign of a queue, after which slots are raised fast again
_CHECK: Final = 40  # rounds after which fewer slots are tried without a cause
_CHECK_KNOWN: Final = 2  # … after which, where the number comes from an earlier run
_CUT: Final = 0.7
_RESTART: Final = 0.25  # share of the slots with which a host that refused is asked again
_AS_MUCH: Final = 0.85  # of the throughput: in the middle between what a cut costs with and without a queue
_DOUBLING: Final = 0.05  # seconds, at least, in which the slots double
_STEEP: Final = 256  # slots from which they become only twice as many in a round trip
_FIRST_HOLD, _LONGEST_HOLD = 10.0, 160.0  # seconds for which slots that were too many are not tried again


class FindSlots:
    """The number of slots of one host, kept in ``pace`` too."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._limit = float(max(1, pace.slots))
        self._most = float(MOST_SLOTS)
        self._fast = pace.slots == FIRST_SLOTS
        self._base = math.inf
        """The shortest mean of a round, in seconds."""
        self._varies = 0.0
        """The standard deviation of round trips, as a share of their mean."""
        self._calm = 0
        # What an earlier run found may be too much today.
        self._checked = 0 if self._fast else _CHECK - _CHECK_KNOWN
        self._trial: _Trial | None = None
        self._hold = _FIRST_HOLD
        self._held_until = -math.inf
        self._cut_at = -math.inf
        self._failed: deque[float] = deque(maxlen=2)
        self._grown_at = 0.0
        self._allowance = 0.0
        self._recent: deque[float] = deque()
        self._recent_sum = 0.0
        self._round = Round(0.0, 0)

    @property
    def number(self) -> int:
        return int(self._limit)

    def round_of(self, now: float, in_flight: int, *, full: bool) -> Round:
        """The round of a request that leaves. ``full``: it takes the last slot, so more of them might help."""
        current = self._round
        if current.left >= current.size:
            current.per_second = current.left / max(now - current.began, 1e-9)
            certain = min(_MOST_ROUND, (self._varies / _CERTAIN) ** 2)
            current = self._round = Round(now, int(max(_LEAST_ROUND, self._limit, certain)))
        current.left += 1
        current.full += full
        if in_flight > current.peak:  # noqa: PLR1730 # max() costs four times as much
            current.peak = in_flight
        return current

    def answered(self, now: float, ticket: Ticket, *, full: bool) -> None:
        """Take note of a round trip."""
        if not ticket.fresh:  # else it is longer by what it takes to connect
            trip = now - ticket.left
            round_, recent = ticket.round, self._recent
            round_.timed += 1
            round_.total += trip
            round_.squares += trip * trip
            recent.append(trip)
            self._recent_sum += trip
            while len(recent) > _LEAST_ROUND and len(recent) > self._limit / 4:
                self._recent_sum -= recent.popleft()
        # Answers that come together leave slots free until who waits for them goes on, so a round counts as a whole.
        if self._fast and (full or self._limit < 2 * ticket.round.peak) and not self._is_growing():
            self._grow(now)

    def failed(self, now: float, ticket: Ticket, outcome: Outcome) -> None:
        """Take note that the host did not manage a request, one of several or in time."""
        if ticket.left >= self._cut_at:
            self.hold_below(now, min(ticket.in_flight, max(2, math.ceil(self._limit * _CUT))), outcome)

    def is_one_of_several(self, ticket: Ticket) -> bool:
        """Take note of a failure; whether it is not the first of those that left within a round."""
        self._failed.append(ticket.left)
        return len(self._failed) == 2 and self._failed[0] >= ticket.round.began

    def ended(self, now: float, round_: Round) -> None:
        """Take note of the end of one of a round's requests; that of the last one says how the host is."""
        round_.ended += 1
        if round_.ended >= round_.left and round_.left >= round_.size and round_.timed:
            self._judge(now, round_)

    def hold_below(self, now: float, in_flight: int, outcome: Outcome) -> None:
        """So many were too many: have fewer, and do not come back to it for a while."""
        self._most = max(1.0, in_flight - 1.0)
        self._held_until = now + self._hold
        self._hold = min(self._hold * 2, _LONGEST_HOLD)
        self._trial = None
        if outcome is Outcome.REFUSED:  # all of them at once would tell nothing of why it refused
            self._cut_to(self._most * _RESTART, now, outcome.value)
            self._fast = True
        else:
            self._cut_to(self._most, now, outcome.value)

    def release(self) -> None:
        """The host limits its rate: what was taken for a limit of those in flight was none."""
        self._most = float(MOST_SLOTS)
        self._held_until = -math.inf

    def recover(self, *, is_bounded: bool) -> None:
        """What cut them had nothing to do with their number. ``is_bounded``: with far more of them it would have."""
        if is_bounded:
            self._most = min(MOST_SLOTS, max(self._most, 2 * self._limit))
        else:
            self.release()
        self._hold = _FIRST_HOLD
        self._fast = True

    def _judge(self, now: float, round_: Round) -> None:
        mean = round_.mean
        if round_.began < self._cut_at:  # it says how things were before the cut, when the queue was at its longest
            if self._trial is not None:
                self._trial.mean = max(self._trial.mean, mean)
            return
        self._varies = round_.spread / mean
        if self._trial is not None:
            self._end_trial(self._trial, mean)
            return
        self._base = min(self._base, mean)
        self._checked += 1
        full = 2 * round_.full >= round_.left
        if _is_above(_OVER, mean, self._base):
            self._calm = 0
            per_second = round_.per_second or round_.left / max(now - round_.began, 1e-9)
            self._try(now, max(self._limit * _CUT, per_second * self._base * 1.1), mean, check=False)
        elif _is_above(_NEAR, mean, self._base):
            self._calm = 0
            self._fast = False
        elif full:
            self._calm += 1
            self._fast = self._fast or self._calm >= _CALM
            if now >= self._held_until and self._limit >= self._most:
                self._most = min(MOST_SLOTS, self._most + max(1.0, self._most / 50))
                self._held_until = now + self._hold
            self._raise_to(self._limit + max(1.0, math.sqrt(self._limit) / 2))
        if self._trial is None and self._checked >= _CHECK and full and self._limit < self._most:
            self._try(now, self._limit * _CUT, mean, check=True)

    def _try(self, now: float, limit: float, mean: float, *, check: bool) -> None:
        if limit >= self._limit:
            return
        self._trial = _Trial(self._limit, mean, check)
        if check:
            self._limit, self._cut_at, self._fast = max(1.0, limit), now, False
        else:
            self._cut_to(limit, now, "slower")
        self._round.size = self._round.left  # the next one begins under the new number

    def _end_trial(self, trial: _Trial, mean: float) -> None:
        """Stay with fewer slots where the host does as much with them, else go back."""
        self._trial = None
        if self._limit / mean >= _AS_MUCH * trial.limit / trial.mean:
            self._base = min(self._base, mean)
            self._checked = 0
            if trial.check:
                self._checked = _CHECK  # maybe even fewer will do
                self._count_cut("slower")
            return
        if not trial.check:
            self._base = mean  # it is as slow with fewer slots, so they were not the cause
        self._checked = 0
        self._limit = max(self._limit, min(trial.limit, self._most))

    def _is_growing(self) -> bool:
        """Whether the last round trips are longer than the shortest ones, beyond chance."""
        if not self._recent:
            return False
        mean = self._recent_sum / len(self._recent)
        return _is_above(_NEAR, mean * (1 - 2 * self._varies / math.sqrt(len(self._recent))), self._base)

    def _grow(self, now: float) -> None:
        """Two slots more for an answer, so that they become three times as many in a round trip, but not twice as many
        in less than `_DOUBLING`: the longer round trips are, the dearer is each that is spent on growing. One more from
        `_STEEP` on, since what is far too many is remembered for the next run.
        """
        self._allowance = min(self._limit, self._allowance + self._limit * (now - self._grown_at) / _DOUBLING)
        self._grown_at = now
        step = min(2.0 if self._limit < _STEEP else 1.0, self._allowance)
        self._allowance -= step
        self._raise_to(self._limit + step)

    def _raise_to(self, limit: float) -> None:
        before = self.number
        self._limit = max(self._limit, min(limit, self._most))
        if self.number > before:
            self._pace.raised += 1
            self._pace.slots = self.number

    def _cut_to(self, limit: float, now: float, cause: str) -> None:
        self._fast = False
        self._cut_at = now
        if limit < self._limit:
            self._limit = max(1.0, limit)
            self._count_cut(cause)

    def _count_cut(self, cause: str) -> None:
        self._pace.cut[cause] += 1
        self._pace.slots = self.number


@dataclass(slots=True)
class _Trial:
    """Fewer slots for a while, to see whether round trips get shorter."""

    limit: float
    mean: float
    check: bool


def _is_above(mark: tuple[float, float], trip: float, base: float) -> bool:
    times, seconds = mark
    return trip > times * base + seconds
