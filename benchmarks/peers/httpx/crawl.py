"""httpx and gather, on uvloop, with one client and a semaphore."""

from __future__ import annotations

import asyncio
from typing import Any, TextIO

import httpx
import uvloop
from mapping import Mapping
from measure import Plan, measure
from models import DeclaredLineage, InternalResource, Resource

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)


async def crawl(plan: Plan, resources: TextIO, lineage: TextIO) -> None:
    slots = asyncio.Semaphore(plan.concurrency)
    limits = httpx.Limits(max_connections=plan.concurrency, max_keepalive_connections=plan.concurrency)
    async with httpx.AsyncClient(base_url=plan.url, timeout=120, limits=limits) as client:

        async def get(path: str) -> Any:
            async with slots:
                reply = await client.get(path)
            return reply.raise_for_status().json()

        async def extract_table(number: int) -> None:
            found, edges = MAPPING.of_table(await get(f"/tables/{number}"))
            resources.writelines(one.model_dump_json() + "\n" for one in found)
            lineage.writelines(one.model_dump_json() + "\n" for one in edges)

        async def extract_page(database: int, page: int) -> None:
            listed = await get(f"/databases/{database}/tables?page={page}")
            tables = [extract_table(table["id"]) for table in listed["tables"]]
            following = [extract_page(database, listed["next_page"])] if listed["next_page"] else []
            await asyncio.gather(*following, *tables)

        databases = (await get("/databases"))["databases"]
        resources.writelines(MAPPING.of_database(one).model_dump_json() + "\n" for one in databases)
        await asyncio.gather(*(extract_page(one["id"], 1) for one in databases))


def main(plan: Plan) -> None:
    with plan.resources.open("w") as resources, plan.lineage.open("w") as lineage:
        uvloop.run(crawl(plan, resources, lineage))


if __name__ == "__main__":
    measure(main, "httpx", "httpcore", "uvloop")
