"""What is left of a run, by what its code has done so far: named crawls in virtual time, whose end is then known."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from secoda_async import (
    ConfigurationError,
    Cursor,
    PageNumber,
    RateLimit,
    Request,
    Response,
    RetryPolicy,
    SecodaIntegration,
    Transport,
)
from secoda_async.forecast import Forecast, Outlook
from secoda_async.testing import run_virtually
from tests.integrations import MemorySink

Answer = Callable[[Request], tuple[int, Any]]


class Slow(Transport):
    """Answers after a latency that varies, by a seed."""

    def __init__(self, answer: Answer, latency: float = 0.2) -> None:
        self._answer = answer
        self._latency = latency
        self._random = random.Random(7)

    @override
    async def send(self, request: Request) -> Response:
        await asyncio.sleep(self._latency * self._random.uniform(0.5, 1.5))
        status, body = self._answer(request)
        headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))
        return Response(request, status, headers=headers, content=orjson.dumps(body))

    @override
    async def aclose(self) -> None:
        return


@dataclass
class Looked:
    """Every look at a run, and when it ended."""

    outlooks: list[tuple[float, Outlook]]
    seconds: float

    def at(self, share: float) -> tuple[float, Outlook]:
        return next(one for one in self.outlooks if one[0] >= share * self.seconds)

    def off(self, share: float) -> float:
        """By which share of all its time the run was said to end too early or too late."""
        now, outlook = self.at(share)
        assert outlook.seconds is not None
        return abs(now + outlook.seconds - self.seconds) / self.seconds


def looked(
    extract: Callable[[Any], Awaitable[None]], answer: Answer, state: Path, *, latency: float = 0.2, **settings: Any
) -> Looked:
    """Run an integration with this body, and look at it every virtual second."""

    class Crawl(SecodaIntegration):
        base_url = "http://a.example"
        retry = RetryPolicy(attempts=5, backoff=0.2)

        async def extract(self) -> None:
            await extract(self)

    async def run() -> Looked:
        loop = asyncio.get_running_loop()
        made = Crawl(
            credentials={}, transport=Slow(answer, latency), state_dir=state, **{"concurrency": 20, **settings}
        )
        outlooks: list[tuple[float, Outlook]] = []
        began = loop.time()

        async def look() -> None:
            await asyncio.sleep(0.01)
            assert made.current_run is not None
            forecast = Forecast(made.current_run.extraction.tally, made.current_run.counters.source, began=began)
            while True:
                await asyncio.sleep(1)
                outlooks.append((loop.time() - began, forecast.look(loop.time())))

        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look())
            await made.run(MemorySink())
            looking.cancel()
        return Looked(outlooks, loop.time() - began)

    return run_virtually(run())


async def get(self: Any, item: Any) -> None:
    await self.http_get(f"/items/{item}")


async def flat(self: Any) -> None:
    await self.for_each(range(3000), lambda item: get(self, item))


async def throttled(self: Any) -> None:
    async def both(item: int) -> None:
        await self.http_get(f"/items/{item}")
        if item % 3 == 0:
            await self.http_get(f"http://slow.example/items/{item}")

    await self.for_each(range(1500), both)


PAGES = [1 + (number * 7919) % 23 for number in range(120)]  # from 1 to 23 pages of a listing, in no order


async def uneven(self: Any) -> None:
    async def listing(number: int) -> None:
        rows = self.paginate(f"/lists/{number}", Cursor("page", next="next"), items="items")
        await self.for_each(rows, lambda row: get(self, row))

    await self.for_each(range(len(PAGES)), listing)


def of_uneven(request: Request) -> tuple[int, Any]:
    if not request.url.path.startswith("/lists/"):
        return 200, {}
    number, page = int(request.url.name), int(request.url.query.get("page", 1))
    rows = [f"{number}-{page}-{row}" for row in range(4)]
    return 200, {"items": rows, "next": page + 1 if page < PAGES[number] else None}


def flaky() -> Answer:
    chance = random.Random(11)
    return lambda _: (503 if chance.random() < 0.05 else 200, {})


CRAWLS: dict[str, tuple[Callable[[Any], Awaitable[None]], Answer, dict[str, Any]]] = {
    "flat": (flat, lambda _: (200, {}), {}),
    "one host throttled": (throttled, lambda _: (200, {}), {"rate_limits": {"slow.example": RateLimit(5)}}),
    "uneven page counts": (uneven, of_uneven, {}),
    "5 % retries": (flat, flaky(), {}),
}


@pytest.mark.parametrize("name", CRAWLS)
def test_after_the_first_quarter_the_end_is_known_within_a_fifth(name: str, tmp_path: Path) -> None:
    extract, answer, settings = CRAWLS[name]
    found = looked(extract, answer, tmp_path, **settings)
    assert found.seconds > 20
    for share in (0.25, 0.5, 0.75):
        assert found.off(share) < 0.2, (share, found.at(share), found.seconds)


async def of_ports(self: Any) -> None:
    async def both(item: int) -> None:
        await self.http_get(f"/items/{item}")
        if item % 10 == 0:
            await self.http_get(f"http://a.example:8080/items/{item}")

    await self.for_each(range(1000), both)


async def some(self: Any) -> None:
    await self.for_each(range(450), lambda item: get(self, item))


async def many(self: Any) -> None:
    await self.for_each(range(20_000), lambda item: get(self, item))


@pytest.mark.parametrize(
    ("extract", "settings"),
    [
        pytest.param(some, {"rate_limits": {"*": RateLimit(60, per=60)}}, id="a minute's requests leave in a second"),
        pytest.param(some, {"rate_limits": {"a.example": [RateLimit(9), RateLimit(60, per=60)]}}, id="two limits"),
        pytest.param(of_ports, {"rate_limits": {"a.example:8080": RateLimit(3)}}, id="one port throttled"),
        pytest.param(many, {"concurrency": None}, id="slots that are found out"),
    ],
)
def test_from_the_first_tenth_on_the_end_is_known_within_a_fifth(
    extract: Callable[[Any], Awaitable[None]], settings: dict[str, Any], tmp_path: Path
) -> None:
    found = looked(extract, lambda _: (200, {}), tmp_path, **settings)
    assert found.seconds > 20
    for share in (0.1, 0.25, 0.5, 0.75):
        assert found.off(share) < 0.2, (share, found.at(share), found.seconds)


def test_a_limit_that_is_never_reached_slows_no_forecast(tmp_path: Path) -> None:
    limit = {"rate_limits": {"*": RateLimit(500, per=86_400, burst=500)}, "concurrency": 2}
    found = looked(some, lambda _: (200, {}), tmp_path, **limit)
    assert found.seconds < 60
    assert found.off(0.25) < 0.1


def test_of_listings_in_listings_nothing_is_told_until_some_have_ended(tmp_path: Path) -> None:
    async def levels(self: Any) -> None:
        def rows(number: int) -> Any:
            return self.paginate(f"/lists/{number}", Cursor("page", next="next"), items="items")

        async def outer(number: int) -> None:
            async def inner(name: str) -> None:
                await get(self, name)
                await self.for_each(rows(number + int(name.rpartition("-")[2])), lambda row: get(self, row))

            await self.for_each(rows(number), inner)

        await self.for_each(range(30), outer)

    def answer(request: Request) -> tuple[int, Any]:
        if not request.url.path.startswith("/lists/"):
            return 200, {}
        number, page = int(request.url.name), int(request.url.query.get("page", 1))
        more = page + 1 if page < 1 + number * 7919 % 5 else None
        return 200, {"items": [f"{number}-{page}-{row}" for row in range(4)], "next": more}

    found = looked(levels, answer, tmp_path)
    told = [(now + outlook.seconds) / found.seconds for now, outlook in found.outlooks if outlook.seconds is not None]
    assert told
    assert 0.7 < min(told) < max(told) < 1.2
    assert found.off(0.75) < 0.1


def test_the_total_of_a_flat_crawl_is_exact_from_the_beginning(tmp_path: Path) -> None:
    found = looked(flat, lambda _: (200, {}), tmp_path)
    assert {outlook.total for _, outlook in found.outlooks} == {3000}
    dones = [outlook.done for _, outlook in found.outlooks]
    assert dones == sorted(dones)


def test_a_listing_tells_its_total_by_itself(tmp_path: Path) -> None:
    async def pages(self: Any) -> None:
        rows = self.paginate("/rows", PageNumber(total="total"), items="items", concurrency=1)
        await self.for_each(rows, lambda row: get(self, row), concurrency=5)

    def answer(request: Request) -> tuple[int, Any]:
        page = int(request.url.query.get("page", 1))
        return 200, {"total": 500, "items": list(range(page * 10 - 10, page * 10))}

    found = looked(pages, answer, tmp_path)
    assert found.at(0.25)[1].total == pytest.approx(550, rel=0.02)
    assert found.off(0.25) < 0.2


async def counted(self: Any, told: int) -> None:
    self.expect(told)
    for number in range(100):
        await self.http_get(f"/items/{number}")


def test_what_is_told_counts_where_nothing_else_tells(tmp_path: Path) -> None:
    found = looked(lambda self: counted(self, 100), lambda _: (200, {}), tmp_path)
    assert found.at(0.25)[1].total == 100
    assert found.off(0.25) < 0.2


def test_requests_in_the_body_of_a_listing_s_loop_are_as_many_on_each_of_its_pages(tmp_path: Path) -> None:
    async def pages(self: Any) -> None:
        await get(self, "before")
        async for row in self.paginate("/rows", PageNumber(total="total"), items="items", concurrency=1):
            await get(self, row)

    def answer(request: Request) -> tuple[int, Any]:
        if request.url.path != "/rows":
            return 200, {}
        page = int(request.url.query.get("page", 1))
        return 200, {"total": 300, "items": list(range(page * 10 - 10, page * 10))}

    found = looked(pages, answer, tmp_path)
    assert found.seconds > 50
    for share in (0.25, 0.5, 0.75):
        assert found.off(share) < 0.2, (share, found.at(share), found.seconds)


def test_requests_of_which_nothing_tells_how_many_they_are_make_no_total(tmp_path: Path) -> None:
    async def one_by_one(self: Any) -> None:
        for number in range(100):
            await get(self, number)

    found = looked(one_by_one, lambda _: (200, {}), tmp_path)
    assert {outlook[1:] for _, outlook in found.outlooks} == {(None, None)}


def test_items_tell_what_one_costs_as_soon_as_one_is_done(tmp_path: Path) -> None:
    async def few(self: Any) -> None:
        async def item(number: int) -> None:
            for each in range(50):
                await get(self, f"{number}-{each}")

        await self.for_each(range(30), item, concurrency=3)

    found = looked(few, lambda _: (200, {}), tmp_path)
    totals = [outlook.total for _, outlook in found.outlooks]
    assert totals[0] is None
    assert totals[-1] == 1500
    assert found.off(0.25) < 0.1


def test_where_nothing_tells_nothing_is_said(tmp_path: Path) -> None:
    async def endless(self: Any) -> None:
        async for _ in self.paginate("/rows", Cursor("cursor", next="next"), items="items"):
            await get(self, 1)

    def answer(request: Request) -> tuple[int, Any]:
        cursor = int(request.url.query.get("cursor", 0))
        return 200, {"items": [cursor], "next": cursor + 1 if cursor < 50 else None}

    found = looked(endless, answer, tmp_path)
    assert {outlook.total for _, outlook in found.outlooks} == {None}
    assert {outlook.seconds for _, outlook in found.outlooks} == {None}


def test_a_run_may_make_any_number_of_calls_and_keeps_those_only_that_have_not_ended(tmp_path: Path) -> None:
    async def many(self: Any) -> None:
        for number in range(300):
            await self.for_each(range(2), lambda item: get(self, item))
            tally = self.current_run.extraction.tally
            assert not tally.loops
            assert list(tally.items.values()) == [2 * number + 2]

    assert looked(many, lambda _: (200, {}), tmp_path).outlooks[-1][1].done <= 600


def test_calls_that_an_error_ended_leave_nothing_behind(tmp_path: Path) -> None:
    async def fails(item: int) -> None:
        await asyncio.sleep(1)
        raise ValueError(item)

    async def many(self: Any) -> None:
        for _ in range(3):
            with pytest.raises(ValueError, match="0"):
                await self.for_each(range(50), fails)
        tally = self.current_run.extraction.tally
        assert not tally.loops
        assert [len(place.active) + len(place.open) for place in tally.items] == [0]

    looked(many, lambda _: (200, {}), tmp_path)


def test_what_is_told_counts_before_anything_is_asked(tmp_path: Path) -> None:
    async def later(self: Any) -> None:
        self.expect(2)
        await asyncio.sleep(3.5)
        for number in range(3):
            await get(self, number)

    totals = [outlook.total for _, outlook in looked(later, lambda _: (200, {}), tmp_path, latency=2).outlooks]
    assert totals[:3] == [2, 2, 2]
    assert totals[-1] is None  # there were more of them than was told


async def test_expect_takes_a_number_of_requests(tmp_path: Path) -> None:
    class Wrong(SecodaIntegration):
        async def extract(self) -> None:
            self.expect(-1)

    with pytest.raises(ConfigurationError, match="expect: requests must be a whole number"):
        await Wrong(credentials={}, state_dir=tmp_path).run(MemorySink())
