"""The GraphQL example, on what a GraphQL server answered.

tests/recordings/graphql.journal is of Strawberry 0.341.2 on uvicorn. tests/recordings/serve_graphql.py is the server,
with pages of four so that tables and columns go on over several; it says how to record anew.
"""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.graphql_catalog import GraphQLCatalog
from secoda_async import GraphQLCursor, PaginationError, StatusError, Transport
from secoda_async.compile.compile_source import compile_source
from secoda_async.testing import FakeSource, Records, assert_valid, run_extract_sync
from tests.command_line import command
from tests.recordings.serve_graphql import PORT, TOKEN

HERE = Path(__file__).parent
JOURNAL = "recordings/graphql.journal"
CREDENTIALS = {"base_url": f"http://127.0.0.1:{PORT}", "token": TOKEN}
EXAMPLE = HERE.parent / "examples" / "graphql_catalog.py"
LISTING = GraphQLCursor("data.tables", total="data.tables.totalCount")


def test_a_recorded_catalog_gives_every_page_of_tables_and_columns(replayed: Callable[..., Any]) -> None:
    records = run_extract_sync(GraphQLCatalog(credentials=CREDENTIALS, **replayed(JOURNAL)))
    assert_valid(records, strict=True)
    assert records.report.resources == {"database": 1, "schema": 3, "table": 6, "column": 21}
    assert records.report.source.requests == 5  # two pages of tables, and three of the columns of one
    assert {
        (one.from_identifier.model_dump()["databuilder_id"], one.to_identifier.model_dump()["databuilder_id"])
        for one in records.lineage
    } == {
        ("raw.events", "core.sessions"),
        ("raw.users", "core.sessions"),
        ("raw.users", "core.users"),
        ("core.sessions", "mart.daily"),
        ("core.users", "mart.daily"),
    }


def test_a_field_of_a_structure_stands_under_its_column(replayed: Callable[..., Any]) -> None:
    records = run_extract_sync(GraphQLCatalog(credentials=CREDENTIALS, **replayed(JOURNAL)))
    columns = [one for one in records.resources if one.databuilder_id.startswith("raw.events.")]
    assert [(one.title, one.type, one.parent_databuilder_id) for one in columns] == [
        ("id", "bigint", "raw.events"),
        ("at", "timestamp", "raw.events"),
        ("user", "struct", "raw.events"),
        ("id", "bigint", "raw.events.user"),
        ("address", "struct", "raw.events.user"),
        ("city", "string", "raw.events.user.address"),
        ("zip", "string", "raw.events.user.address"),
        ("items", "array", "raw.events"),
        ("sku", "string", "raw.events.items"),
        ("price", "decimal", "raw.events.items"),
    ]
    assert [one.sort_order for one in columns] == [*range(10)]


def test_no_fault_of_the_server_loses_anything(fault_lab: Callable[..., Any]) -> None:
    def make(transport: Transport) -> GraphQLCatalog:
        return GraphQLCatalog(credentials=CREDENTIALS, transport=transport)

    assert fault_lab(make, JOURNAL, steps=2).resources == 31


def table(name: str, columns: int, total: int | None = None) -> dict[str, Any]:
    nodes = [
        {"id": f"{name}.{number}", "name": str(number), "type": "int", "position": number, "parent": None}
        for number in range(columns)
    ]
    held = {"nodes": nodes, "totalCount": columns if total is None else total}
    return {
        "id": name,
        "database": "d",
        "schema": "s",
        "name": name,
        "description": None,
        "upstream": [],
        "columns": held,
    }


def extract(source: FakeSource) -> Records:
    return run_extract_sync(GraphQLCatalog(credentials=CREDENTIALS, transport=source))


def test_columns_that_do_not_come_are_an_error_though_their_pages_end_well(fake_source: FakeSource) -> None:
    held = {**table("t", 2, total=3)["columns"], "pageInfo": {"hasNextPage": False, "endCursor": None}}
    fake_source.listing("/graphql", [table("t", 2, total=3)], LISTING).then(json={"data": {"table": {"columns": held}}})
    with pytest.raises(PaginationError, match="ends after 2 items, of 3"):
        extract(fake_source)


def test_errors_in_an_answer_of_200_fail_the_run(fake_source: FakeSource) -> None:
    fake_source.post("/graphql", json={"data": {"tables": None}, "errors": [{"message": "field `upstream` timed out"}]})
    with pytest.raises(PaginationError, match="field `upstream` timed out"):
        extract(fake_source)


def test_a_wrong_token_fails_the_run(fake_source: FakeSource) -> None:
    fake_source.post("/graphql", status=401, json={"errors": [{"message": "no valid token"}]})
    with pytest.raises(StatusError, match="401"):
        extract(fake_source)


async def test_a_check_of_the_first_pages_finds_nothing_amiss() -> None:
    report = await GraphQLCatalog(credentials=CREDENTIALS, sample=1, replay=HERE / JOURNAL).run()
    assert (report.loss_count, report.source.requests, report.resources["column"]) == (0, 2, 4)


async def test_the_command_runs_it_on_the_recording(tmp_path: Path) -> None:
    status, _, errors = await command(
        *("run", f"{EXAMPLE}:GraphQLCatalog", "--credential", f"base_url={CREDENTIALS['base_url']}"),
        *("--credential-env", "token=CATALOG_TOKEN", "--replay", HERE / JOURNAL, "--out", tmp_path / "out"),
        env={"CATALOG_TOKEN": TOKEN},
    )
    assert status == 0, errors
    assert (tmp_path / "out" / "run.json").exists()


def test_it_compiles_to_one_file() -> None:
    compiled = compile_source(EXAMPLE.read_text(), "GraphQLCatalog", name="graphql_catalog.py")
    assert not compiled.notes
    assert "class GraphQLCatalog" in ast.unparse(ast.parse(compiled.text))
