"""Declares records in scopes and tells the peak of memory: ``python -m benchmarks.runners.scoped SCOPES OPEN RECORDS``.

So many scopes, so many of them open at once, so many records in each, and one more with as many records as all the
others together.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import orjson
from typing_extensions import override

from benchmarks.runners.declare import Nowhere, column
from benchmarks.runners.peak import peak_bytes
from secoda_async import SecodaIntegration


class Scoped(SecodaIntegration):
    """Scopes that take turns record by record, so that all that may be open are."""

    scopes: int
    records: int
    open_at_once: int
    open_now = 0
    most_open = 0

    @override
    async def extract(self) -> None:
        async with self.scope("large"):
            for n in range(self.scopes * self.records):
                await self.declare_resource(column(n))
        await self.for_each(
            range(self.scopes), self.extract_scope, concurrency=self.open_at_once, scope=lambda n: f"schema:{n}"
        )

    async def extract_scope(self, number: int) -> None:
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        for n in range(self.records):
            await self.declare_resource(column(number * self.records + n))
            await asyncio.sleep(0)
        self.open_now -= 1


def main() -> None:
    scopes, open_at_once, records = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        integration = Scoped(credentials={}, state_dir=Path(folder))
        integration.scopes, integration.records, integration.open_at_once = scopes, records, open_at_once
        started = time.perf_counter()
        report = integration.start(Nowhere())
        result = {
            "seconds": time.perf_counter() - started,
            "declared": sum(report.resources.values()),
            "scopes": report.scopes,
            "most_open": integration.most_open,
            "peak_bytes": peak_bytes(),
            "undelivered_peak_bytes": report.undelivered_peak_bytes,
        }
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
