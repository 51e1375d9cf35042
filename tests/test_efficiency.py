"""The least time of a run, where it is known exactly; on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import RateLimit, RetryPolicy
from secoda_async.counters import Counters
from secoda_async.efficiency import EfficiencyReport, least_time
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.network.message import Layer, Request, Response
from secoda_async.redact import Redactor
from secoda_async.settings import Settings
from secoda_async.testing.virtual_time import run_virtually
from secoda_async.workers import Workers
from tests.network.fake_transport import FakeTransport

LATENCY = 0.1


class Slow(Layer):
    """Each answer takes as long."""

    async def send(self, request: Request) -> Response:
        await asyncio.sleep(LATENCY)
        return await self._inner.send(request)


class Crawl:
    """What an ``extract`` has, without its files: threads have no place on virtual time."""

    def __init__(self, client: Client, workers: Workers) -> None:
        self._client = client
        self.for_each, self.map = workers.for_each, workers.map

    async def get(self, path: object = "") -> Response:
        return await self._client.request("GET", f"https://api.example/{path}")


def crawl(extract: Callable[[Crawl], Awaitable[object]], transport: Any = None, **given: Any) -> EfficiencyReport:
    counters = Counters()
    settings = Settings(**given)

    async def run() -> None:
        client = Client(
            settings,
            traffic=counters.source,
            findings=Findings(),
            redact=Redactor(),
            transport=Slow(transport or FakeTransport()),
        )
        loop = asyncio.get_running_loop()
        async with client, anyio.create_task_group() as group:
            began = loop.time()
            await extract(Crawl(client, Workers(group, settings.concurrency)))
            counters.extraction = loop.time() - began
            client.stop()

    run_virtually(run())
    return EfficiencyReport.of(counters, settings.concurrency)


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.005)  # each turn of the virtual loop takes a microsecond


def test_a_declared_rate_binds() -> None:
    found = crawl(
        lambda c: c.for_each(range(100), c.get), concurrency=100, rate_limits={"api.example": RateLimit(10, per=1)}
    )
    assert (found.bound, found.least_seconds) == ("limit api.example", about(9.1))
    assert found.efficiency == pytest.approx(9.1 / found.seconds, abs=0.001)
    assert 0.85 < (found.efficiency or 0) <= 1.0
    assert set(found.waited_seconds) == {"limit"}


def test_slots_that_a_limit_leaves_unused_do_not_bind() -> None:
    found = crawl(lambda c: c.for_each(range(100), c.get), rate_limits={"api.example": RateLimit(50)})
    assert (found.bound, found.least_seconds) == ("limit api.example", about(1.1))
    assert found.slot_seconds == 0.0


def test_slots_bind() -> None:
    found = crawl(lambda c: c.for_each(range(100), c.get), concurrency=10)
    assert (found.bound, found.least_seconds, found.efficiency) == ("slots of api.example:443", about(1.0), about(1.0))


def test_tasks_that_are_more_than_the_slots_wait_for_them() -> None:
    found = crawl(lambda c: asyncio.gather(*(c.get(number) for number in range(30))), concurrency=10)
    assert found.slot_seconds == about(0.3)
    assert found.waited_seconds == {"slot": about(10 * 0.1 + 10 * 0.2)}


def test_requests_that_follow_one_another_are_a_chain() -> None:
    async def extract(c: Crawl) -> None:
        for number in range(5):
            await c.get(number)

    found = crawl(extract, concurrency=10)
    assert (found.bound, found.chain_seconds, found.efficiency) == ("chain", about(0.5), about(1.0))


def test_items_of_a_for_each_follow_what_came_before_it_and_not_one_another() -> None:
    async def extract(c: Crawl) -> None:
        async def twice(number: int) -> None:
            await c.get(number)
            await c.get(f"{number}/more")

        await c.get("list")
        await c.for_each(range(50), twice, concurrency=5)
        await c.get("last")

    found = crawl(extract)
    assert found.chain_seconds == about(0.4)
    assert found.seconds == about(0.1 + 10 * 0.2 + 0.1)


def test_a_listing_chains_its_pages_and_each_item_follows_its_own() -> None:
    async def extract(c: Crawl) -> None:
        async def pages() -> Any:
            for number in range(4):
                await c.get(f"page/{number}")
                yield number

        await c.for_each(pages(), c.get, concurrency=8)

    assert crawl(extract).chain_seconds == about(0.5)


def test_results_of_a_map_are_followed_where_they_are_read() -> None:
    async def extract(c: Crawl) -> None:
        async for _ in c.map(range(10), c.get, concurrency=10):
            pass
        await c.get("last")

    assert crawl(extract).chain_seconds == about(0.2)


def test_tasks_follow_the_one_that_started_them() -> None:
    async def extract(c: Crawl) -> None:
        await c.get("list")
        await asyncio.gather(*(c.get(number) for number in range(10)))

    assert crawl(extract).chain_seconds == about(0.2)


def test_back_offs_and_time_without_requests_are_told_apart() -> None:
    answers = iter([503, 200])

    async def extract(c: Crawl) -> None:
        await asyncio.sleep(3)
        await c.get()
        await asyncio.sleep(4)

    found = crawl(
        extract,
        FakeTransport(lambda request: Response(request, next(answers))),
        retry=RetryPolicy(backoff=8.0),
    )
    assert found.without_requests_seconds == about(7.0)
    assert found.seconds == about(7.0 + 2 * LATENCY + found.waited_seconds["back-off"])
    assert found.chain_seconds == about(2 * LATENCY)


def test_a_pause_that_the_server_asks_for_is_told_as_that() -> None:
    answers = iter([429, 200, 200])

    def answer(request: Request) -> Response:
        status = next(answers)
        return Response(request, status, headers={"Retry-After": "5"} if status == 429 else {})  # type: ignore[arg-type]

    async def extract(c: Crawl) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(c.get("first"))
            await asyncio.sleep(1)
            group.create_task(c.get("second"))

    found = crawl(extract, FakeTransport(answer), concurrency=5)
    assert found.waited_seconds["pause"] == about(4.1)
    assert 5.0 <= found.waited_seconds["back-off"] <= 6.0


def test_a_run_without_requests_has_no_efficiency() -> None:
    found = crawl(lambda c: asyncio.sleep(1))
    assert (found.efficiency, found.bound, found.least_seconds) == (None, "nothing", 0.0)


@given(
    st.integers(1, 50),
    st.floats(0.1, 100),
    st.none() | st.integers(1, 50),
    st.integers(1, 300),
)
def test_no_window_of_the_least_time_sees_more_than_the_limit(
    size: int, per: float, burst: int | None, requests: int
) -> None:
    limit = RateLimit(size, per=per, burst=None if burst is None else min(burst, size))
    leaves = [least_time(limit, number + 1) for number in range(requests)]
    assert leaves == sorted(leaves)
    assert leaves[0] == 0.0
    for first, after in zip(leaves, leaves[size:], strict=False):
        assert after - first >= per * (1 - 1e-9)


@pytest.mark.parametrize(
    ("limit", "requests", "seconds"),
    [
        (RateLimit(10), 0, 0.0),
        (RateLimit(10), 10, 0.0),
        (RateLimit(10), 11, 1.0),
        (RateLimit(100, per=60), 250, 120.0),
        (RateLimit(10, burst=1), 10, 0.9),
        (RateLimit(10, burst=5), 10, 0.5),
        (RateLimit(60, per=60, burst=20), 61, 60.0),
    ],
)
def test_the_last_of_so_many_can_leave_no_sooner(limit: RateLimit, requests: int, seconds: float) -> None:
    assert least_time(limit, requests) == pytest.approx(seconds)
