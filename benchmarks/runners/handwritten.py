"""Crawls the source as most would by hand: ``python -m benchmarks.runners.handwritten URL COUNT CONCURRENCY FOLDER``.

aiohttp, uvloop, a semaphore, gather, and secodadk's way of writing a line. No limits, no retries, no spool.
"""

from __future__ import annotations

import asyncio
import json  # as most people would
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import orjson
import uvloop

from benchmarks.runners.ours import records_of
from secoda_async import Resource


async def crawl(url: str, count: int, concurrency: int, resources: TextIO, lineage: TextIO) -> None:
    slots = asyncio.Semaphore(concurrency)

    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/tables", params={"count": count}) as reply:
            listed = (await reply.json())["tables"]

        async def extract_table(one: dict[str, Any]) -> None:
            async with slots, session.get(f"{url}/tables/{one['id']}") as reply:
                table = await reply.json()
            for record in records_of(table):
                file = resources if isinstance(record, Resource) else lineage
                file.write(json.dumps(record.model_dump(mode="json")) + "\n")

        await asyncio.gather(*(extract_table(one) for one in listed))


def main() -> None:
    url, count, concurrency, name = sys.argv[1:]
    folder = Path(name)
    folder.mkdir()
    started = time.perf_counter()
    with (folder / "resources.jsonl").open("w") as resources, (folder / "lineage.jsonl").open("w") as lineage:
        uvloop.run(crawl(url, int(count), int(concurrency), resources, lineage))
    print(orjson.dumps({"seconds": time.perf_counter() - started}).decode())


if __name__ == "__main__":
    main()
