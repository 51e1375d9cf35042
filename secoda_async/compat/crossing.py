"""The way from threads into the event loop and back."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from threading import Lock
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
Make = Callable[[], Coroutine[Any, Any, T]]


def ended() -> SystemExit:
    """What ends a thread that goes on after the run: no ``except Exception`` holds it up, and no traceback is shown."""
    return SystemExit("the run has ended")


class _Call(Generic[T]):
    """One thread's call, which waits for it."""

    __slots__ = ("context", "done", "error", "make", "result")

    def __init__(self, make: Make[T], context: Context) -> None:
        self.make = make
        self.context = context
        self.done = Lock()
        self.done.acquire()
        self.result: T | None = None
        self.error: BaseException | None = None


class Crossing:
    """Runs coroutines of the loop for threads, which wait for them.

    Usage: ``crossing = Crossing(group)`` in the loop, ``reply = crossing.call(lambda: client.request("GET", url))`` in
    any other thread; ``close`` ends whatever still goes on, and every call raises SystemExit then. Calls of one
    thread share a context, as those of a task do.
    """

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._base = copy_context()
        self._asked: deque[_Call[Any]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_woken = False
        self._is_closed = False
        self._local = threading.local()

    def call(self, make: Make[T]) -> T:
        """The result of the coroutine that ``make`` makes in the loop; raises what it raises."""
        call = _Call(make, self.context)
        self._asked.append(call)
        if not self._is_woken:  # the loop takes all that is there by then
            self._is_woken = True
            self.soon(self._begin)
        if self._is_closed:  # after the call was put there, so that either this sees it or `close` does
            raise ended()
        call.done.acquire()  # no ``with``: whoever answers releases it
        if call.error is not None:
            raise call.error
        return cast("T", call.result)

    def soon(self, do: Callable[[], object]) -> None:
        """Have the loop do something, without waiting. Raises SystemExit where that has ended."""
        try:
            self._loop.call_soon_threadsafe(do, context=self.context)
        except RuntimeError:
            raise ended() from None

    @property
    def context(self) -> Context:
        """That of the running thread, which began as that of the run."""
        try:
            found: Context = self._local.context
        except AttributeError:
            found = self._local.context = self._base.copy()
        return found

    def close(self) -> None:
        """End what goes on, and take nothing more. Called in the loop."""
        self._is_closed = True
        while self._asked:
            call = self._asked.popleft()
            call.error = ended()
            call.done.release()
        for task in self._under_way:
            task.cancel()

    def _begin(self) -> None:
        self._is_woken = False  # first: a thread that still sees it has put its call there before
        while self._asked and not self._is_closed:
            call = self._asked.popleft()
            call.error = ended()  # a task that is cancelled before it begins says nothing itself
            task = self._group.create_task(_run(call), context=call.context)
            self._under_way.add(task)
            task.add_done_callback(partial(self._end, call), context=self._base)

    def _end(self, call: _Call[Any], task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        call.done.release()


async def _run(call: _Call[Any]) -> None:
    try:
        call.result = await call.make()
        call.error = None
    except asyncio.CancelledError:
        raise
    except BaseException as exc:  # noqa: BLE001 # raised in the thread
        call.error = exc
