"""Extracts tables, nested columns and lineage from a catalog with a GraphQL API.

There is no one schema of such catalogs: this one is that of tests/recordings/serve_graphql.py. For yours, write other
queries.

Usage: ``secoda-async run examples/graphql_catalog.py:GraphQLCatalog --credential base_url=https://catalog.x.com
--credential-env token=CATALOG_TOKEN --out out``.
"""

import os
import sys
from typing import Any

from secoda_async import (
    Auth,
    BearerAuth,
    DeclaredLineage,
    EntityType,
    GraphQLCursor,
    Input,
    InternalResource,
    Resource,
    SecodaIntegration,
)

COLUMN = "id name type position parent { id }"
# A table brings its first columns along: with one request more for each table there would be a hundred times as many.
TABLES = f"""
query Tables($after: String) {{
  tables(first: 100, after: $after) {{
    nodes {{
      id database schema name description
      upstream {{ id }}
      columns(first: 50) {{ nodes {{ {COLUMN} }} totalCount }}
    }}
    pageInfo {{ hasNextPage endCursor }}
    totalCount
  }}
}}
"""
COLUMNS_OF_TABLE = f"""
query Columns($table: ID!, $after: String) {{
  table(id: $table) {{
    columns(first: 500, after: $after) {{
      nodes {{ {COLUMN} }}
      pageInfo {{ hasNextPage endCursor }}
      totalCount
    }}
  }}
}}
"""

Json = dict[str, Any]


class GraphQLCatalog(SecodaIntegration):
    """Every table of one catalog: database > schema > table > column > fields of a structure."""

    inputs = {"base_url": Input(secret=False), "token": Input()}

    def default_auth(self) -> Auth | None:
        return BearerAuth(self.credentials["token"])

    async def extract(self) -> None:
        self.declared: set[str] = set()
        # The total is what must have come in the end. An answer of 200 that holds errors is an error of its own.
        tables = GraphQLCursor("data.tables", total="data.tables.totalCount")
        await self.for_each(self.paginate("/graphql", tables, json={"query": TABLES}), self.extract_table)

    async def extract_table(self, table: Json) -> None:
        database_id, schema_id = f"database:{table['database']}", f"schema:{table['database']}.{table['schema']}"
        await self.declare_once(
            Resource(entity_type=EntityType.DATABASE, databuilder_id=database_id, title=table["database"])
        )
        await self.declare_once(
            Resource(
                entity_type=EntityType.SCHEMA,
                databuilder_id=schema_id,
                parent_databuilder_id=database_id,
                title=table["schema"],
            )
        )
        await self.declare_resource(
            Resource(
                entity_type=EntityType.TABLE,
                databuilder_id=table["id"],
                parent_databuilder_id=schema_id,
                title=table["name"],
                description=table["description"],
                schema=table["schema"],
                database=table["database"],
            )
        )
        for column in await self.columns_of(table):
            await self.declare_resource(
                Resource(
                    entity_type=EntityType.COLUMN,
                    databuilder_id=column["id"],
                    # A field of a structure stands under the column that it is nested in.
                    parent_databuilder_id=column["parent"]["id"] if column["parent"] else table["id"],
                    title=column["name"],
                    type=column["type"],
                    sort_order=column["position"],
                )
            )
        for upstream in table["upstream"]:
            await self.declare_lineage(
                DeclaredLineage(
                    from_identifier=InternalResource(databuilder_id=upstream["id"]),
                    to_identifier=InternalResource(databuilder_id=table["id"]),
                )
            )

    async def columns_of(self, table: Json) -> list[Json]:
        """Those that the table brought along; where there are more, all of them by their own pages."""
        columns, total = table["columns"]["nodes"], table["columns"]["totalCount"]
        if len(columns) == total:
            return columns
        # From the first one on, although some are here: so the pager can see to it that the total comes.
        pager = GraphQLCursor("data.table.columns", total="data.table.columns.totalCount")
        query = {"query": COLUMNS_OF_TABLE, "variables": {"table": table["id"]}}
        return [column async for column in self.paginate("/graphql", pager, json=query)]

    async def declare_once(self, resource: Resource) -> None:
        if resource.databuilder_id not in self.declared:
            self.declared.add(resource.databuilder_id)
            await self.declare_resource(resource)


if __name__ == "__main__":
    GraphQLCatalog(credentials={"base_url": sys.argv[1], "token": os.environ["CATALOG_TOKEN"]}).start()
