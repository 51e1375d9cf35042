"""The crawl of examples/datasette.py on the real secodadk: one request after the other, lines on standard output.

Usage: ``python datasette_secodadk.py BASE_URL``.
"""

import sys
from urllib.parse import quote

from secodadk import DeclaredLineage, InternalResource, Resource, SecodaIntegration, TablesFromSQLQuery


def in_path(name):
    """Datasette's tilde-encoding."""
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    return "".join(
        "+" if byte == " " else byte if byte in safe else "".join(f"~{number:02X}" for number in byte.encode())
        for byte in name
    )


def in_id(name):
    return name.replace("~", "~7E").replace(".", "~2E")


def same(one, other):
    """Names as SQLite compares them."""
    return one.encode().lower() == other.encode().lower()


class Datasette(SecodaIntegration):
    def extract(self):
        for listed in self.get("/-/databases.json"):
            page = self.get(f"/{in_path(listed['route'])}.json")
            if page["tables"] or page["views"] or not listed["is_memory"]:
                self.extract_database(page, f"/{in_path(listed['route'])}.json")

    def extract_database(self, page, path):
        database = page["database"]
        root = in_id(database)
        self.declare_resource(Resource(entity_type="database", databuilder_id=root, title=database))
        self.declare_resource(
            Resource(entity_type="schema", databuilder_id=f"{root}.main", parent_databuilder_id=root, title="main")
        )
        for table in page["tables"]:
            self.declare_table(database, table["name"], "table")
            self.extract_columns(path, database, table["name"], table["hidden"])
            self.extract_keys(path, database, table["name"], page["tables"])
        for view in page["views"]:
            self.declare_table(database, view["name"], "view")
            self.extract_columns(path, database, view["name"], False)
            (row,) = self.query(path, "select sql from sqlite_master where name = :name", view["name"])
            self.declare_lineage(
                DeclaredLineage(
                    from_identifier=TablesFromSQLQuery(sql=row["sql"]),
                    to_identifier=InternalResource(databuilder_id=f"{root}.main.{in_id(view['name'])}"),
                )
            )

    def declare_table(self, database, name, native_type):
        self.declare_resource(
            Resource(
                entity_type="table",
                databuilder_id=f"{in_id(database)}.main.{in_id(name)}",
                parent_databuilder_id=f"{in_id(database)}.main",
                title=name,
                native_type=native_type,
                schema="main",
                database=database,
            )
        )

    def extract_columns(self, path, database, table, hidden):
        parent = f"{in_id(database)}.main.{in_id(table)}"
        for column in self.query(path, "select * from pragma_table_xinfo(:name)", table):
            self.declare_resource(
                Resource(
                    entity_type="column",
                    databuilder_id=f"{parent}.{in_id(column['name'])}",
                    parent_databuilder_id=parent,
                    title=column["name"],
                    sort_order=column["cid"],
                    type=column["type"] or None,
                    is_pk=bool(column["pk"]),
                    hidden=hidden or column["hidden"] == 1,
                )
            )

    def extract_keys(self, path, database, table, tables):
        prefix = f"{in_id(database)}.main."
        for key in self.query(path, "select * from pragma_foreign_key_list(:name)", table):
            for other in tables:
                if not same(other["name"], key["table"]):
                    continue
                if key["to"] is None:
                    columns = [name for seq, name in enumerate(other["primary_keys"]) if seq == key["seq"]]
                else:
                    columns = [name for name in other["columns"] if same(name, key["to"])]
                for column in columns:
                    referenced = f"{prefix}{in_id(other['name'])}.{in_id(column)}"
                    referencing = f"{prefix}{in_id(table)}.{in_id(key['from'])}"
                    self.declare_lineage(
                        DeclaredLineage(
                            from_identifier=InternalResource(databuilder_id=referenced),
                            to_identifier=InternalResource(databuilder_id=referencing),
                        )
                    )

    def query(self, path, sql, name):
        # httpx leaves a tilde as it is, and spaces become %20 or +: both are read alike.
        answer = self.get(f"{path}?sql={quote(sql)}&name={quote(name)}&_shape=objects")
        assert not answer["truncated"], answer
        return answer["rows"]

    def get(self, path):
        response = self.http_get(self.credentials["base_url"] + path)
        response.raise_for_status()
        return response.json()


Datasette(credentials={"base_url": sys.argv[1]}).start()
