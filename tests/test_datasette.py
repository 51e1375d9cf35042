"""The Datasette example, against real Datasette processes: all of it, or a plain error."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from examples.datasette import Datasette, join_id, tilde_encode
from examples.datasette_server import serve_datasette
from examples.demo import from_sqlite, from_workspace
from examples.demo_data import make_databases
from secoda_async import ConnectError, CredentialError, JSONLSink, StatusError
from tests.datasette_server import datasette
from tests.peer import HERE, peer_python
from tests.server import serve

Record = dict[str, Any]


async def crawl(url: str, folder: Path, **credentials: str) -> tuple[list[Record], list[Record]]:
    """Resources and lineage, as they stand in the files of a complete run."""
    await Datasette(credentials={"base_url": url, **credentials}, retry=None).run(JSONLSink(folder))
    return read(folder / "resources.jsonl"), read(folder / "lineage.jsonl")


def read(file: Path) -> list[Record]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def keys(lineage: list[Record]) -> set[tuple[str, str]]:
    """Foreign keys: referenced and referencing column."""
    return {
        (one["from_identifier"]["databuilder_id"], one["to_identifier"]["databuilder_id"])
        for one in lineage
        if one["from_identifier"]["type"] == "internal_resource"
    }


def columns(resources: list[Record], parent: str) -> dict[str, Record]:
    found = [one for one in resources if one["entity_type"] == "column" and one["parent_databuilder_id"] == parent]
    return {one["title"]: one for one in sorted(found, key=lambda one: one["sort_order"])}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo's databases, small; the one with a full stop and the one with all the awkward names among them."""
    return make_databases(tmp_path_factory.mktemp("databases"), areas=1)[-2:]


@pytest.fixture(scope="module")
def served(files: list[Path]) -> Iterator[str]:
    with serve_datasette(files) as url:
        yield url


async def test_the_real_secodadk_writes_the_same_lines(served: str, tmp_path: Path) -> None:
    await crawl(served, tmp_path)
    script = [str(peer_python()), "-W", "ignore", str(HERE / "datasette_secodadk.py"), served]
    theirs = (await anyio.run_process(script, stderr=None)).stdout.decode().splitlines()
    ours = [
        line for name in ("resources.jsonl", "lineage.jsonl") for line in (tmp_path / name).read_text().splitlines()
    ]
    assert len(ours) > 300
    assert Counter(map(canonical, ours)) == Counter(map(canonical, theirs))


def canonical(line: str) -> str:
    return json.dumps(json.loads(line), sort_keys=True)


async def test_everything_that_sqlite_holds_is_extracted_once(served: str, files: list[Path], tmp_path: Path) -> None:
    resources, lineage = await crawl(served, tmp_path)
    assert len({one["databuilder_id"] for one in resources}) == len(resources)
    by_id = {one["databuilder_id"]: one for one in resources}
    assert from_workspace(by_id, lineage) == from_sqlite(files)


SHOP = """
create table customer (id integer primary key, name text not null);
create table sale (
    id integer primary key, customer_id integer references customer, note, total real generated always as (1.0) stored
);
create view totals as select customer_id, count(*) as sales from sale group by customer_id;
create virtual table search using fts5(body);
"""


