"""Scrapy: asyncio on uvloop without a reactor, its aiohttp handler, no delay, lines written by the spider itself.

Of its handlers this was the fastest here. Items through pipelines and feed exports would cost it more, so it is spared
them; middlewares that nothing here needs, and extensions that only watch, are off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from mapping import Mapping
from measure import Plan, measure
from models import DeclaredLineage, InternalResource, Resource
from scrapy import Request, Spider
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)


class Tables(Spider):
    """Databases, the pages of each, then every table."""

    name = "tables"
    plan: Plan
    resources: Any
    lineage: Any

    async def start(self) -> Any:
        yield Request(f"{self.plan.url}/databases", callback=self.databases, dont_filter=True)

    def databases(self, response: Response) -> Iterator[Request]:
        found = orjson.loads(response.body)["databases"]
        self.resources.writelines(MAPPING.of_database(one).model_dump_json() + "\n" for one in found)
        for one in found:
            yield self.page(one["id"], 1)

    def page(self, database: int, number: int) -> Request:
        url = f"{self.plan.url}/databases/{database}/tables?page={number}"
        return Request(url, callback=self.tables, cb_kwargs={"database": database}, dont_filter=True)

    def tables(self, response: Response, database: int) -> Iterator[Request]:
        listed = orjson.loads(response.body)
        if listed["next_page"]:
            yield self.page(database, listed["next_page"])
        for one in listed["tables"]:
            yield Request(f"{self.plan.url}/tables/{one['id']}", callback=self.table, dont_filter=True)

    def table(self, response: Response) -> None:
        found, edges = MAPPING.of_table(orjson.loads(response.body))
        self.resources.writelines(one.model_dump_json() + "\n" for one in found)
        self.lineage.writelines(one.model_dump_json() + "\n" for one in edges)


def main(plan: Plan) -> None:
    process = AsyncCrawlerProcess(
        {
            "ASYNCIO_EVENT_LOOP": "uvloop.Loop",
            "TWISTED_REACTOR_ENABLED": False,
            "CONCURRENT_REQUESTS": plan.concurrency,
            "CONCURRENT_REQUESTS_PER_DOMAIN": plan.concurrency,
            "DOWNLOAD_DELAY": 0,
            "DOWNLOAD_HANDLERS": {"http": "scrapy.core.downloader.handlers._aiohttp.AiohttpDownloadHandler"},
            "COOKIES_ENABLED": False,
            "HTTPCOMPRESSION_ENABLED": False,
            "REDIRECT_ENABLED": False,
            "REFERER_ENABLED": False,
            "ROBOTSTXT_OBEY": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOGSTATS_INTERVAL": 0,
            "MEMUSAGE_ENABLED": False,
            "LOG_LEVEL": "ERROR",
        }
    )
    with plan.resources.open("w") as resources, plan.lineage.open("w") as lineage:
        process.crawl(Tables, plan=plan, resources=resources, lineage=lineage)
        process.start()


if __name__ == "__main__":
    measure(main, "scrapy", "twisted", "uvloop")
