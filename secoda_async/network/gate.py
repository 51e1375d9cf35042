"""The gate of one host: who waits, how many slots are taken, what each declared key has seen.

A request that waits stands in the queue of its lane: those to which the same keys apply. It leaves when a slot is free,
every window of every key has room, the pacers agree and no server asked for a pause, all at the same moment; nothing
is held while waiting. (A gate and then a slot lets grants pile up in front of the slots, which then leave at once.)
Heads leave in the order in which they came, and none takes room of a key for which an earlier one waits, so a request
of large weight is not starved; one that waits for a key that others do not share holds up only its own lane.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from secoda_async.counters import HostLoad, Traffic
from secoda_async.errors import ConfigurationError
from secoda_async.network.callers import Tasks, halted_here
from secoda_async.network.control import Control
from secoda_async.network.hosts import ANY
from secoda_async.network.message import Request
from secoda_async.network.rate_headers import Quota
from secoda_async.network.trips import Outcome, Ticket
from secoda_async.network.window import Window
from secoda_async.settings import RateLimit
from secoda_async.wording import counted

# Why a request waits, as the report names it.
LIMIT: Final = "limit"
SLOT: Final = "slot"
PAUSE: Final = "pause"
QUOTA: Final = "quota"
RATE: Final = "rate"
_SAME_PERIOD: Final = 1.5  # seconds: resets are told in whole ones, so those of one period differ by that much


class Key:
    """What one key of ``rate_limits`` has seen on one host: its windows, and what the server said of it."""

    def __init__(self, limits: Iterable[RateLimit], name: str = "") -> None:
        self.name = name
        self._windows = [Window(limit) for limit in limits]
        self.uses = [window.use for window in self._windows]
        self.most = min((window.size for window in self._windows), default=None)
        """Weight of the heaviest request that can ever pass; None: any."""
        self.not_before = -math.inf
        self._outstanding = 0
        self._quota: _Period | None = None
        self.cause = LIMIT
        """Why it was closed when it last was."""

    def opens_at(self, now: float, weight: int) -> float:
        """When a request of this weight may pass; infinity where an answer has to come first."""
        moment = now
        if self.not_before > now:
            moment, self.cause = self.not_before, PAUSE
        for window in self._windows:
            if (opens := window.opens_at(now, weight)) > moment:
                moment, self.cause = opens, LIMIT
        if self._quota is not None and (opens := self._quota.opens_at(now, self._outstanding, weight)) > moment:
            moment, self.cause = opens, QUOTA
        return moment

    def grant(self, now: float, weight: int) -> None:
        """Count a request that leaves."""
        for window in self._windows:
            window.grant(now, weight)
        self._outstanding += weight

    def end(self, weight: int) -> None:
        """Count a request that ended."""
        self._outstanding -= weight

    def pause(self, until: float) -> None:
        """Let nothing pass before then: a server asked for it."""
        self.not_before = max(self.not_before, until)

    def heed(self, quota: Quota | None, now: float) -> None:
        """Take note of what an answer says is left, None where it says nothing. It only lowers what was declared."""
        known = self._quota
        if quota is None:
            if known is not None and known.assumed:
                self._quota = None
        elif known is None or known.assumed or now + quota.reset > known.reset + _SAME_PERIOD:
            self._quota = _Period(quota.remaining, now + quota.reset, quota.reset)
        else:
            known.take(quota.remaining, now + quota.reset)


class _Period:
    """What is left of a server's limit until its reset, as far as its answers say."""

    def __init__(self, remaining: int, reset: float, length: float) -> None:
        self._remaining = remaining
        self._most = remaining + 1
        self._length = length
        self.reset = reset
        self.assumed = False
        """Whether no answer has told of this period, so that it is taken for one like the last."""

    def take(self, remaining: int, reset: float) -> None:
        """Take in another answer; they overtake one another, so the least of one period is the latest."""
        self._remaining = min(self._remaining, remaining)
        self._most = max(self._most, remaining + 1)
        self.reset = max(self.reset, reset)

    def opens_at(self, now: float, outstanding: int, weight: int) -> float:
        """When there is room for this weight; what has not been answered may not be in the server's count yet."""
        if now >= self.reset:
            self._remaining, self.reset, self.assumed = self._most, now + self._length, True
        if self._remaining - outstanding >= weight or (not outstanding and self.assumed):
            return now
        return math.inf if self._remaining >= weight else self.reset


