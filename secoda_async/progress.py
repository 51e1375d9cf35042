"""How much of a run is done: what has been begun and has ended at each place of the user's code, and what that says of
the rest.

A place is a `for_each`, a `map` or a listing, within the place that calls it; its items are what it works through, and
all calls there are one place. A finished item tells what an item costs: so many requests to each host, and so many
items of the places within it. What is known of the unfinished ones (the length of their lists, the total that a
listing declares, what they have asked already) counts where it is more. Requests that no place, no number that was told
and no finished item speaks for make no total.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Final

Host = tuple[str | None, int | None]
"""Name and port."""
ANY_HOST: Final[Host] = (None, None)
"""One that is not known yet."""
_MOST_LENGTHS: Final = 300
_MOST_PLACES: Final = 100  # of one place; what is beyond them counts as one more
_CENSORED: Final = 2 / 3  # share of calls that may be longer than any that has ended
_REST: Final = "…"


class Tally:
    """What one item at a time has done: requests by host, and items at the places within it."""

    __slots__ = ("asked", "expected", "items", "loops", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.asked: dict[Host, int] = {}
        self.loops: set[Loop] = set()
        """Calls that have not ended."""
        self.items: dict[Place, int] = {}
        """Items of those that have, so that an item may make a million calls."""
        self.expected = 0
        """Requests that the item was said to make by itself."""

    @property
    def made(self) -> int:
        """Requests that the item has made by itself."""
        return sum([*self.asked.values()])

    @property
    def is_known(self) -> bool:
        """Whether anything tells what it will do still: others that are done, a call, or what it was said to make."""
        return bool(self.place.done or self.loops) or (self.expected > 0 and self.made <= self.expected)

    def begin(self, name: str, total: Callable[[], int | None]) -> Loop:
        """A call has begun, whose items will be ``total`` in number, where that is known by then."""
        loop = Loop(self.place.within(name), total, self)
        self.loops.add(loop)
        return loop

    def end_loop(self, loop: Loop) -> None:
        """A call has ended; of an item that is done it has been counted."""
        if loop in self.loops:
            self.loops.discard(loop)
            self.items[loop.place] = self.items.get(loop.place, 0) + loop.begun

    def begin_item(self) -> None:
        """An item begins."""
        self.place.active.add(self)

    def end_item(self) -> None:
        """It has ended."""
        place = self.place
        place.active.discard(self)
        place.done += 1
        asked = self.asked
        if asked:
            counts = place.asked
            for host, count in asked.items():
                counts[host] = counts.get(host, 0) + count
            asked.clear()
        for loop in [*self.loops]:  # whose task goes on without it
            self.end_loop(loop)
        if self.items:
            place.items.update(self.items)
            self.items.clear()
        self.expected = 0

    def close(self) -> None:
        """There are no more items; one that an error or a cancellation cut off is not done."""
        self.place.active.discard(self)


class Loop:
    """One call of a place."""

    __slots__ = ("_made_before", "_of", "begun", "place", "total")

    def __init__(self, place: Place, total: Callable[[], int | None], of: Tally | None = None) -> None:
        self._of = of
        self.place = place
        self.total = total
        self.begun = 0
        """Items so far."""
        self._made_before = 0 if of is None else of.made
        place.open.add(self)

    def expected(self, lengths: Lengths) -> float:
        """Items that it will have had, as far as that is known; ``lengths`` are those of its place."""
        known = self.total()
        return lengths.beyond(self.begun) if known is None else float(max(known, self.begun))

    def requests_around(self, made: int) -> float:
        """Requests that the code around it will make until its end, of which it has made so many in all.

        ``async for row in self.paginate(...)`` with a request in its body makes more of them with each page.
        """
        total, begun = self.total(), self.begun
        return 0.0 if total is None or not begun else (made - self._made_before) * max(0.0, total / begun - 1)

    def end_page(self, host: Host) -> None:
        """An item has ended that was one request."""
        self.begun += 1
        self.place.done += 1
        self.place.asked[host] = self.place.asked.get(host, 0) + 1

    def end(self) -> None:
        """All of its items have ended."""
        self.place.open.discard(self)
        self.place.lengths.append(self.begun)
        if self._of is not None:
            self._of.end_loop(self)


class Lengths:
    """How long the calls of a place are, of those that have ended and those that have not: Kaplan and Meier's estimate.

    The short ones end first, so a mean of those that have ended alone would be too small.
    """

    def __init__(self, ended: Iterable[int], so_far: Iterable[int]) -> None:
        at_risk = [(length, True) for length in ended] + [(length, False) for length in so_far]
        at_risk.sort()
        self._survival: list[tuple[int, float]] = []  # length, and the share that is longer
        share, left = 1.0, len(at_risk)
        for length, has_ended in at_risk:
            if has_ended:
                share *= 1 - 1 / left
            left -= 1
            self._survival.append((length, share))

    @property
    def is_known(self) -> bool:
        """Whether it is seen how long a third of them are: of the shortest alone, a mean would be far too small."""
        return bool(self._survival) and self._survival[-1][1] <= _CENSORED

    def beyond(self, begun: int) -> float:
        """The length, on the mean, of a call that has so many items already."""
        share, at, total, first = 1.0, begun, 0.0, 0.0
        for length, longer in self._survival:
            if length > begun:
                first = first or share
                total += share * (length - at)
                at = length
            share = longer
        return begun + (total / first if first else 0.0)


class Place:
    """A `for_each`, a `map` or a listing, and what its items have done so far."""

    def __init__(self) -> None:
        self.done = 0
        """Items that have ended."""
        self.lengths: deque[int] = deque(maxlen=_MOST_LENGTHS)
        """Items of the last calls that have ended."""
        self.open: set[Loop] = set()
        """Calls that have not."""
        self.asked: dict[Host, int] = {}
        """Requests of items that are done, by host."""
        self.items: Counter[Place] = Counter()
        """Items at the places within it, of items that are done."""
        self.active: set[Tally] = set()
        self._within: dict[str, Place] = {}

    def within(self, name: str) -> Place:
        """The place of that name inside this one."""
        found = self._within.get(name)
        if found is None:
            if len(self._within) >= _MOST_PLACES:
                name = _REST
            found = self._within.setdefault(name, Place())
        return found

    def expected_requests(self, items: float) -> Iterator[tuple[Host, float]]:
        """Host and number of the requests that so many items of this place will make, with all that is within them."""
        active = [*self.active]
        known = [_asked(tally) for tally in active]
        for host in {*self.asked, *(name for one in known for name in one)}:
            yield host, self._of(self.asked.get(host, 0), [one.get(host, 0.0) for one in known], items)
        loops = [[*tally.loops] for tally in active]
        ended = [dict(tally.items) for tally in active]
        begun = {loop.place for one in loops for loop in one}
        for place in begun.union(self.items, *ended):
            lengths = Lengths(place.lengths, (loop.begun for loop in [*place.open]))
            live = [
                done.get(place, 0) + sum(loop.expected(lengths) for loop in one if loop.place is place)
                for done, one in zip(ended, loops, strict=True)
            ]
            yield from place.expected_requests(self._of(self.items[place], live, items))

    @property
    def is_known(self) -> bool:
        """Whether every call that is under way in it tells how long it is."""
        active = [*self.active]
        loops = [loop for tally in active for loop in [*tally.loops]]
        guessed = {loop.place for loop in loops if loop.total() is None}
        return (
            all(tally.is_known for tally in active)
            and all(place._knows_lengths for place in guessed)
            and all(place.is_known for place in {loop.place for loop in loops})
        )

    @property
    def _knows_lengths(self) -> bool:
        return Lengths(self.lengths, (loop.begun for loop in [*self.open])).is_known

    def _of(self, of_done: int, of_active: list[float], items: float) -> float:
        """What ``items`` items have of something, of which the done ones had so much, and the active ones this each."""
        usual = of_done / self.done if self.done else 0.0
        seen = of_done + sum(max(one, usual) for one in of_active)
        begun = self.done + len(of_active)
        return seen + max(0.0, items - begun) * (seen / begun if begun else 0.0)


def _asked(tally: Tally) -> dict[Host, float]:
    """Requests that an item makes by itself, by host: what it was said to make, as it has spread them so far."""
    asked = dict(tally.asked)
    made = sum(asked.values())
    if not made:
        return {ANY_HOST: float(tally.expected)} if tally.expected else {}
    more = max((loop.requests_around(made) for loop in [*tally.loops]), default=0.0)
    share = max(tally.expected, made + more) / made
    return {host: count * share for host, count in asked.items()}


current_tally: Final[ContextVar[Tally | None]] = ContextVar("secoda_async_tally", default=None)
