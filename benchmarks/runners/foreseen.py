"""A crawl that is looked at once a second, as the display of a run does: what it is then said to take still.

Usage: ``python -m benchmarks.runners.foreseen CRAWL URL OTHER_URL STATE_DIR``; the crawls are `CRAWLS`. Prints one
line of JSON: ``{"seconds": …, "requests": …, "looks": [[seconds, done, total, seconds left], …]}``.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from typing_extensions import override

from secoda_async import Cursor, RateLimit, RetryPolicy, SecodaIntegration, StdoutSink
from secoda_async.forecast import Forecast

_EVERY: Final = 1.0  # seconds


class Crawl(SecodaIntegration):
    """One of the crawls."""

    retry = RetryPolicy(attempts=5, backoff=0.2)
    name: str
    other_url: str

    @override
    async def extract(self) -> None:
        run = self.current_run
        assert run is not None
        began = time.monotonic()
        forecast = Forecast(run.extraction.tally, run.counters.source, began=began)
        ended = threading.Event()
        self.looks: list[tuple[float, int, int | None, float | None]] = []

        def look() -> None:
            while not ended.wait(_EVERY):
                now = time.monotonic()
                self.looks.append((now - began, *forecast.look(now)))

        looking = threading.Thread(target=look)
        looking.start()
        try:
            await CRAWLS[self.name].extract(self)
        finally:
            self.seconds = time.monotonic() - began
            ended.set()
            looking.join()

    async def item(self, name: object, kind: str = "item") -> None:
        """Ask for one."""
        await self.http_get(f"/50/{kind}/{name}")

    def listing(self, number: int, most: int) -> Any:
        """The rows of a listing of up to so many pages, whose length nothing tells."""
        return self.paginate(f"/50/list-{most}/{number}", Cursor("page", next="next"), items="items")


async def _flat(self: Crawl) -> None:
    await self.for_each(range(5000), self.item)


async def _throttled(self: Crawl) -> None:
    async def both(number: int) -> None:
        await self.item(number)
        if number % 3 == 0:
            await self.http_get(f"{self.other_url}/50/item/{number}")

    await self.for_each(range(750), both)


async def _uneven(self: Crawl) -> None:
    async def listing(number: int) -> None:
        await self.for_each(self.listing(number, 23), self.item)

    await self.for_each(range(90), listing)


async def _retries(self: Crawl) -> None:
    await self.for_each(range(4500), lambda number: self.item(number, "flaky"))


async def _levels(self: Crawl) -> None:
    async def database(number: int) -> None:
        async def schema(name: str) -> None:
            await self.item(name)
            await self.for_each(self.listing(int(name.rpartition("-")[2]) + number, 5), self.item)

        await self.for_each(self.listing(number, 5), schema)

    await self.for_each(range(30), database)


async def _found_out(self: Crawl) -> None:
    await self.for_each(range(50_000), lambda number: self.http_get(f"/200/item/{number}"))


class Plan(NamedTuple):
    """A crawl, and how it is set up."""

    extract: Callable[[Crawl], Awaitable[None]]
    settings: Mapping[str, Any]


_TWENTY: Final = {"concurrency": 20}
CRAWLS: Final = {
    "flat": Plan(_flat, _TWENTY),
    "one host throttled": Plan(_throttled, _TWENTY),
    "uneven page counts": Plan(_uneven, _TWENTY),
    "5 % retries": Plan(_retries, _TWENTY),
    "two levels of listings": Plan(_levels, _TWENTY),
    "slots that are found out": Plan(_found_out, {}),
}
"""By name."""
THROTTLED: Final = 20  # a second


def main() -> None:
    name, url, other_url, state_dir = sys.argv[1:]
    limits = {other_url.removeprefix("http://"): RateLimit(THROTTLED)} if "throttled" in name else {}
    crawl = Crawl(credentials={}, base_url=url, state_dir=state_dir, rate_limits=limits, **CRAWLS[name].settings)
    crawl.name, crawl.other_url = name, other_url
    report = crawl.start(StdoutSink())
    told = {"seconds": crawl.seconds, "requests": report.source.requests, "looks": crawl.looks}
    print(orjson.dumps(told).decode())


if __name__ == "__main__":
    main()