async def test_one_small_database_gives_exactly_these_records(tmp_path: Path) -> None:
    with datasette(tmp_path, {"shop": SHOP}) as url:
        resources, lineage = await crawl(url, tmp_path / "out")
    nothing = {
        **dict.fromkeys(["parent_databuilder_id", "description", "definition", "external_updated_at", "native_type"]),
        **dict.fromkeys(["owners", "sort_order", "type", "schema", "database", "group", "product"]),
        "title": "",
        "is_pk": False,
        "hidden": False,
    }
    table = {
        **nothing,
        "entity_type": "table",
        "parent_databuilder_id": "shop.main",
        "schema": "main",
        "database": "shop",
    }

    def column(parent: str, title: str, order: int, **more: Any) -> Record:
        id_ = f"shop.main.{parent}.{title}"
        place = {"entity_type": "column", "databuilder_id": id_, "parent_databuilder_id": f"shop.main.{parent}"}
        return {**nothing, **place, "title": title, "sort_order": order, **more}

    expected = [
        {**nothing, "entity_type": "database", "databuilder_id": "shop", "title": "shop"},
        {
            **nothing,
            "entity_type": "schema",
            "databuilder_id": "shop.main",
            "parent_databuilder_id": "shop",
            "title": "main",
        },
        {**table, "databuilder_id": "shop.main.customer", "title": "customer", "native_type": "table"},
        column("customer", "id", 0, type="INTEGER", is_pk=True),
        column("customer", "name", 1, type="TEXT"),
        {**table, "databuilder_id": "shop.main.sale", "title": "sale", "native_type": "table"},
        column("sale", "id", 0, type="INTEGER", is_pk=True),
        column("sale", "customer_id", 1, type="INTEGER"),
        column("sale", "note", 2),
        column("sale", "total", 3, type="REAL"),
        {**table, "databuilder_id": "shop.main.totals", "title": "totals", "native_type": "view"},
        column("totals", "customer_id", 0, type="INTEGER"),
        column("totals", "sales", 1),
    ]
    shown = [one for one in resources if "search" not in one["databuilder_id"]]
    assert sorted(shown, key=by_id) == sorted(expected, key=by_id)
    internal = {"type": "internal_resource"}
    assert sorted(lineage, key=str) == sorted(
        [
            {
                "from_identifier": {**internal, "databuilder_id": "shop.main.customer.id"},
                "to_identifier": {**internal, "databuilder_id": "shop.main.sale.customer_id"},
            },
            {
                "from_identifier": {"type": "tables_from_query", "sql": VIEW_SQL},
                "to_identifier": {**internal, "databuilder_id": "shop.main.totals"},
            },
        ],
        key=str,
    )
    hidden = [one for one in resources if "search" in one["databuilder_id"] and one["entity_type"] == "column"]
    assert {one["parent_databuilder_id"] for one in hidden} >= {"shop.main.search", "shop.main.search_data"}
    assert all(one["hidden"] for one in hidden)


VIEW_SQL = "CREATE VIEW totals as select customer_id, count(*) as sales from sale group by customer_id"


def by_id(record: Record) -> str:
    return str(record["databuilder_id"])


AWKWARD_NAMES = [
    "a/b",
    "a b",
    "a.b",
    "a~2Eb",
    "a+b",
    "a%2Fb",
    "größe 日本 😀",
    "it's",
    'say "hi"',
    "q?x=1&y=2#z",
    "back\\slash",
    ".json",
    "-- comment",
    "select",
    "x.json",
    "_size",
    "line\nbreak",
]


async def test_awkward_names_of_databases_tables_and_columns_come_through_as_they_are(tmp_path: Path) -> None:
    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    statements = "".join(
        f"create table {quoted(name)} ({', '.join(map(quoted, AWKWARD_NAMES))});"
        f"create view {quoted('v ' + name)} as select {quoted(name)} from {quoted(name)};"
        for name in AWKWARD_NAMES
    )
    names = ["plain", "with.dot", "with space", "größe", "it's ~ & more?", "50%"]
    with datasette(tmp_path, {**dict.fromkeys(names, "create table t (id)"), "awkward": statements}) as url:
        resources, lineage = await crawl(url, tmp_path / "out")
    ids = [one["databuilder_id"] for one in resources]
    assert len(set(ids)) == len(ids)
    titles = Counter((one["entity_type"], one["native_type"], one["title"]) for one in resources)
    assert {title for kind, _, title in titles if kind == "database"} == {*names, "awkward"}
    assert {title for _, kind, title in titles if kind == "table"} == {"t", *AWKWARD_NAMES}
    assert {title for _, kind, title in titles if kind == "view"} == {f"v {name}" for name in AWKWARD_NAMES}
    # A column of each name in each table, and its own in each view.
    assert all(titles["column", None, name] == len(AWKWARD_NAMES) + 1 for name in AWKWARD_NAMES)
    assert len(lineage) == len(AWKWARD_NAMES)
    assert "with~2Edot.main.t.id" in ids
    assert "awkward.main.a~7E2Eb.a~2Eb" in ids


