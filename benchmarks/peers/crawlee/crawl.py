"""Crawlee: its HTTP crawler with a fixed number of tasks at once, storage in memory, sessions and logs off.

Of its HTTP clients, impit, httpx and curl-impersonate, impit was the fastest here.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, TextIO

import orjson
import uvloop
from crawlee import ConcurrencySettings, Request
from crawlee.crawlers import HttpCrawler, HttpCrawlingContext
from crawlee.http_clients import ImpitHttpClient
from crawlee.router import Router
from crawlee.storage_clients import MemoryStorageClient
from mapping import Mapping
from measure import Plan, measure
from models import DeclaredLineage, InternalResource, Resource

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)


async def crawl(plan: Plan, resources: TextIO, lineage: TextIO) -> None:
    router = Router[HttpCrawlingContext]()
    crawler = HttpCrawler(
        http_client=ImpitHttpClient(),
        request_handler=router,
        storage_client=MemoryStorageClient(),
        use_session_pool=False,
        retry_on_blocked=False,
        configure_logging=False,
        status_message_logging_interval=timedelta(hours=1),
        concurrency_settings=ConcurrencySettings(
            min_concurrency=plan.concurrency, max_concurrency=plan.concurrency, desired_concurrency=plan.concurrency
        ),
    )

    async def body(context: HttpCrawlingContext) -> Any:
        return orjson.loads(await context.http_response.read())

    def page(database: int, number: int) -> Request:
        url = f"{plan.url}/databases/{database}/tables?page={number}"
        return Request.from_url(url, label="page", user_data={"database": database})

    @router.default_handler
    async def databases(context: HttpCrawlingContext) -> None:
        found = (await body(context))["databases"]
        resources.writelines(MAPPING.of_database(one).model_dump_json() + "\n" for one in found)
        await context.add_requests([page(one["id"], 1) for one in found])

    @router.handler("page")
    async def tables(context: HttpCrawlingContext) -> None:
        listed = await body(context)
        following = [page(context.request.user_data["database"], listed["next_page"])] if listed["next_page"] else []
        details = [Request.from_url(f"{plan.url}/tables/{one['id']}", label="table") for one in listed["tables"]]
        await context.add_requests([*following, *details])

    @router.handler("table")
    async def table(context: HttpCrawlingContext) -> None:
        found, edges = MAPPING.of_table(await body(context))
        resources.writelines(one.model_dump_json() + "\n" for one in found)
        lineage.writelines(one.model_dump_json() + "\n" for one in edges)

    await crawler.run([f"{plan.url}/databases"])


def main(plan: Plan) -> None:
    logging.disable(logging.INFO)
    with plan.resources.open("w") as resources, plan.lineage.open("w") as lineage:
        uvloop.run(crawl(plan, resources, lineage))


if __name__ == "__main__":
    measure(main, "crawlee", "impit", "uvloop")
