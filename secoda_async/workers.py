"""``for_each`` and ``map``: a fixed set of workers that pull, so a million items never become a million tasks."""

from __future__ import annotations

import abc
import asyncio
import inspect
import math
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sized
from contextvars import ContextVar
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

import anyio
from anyio.abc import TaskGroup
from typing_extensions import override

from secoda_async.counters import MOST_SLOTS
from secoda_async.errors import ConfigurationError
from secoda_async.findings import Ledger, current_ledger
from secoda_async.network.callers import halted_here, work_for
from secoda_async.network.critical_path import go_on_from, so_far, wait_for
from secoda_async.progress import Loop, Place, Tally, current_tally

T = TypeVar("T")
R = TypeVar("R")
ResultsT = TypeVar("ResultsT", bound="Results[Any]")
Items = Iterable[T] | AsyncIterable[T]
Worker = Callable[[T], Awaitable[R]]

WORKER_TASK: Final = "secoda_async worker"
"""Name of every task that is started here."""


class _End(Exception):  # noqa: N818 # no error: what an iterator raises at its end
    """Raised when there are no items left."""


class Source(Generic[T]):
    """Gives one item at a time to whoever asks, from a sync or an async iterable."""

    def __init__(self, items: Items[T], most: int | None = None) -> None:
        """``most`` is how many of the items count; None: all."""
        self._sync: Iterator[T] | None = None
        self._async: AsyncIterator[T] | None = None
        if isinstance(items, AsyncIterable):
            self._async = aiter(items if most is None else _first(items, most))
        elif isinstance(items, Iterable):
            self._sync = iter(items) if most is None else islice(items, most)
        else:
            raise ConfigurationError(f"items must be iterable or async iterable, not {type(items).__name__}")
        self._items = items
        self._most = most
        self._one_at_a_time = asyncio.Lock()  # an async generator cannot be asked twice at once
        self.behind = so_far()
        """What was waited for before the next item, see `critical_path`."""

    def total(self) -> int | None:
        """How many items there are in all, where that is known by now."""
        items = self._items
        found = len(items) if isinstance(items, Sized) else items.expected if isinstance(items, Results) else None
        return found if self._most is None or found is None else min(found, self._most)

    async def next(self) -> T:
        """The next item. Raises _End where there is none."""
        if self._sync is not None:
            go_on_from(self.behind)
            for item in self._sync:
                return item
            raise _End
        assert self._async is not None
        async with self._one_at_a_time:
            go_on_from(self.behind)
            try:
                return await anext(self._async)
            except StopAsyncIteration:
                raise _End from None
            finally:
                self.behind = so_far()


async def _first(items: AsyncIterable[T], most: int) -> AsyncIterator[T]:
    left = most
    async for item in items:
        yield item
        left -= 1
        if not left:
            break
    if isinstance(items, Results):  # or what is left of it would be a loss
        await items.aclose()


_LEAST, _MOST = 16, MOST_SLOTS  # workers of a call where nobody said how many
_LEAST_WITHIN = 2  # … of one that is made by a worker: there are others that work beside it


def _never() -> bool:
    return False


class Crew(NamedTuple):
    """How many workers a call has."""

    most: int
    least: int
    """So many start as soon as there are items for them; more only where they are of use."""
    busy: Callable[[], bool]
    """Whether what there is has to wait already, so that more workers would only queue."""

    @classmethod
    def of(cls, size: int) -> Self:
        """So many, no more and no fewer."""
        return cls(size, size, _never)


async def each(source: Source[T], worker: Worker[T, Any], crew: Crew, name: str) -> None:
    """Await ``worker`` for every item. Raises the first error; the workers that are left stop."""
    outer = current_tally.get()
    loop = Loop(Place(), source.total) if outer is None else outer.begin(name, source.total)
    errors: list[BaseException] = []
    started = 1
    longest = 0.0
    callers = halted_here()
    least = crew.least if len(callers) == 1 else min(crew.least, _LEAST_WITHIN)
    try:
        async with anyio.create_task_group() as group:

            async def work() -> None:
                nonlocal longest, started
                work_for(callers)
                tally = Tally(loop.place)
                current_tally.set(tally)
                try:
                    item = await source.next()
                    while True:
                        loop.begun += 1
                        tally.begin_item()
                        # Workers start as items come, so few items start few workers.
                        if started < least or (started < crew.most and not crew.busy()):
                            started += 1
                            group.start_soon(work, name=WORKER_TASK)
                        await worker(item)
                        tally.end_item()
                        if (behind := so_far()) > longest:
                            longest = behind
                        item = await source.next()
                except _End:
                    return
                except (Exception, asyncio.CancelledError) as exc:  # raised below, as itself instead of in a group
                    if isinstance(exc, asyncio.CancelledError) and _is_cancelled():
                        raise
                    errors.append(exc)
                    group.cancel_scope.cancel()
                finally:
                    tally.close()

            group.start_soon(work, name=WORKER_TASK)
    finally:
        loop.end()
    if errors:
        first, *others = errors
        for other in others:
            first.add_note(f"also: {type(other).__name__}: {other}")
        raise first
    wait_for(max(longest, source.behind))


