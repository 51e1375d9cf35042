"""Work that is done many at a time and delivered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, Self, TypeVar

from secoda_async.workers import Crew, Source, each

T = TypeVar("T")
R = TypeVar("R")


class _Place(Generic[T]):
    """One item's place in the line."""

    __slots__ = ("is_done", "item", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.is_done = False
        self.result: Any = None


class _Line(Generic[T, R]):
    """Gives out items while fewer than ``ahead`` are undelivered."""

    def __init__(
        self,
        items: Iterator[T],
        work: Callable[[T], Awaitable[R]],
        deliver: Callable[[R], Awaitable[bool]],
        ahead: int,
    ) -> None:
        self._items = items
        self._work = work
        self._deliver = deliver
        self._ahead = ahead
        self._places: deque[_Place[T]] = deque()
        self._room = asyncio.Event()
        self._delivering = False
        self._stopped = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Place[T]:
        while len(self._places) >= self._ahead and not self._stopped:
            self._room.clear()
            await self._room.wait()
        if self._stopped:
            raise StopAsyncIteration
        for item in self._items:
            place = _Place(item)
            self._places.append(place)
            return place
        raise StopAsyncIteration

    async def work(self, place: _Place[T]) -> None:
        """Do one item's work, and deliver all that is done up to the first that is not."""
        place.result = await self._work(place.item)
        place.is_done = True
        if self._delivering:  # whoever delivers takes this along
            return
        self._delivering = True
        while self._places and self._places[0].is_done and not self._stopped:
            self._stopped = not await self._deliver(self._places[0].result)
            self._places.popleft()
            self._room.set()
        self._delivering = False


async def in_order(
    items: Iterator[T],
    work: Callable[[T], Awaitable[R]],
    deliver: Callable[[R], Awaitable[bool]],
    *,
    ahead: int,
) -> None:
    """Await ``work(item)``, ``ahead`` at a time, and ``deliver(result)`` in the order of the items, one at a time.

    At most ``ahead`` results are held. It ends with the items, or where ``deliver`` returns false. Raises the first
    error; the rest stops.
    """
    line = _Line(items, work, deliver, ahead)
    await each(Source(line), line.work, Crew.of(ahead), "pages")
