"""What holds a run at this moment, by host and limit: as the display asks for it, from another thread."""

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from typing_extensions import override

from secoda_async import Batch, RateLimit, Request, Response, RetryPolicy
from secoda_async.cli.progress_rows import causes_text
from tests.integrations import MemorySink, StreamSink, integration, table
from tests.network.fake_transport import FakeTransport


class Hangs(FakeTransport):
    """What is asked of ``/hangs`` is never answered."""

    @override
    async def send(self, request: Request) -> Response:
        if request.url.path.startswith("/hangs"):
            await anyio.sleep_forever()
        return await super().send(request)


def answer(request: Request) -> Response:
    match request.url.host:
        case "back.example":
            return Response(request, 500)
        case "pause.example":
            return Response(request, 429, headers={"Retry-After": "200"})
        case "quota.example":
            told = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}
            return Response(request, 200, headers=told)
    return Response(request, 200)


async def held(
    extract: Callable[[Any], Awaitable[None]],
    expected: list[str],
    sink: MemorySink | None = None,
    answer: Any = answer,
    **settings: Any,
) -> None:
    """Run until what holds the run is as expected (numbers written as # are any), and cancel it then."""
    made = integration(extract, transport=Hangs(answer), **settings)
    found: list[str] = []
    with anyio.move_on_after(10) as scope:
        async with anyio.create_task_group() as group:

            async def look() -> None:
                while found != expected:
                    await asyncio.sleep(0.02)
                    assert made.current_run is not None
                    found[:] = await anyio.to_thread.run_sync(made.current_run.extraction.held)
                    if any("#" in one for one in expected):
                        found[:] = [re.sub(r"\d+(\.\d+)?", "#", one) for one in found]
                scope.cancel()

            group.start_soon(look)
            await made.run(sink or MemorySink())
    assert found == expected


def asks(*urls: str) -> Callable[[Any], Awaitable[None]]:
    """The first is asked a moment before the others."""

    async def extract(self: Any) -> None:
        async def later(url: str) -> None:
            await asyncio.sleep(0.05)
            await self.http_get(url)

        await asyncio.gather(self.http_get(urls[0]), *map(later, urls[1:]))

    return extract


@pytest.mark.parametrize(
    ("urls", "settings", "expected"),
    [
        (["https://a.example/hangs"] * 5, {"concurrency": 2}, ["3 for a slot of a.example (2 slots)"]),
        (["https://a.example/hangs"] * 9, {}, ["1 for a slot of a.example (8 slots, adaptive)"]),
        (["https://a.example:8443/hangs"] * 2, {"concurrency": 1}, ["1 for a slot of a.example:8443 (1 slot)"]),
        (
            ["https://a.example/1"] * 4,
            {"rate_limits": {"a.example": RateLimit(1, per=3600)}},
            ["3 for the limit of a.example (1 per 3600 s)"],
        ),
        (
            ["https://a.example/1"] * 3,
            {"rate_limits": {"*": [RateLimit(1, per=3600), RateLimit(1000)]}},
            ["2 for the limit of a.example (1 per 3600 s, 1,000/s)"],
        ),
        (
            ["https://a.example/1", "https://a.example/1", "https://a.example/hangs"],
            {"rate_limits": {"a.example": RateLimit(100), "GET a.example/1": RateLimit(1, per=3600)}},
            ["1 for the limit of GET a.example/1 (1 per 3600 s)"],
        ),
        (["https://a.example/hangs"] * 2, {}, ["2 answers of a.example"]),
        (["https://a.example/hangs", "https://b.example/1"], {}, ["1 answer of a.example"]),
        (
            ["https://pause.example/1", "https://pause.example/2", "https://pause.example/3"],
            {},
            ["2 for the end of a pause that pause.example asked for (200 s)", "1 before a retry (pause.example, 429)"],
        ),
        (["https://back.example/1"] * 2, {}, ["2 before a retry (back.example, 500)"]),
        (["https://quota.example/1"] * 2, {}, ["1 for the quota that quota.example tells of"]),
        (
            [*["https://a.example/hangs"] * 3, *["https://b.example/1"] * 3, "https://c.example/hangs"],
            {"concurrency": 2, "rate_limits": {"b.example": RateLimit(1, per=3600)}},
            [
                "2 for the limit of b.example (1 per 3600 s)",
                "1 for a slot of a.example (2 slots)",
                "1 answer of c.example",
            ],
        ),
        (
            ["https://s3cr3t-of-mine.example/hangs"] * 2,
            {"concurrency": 1, "credentials": {"token": "s3cr3t-of-mine"}},
            ["1 for a slot of [redacted].example (1 slot)"],
        ),
    ],
)
async def test_what_is_waited_for_is_named_with_its_host_and_limit(
    urls: list[str], settings: dict[str, Any], expected: list[str]
) -> None:
    await held(asks(*urls), expected, **{"retry": RetryPolicy(backoff=3600, max_backoff=3600), **settings})


REFUSES = "# for busy.example, which refuses, to take one again"
RATE = "# for a turn at the rate that busy.example was found to take (#/s)"


@pytest.mark.parametrize(("a_second", "told"), [(0, REFUSES), (30, RATE)])
async def test_a_rate_that_was_found_out_is_told_as_one(a_second: int, told: str) -> None:
    taken: deque[float] = deque([-math.inf] * a_second, maxlen=a_second)

    def busy(request: Request) -> Response:
        now = time.monotonic()
        if not taken or taken[0] > now - 1:
            return Response(request, 429)
        taken.append(now)
        return Response(request, 200)

    async def extract(self: Any) -> None:
        await self.for_each(range(1000), lambda number: self.http_get(f"https://busy.example/{number}"))

    retry = RetryPolicy(attempts=10_000, backoff=0.001, max_backoff=0.001)
    await held(extract, [told], answer=busy, retry=retry, concurrency=None)


async def test_where_nothing_is_under_way_it_is_the_user_s_own_code() -> None:
    async def extract(self: Any) -> None:
        await self.http_get("https://a.example/1")
        await anyio.sleep_forever()

    await held(extract, ["your own code"])


async def test_declares_that_wait_for_a_full_queue_are_counted() -> None:
    class Stuck(StreamSink):
        @override
        async def write(self, batch: Batch) -> None:
            await anyio.sleep_forever()

    async def extract(self: Any) -> None:
        async def declare(number: int) -> None:
            await self.declare_resource(table(number, description="x" * 10_000))

        await asyncio.gather(*map(declare, range(7)))

    await held(extract, ["3 declares for the queue to be written"], Stuck(), queue_bytes=50_000, batch_bytes=10_000)


def test_of_many_causes_the_first_are_shown_short_and_drive_no_terminal() -> None:
    told = causes_text(["9 for a slot of a\x1b[2J", "b" * 500, "c", "d", "e"])
    assert told == rf"9 for a slot of a\x1b[2J, {'b' * 119}…, c, and 2 more"
