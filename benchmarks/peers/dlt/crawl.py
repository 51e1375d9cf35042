"""dlt: a resource and two transformers whose items are deferred to its threads, and lines written as they come out.

Only its extraction runs: normalising and loading would cost it more, and would add columns of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import dlt
import orjson
from dlt.sources.helpers import requests
from mapping import Mapping
from measure import Plan, measure
from models import DeclaredLineage, InternalResource, Resource
from requests.adapters import HTTPAdapter

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)


def main(plan: Plan) -> None:
    os.environ["EXTRACT__WORKERS"] = str(plan.concurrency)
    os.environ["EXTRACT__MAX_PARALLEL_ITEMS"] = str(plan.concurrency)
    session = requests.Client().session
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=plan.concurrency)
    session.mount("http://", adapter)

    def get(path: str) -> Any:
        reply = session.get(f"{plan.url}{path}")
        reply.raise_for_status()
        return orjson.loads(reply.content)

    @dlt.resource
    def databases() -> Iterator[Any]:
        yield get("/databases")["databases"]

    @dlt.transformer
    def tables(found: list[dict[str, Any]]) -> Iterator[Any]:
        @dlt.defer
        def of(database: dict[str, Any]) -> list[Any]:
            listed: list[Any] = []
            page = 1
            while page:
                body = get(f"/databases/{database['id']}/tables?page={page}")
                listed += body["tables"]
                page = body["next_page"]
            return listed

        for database in found:
            resources.write(MAPPING.of_database(database).model_dump_json() + "\n")
            yield of(database)

    @dlt.transformer
    def details(listed: list[dict[str, Any]]) -> Iterator[Any]:
        @dlt.defer
        def of(number: int) -> tuple[str, str]:
            found, edges = MAPPING.of_table(get(f"/tables/{number}"))
            return (
                "".join(one.model_dump_json() + "\n" for one in found),
                "".join(one.model_dump_json() + "\n" for one in edges),
            )

        for one in listed:
            yield of(one["id"])

    with plan.resources.open("w") as resources, plan.lineage.open("w") as lineage:
        for found, edges in databases | tables | details:
            resources.write(found)
            lineage.write(edges)


if __name__ == "__main__":
    measure(main, "dlt", "requests")
