"""Sends many requests to one URL, or to several in turn, through `start()`, and tells what the server saw of each.

Prints one line of JSON: ``{"seconds": …, "minutes": {name: [[seconds, status], …]}, "paces": {…}}``.
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
        async def ask(path: str) -> None:
            await self.http_get(path)

        paths = islice(cycle(self.plan["paths"]), self.plan["requests"])
        began = time.monotonic()
        await self.for_each(paths, ask, concurrency=self.plan["workers"])
        self.seconds = time.monotonic() - began
        names = [path.rsplit("/", 1)[1] for path in self.plan["paths"]]
        self.minutes = {name: (await self.http_get(f"/minutes/{name}")).json() for name in names}


def main() -> None:
    plan = orjson.loads(sys.argv[1])
    settings: dict[str, Any] = {"state_dir": plan["state_dir"], "concurrency": plan["concurrency"]}
    if plan["rate"]:
        settings["rate_limits"] = {f"*{plan['limited']}": RateLimit(plan["rate"])}
    asker = Asker(credentials={}, base_url=plan["url"], **settings)
    asker.plan = plan
    report = asker.start(StdoutSink())
    paces = {host: pace.model_dump() for host, pace in report.source.paces.items()}
    print(orjson.dumps({"seconds": asker.seconds, "minutes": asker.minutes, "paces": paces}).decode())


if __name__ == "__main__":
    main()