def test_ids_tell_apart_what_dots_and_tildes_could_confuse() -> None:
    assert join_id("a", "b") == "a.b"
    places = [("a.b",), ("a", "b"), ("a~2Eb",), ("a~7E2Eb",), ("a", "b.c"), ("a.b", "c"), ("a", "b", "c")]
    assert len({join_id(*names) for names in places}) == len(places)


def test_names_in_paths_are_encoded_as_datasette_documents_it() -> None:
    assert tilde_encode("/foo/bar") == "~2Ffoo~2Fbar"
    assert tilde_encode("a.b ~c%é-_") == "a~2Eb+~7Ec~25~C3~A9-_"


async def test_foreign_keys_lead_where_sqlite_takes_them(tmp_path: Path) -> None:
    statements = """
    create table Orders (Id integer primary key, code text unique);
    create table pair (a, b, c, primary key (b, a)) without rowid;
    create table keyless (x);
    create view seen as select * from Orders;
    create table named (o references Orders(code));
    create table unnamed (o references Orders);
    create table other_case (o references ORDERS(ID));
    create table two (p, q, foreign key (p, q) references pair(a, b));
    create table two_unnamed (p, q, foreign key (p, q) references pair);
    create table itself (id integer primary key, parent references itself);
    create table to_nothing (o references gone, p references gone(id), q references Orders(gone));
    create table to_no_key (o references keyless);
    create table to_view (o references seen(Id));
    create table both_ways (id integer primary key, o references Orders(Id), p references Orders(Id));
    create table "É" (id integer primary key);
    create table accents (o references "é", p references "É");
    """
    with datasette(tmp_path, {"d": statements}) as url:
        _, lineage = await crawl(url, tmp_path / "out")
    assert keys(lineage) == {
        ("d.main.Orders.code", "d.main.named.o"),
        ("d.main.Orders.Id", "d.main.unnamed.o"),
        ("d.main.Orders.Id", "d.main.other_case.o"),
        ("d.main.pair.a", "d.main.two.p"),
        ("d.main.pair.b", "d.main.two.q"),
        # In the order of the primary key, which is not that of the table.
        ("d.main.pair.b", "d.main.two_unnamed.p"),
        ("d.main.pair.a", "d.main.two_unnamed.q"),
        ("d.main.itself.id", "d.main.itself.parent"),
        ("d.main.Orders.Id", "d.main.both_ways.o"),
        ("d.main.Orders.Id", "d.main.both_ways.p"),
        # Only ASCII letters are the same in both cases.
        ("d.main.É.id", "d.main.accents.p"),
    }


async def test_without_sql_names_keys_and_order_still_come(tmp_path: Path) -> None:
    with datasette(tmp_path, {"shop": SHOP, "a.b": "create table t (y, x, primary key (x))"}) as url:
        with_sql, with_lineage = await crawl(url, tmp_path / "with")
    with serve_datasette([tmp_path / "shop.db", tmp_path / "a.b.db"], "--setting", "default_allow_sql", "off") as url:
        resources, lineage = await crawl(url, tmp_path / "without")
    assert keys(lineage) == keys(with_lineage) == {("shop.main.customer.id", "shop.main.sale.customer_id")}
    assert all(one["from_identifier"]["type"] == "internal_resource" for one in lineage)  # no SQL of views
    assert sorted(resources, key=by_id) == sorted(({**one, "type": None} for one in with_sql), key=by_id)
    assert list(columns(resources, "shop.main.totals")) == ["customer_id", "sales"]
    assert columns(resources, "a~2Eb.main.t")["x"]["is_pk"]
    assert not columns(resources, "a~2Eb.main.t")["y"]["is_pk"]


async def test_an_answer_that_datasette_cut_off_fails_the_run(tmp_path: Path) -> None:
    options = ("--setting", "max_returned_rows", "3", "--setting", "default_page_size", "3")
    wide = "create table wide (a, b, c, d, e)"
    with (
        datasette(tmp_path, {"small": "create table t (a, b)", "big": wide}, *options) as url,
        pytest.raises(RuntimeError, match=r"'wide' in the database 'big'.*max_returned_rows"),
    ):
        await crawl(url, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"run.failed.json"}


