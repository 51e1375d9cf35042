"""How many requests a host is given at once, and how fast: fixed, or found out while it answers."""

from __future__ import annotations

import math
from typing import Final, Protocol

from typing_extensions import override

from secoda_async.counters import Pace
from secoda_async.network.accidents import Accidents, Finding
from secoda_async.network.find_rate import FindRate
from secoda_async.network.find_slots import FindSlots
from secoda_async.network.trips import Outcome, Ticket

_FEW: Final = 2  # slots
_GOOD: Final = Outcome.GOOD  # each look at a member of an Enum costs as much as a call


class Control(Protocol):
    """What a gate asks before it lets a request leave, and tells of how it ended."""

    slots: int
    """How many may be in flight."""
    not_before: float
    """When the next one may leave."""
    counts_streams: bool
    """Whether an answer that is still being read takes one of the slots."""

    def grant(self, now: float, in_flight: int) -> Ticket | None:
        """Take note of a request that leaves as the ``in_flight``-th."""

    def end(self, now: float, ticket: Ticket | None, outcome: Outcome, in_flight: int) -> None:
        """Take note of its end, when ``in_flight`` were under way, itself included."""


class Fixed(Control):
    """A number of slots that the user chose."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.not_before = -math.inf
        self.counts_streams = True

    @override
    def grant(self, now: float, in_flight: int) -> None:
        return

    @override
    def end(self, now: float, ticket: Ticket | None, outcome: Outcome, in_flight: int) -> None:
        return


class Adaptive(Control):
    """Finds a host's limits by itself, from ``pace`` on, which an earlier run may have ended with.

    `FindSlots` watches how long round trips take, `FindRate` what is refused, and `Accidents` which failures are no
    sign of load. A host that refuses is given one request at a time until it takes one again.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._slots = FindSlots(pace)
        self._rate = FindRate(pace)
        self._accidents = Accidents()
        self._peak = 0
        self.slots = pace.slots
        self.not_before = -math.inf
        self._is_refused = pace.rate is not None
        """Whether the rate may come from a refusal that said so, which is no accident."""
        # Its reader may need other answers before it goes on, for which there may be one slot only.
        self.counts_streams = False

    @override
    def grant(self, now: float, in_flight: int) -> Ticket:
        fresh = in_flight > self._peak
        if fresh:
            self._peak = in_flight
        self._rate.grant(now)
        if not self._rate.probing:
            self._accidents.left(now)
        self.not_before = self._rate.not_before
        return Ticket(now, in_flight, fresh, self._slots.round_of(now, in_flight, full=in_flight >= self.slots))

    @override
    def end(self, now: float, ticket: Ticket | None, outcome: Outcome, in_flight: int) -> None:
        assert ticket is not None
        slots, rate = self._slots, self._rate
        if outcome is _GOOD:
            was_probing = rate.probing
            if rate.took(now, ticket):
                slots.hold_below(now, rate.refused_in_flight, Outcome.REFUSED)
            elif was_probing and not rate.probing:
                slots.release()
            if not rate.probing:
                slots.answered(now, ticket, full=in_flight >= self.slots)
        elif outcome is Outcome.REFUSED or outcome is Outcome.TOLD:
            rate.refused(now, ticket, told=outcome is Outcome.TOLD)
            self._is_refused = True
        elif outcome is Outcome.OVERLOADED or outcome is Outcome.BROKEN:
            self._fail(now, ticket, outcome)
        elif outcome is not Outcome.NEUTRAL:
            slots.failed(now, ticket, outcome)
        slots.ended(now, ticket.round)
        self.slots = 1 if rate.probing else slots.number
        self.not_before = rate.not_before

    def _fail(self, now: float, ticket: Ticket, outcome: Outcome) -> None:
        slots, rate, accidents = self._slots, self._rate, self._accidents
        if not rate.probing:
            accidents.failed(ticket.left)
        several = slots.is_one_of_several(ticket)
        if not several and not (rate.probing and outcome is Outcome.OVERLOADED):
            return
        found = accidents.find()
        if found is None and outcome is Outcome.BROKEN and slots.number <= _FEW:
            found = Finding(is_far_below=True, good=math.inf)  # fewer there cannot be
        if found is None or (rate.probing and not found.is_far_below):
            accidents.react(now)
            if outcome is Outcome.OVERLOADED:
                rate.refused(now, ticket, told=False)
            else:
                slots.failed(now, ticket, outcome)
        elif found.is_far_below:
            slots.recover(is_bounded=math.isfinite(found.good))
            if not self._is_refused:
                rate.recover(now, found.good)
