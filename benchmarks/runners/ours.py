"""Crawls the source on secoda_async, once.

Usage: ``python -m benchmarks.runners.ours URL COUNT CONCURRENCY FOLDER [SETTING ...]``; settings are switched on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from typing_extensions import override

from secoda_async import DeclaredLineage, InternalResource, JSONLSink, Resource, SecodaIntegration


class Tables(SecodaIntegration):
    """A list, then every table of it."""

    @override
    async def extract(self) -> None:
        reply = await self.http_get("/tables", params={"count": self.credentials["count"]})
        await self.for_each(reply.json()["tables"], self.extract_table)

    async def extract_table(self, listed: dict[str, Any]) -> None:
        table = (await self.http_get(f"/tables/{listed['id']}")).json()
        for record in records_of(table):
            if isinstance(record, Resource):
                await self.declare_resource(record)
            else:
                await self.declare_lineage(record)


def records_of(table: dict[str, Any]) -> Iterator[Resource | DeclaredLineage]:
    """A table, its columns, and the table it is made from."""
    table_id = f"warehouse.public.{table['name']}"
    yield Resource(
        entity_type="table",
        databuilder_id=table_id,
        title=table["name"],
        description=table["description"],
        external_updated_at=table["updated_at"],
        schema="public",
        database="warehouse",
    )
    for order, column in enumerate(table["columns"]):
        yield Resource(
            entity_type="column",
            databuilder_id=f"{table_id}.{column['name']}",
            parent_databuilder_id=table_id,
            title=column["name"],
            sort_order=order,
            type=column["type"],
            is_pk=column["primary_key"],
        )
    if table["made_from"] is not None:
        yield DeclaredLineage(
            from_identifier=InternalResource(databuilder_id=f"warehouse.public.orders_{table['made_from']}"),
            to_identifier=InternalResource(databuilder_id=table_id),
        )


def main() -> None:
    url, count, concurrency, folder, *settings = sys.argv[1:]
    integration = Tables(
        credentials={"base_url": url, "count": int(count)},
        concurrency=int(concurrency),
        state_dir=Path(folder, "state"),
        **dict.fromkeys(settings, True),
    )
    started, used = time.perf_counter(), time.process_time()
    report = integration.start(JSONLSink(folder))
    seconds = time.perf_counter() - started
    cpu = time.process_time() - used
    print(orjson.dumps({"seconds": seconds, "cpu": cpu, "requests": report.source.requests}).decode())


if __name__ == "__main__":
    main()
