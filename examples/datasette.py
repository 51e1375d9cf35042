"""Extracts databases, tables, columns and lineage from a running Datasette (0.65) through its JSON API.

Usage: ``secoda-async run examples/datasette.py:Datasette --credential base_url=http://127.0.0.1:8001 --out out``.
"""

import sys
from functools import partial
from typing import Any
from urllib.parse import quote_plus

from secoda_async import (
    BearerAuth,
    DeclaredLineage,
    EntityType,
    Input,
    InternalResource,
    Resource,
    SecodaIntegration,
    TablesFromSQLQuery,
)

SCHEMA = "main"  # what SQLite itself calls the one schema of a database file

COLUMNS = "select cid, name, type, pk, hidden from pragma_table_xinfo(:name) order by cid"
FOREIGN_KEYS = 'select seq, "from", "table", "to" from pragma_foreign_key_list(:name) order by id, seq'
VIEW = "select sql from sqlite_master where type = 'view' and name = :name"

Json = dict[str, Any]


class Datasette(SecodaIntegration):
    """Every database of one Datasette: database > schema > table or view > column, foreign keys, queries of views."""

    inputs = {"base_url": Input(secret=False), "token": Input(required=False)}

    async def extract(self) -> None:
        await self.for_each(await self.get("/-/databases.json"), self.extract_database)

    async def extract_database(self, listed: Json) -> None:
        database = Database(await self.get(f"/{tilde_encode(listed['route'])}.json"), listed["route"])
        if listed["is_memory"] and database.is_empty:
            return  # Datasette's own `_memory`, a scratchpad for queries; one that a plugin filled is a database
        await self.declare_resource(
            Resource(entity_type=EntityType.DATABASE, databuilder_id=database.id, title=database.name)
        )
        await self.declare_resource(
            Resource(
                entity_type=EntityType.SCHEMA,
                databuilder_id=database.schema_id,
                parent_databuilder_id=database.id,
                title=SCHEMA,
            )
        )
        await self.for_each(database.tables, partial(self.extract_table, database))
        await self.for_each(database.views, partial(self.extract_view, database))

    async def extract_table(self, database: "Database", table: Json) -> None:
        name = table["name"]
        await self.declare_table(database, name, "table")
        if database.allows_sql:
            columns = await self.query(database, COLUMNS, name)
            keys = await self.query(database, FOREIGN_KEYS, name)
        else:
            # What Datasette tells without SQL: names and primary keys; no types, no keys of several columns.
            columns = plain_columns(table["columns"], table["primary_keys"])
            keys = [
                {"seq": 0, "from": key["column"], "table": key["other_table"], "to": key["other_column"]}
                for key in table["foreign_keys"]["outgoing"]
            ]
        await self.declare_columns(database, name, columns, hidden=table["hidden"])
        for key in keys:
            if referenced := database.find_referenced(key):
                await self.declare_lineage(
                    DeclaredLineage(
                        from_identifier=InternalResource(databuilder_id=referenced),
                        to_identifier=InternalResource(databuilder_id=database.id_of(name, key["from"])),
                    )
                )

    async def extract_view(self, database: "Database", view: Json) -> None:
        name = view["name"]
        await self.declare_table(database, name, "view")
        if not database.allows_sql:  # then nothing tells the view's SQL, so it has no lineage
            page = await self.get(f"{database.path}/{tilde_encode(name)}.json", _size="0", _nocount="1", _nofacet="1")
            await self.declare_columns(database, name, plain_columns(page["columns"], []))
            return
        await self.declare_columns(database, name, await self.query(database, COLUMNS, name))
        for definition in await self.query(database, VIEW, name):
            await self.declare_lineage(
                DeclaredLineage(
                    from_identifier=TablesFromSQLQuery(sql=definition["sql"]),
                    to_identifier=InternalResource(databuilder_id=database.id_of(name)),
                )
            )

    async def declare_table(self, database: "Database", name: str, native_type: str) -> None:
        await self.declare_resource(
            Resource(
                entity_type=EntityType.TABLE,
                databuilder_id=database.id_of(name),
                parent_databuilder_id=database.schema_id,
                title=name,
                native_type=native_type,
                schema=SCHEMA,
                database=database.name,
            )
        )

    async def declare_columns(
        self, database: "Database", table: str, columns: list[Json], hidden: bool = False
    ) -> None:
        for column in columns:
            await self.declare_resource(
                Resource(
                    entity_type=EntityType.COLUMN,
                    databuilder_id=database.id_of(table, column["name"]),
                    parent_databuilder_id=database.id_of(table),
                    title=column["name"],
                    sort_order=column["cid"],
                    type=column["type"] or None,
                    is_pk=column["pk"] > 0,
                    hidden=hidden or column["hidden"] == 1,  # 1: of a virtual table's own; 2 and 3: generated
                )
            )

    async def query(self, database: "Database", sql: str, name: str) -> list[Json]:
        answer = await self.get(f"{database.path}.json", sql=sql, name=name, _shape="objects")
        if answer.get("error") or answer["truncated"]:
            reason = answer.get("error") or "it was cut off: raise the setting max_returned_rows of Datasette"
            raise RuntimeError(f"no complete answer about {name!r} in the database {database.name!r}: {reason}")
        return answer["rows"]

    async def get(self, path: str, **params: str) -> Any:
        token = self.credentials.get("token")
        reply = await self.http_get(path, params=params, auth=BearerAuth(token) if token else None)
        # 4xx too: what may not be read would be missing, and what is missing in a sync is removed from the workspace.
        return reply.raise_for_status().json()


class Database:
    """What Datasette says of one database, and the ids in it."""

    def __init__(self, page: Json, route: str) -> None:
        self.name = page["database"]
        self.path = f"/{tilde_encode(route)}"
        self.tables: list[Json] = page["tables"]
        self.views: list[Json] = page["views"]
        self.allows_sql = page["allow_execute_sql"]
        self.is_empty = not self.tables and not self.views
        self.id = join_id(self.name)
        self.schema_id = join_id(self.name, SCHEMA)
        self._by_name = {fold(table["name"]): table for table in self.tables}

    def id_of(self, table: str, *column: str) -> str:
        return join_id(self.name, SCHEMA, table, *column)

    def find_referenced(self, key: Json) -> str | None:
        """The id of the column that a foreign key refers to; none where SQLite let it refer to nothing."""
        table = self._by_name.get(fold(key["table"]))
        if table is None:
            return None
        if key["to"] is None:  # `references orders` alone means its primary key, column by column
            named = table["primary_keys"][key["seq"] : key["seq"] + 1]
        else:
            named = [column for column in table["columns"] if fold(column) == fold(key["to"])]
        return self.id_of(table["name"], named[0]) if named else None


def join_id(*names: str) -> str:
    """The names with dots between. A dot in a name becomes ``~2E`` and a tilde ``~7E``, so that every id is unique."""
    return ".".join(name.replace("~", "~7E").replace(".", "~2E") for name in names)


def tilde_encode(name: str) -> str:
    """A name as Datasette wants it in a path: percent-encoding with tildes, dots included."""
    return quote_plus(name).replace("~", "%7E").replace(".", "%2E").replace("%", "~")


def fold(name: str) -> bytes:
    """A name as SQLite compares it: only ASCII letters are the same in both cases."""
    return name.encode().lower()


def plain_columns(names: list[str], primary_keys: list[str]) -> list[Json]:
    return [
        {"cid": cid, "name": name, "type": None, "pk": name in primary_keys, "hidden": 0}
        for cid, name in enumerate(names)
    ]


if __name__ == "__main__":
    Datasette(credentials={"base_url": sys.argv[1]}).start()