def _is_cancelled() -> bool:
    """Whether a scope around this task is cancelled; a worker may also await something that was cancelled alone."""
    return anyio.current_effective_deadline() == -math.inf


class Workers:
    """The workers of one run.

    Usage: ``await workers.for_each(tables, extract_columns)``; ``async for reply in workers.map(urls, get): ...``.
    ``concurrency`` is the number of workers where a call does not say; None: as many as are of use, which they are
    while ``busy`` says that nothing waits. ``sample`` is how many items of a call count; None: all.
    """

    def __init__(
        self,
        group: TaskGroup,
        concurrency: int | None,
        busy: Callable[[], bool] = _never,
        *,
        sample: int | None = None,
    ) -> None:
        self._sample = sample
        self.group = group
        most = concurrency or _MOST
        self._default = Crew(most, min(most, _LEAST), busy)
        self._results: list[Results[Any]] = []
        self._calls: list[tuple[Coroutine[Any, Any, None], str]] = []

    def for_each(
        self, items: Items[T], worker: Worker[T, Any], *, concurrency: int | None = None
    ) -> Coroutine[Any, Any, None]:
        """Await ``worker(item)`` for every item, ``concurrency`` at a time. Raises the first error; the rest stop."""
        call = each(Source(items, self._sample), worker, self.crew(concurrency), _name(worker))
        # Kept until it starts: without an `await` it would work on nothing, and nobody would know.
        self._calls = [one for one in self._calls if _is_unstarted(one[0])]
        self._calls.append((call, _name(worker)))
        return call

    def map(self, items: Items[T], worker: Worker[T, R], *, concurrency: int | None = None) -> Map[T, R]:
        """The results of ``worker(item)`` as they complete."""
        return self.keep(Map(self.group, Source(items, self._sample), worker, self.crew(concurrency)))

    def keep(self, results: ResultsT) -> ResultsT:
        """Remember results, so that they are stopped and missed where nobody reads them to their end."""
        # The ended ones are let go, so that a run may map a million times.
        self._results = [one for one in self._results if not one.ended]
        self._results.append(results)
        return results

    async def aclose(self) -> list[tuple[str, Ledger | None]]:
        """Stop what was neither read to its end nor closed, or never awaited.

        A sentence for each that was wanted, and the ledger of the part of the run that it belongs to.
        """
        wanted = [(one.describe(), one.ledger) for one in self._results if one.is_wanted and not one.ended]
        for one in self._results:
            await one.aclose()
        for call, name in self._calls:
            if _is_unstarted(call):
                call.close()
                told = f"for_each({name}) was never awaited, so none of its items was worked on; write `await`"
                wanted.append((told, None))
        return wanted

    def stop_part(self, ledger: Ledger) -> None:
        """Stop the results of a part of the run that is not wanted any more, without waiting."""
        for one in self._results:
            if one.ledger is not None and one.ledger.is_within(ledger):
                one.stop()

    def stop(self) -> None:
        """Stop all of it, without waiting."""
        for one in self._results:
            one.stop()

    def crew(self, concurrency: int | None) -> Crew:
        """The workers of a call. Raises ConfigurationError where ``concurrency`` is no number of them."""
        if concurrency is None:
            return self._default
        if not isinstance(concurrency, int) or concurrency < 1:
            raise ConfigurationError(f"concurrency must be a whole number of 1 or more, not {concurrency!r}")
        return Crew.of(concurrency)


def _is_unstarted(call: Coroutine[Any, Any, None]) -> bool:
    return inspect.getcoroutinestate(call) == inspect.CORO_CREATED


def _name(worker: object) -> str:
    return getattr(worker, "__qualname__", repr(worker))


class _Wanted:
    """Whether a map's results are still wanted; its workers carry it in their context, and maps within it too."""

    __slots__ = ("_outer", "closed")

    def __init__(self, outer: _Wanted | None) -> None:
        self._outer = outer
        self.closed = False

    def __bool__(self) -> bool:
        return not self.closed and (self._outer is None or bool(self._outer))