async def test_a_view_that_cannot_be_read_fails_the_run(tmp_path: Path) -> None:
    broken = "create table t (a); create view v as select a from t; drop table t; create table u (a);"
    with datasette(tmp_path, {"d": broken}) as url, pytest.raises(StatusError, match=r"400.*no such table"):
        await crawl(url, tmp_path / "out")
    assert not (tmp_path / "out" / "resources.jsonl").exists()


async def test_a_database_that_may_not_be_read_fails_the_run(tmp_path: Path) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text('{"databases": {"closed": {"allow": {"id": "root"}}}}')
    databases = {"open": "create table t (a)", "closed": "create table t (a)"}
    with datasette(tmp_path, databases, "--metadata", str(metadata)) as url, pytest.raises(StatusError, match="403"):
        await crawl(url, tmp_path / "out")
    assert not (tmp_path / "out" / "resources.jsonl").exists()


TOKEN_PLUGIN = """
from datasette import hookimpl

@hookimpl
def actor_from_request(datasette, request):
    if request.headers.get("authorization") == "Bearer a-good-token":
        return {"id": "secoda"}
"""


async def test_the_token_opens_what_is_closed_and_stays_out_of_errors_and_files(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "tokens.py").write_text(TOKEN_PLUGIN)
    metadata = tmp_path / "metadata.json"
    metadata.write_text('{"allow": {"id": "secoda"}}')
    options = ("--metadata", str(metadata), "--plugins-dir", str(plugins))
    with datasette(tmp_path, {"d": "create table t (a)"}, *options) as url:
        resources, _ = await crawl(url, tmp_path / "out", token="a-good-token")
        with pytest.raises(StatusError, match="403") as caught:
            await crawl(url, tmp_path / "out", token="a-wrong-token")
        with pytest.raises(StatusError, match="403"):
            await crawl(url, tmp_path / "out")
    assert len(resources) == 4
    assert "a-wrong-token" not in str(caught.value)
    assert not [file for file in (tmp_path / "out").iterdir() if "token" in file.read_text()]


MEMORY_PLUGIN = """
from datasette import hookimpl
from datasette.database import Database

@hookimpl
def startup(datasette):
    async def inner():
        database = datasette.add_database(Database(datasette, memory_name="scratch"))
        await database.execute_write("create table t (a)")
    return inner
"""


async def test_a_memory_database_counts_where_it_holds_tables(tmp_path: Path) -> None:
    (tmp_path / "memory.py").write_text(MEMORY_PLUGIN)
    with datasette(tmp_path, {"d": "create table t (a)"}, "--memory", "--plugins-dir", str(tmp_path)) as url:
        resources, _ = await crawl(url, tmp_path / "out")
    assert {one["databuilder_id"] for one in resources if one["entity_type"] == "database"} == {"d", "scratch"}


async def test_a_database_file_without_tables_is_still_a_database(tmp_path: Path) -> None:
    with datasette(tmp_path, {"empty": ""}) as url:
        resources, lineage = await crawl(url, tmp_path / "out")
    assert [one["databuilder_id"] for one in resources] == ["empty", "empty.main"]
    assert lineage == []


async def test_an_answer_with_an_error_and_status_200_fails_the_run(tmp_path: Path) -> None:
    from aiohttp import web

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/-/databases.json":
            return web.json_response([{"name": "d", "route": "d", "is_memory": False}])
        if "sql" in request.query:
            return web.json_response({"ok": False, "error": "interrupted", "rows": [], "truncated": False})
        keys = {"incoming": [], "outgoing": []}
        table = {"name": "t", "columns": ["a"], "primary_keys": [], "hidden": False, "foreign_keys": keys}
        page = {"database": "d", "tables": [table], "views": [], "allow_execute_sql": True}
        return web.json_response(page)

    async with serve(handler) as url:
        with pytest.raises(RuntimeError, match="'t' in the database 'd': interrupted"):
            await crawl(url, tmp_path)
    assert not (tmp_path / "resources.jsonl").exists()


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it, and nobody answers
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectError, match=url):
            await crawl(url, tmp_path)
    assert not (tmp_path / "resources.jsonl").exists()


async def test_a_missing_base_url_is_said_before_the_first_request(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="base_url"):
        await Datasette(credentials={}).run(JSONLSink(tmp_path))
