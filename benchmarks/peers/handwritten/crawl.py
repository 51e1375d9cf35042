"""As most people would write it: aiohttp, uvloop, a semaphore, a task an item, pydantic's way of writing a line.

No limits, no retries, no counters, no spool.
"""

from __future__ import annotations

import asyncio
from typing import Any, TextIO

import aiohttp
import uvloop
from mapping import Mapping
from measure import Plan, measure
from models import DeclaredLineage, InternalResource, Resource

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)


async def crawl(plan: Plan, resources: TextIO, lineage: TextIO) -> None:
    slots = asyncio.Semaphore(plan.concurrency)

    def write(file: TextIO, record: Resource | DeclaredLineage) -> None:
        file.write(record.model_dump_json() + "\n")

    async with aiohttp.ClientSession(raise_for_status=True) as session, asyncio.TaskGroup() as group:

        async def get(path: str) -> Any:
            async with slots, session.get(f"{plan.url}{path}") as reply:
                return await reply.json()

        async def extract_table(number: int) -> None:
            found, edges = MAPPING.of_table(await get(f"/tables/{number}"))
            for one in found:
                write(resources, one)
            for edge in edges:
                write(lineage, edge)

        async def extract_database(database: dict[str, Any]) -> None:
            write(resources, MAPPING.of_database(database))
            page = 1
            while page:
                listed = await get(f"/databases/{database['id']}/tables?page={page}")
                for table in listed["tables"]:
                    group.create_task(extract_table(table["id"]))
                page = listed["next_page"]

        for database in (await get("/databases"))["databases"]:
            group.create_task(extract_database(database))


def main(plan: Plan) -> None:
    with plan.resources.open("w") as resources, plan.lineage.open("w") as lineage:
        uvloop.run(crawl(plan, resources, lineage))


if __name__ == "__main__":
    measure(main, "aiohttp", "uvloop")
