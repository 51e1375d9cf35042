"""The dbt example, on what dbt wrote.

tests/recordings/dbt.journal is of dbt-core 1.10.23 with dbt-duckdb 1.10.1, its `target/` served over HTTP:
tests/recordings/serve_dbt.py builds the project and says how to record anew.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.dbt_artifacts import DbtArtifacts
from secoda_async import ConfigurationError, DecodeError, StatusError, Transport
from secoda_async.compile.compile_source import compile_source
from secoda_async.testing import FakeSource, Records, assert_valid, run_extract_sync
from tests.command_line import command
from tests.recordings.serve_dbt import PORT

HERE = Path(__file__).parent
JOURNAL = "recordings/dbt.journal"
URL = f"http://127.0.0.1:{PORT}"
EXAMPLE = HERE.parent / "examples" / "dbt_artifacts.py"
ORDERS = "model.jaffle.customer_orders"


def feeds(records: Records) -> set[tuple[str, str]]:
    """Lineage by the ids of both ends."""
    pairs = [(one.from_identifier.model_dump(), one.to_identifier.model_dump()) for one in records.lineage]
    assert len(pairs) == len({str(pair) for pair in pairs})
    return {(source["databuilder_id"], target["databuilder_id"]) for source, target in pairs}


def test_a_recorded_project_gives_its_tables_and_columns(replayed: Callable[..., Any]) -> None:
    records = run_extract_sync(DbtArtifacts(credentials={"base_url": URL}, **replayed(JOURNAL)))
    assert_valid(records)
    assert records.report.resources == {"database": 1, "schema": 3, "table": 7, "column": 23}
    table = records.by_id[ORDERS]
    assert (table.title, table.schema, table.database, table.native_type) == (
        "customer_orders",
        "main",
        "shop",
        "base table",
    )
    assert table.description == "What each customer ordered: **one row a customer**."
    columns = [one for one in records.resources if one.parent_databuilder_id == ORDERS]
    assert [(one.title, one.type, one.sort_order) for one in columns] == [
        ("customer_id", "INTEGER", 1),
        ("name", "VARCHAR", 2),
        ("orders", "BIGINT", 3),
        ("amount", "DOUBLE", 4),
    ]
    assert columns[3].description == "Sum of all orders, in euros."
    assert records.by_id["model.jaffle.order_payments"].parent_databuilder_id == "schema/shop/main_finance"


def test_lineage_goes_through_an_ephemeral_model_to_the_tables_that_it_reads(replayed: Callable[..., Any]) -> None:
    records = run_extract_sync(DbtArtifacts(credentials={"base_url": URL}, **replayed(JOURNAL)))
    assert feeds(records) == {
        ("seed.jaffle.raw_customers", "model.jaffle.stg_customers"),
        ("model.jaffle.stg_customers", ORDERS),
        ("seed.jaffle.raw_orders", ORDERS),
        ("source.jaffle.billing.payments", "model.jaffle.stg_payments"),
        ("model.jaffle.stg_payments", "model.jaffle.order_payments"),
        ("seed.jaffle.raw_orders", "model.jaffle.order_payments"),
    }


def test_no_fault_of_the_server_loses_anything(fault_lab: Callable[..., Any]) -> None:
    def make(transport: Transport) -> DbtArtifacts:
        return DbtArtifacts(credentials={"base_url": URL}, transport=transport)

    assert fault_lab(make, JOURNAL, steps=2).resources == 34


def node(kind: str, *parents: str, **more: Any) -> dict[str, Any]:
    return {"resource_type": kind, "depends_on": {"nodes": list(parents)}, "description": "", "columns": {}, **more}


def table(name: str, database: str | None = "db", **types: str) -> dict[str, Any]:
    metadata = {"type": "VIEW", "database": database, "schema": "s", "name": name, "comment": "from the warehouse"}
    columns = {
        column: {"name": column, "type": kind, "index": at, "comment": None}
        for at, (column, kind) in enumerate(types.items(), 1)
    }
    return {"metadata": metadata, "columns": columns}


def project(nodes: dict[str, Any], found: dict[str, Any]) -> FakeSource:
    source = FakeSource()
    source.get("/manifest.json", json={"metadata": {}, "nodes": nodes, "sources": {}})
    source.get("/catalog.json", json={"metadata": {}, "nodes": found, "sources": {}, "errors": None})
    return source


def extract(source: FakeSource) -> Records:
    return run_extract_sync(DbtArtifacts(credentials={"base_url": "http://artifacts.test"}, transport=source))


def test_a_chain_of_ephemeral_models_feeds_once_and_a_circle_of_them_ends() -> None:
    ephemeral = {"config": {"materialized": "ephemeral"}}
    nodes = {
        "model.p.a": node("model"),
        "model.p.e1": node("model", "model.p.a", "model.p.e2", **ephemeral),
        "model.p.e2": node("model", "model.p.a", "model.p.e1", **ephemeral),
        "model.p.b": node("model", "model.p.e1", "model.p.e2", "model.p.a", "model.gone.x"),
    }
    records = extract(project(nodes, {"model.p.a": table("a"), "model.p.b": table("b")}))
    assert feeds(records) == {("model.p.a", "model.p.b")}


def test_a_warehouse_that_writes_capitals_and_has_no_databases_keeps_its_descriptions() -> None:
    nodes = {"model.p.a": node("model", columns={"id": {"description": "The key."}})}
    records = extract(project(nodes, {"model.p.a": table("A", None, ID="NUMBER")}))
    assert_valid(records, strict=True)
    assert records.by_id["model.p.a"].database == "default"
    assert records.by_id["model.p.a"].description == "from the warehouse"
    assert records.by_id["model.p.a/ID"].description == "The key."


def test_a_table_that_the_catalog_lacks_fails_the_run_unless_that_is_meant() -> None:
    source = project({"model.p.a": node("model"), "model.p.b": node("model", "model.p.a")}, {"model.p.b": table("b")})
    with pytest.raises(RuntimeError, match=r"1 of 2 tables .* model\.p\.a: run `dbt build`"):
        extract(source)

    class Lenient(DbtArtifacts):
        skips_unbuilt = True

    records = run_extract_sync(Lenient(credentials={"base_url": "http://artifacts.test"}, transport=source.fresh()))
    assert [one.databuilder_id for one in records.resources] == ["database/db", "schema/db/s", "model.p.b"]
    assert not records.lineage


def test_artifacts_that_are_replaced_in_the_middle_fail_the_run() -> None:
    source = project({}, {})
    source.get("/manifest.json", headers={"ETag": '"1"'}, json={"nodes": {}}).then(
        headers={"ETag": '"2"'}, json={"sources": {}}
    )
    with pytest.raises(RuntimeError, match=r"manifest\.json was replaced while it was read"):
        extract(source)


def test_artifacts_that_are_not_there_or_are_cut_fail_the_run() -> None:
    missing = project({}, {})
    missing.get("/catalog.json", status=404)
    with pytest.raises(StatusError, match=r"/catalog\.json.*404"):
        extract(missing)
    cut = project({}, {})
    cut.get("/manifest.json", content=b'{"nodes": {"model.p.a": ')
    with pytest.raises(DecodeError, match="ends too early"):
        extract(cut)


def test_a_token_is_sent_where_there_is_one() -> None:
    source = project({"model.p.a": node("model")}, {"model.p.a": table("a")})
    credentials = {"base_url": "http://artifacts.test", "token": "artifacts-token"}
    run_extract_sync(DbtArtifacts(credentials=credentials, transport=source))
    assert {call.headers["Authorization"] for call in source.calls} == {"Bearer artifacts-token"}


async def test_a_check_finds_nothing_amiss() -> None:
    report = await DbtArtifacts(credentials={"base_url": URL}, sample=1, replay=HERE / JOURNAL).run()
    assert (report.loss_count, report.source.requests) == (0, 4)


async def test_the_command_runs_it_on_the_recording(tmp_path: Path) -> None:
    status, _, errors = await command(
        *("run", f"{EXAMPLE}:DbtArtifacts", "--credential", f"base_url={URL}", "--replay", HERE / JOURNAL),
        *("--out", tmp_path / "out"),
    )
    assert status == 0, errors
    assert (tmp_path / "out" / "run.json").exists()


def test_it_cannot_be_compiled_since_it_streams() -> None:
    text = EXAMPLE.read_text()
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "self.http_stream" in one)
    with pytest.raises(ConfigurationError, match=rf"dbt_artifacts\.py:{line}: self\.http_stream: a stream needs"):
        compile_source(text, "DbtArtifacts", name="dbt_artifacts.py")