class Lane:
    """The queue of those requests of a host to which the same keys apply."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        """The last is the most precise one."""
        sizes = [key.most for key in keys if key.most is not None]
        self.most = min(sizes, default=None)
        self.queue: deque[Turn] = deque()
        self.held_by = self.keys[-1]
        """The key for which its head waited when it last was looked at."""

    def opens_at(self, now: float, weight: int) -> float:
        """When a request of this weight may pass all keys."""
        if len(self.keys) == 1:
            return self.keys[0].opens_at(now, weight)
        return max(key.opens_at(now, weight) for key in self.keys)

    def closed_by(self, now: float) -> Key:
        """The key for which its head waits longest."""
        if len(self.keys) > 1:
            self.held_by = max(self.keys, key=lambda key: key.opens_at(now, self.queue[0].weight))
        return self.held_by


class Turn(NamedTuple):
    """A request that waits."""

    came: int
    """Its place among all that wait at the gate."""
    weight: int
    admitted: asyncio.Future[Ticket | None]
    halted: Tasks = ()
    """Who goes on only when it is answered."""
    request: Request | None = None
    since: float = 0.0


class Gate:
    """One host's slots, and the lanes to them. ``name`` is for a person."""

    def __init__(self, control: Control, traffic: Traffic, name: str = "this host") -> None:
        self._pace_name = name
        self.name = name.removesuffix(":443").removesuffix(":80")
        self._control = control
        self._traffic = traffic
        self._taken = 0
        self._streams = 0
        self._readers: list[asyncio.Task[Any] | None] = []  # of the streams that hold slots which count
        self._came = 0
        self._waiting = 0
        self._lanes: list[Lane] = []
        self._timer: asyncio.TimerHandle | None = None
        self._cause = SLOT  # for which the first waits, since then
        self._since = 0.0
        self.load = HostLoad()

    def lane(self, keys: Sequence[Key]) -> Lane:
        """A new way in, under these keys."""
        lane = Lane(keys)
        self._lanes.append(lane)
        return lane

    async def enter(self, lane: Lane, weight: int = 1, request: Request | None = None) -> Ticket | None:
        """Wait for this request's turn, and take a slot. Every enter that returned needs one `leave`.

        Raises ConfigurationError for a weight that a limit can never let pass, and where every slot is held by a stream
        whose reader waits here for another.
        """
        if weight != 1 and lane.most is not None and weight > lane.most:
            raise ConfigurationError(
                f"weight={weight} can never pass: its rate limit takes {lane.most}; lower it, or raise the limit"
            )
        loop = asyncio.get_running_loop()
        now = loop.time()
        control = self._control
        if (
            not self._waiting
            and self._taken - self._streams < control.slots
            and control.not_before <= now
            and lane.opens_at(now, weight) <= now
        ):
            return self._grant(lane, now, weight)
        halted = halted_here() if control.counts_streams else ()
        if self._is_deadlock(halted):
            raise ConfigurationError(
                f"a request can never be sent: concurrency={control.slots}, and each of these slots of its host is "
                "held by a streamed answer whose reader waits for such a request; raise concurrency, leave it open, "
                "or send the request after the block of the stream"
            )
        self._came += 1
        turn = Turn(self._came, weight, loop.create_future(), halted, request, now)
        self._count_wait(now)
        lane.queue.append(turn)
        self._waiting += 1
        self._admit()
        self._traffic.waiting += 1
        try:
            return await turn.admitted
        except asyncio.CancelledError:
            if turn.admitted.cancelled():
                self._admit()  # it may have been the head that the timer was set for
            else:
                self.leave(lane, weight, turn.admitted.result())  # it was let go in the same moment
            raise
        finally:
            self._traffic.waiting -= 1
            self._traffic.waited += loop.time() - now

    def leave(
        self, lane: Lane, weight: int = 1, ticket: Ticket | None = None, outcome: Outcome = Outcome.NEUTRAL
    ) -> None:
        """Give the slot back."""
        self._control.end(asyncio.get_running_loop().time(), ticket, outcome, self._taken - self._streams)
        self._free(lane, weight)

    def keep(self, lane: Lane, weight: int, ticket: Ticket | None) -> Callable[[], None]:
        """Keep the slot for an answer that is still being read; gives what `leave` is then."""
        self._control.end(asyncio.get_running_loop().time(), ticket, Outcome.NEUTRAL, self._taken - self._streams)
        for key in lane.keys:  # it was answered, so the server has counted it
            key.end(weight)
        uncounted = not self._control.counts_streams
        reader = asyncio.current_task()
        if uncounted:
            self._streams += 1
        else:
            self._readers.append(reader)
        if self._waiting:
            self._admit()

        def leave() -> None:
            if uncounted:
                self._streams -= 1
            else:
                self._readers.remove(reader)
            self._taken -= 1
            if self._waiting:
                self._admit()

        return leave

    def waiting(self, now: float) -> Iterator[tuple[Request | None, str]]:
        """Each request that waits, and for what; from whatever thread, so it only reads what it finds."""
        for lane in [*self._lanes]:
            for turn in [*lane.queue]:
                if not turn.admitted.done():
                    yield turn.request, f"waits for {self._reason(lane, now)}, for {now - turn.since:.0f} s"

    @property
    def under_way(self) -> int:
        """Requests that have a slot, answers that are still being read included."""
        return self._taken

    @property
    def has_waiters(self) -> bool:
        """Whether a request waits."""
        return self._waiting > 0

    def held(self, now: float) -> Iterator[tuple[int, str]]:
        """How many requests wait, and for what; as `waiting`, in a time that does not depend on their number."""
        for lane in [*self._lanes]:
            if count := len(lane.queue):
                yield count, self._hold(lane, now)

    def _hold(self, lane: Lane, now: float) -> str:
        control, key = self._control, lane.held_by
        if (until := max(key.not_before for key in lane.keys)) > now:
            return f"for the end of a pause that {self.name} asked for ({until - now:.0f} s)"
        if self._taken - self._streams >= control.slots:
            found_out = "" if control.counts_streams else ", adaptive"
            return f"for a slot of {self.name} ({counted(control.slots, 'slot')}{found_out})"
        if control.not_before > now or self._cause == RATE:
            pace = self._traffic.paces.get(self._pace_name)
            if pace is None or pace.rate is None:
                return f"for {self.name}, which refuses, to take one again"
            return f"for a turn at the rate that {self.name} was found to take ({pace.rate:,.1f}/s)"
        if key.cause == QUOTA:
            return f"for the quota that {self.name} tells of"
        limits = ", ".join(_rate_text(use.limit) for use in key.uses)
        name = self.name if key.name in ("", ANY) else key.name
        return f"for the limit of {name} ({limits})" if limits else f"for {name}"

    def _reason(self, lane: Lane, now: float) -> str:
        if (until := max(key.not_before for key in lane.keys)) > now:
            return f"the end of a pause that the server asked for, in {until - now:.0f} s"
        if self._taken - self._streams >= self._control.slots:
            return f"a free slot ({self._taken} in flight)"
        if self._cause == RATE:
            return "its turn at the rate that was found out"
        names = " and ".join(repr(key.name) for key in lane.keys if key.uses or key is lane.keys[-1])
        return f"the quota that the server tells of {names}" if self._cause == QUOTA else f"the limit of {names}"

    def _is_deadlock(self, halted: Tasks) -> bool:
        """Whether a stream holds each slot, and all of their readers wait for another, these included."""
        if len(self._readers) < self._control.slots:
            return False
        turns = (turn for lane in self._lanes for turn in lane.queue if not turn.admitted.done())
        return {*halted, *(task for turn in turns for task in turn.halted)}.issuperset(self._readers)

    def _free(self, lane: Lane, weight: int) -> None:
        self._taken -= 1
        for key in lane.keys:
            key.end(weight)
        if self._waiting:
            self._admit()

    def _grant(self, lane: Lane, now: float, weight: int) -> Ticket | None:
        taken = self._taken = self._taken + 1
        if taken > self.load.peak:  # noqa: PLR1730 # max() costs four times as much
            self.load.peak = taken
        for key in lane.keys:
            key.grant(now, weight)
        return self._control.grant(now, self._taken - self._streams)

    def _admit(self) -> None:
        """Let go of every request whose turn has come, and set the timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        control = self._control
        self._count_wait(loop.time())
        while self._taken - self._streams < control.slots:
            now = loop.time()
            lane, moment = self._next(now)
            if lane is not None and control.not_before > now:
                lane, moment, self._cause = None, control.not_before, RATE
            if lane is None:
                if moment < math.inf:
                    self._timer = loop.call_at(moment, self._admit)
                return
            turn = lane.queue.popleft()
            self._waiting -= 1
            turn.admitted.set_result(self._grant(lane, now, turn.weight))
        self._cause = SLOT

    def _count_wait(self, now: float) -> None:
        """Count what has been waited since the last look, for the cause that was seen then."""
        if self._waiting:
            waits = self._traffic.waits
            waits[self._cause] = waits.get(self._cause, 0.0) + (now - self._since) * self._waiting
        self._since = now

    def _next(self, now: float) -> tuple[Lane | None, float]:
        """The lane whose head may leave now; else None and when to look again, infinity where nobody waits."""
        if len(self._lanes) == 1:
            only = self._lanes[0]
            self._drop_cancelled(only)
            if not only.queue:
                return None, math.inf
            moment = only.opens_at(now, only.queue[0].weight)
            if moment > now:
                self._cause = only.closed_by(now).cause
                return None, moment
            return only, moment
        moment = math.inf
        awaited: set[Key] = set()
        for lane in self._in_order():
            weight = lane.queue[0].weight
            closed = [key for key in lane.keys if key.opens_at(now, weight) > now]
            if closed and not awaited:
                self._cause = lane.closed_by(now).cause
            elif closed:
                lane.held_by = closed[-1]
            elif awaited.isdisjoint(lane.keys):
                return lane, now
            else:
                lane.held_by = next(key for key in lane.keys if key in awaited)
            moment = min(moment, lane.opens_at(now, weight)) if closed else moment
            awaited.update(closed)
        return None, moment

    def _in_order(self) -> list[Lane]:
        """The lanes in which somebody waits, by who came first."""
        for lane in self._lanes:
            self._drop_cancelled(lane)
        waiting = [lane for lane in self._lanes if lane.queue]
        if len(waiting) > 1:
            waiting.sort(key=lambda lane: lane.queue[0].came)
        return waiting

    def _drop_cancelled(self, lane: Lane) -> None:
        while lane.queue and lane.queue[0].admitted.done():
            lane.queue.popleft()
            self._waiting -= 1


def _rate_text(limit: RateLimit) -> str:
    return f"{limit.requests:,}/s" if limit.per == 1 else f"{limit.requests:,} per {limit.per:g} s"