_wanted: Final[ContextVar[_Wanted | None]] = ContextVar("secoda_async_wanted", default=None)


def gave_up() -> bool:
    """Whether the running task works for a map whose rest is not wanted, so that its cancelled requests are no loss."""
    mine = _wanted.get()
    return mine is not None and not mine


class Results(abc.ABC, Generic[R]):
    """What a task of the run makes, read as it comes; the first error ends the iteration and is raised by it.

    At most ``ahead`` results wait for their reader. To leave early, say so: ``async with ... as results: ...`` or
    ``await results.aclose()`` stops the task. Results that are left without it, or never read, are a loss of the run.
    """

    # An object and no async generator: a task group inside a generator cancels its consumer when it is left early.

    def __init__(self, group: TaskGroup, *, ahead: int) -> None:
        self._group = group
        self._send, self._receive = anyio.create_memory_object_stream[tuple[R, float]](ahead)
        self._scope = anyio.CancelScope()
        self._wanted = _Wanted(_wanted.get())
        self.ledger = current_ledger()
        self._error: BaseException | None = None
        self._stopped = anyio.Event()
        self.started = False
        self.ended = False

    @abc.abstractmethod
    async def _produce(self) -> None:
        """Hand on every result; what is raised here is raised where the results are read."""

    @abc.abstractmethod
    def describe(self) -> str:
        """What was left undone, and what to do about it."""

    @property
    def expected(self) -> int | None:
        """How many results there will be in all, where that is known."""
        return None

    async def receive(self) -> R:
        """The next result. Raises StopAsyncIteration where there is none."""
        if self.ended:
            raise StopAsyncIteration
        if not self.started:
            self._start()
        try:
            try:
                result, behind = self._receive.receive_nowait()
            except anyio.WouldBlock:
                result, behind = await self._receive.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self.ended = True
            self._receive.close()
            if self._error is not None:
                raise self._error from None
            raise StopAsyncIteration from None
        wait_for(behind)
        return result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop, and wait until all has stopped: the rest is not wanted. Calling it again does nothing."""
        self.stop()
        if self.started:
            await self._stopped.wait()

    def stop(self) -> None:
        """Stop, without waiting for it."""
        self.ended = True
        self._wanted.closed = True
        self._scope.cancel()
        self._receive.close()
        self._send.close()

    @property
    def is_wanted(self) -> bool:
        """Whether nobody said that the rest is not wanted."""
        return bool(self._wanted)

    def _start(self) -> None:
        self.started = True
        token = _wanted.set(self._wanted)
        try:
            self._group.start_soon(self._run, name=WORKER_TASK)
        finally:
            _wanted.reset(token)

    async def _run(self) -> None:
        with self._send, self._scope:
            try:
                await self._produce()
            except (Exception, asyncio.CancelledError) as exc:  # raised where the results are read
                if isinstance(exc, asyncio.CancelledError) and _is_cancelled():
                    raise
                self._error = exc
            finally:
                self._stopped.set()

    async def _hand_on(self, result: R) -> None:
        handed = (result, so_far())
        try:
            self._send.send_nowait(handed)
        except anyio.WouldBlock:
            await self._send.send(handed)


class Map(Results[R], Generic[T, R]):
    """Results as they complete; the first error ends the iteration and is raised by it.

    Usage: ``async for result in self.map(items, worker): ...``. Workers stay at most ``concurrency`` results ahead of
    their reader. To leave early, say so: ``async with self.map(...) as results: ...`` or ``await results.aclose()``
    stops the workers. A map that is left without it, or never iterated, is a loss of the run.
    """

    def __init__(self, group: TaskGroup, source: Source[T], worker: Worker[T, R], crew: Crew) -> None:
        super().__init__(group, ahead=crew.least)
        self._source = source
        self._worker = worker
        self._crew = crew
        self._yielded = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        result = await self.receive()
        self._yielded += 1
        return result

    @override
    def describe(self) -> str:
        name = _name(self._worker)
        if not self.started:
            return f"map({name}) was never iterated, so none of its items was worked on; use `async for` or for_each"
        return (
            f"map({name}) was left after {self._yielded} results; read it to its end, or close it with "
            "`async with self.map(...)` or `await results.aclose()` where the rest is not wanted"
        )

    @override
    async def _produce(self) -> None:
        await each(self._source, self._work, self._crew._replace(busy=self._is_busy), _name(self._worker))

    def _is_busy(self) -> bool:
        return self._receive.statistics().current_buffer_used > 0 or self._crew.busy()

    async def _work(self, item: T) -> None:
        await self._hand_on(await self._worker(item))
