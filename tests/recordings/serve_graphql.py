"""Serves a small catalog with the real Strawberry: what tests/recordings/graphql.journal was taken of.

Usage, in an environment of its own with strawberry-graphql 0.341 and uvicorn (the package needs neither)::

    python tests/recordings/serve_graphql.py &
    pytest --secoda-record tests/test_graphql_catalog.py -k recorded
"""

import base64
from collections.abc import Sequence
from typing import Generic, TypeVar

PORT = 8591
MOST = 4  # items on a page, whatever was asked for: a server has a cap, and a client that trusts `first` loses the rest
TOKEN = "recorded-password"  # what the recording must not hold

if __name__ == "__main__":
    import strawberry
    import uvicorn
    from starlette.responses import JSONResponse
    from strawberry.asgi import GraphQL

    T = TypeVar("T")

    @strawberry.type
    class PageInfo:
        has_next_page: bool
        end_cursor: str | None

    @strawberry.type
    class Connection(Generic[T]):
        nodes: list[T]
        page_info: PageInfo
        total_count: int

    def connection(items: Sequence[T], first: int, after: str | None) -> Connection[T]:
        start = int(base64.b64decode(after)) if after else 0
        end = start + min(first, MOST)
        cursor = base64.b64encode(str(min(end, len(items))).encode()).decode()
        info = PageInfo(has_next_page=end < len(items), end_cursor=cursor)
        return Connection(nodes=list(items[start:end]), page_info=info, total_count=len(items))

    @strawberry.type
    class Parent:
        id: strawberry.ID

    @strawberry.type
    class Column:
        id: strawberry.ID
        name: str
        type: str
        position: int
        parent: Parent | None

    @strawberry.type
    class Table:
        id: strawberry.ID
        database: str
        schema: str
        name: str
        description: str | None
        held: strawberry.Private[list[Column]]
        upstream: list[Parent]

        @strawberry.field
        def columns(self, first: int, after: str | None = None) -> Connection[Column]:
            return connection(self.held, first, after)

    def make_table(schema: str, name: str, columns: str, *upstream: str, description: str | None = None) -> Table:
        """Columns as ``name:type``, a field of a structure as ``address.city:string``."""
        id_ = f"{schema}.{name}"
        held = []
        for position, (path, kind) in enumerate(one.split(":") for one in columns.split()):
            above, _, last = path.rpartition(".")
            parent = Parent(id=strawberry.ID(f"{id_}.{above}")) if above else None
            held.append(Column(id=f"{id_}.{path}", name=last, type=kind, position=position, parent=parent))
        parents = [Parent(id=strawberry.ID(one)) for one in upstream]
        return Table(
            id=id_, database="lake", schema=schema, name=name, description=description, held=held, upstream=parents
        )

    TABLES = [
        make_table(
            "raw",
            "events",
            "id:bigint at:timestamp user:struct user.id:bigint user.address:struct user.address.city:string "
            "user.address.zip:string items:array items.sku:string items.price:decimal",
            description="One row a click.",
        ),
        make_table("raw", "users", "id:bigint name:string"),
        make_table("raw", "empty", ""),
        make_table("core", "sessions", "id:bigint user_id:bigint length:interval", "raw.events", "raw.users"),
        make_table("core", "users", "id:bigint name:string city:string", "raw.users"),
        make_table("mart", "daily", "day:date sessions:bigint users:bigint", "core.sessions", "core.users"),
    ]

    @strawberry.type
    class Query:
        @strawberry.field
        def tables(self, first: int, after: str | None = None) -> Connection[Table]:
            return connection(TABLES, first, after)

        @strawberry.field
        def table(self, id: strawberry.ID) -> Table | None:  # noqa: A002 # the argument's name in the schema
            return next((table for table in TABLES if table.id == id), None)

    app = GraphQL(strawberry.Schema(Query))

    async def checked(scope, receive, send):
        headers = dict(scope.get("headers", ()))
        if scope["type"] == "http" and headers.get(b"authorization") != f"Bearer {TOKEN}".encode():
            await JSONResponse({"errors": [{"message": "no valid token"}]}, 401)(scope, receive, send)
            return
        await app(scope, receive, send)

    uvicorn.run(checked, host="127.0.0.1", port=PORT, log_level="warning", lifespan="off")
