"""The hand-written script with all that is known to be faster, within the public API of aiohttp.

The collector out of the way, workers that start as there is work and pull, a URL that is not parsed again, no timers,
bodies by ``readany``, orjson both ways, lines in large batches. No limits, no retries, no counters, no spool.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import uvloop
from lines import Lines
from mapping import Mapping
from measure import Plan, measure
from models import DeclaredLineage, InternalResource, Resource
from yarl import URL

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)


async def crawl(plan: Plan, resources: Lines, lineage: Lines) -> None:
    jobs: deque[tuple[Callable[[Any], Awaitable[None]], Any]] = deque()
    working = 0

    async def work() -> None:
        nonlocal working
        while jobs:
            job, argument = jobs.popleft()
            await job(argument)
        working -= 1

    def hire() -> None:
        nonlocal working
        for _ in range(min(len(jobs), plan.concurrency - working)):
            working += 1
            group.create_task(work())

    connector = aiohttp.TCPConnector(limit=plan.concurrency)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as session,
        asyncio.TaskGroup() as group,
    ):

        async def get(path: str) -> Any:
            reply = await session.request("GET", URL(plan.url + path, encoded=True))
            if reply.status != 200:
                raise OSError(f"{path}: {reply.status}")
            content = reply.content
            body = await content.readany()
            while not content.at_eof():
                body += await content.readany()
            return orjson.loads(body)

        async def extract_table(number: int) -> None:
            found, edges = MAPPING.of_table(await get(f"/tables/{number}"))
            resources.write(found)
            lineage.write(edges)

        async def extract_page(at: tuple[int, int]) -> None:
            database, page = at
            listed = await get(f"/databases/{database}/tables?page={page}")
            if listed["next_page"]:
                jobs.append((extract_page, (database, listed["next_page"])))
            jobs.extend((extract_table, table["id"]) for table in listed["tables"])
            hire()

        listed = (await get("/databases"))["databases"]
        resources.write(map(MAPPING.of_database, listed))
        jobs.extend((extract_page, (database["id"], 1)) for database in listed)
        hire()


def main(plan: Plan) -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    with Lines(plan.resources) as resources, Lines(plan.lineage) as lineage:
        uvloop.run(crawl(plan, resources, lineage))


if __name__ == "__main__":
    measure(main, "aiohttp", "uvloop", "orjson")
