"""`for_each` and `map`: a fixed set of workers that pull, and no silent end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async import ConfigurationError, IncompleteRunError
from secoda_async.report import Status
from secoda_async.testing.virtual_time import run_virtually
from secoda_async.workers import Workers
from tests.integrations import MemorySink, integration
from tests.server import serve
from tests.test_run import answers


@settings(max_examples=60)
@given(
    durations=st.lists(st.floats(0, 10), max_size=60),
    concurrency=st.integers(1, 12),
    asynchronous=st.booleans(),
    mapped=st.booleans(),
)
def test_every_item_is_worked_on_once_and_never_more_than_concurrency_at_once(
    durations: list[float], concurrency: int, asynchronous: bool, mapped: bool
) -> None:
    seen: list[int] = []
    at_once = peak = 0

    async def worker(item: tuple[int, float]) -> int:
        nonlocal at_once, peak
        at_once += 1
        peak = max(peak, at_once)
        await asyncio.sleep(item[1])
        at_once -= 1
        seen.append(item[0])
        return item[0]

    async def items() -> AsyncIterator[tuple[int, float]]:
        for item in enumerate(durations):
            await asyncio.sleep(0.1)
            yield item

    async def scenario() -> list[int]:
        async with anyio.create_task_group() as group:
            workers = Workers(group, 16)
            source = items() if asynchronous else enumerate(durations)
            if not mapped:
                await workers.for_each(source, worker, concurrency=concurrency)
                return seen
            return [result async for result in workers.map(source, worker, concurrency=concurrency)]

    assert run_virtually(scenario()) == seen  # results come as they complete
    assert sorted(seen) == list(range(len(durations)))
    assert peak <= concurrency


async def test_a_million_items_never_become_a_million_tasks() -> None:
    most = 0
    done = 0

    async def worker(item: int) -> None:
        nonlocal most, done
        done += 1
        if item % 50_000 == 0:
            await asyncio.sleep(0)
            most = max(most, len(asyncio.all_tasks()))

    async def extract(self: Any) -> None:
        await self.for_each(range(1_000_000), worker, concurrency=10)

    await integration(extract).run(MemorySink())
    assert done == 1_000_000
    assert most <= 10 + 5  # the run's own


async def test_items_are_pulled_only_as_workers_come_free() -> None:
    pulled = 0

    def items() -> Any:
        nonlocal pulled
        for item in range(1_000):
            pulled += 1
            yield item

    async def worker(item: int) -> None:
        await release.wait()

    release = anyio.Event()
    async with anyio.create_task_group() as group:
        workers = Workers(group, 16)
        group.start_soon(lambda: workers.for_each(items(), worker, concurrency=7))
        await anyio.wait_all_tasks_blocked()
        assert pulled == 7
        release.set()
    assert pulled == 1_000


@pytest.mark.parametrize(("busy", "started"), [(True, 16), (False, 1_000)])
async def test_where_nobody_says_how_many_workers_start_while_they_are_of_use(busy: bool, started: int) -> None:
    at_once = 0

    async def worker(item: int) -> None:
        nonlocal at_once
        at_once += 1
        await release.wait()

    release = anyio.Event()
    async with anyio.create_task_group() as group:
        workers = Workers(group, None, lambda: busy)
        group.start_soon(lambda: workers.for_each(range(1_000), worker))
        await anyio.wait_all_tasks_blocked()
        assert at_once == started
        release.set()
    assert at_once == 1_000


@pytest.mark.parametrize(("busy", "started"), [(True, 16), (False, 100)])
async def test_a_setting_is_the_most_of_which_as_many_start_as_are_of_use(busy: bool, started: int) -> None:
    at_once = 0

    async def worker(item: int) -> None:
        nonlocal at_once
        at_once += 1
        await release.wait()

    release = anyio.Event()
    async with anyio.create_task_group() as group:
        workers = Workers(group, 100, lambda: busy)
        group.start_soon(lambda: workers.for_each(range(1_000), worker))
        await anyio.wait_all_tasks_blocked()
        assert at_once == started
        release.set()


@pytest.mark.parametrize(("overdue", "concurrency", "started"), [(True, 50, 16), (False, 50, 50), (True, None, 1_000)])
async def test_a_fixed_number_starts_no_more_workers_where_answers_wait_for_the_event_loop(
    overdue: bool, concurrency: int | None, started: int
) -> None:
    at_once = 0

    async def worker(item: int) -> None:
        nonlocal at_once
        at_once += 1
        await release.wait()

    async def extract(self: Any) -> None:
        self.current_run.counters.source.overdue = overdue
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: self.for_each(range(1_000), worker))
            await anyio.wait_all_tasks_blocked()
            assert at_once == started
            release.set()

    release = anyio.Event()
    await integration(extract, concurrency=concurrency).run(MemorySink())
    assert at_once == 1_000


async def test_a_call_within_a_worker_starts_few_workers_while_no_more_are_of_use() -> None:
    at_once = 0

    async def inner(item: int) -> None:
        nonlocal at_once
        at_once += 1
        await release.wait()

    async def outer(item: int) -> None:
        await workers.for_each(range(100), inner)

    release = anyio.Event()
    async with anyio.create_task_group() as group:
        workers = Workers(group, 100, lambda: True)
        group.start_soon(lambda: workers.for_each(range(10), outer))
        await anyio.wait_all_tasks_blocked()
        assert at_once == 10 * 2
        release.set()
    assert at_once == 10 * 100


async def test_calls_within_workers_do_not_queue_by_the_hundred_at_a_fixed_number_of_slots() -> None:
    """Each answer takes long enough for all of the slots to be taken."""
    most = 0

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return await answers(request)

    async def extract(self: Any) -> None:
        async def get(item: int) -> None:
            nonlocal most
            await self.http_get(f"/{item}")
            most = max(most, self.current_run.counters.source.in_flight)

        async def extract_part(item: int) -> None:
            await self.for_each(range(100), get)

        await self.for_each(range(10), extract_part)

    async with serve(slow) as url:
        await integration(extract, credentials={"base_url": url}, concurrency=40).run(MemorySink())
    assert 30 < most < 100, "each call has 2 workers, and more only while nobody waits: 16 each would be 160"


async def test_workers_that_were_not_of_use_start_when_they_are() -> None:
    at_once = most = 0
    busy = True

    async def worker(item: int) -> None:
        nonlocal at_once, most, busy
        at_once += 1
        most = max(most, at_once)
        busy = item < 100
        await asyncio.sleep(0)
        at_once -= 1

    async with anyio.create_task_group() as group:
        await Workers(group, None, lambda: busy).for_each(range(1_000), worker)
    assert most > 16


@pytest.mark.parametrize(
    ("concurrency", "most"),
    [(5, 1 + 5 + 5), (None, 1 + 16 + 17)],  # read, buffered, and one in the hands of each worker
)
async def test_map_stays_a_bounded_number_of_results_ahead_of_its_reader(concurrency: int | None, most: int) -> None:
    done = 0

    async def worker(item: int) -> int:
        nonlocal done
        done += 1
        return item

    async with anyio.create_task_group() as group:
        results = Workers(group, None).map(range(1_000), worker, concurrency=concurrency)
        await anext(results)
        await anyio.wait_all_tasks_blocked()
        assert done <= most
        assert len([result async for result in results]) == 999


async def test_the_first_error_is_raised_as_itself_and_the_other_workers_stop() -> None:
    stopped = 0

    async def worker(item: int) -> None:
        nonlocal stopped
        if item == 3:
            raise KeyError("three")
        try:
            await anyio.sleep_forever()
        finally:
            stopped += 1

    async def extract(self: Any) -> None:
        with pytest.raises(KeyError, match="three"):
            await self.for_each(range(10), worker, concurrency=4)

    await integration(extract).run(MemorySink())
    assert stopped == 3


async def test_an_error_of_the_iterable_is_raised() -> None:
    def items() -> Any:
        yield 1
        raise OSError("the list is cut off")

    async def worker(item: int) -> int:
        return item

    async def extract(self: Any) -> None:
        with pytest.raises(OSError, match="cut off"):
            await self.for_each(items(), worker)
        with pytest.raises(OSError, match="cut off"):
            async for _ in self.map(items(), worker):
                pass

    await integration(extract).run(MemorySink())


async def test_an_error_in_map_is_raised_where_the_results_are_read_and_ends_it() -> None:
    async def worker(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    async def extract(self: Any) -> None:
        results = self.map(range(5), worker, concurrency=1)
        assert [await anext(results), await anext(results)] == [0, 1]
        with pytest.raises(ValueError, match="two"):
            await anext(results)
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    report = await integration(extract).run(MemorySink())
    assert report.status is Status.COMPLETE


async def test_map_left_early_is_a_loss_that_says_how_to_leave_it() -> None:
    async def worker(item: int) -> int:
        return item

    async def extract(self: Any) -> None:
        async for _ in self.map(range(100), worker):
            break

    with pytest.raises(IncompleteRunError, match=r"was left after 1 results; .*aclose\(\)"):
        await integration(extract).run(MemorySink())


@pytest.mark.parametrize("how", ["aclose", "async with"])
async def test_map_closed_early_stops_its_workers_and_their_requests_and_is_no_loss(how: str) -> None:
    async def extract(self: Any) -> None:
        async def worker(path: str) -> str:
            return (await self.http_get(path)).json()["path"]

        results = self.map(["/first", *["/hangs"] * 10], worker, concurrency=4)
        if how == "aclose":
            assert await anext(results) == "/first"
            await results.aclose()
            await results.aclose()
        else:
            async with results:
                assert await anext(results) == "/first"
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    async with serve(answers) as url:
        report = await integration(extract, base_url=url).run(MemorySink())
    assert (report.status, report.loss_count) == (Status.COMPLETE, 0)


async def test_a_map_inside_a_map_that_is_closed_goes_with_it() -> None:
    async def extract(self: Any) -> None:
        async def inner(path: str) -> str:
            return (await self.http_get(path)).json()["path"]

        async def outer(path: str) -> list[str]:
            return [result async for result in self.map([path], inner)]

        async with self.map(["/first", "/hangs", "/hangs"], outer, concurrency=3) as results:
            assert await anext(results) == ["/first"]

    async with serve(answers) as url:
        report = await integration(extract, base_url=url).run(MemorySink())
    assert (report.status, report.loss_count) == (Status.COMPLETE, 0)


async def test_map_never_iterated_is_a_loss_and_works_on_nothing() -> None:
    worked: list[int] = []

    async def worker(item: int) -> None:
        worked.append(item)

    async def extract(self: Any) -> None:
        self.map(range(10), worker)

    with pytest.raises(IncompleteRunError, match="never iterated"):
        await integration(extract).run(MemorySink())
    assert worked == []


async def test_a_worker_that_awaits_something_cancelled_is_no_silent_end() -> None:
    async def extract(self: Any) -> None:
        cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        worked: list[int] = []

        async def worker(item: int) -> None:
            if item == 1:
                await cancelled
            worked.append(item)

        for call in (self.for_each(range(3), worker, concurrency=1), read(self.map(range(3), worker, concurrency=1))):
            worked.clear()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert worked == [0]

    async def read(results: Any) -> None:
        async for _ in results:
            pass

    await integration(extract).run(MemorySink())


async def test_for_each_never_awaited_is_a_loss_and_works_on_nothing() -> None:
    worked: list[int] = []

    async def worker(item: int) -> None:
        worked.append(item)

    async def extract(self: Any) -> None:
        self.for_each(range(10), worker)
        await self.for_each(range(2), worker)

    with pytest.raises(IncompleteRunError, match=r"for_each\(.*worker\) was never awaited"):
        await integration(extract).run(MemorySink())
    assert worked == [0, 1]


async def test_a_cancelled_reader_of_map_is_cancelled_and_nothing_else() -> None:
    async def worker(item: int) -> int:
        await anyio.sleep_forever()
        return item

    async def extract(self: Any) -> None:
        results = self.map(range(3), worker)
        with anyio.move_on_after(0.01) as scope:
            async for _ in results:
                pass
        assert scope.cancelled_caught
        await anyio.lowlevel.checkpoint()  # this task was not cancelled with it
        await results.aclose()

    report = await integration(extract).run(MemorySink())
    assert report.status is Status.COMPLETE


async def test_a_run_that_is_cancelled_takes_its_maps_along() -> None:
    stopped = 0

    async def worker(item: int) -> int:
        nonlocal stopped
        try:
            await anyio.sleep_forever()
        finally:
            stopped += 1
        return item

    async def extract(self: Any) -> None:
        async for _ in self.map(range(3), worker, concurrency=3):
            pass

    with anyio.move_on_after(0.1):
        await integration(extract).run(MemorySink())
    assert stopped == 3


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2"])
async def test_a_bad_concurrency_is_refused(bad: Any) -> None:
    async with anyio.create_task_group() as group:
        with pytest.raises(ConfigurationError, match="concurrency"):
            Workers(group, 1).map([], print, concurrency=bad)


async def test_what_is_not_iterable_is_refused() -> None:
    async with anyio.create_task_group() as group:
        with pytest.raises(ConfigurationError, match="iterable"):
            await Workers(group, 1).for_each(5, print)  # type: ignore[arg-type]
