"""Sends many requests to one URL, or to several in turn, through `start()`, and tells what the server saw of each.

Prints one line of JSON: ``{"seconds": …, "minutes": [[[seconds, status], …], …], "paces": {…}}``.
"""

from __future__ import annotations

import sys
import time
from itertools import cycle, islice
from typing import Any

import orjson
from typing_extensions import override

from secoda_async import RateLimit, RetryPolicy, SecodaIntegration, StdoutSink


class Asker(SecodaIntegration):
    """Asks; the answers are of no interest."""

    retry = RetryPolicy(attempts=1000, backoff=0.001, max_backoff=0.001)
    plan: dict[str, Any]

    @override
    async def extract(self) -> None:
        async def ask(url: str) -> None:
            await self.http_get(url)

        urls = self.plan["urls"]
        began = time.monotonic()
        await self.for_each(islice(cycle(urls), self.plan["requests"]), ask, concurrency=self.plan["workers"])
        self.seconds = time.monotonic() - began
        self.minutes = []
        for url in urls:
            server, _, name = url.rsplit("/", 2)
            self.minutes.append((await self.http_get(f"{server}/minutes/{name}")).json())


def main() -> None:
    plan = orjson.loads(sys.argv[1])
    limits = {key: RateLimit(rate) for key, rate in plan["rate_limits"].items()}
    asker = Asker(credentials={}, state_dir=plan["state_dir"], concurrency=plan["concurrency"], rate_limits=limits)
    asker.plan = plan
    report = asker.start(StdoutSink())
    paces = {host: pace.model_dump() for host, pace in report.source.paces.items()}
    print(orjson.dumps({"seconds": asker.seconds, "minutes": asker.minutes, "paces": paces}).decode())


if __name__ == "__main__":
    main()
