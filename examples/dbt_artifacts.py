"""Extracts tables, columns and lineage of a dbt project from its artifacts, ``manifest.json`` and ``catalog.json``.

Usage: ``dbt build && dbt docs generate``, have ``target/`` served (a bucket will do), then
``secoda-async run examples/dbt_artifacts.py:DbtArtifacts --credential base_url=https://x.com/target --out out``.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

from secoda_async import (
    Auth,
    BearerAuth,
    DeclaredLineage,
    EntityType,
    Input,
    InternalResource,
    Resource,
    SecodaIntegration,
    StreamedResponse,
    Timeout,
)

TABLES = {"model", "seed", "snapshot", "source"}  # the others are tests, analyses and hooks, which leave no table

Json = dict[str, Any]


class Node(NamedTuple):
    """What is kept of a node. The rest, above all the SQL, makes a manifest large, and is gone once it was read."""

    is_table: bool
    parents: list[str]
    description: str
    columns: dict[str, str]
    """Descriptions by name in lower case: some warehouses turn the names of a project into capitals."""


class DbtArtifacts(SecodaIntegration):
    """Each model, seed, snapshot and source that dbt built or read: database > schema > table > column."""

    inputs = {"base_url": Input(secret=False), "token": Input(required=False)}
    timeout = Timeout(total=None)  # a large manifest may take its time; that bytes keep coming is enough
    skips_unbuilt = False
    """Whether models that are in the manifest and not in the catalog are left out, in place of an error."""

    def default_auth(self) -> Auth | None:
        token = self.credentials.get("token")
        return BearerAuth(token) if token else None

    async def extract(self) -> None:
        self.versions: dict[str, tuple[str | None, ...]] = {}
        nodes: dict[str, Node] = {}
        # The manifest has what people wrote, the catalog what the warehouse says; each in two parts of one shape.
        for part in ("nodes", "sources"):
            async with self.read("manifest.json") as manifest:
                async for unique_id, node in manifest.aiter_items(part):
                    nodes[unique_id] = slim(node)
        declared: set[str] = set()
        for part in ("nodes", "sources"):
            async with self.read("catalog.json") as catalog:
                async for unique_id, found in catalog.aiter_items(part):
                    if unique_id in nodes and nodes[unique_id].is_table:
                        await self.declare_table(unique_id, nodes[unique_id], found, declared)
        tables = {unique_id for unique_id, node in nodes.items() if node.is_table}
        if (unbuilt := sorted(tables - declared)) and not self.skips_unbuilt:
            # It looks the same where dbt could not read a schema, and then a sync without it would remove it.
            raise RuntimeError(
                f"{len(unbuilt)} of {len(tables)} tables are not in the catalog, the first of them {unbuilt[0]}: "
                "run `dbt build` and then `dbt docs generate`, or set skips_unbuilt where that is meant"
            )
        for unique_id in sorted(tables & declared):
            for parent in find_tables(nodes, unique_id):
                if parent in declared:
                    await self.declare_lineage(
                        DeclaredLineage(
                            from_identifier=InternalResource(databuilder_id=parent),
                            to_identifier=InternalResource(databuilder_id=unique_id),
                        )
                    )

    @asynccontextmanager
    async def read(self, name: str) -> AsyncIterator[StreamedResponse]:
        """An artifact from its beginning: a body that is read while it arrives can be read for one part only."""
        async with self.http_stream("GET", f"/{name}") as reply:
            version = (reply.headers.get("ETag"), reply.headers.get("Last-Modified"))
            if self.versions.setdefault(name, version) != version:
                raise RuntimeError(f"{name} was replaced while it was read; run again when dbt has ended")
            yield reply

    async def declare_table(self, unique_id: str, node: Node, found: Json, declared: set[str]) -> None:
        metadata = found["metadata"]
        database = metadata["database"] or "default"  # some warehouses, such as Spark, have none
        database_id = join_id("database", database)
        schema_id = join_id("schema", database, metadata["schema"])
        parents = [
            Resource(entity_type=EntityType.DATABASE, databuilder_id=database_id, title=database),
            Resource(
                entity_type=EntityType.SCHEMA,
                databuilder_id=schema_id,
                parent_databuilder_id=database_id,
                title=metadata["schema"],
            ),
        ]
        table = Resource(
            entity_type=EntityType.TABLE,
            databuilder_id=unique_id,  # dbt's own: it stays when the table moves to another schema
            parent_databuilder_id=schema_id,
            title=metadata["name"],
            description=node.description or metadata["comment"],
            native_type=metadata["type"].lower(),
            schema=metadata["schema"],
            database=database,
        )
        for resource in (*parents, table):
            if resource.databuilder_id not in declared:
                declared.add(resource.databuilder_id)
                await self.declare_resource(resource)
        for name, column in found["columns"].items():
            await self.declare_resource(
                Resource(
                    entity_type=EntityType.COLUMN,
                    # With a slash: `model.shop.orders.v2` may be a version of orders, and a column of it.
                    databuilder_id=f"{unique_id}/{name}",
                    parent_databuilder_id=unique_id,
                    title=name,
                    description=node.columns.get(name.lower()) or column["comment"],
                    sort_order=column["index"],
                    type=column["type"],
                )
            )


def slim(node: Json) -> Node:
    """The part of a manifest's node that the records need."""
    is_ephemeral = node.get("config", {}).get("materialized") == "ephemeral"  # in others' SQL, and no table
    return Node(
        node["resource_type"] in TABLES and not is_ephemeral,
        node.get("depends_on", {}).get("nodes", []),
        node.get("description") or "",
        {name.lower(): column.get("description") or "" for name, column in node.get("columns", {}).items()},
    )


def find_tables(nodes: dict[str, Node], unique_id: str) -> Iterator[str]:
    """The tables that a table is made of, once each: its parents, and for an ephemeral one the parents of that."""
    seen: set[str] = set()
    left = [*nodes[unique_id].parents]
    while left:
        parent = left.pop()
        if parent in nodes and parent not in seen:
            seen.add(parent)
            if nodes[parent].is_table:
                yield parent
            else:
                left += nodes[parent].parents


def join_id(*names: str) -> str:
    """The names with slashes between, and none in them."""
    return "/".join(quote(name, safe="") for name in names)


if __name__ == "__main__":
    DbtArtifacts(credentials={"base_url": sys.argv[1]}).start()
