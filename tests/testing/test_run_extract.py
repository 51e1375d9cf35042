"""What a run declared, as records; whether they are valid; and whether they are those of a golden file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from secoda_async import DeclaredLineage, IncompleteRunError, RetryPolicy, RunError, TablesFromSQLQuery
from secoda_async.models import InternalResource, Resource
from secoda_async.testing import (
    FakeSource,
    Records,
    assert_golden,
    assert_valid,
    run_extract,
    run_extract_sync,
)
from tests.integrations import edge, integration, table


def declares(*records: Any) -> Any:
    async def extract(self: Any) -> None:
        for record in records:
            if isinstance(record, Resource):
                await self.declare_resource(record)
            else:
                await self.declare_lineage(record)

    return integration(extract)


def records_of(*records: Any) -> Records:
    return run_extract_sync(declares(*records))


def test_a_run_gives_what_was_declared_and_its_report(state_dir: Path) -> None:
    made = declares(table("a", description="ä"), table("b"), table("a"), edge("a", "b"))
    settings = made.settings
    records = run_extract_sync(made)
    assert [one.databuilder_id for one in records.resources] == ["a", "b", "a"]
    assert records.by_id["a"].description is None
    assert records.lineage == (edge("a", "b"),)
    assert records.report.resources == {"table": 3}
    assert made.settings is settings
    assert not state_dir.exists()


def test_a_state_dir_that_was_chosen_is_used(tmp_path: Path) -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("a"))

    run_extract_sync(integration(extract, state_dir=tmp_path / "mine"))
    assert (tmp_path / "mine" / "runs").is_dir()


async def test_a_run_that_lost_something_raises() -> None:
    source = FakeSource()
    source.get("/a", status=500)

    async def extract(self: Any) -> None:
        with pytest.raises(Exception, match="500"):
            await self.http_get("/a")

    made = integration(extract, base_url="http://x.test", transport=source, retry=RetryPolicy(attempts=1))
    with pytest.raises(IncompleteRunError, match="500"):
        await run_extract(made)


def test_the_plain_form_may_run_in_virtual_time() -> None:
    source = FakeSource()
    source.get("/a", status=429, headers={"Retry-After": "250"}).then(json=[])

    async def extract(self: Any) -> None:
        await self.http_get("/a")
        await self.declare_resource(table("a"))

    made = integration(extract, base_url="http://x.test", transport=source)
    records = run_extract_sync(made, virtual_time=True)
    assert sum(records.report.source.waits.values()) >= 250


async def test_the_plain_form_in_a_loop_says_what_to_write() -> None:
    with pytest.raises(RunError, match="await run_extract"):
        run_extract_sync(declares())


def test_records_that_hold_to_the_rules_pass() -> None:
    assert_valid(records_of(table("a", schema="s", database="d"), table("b", schema="s", database="d"), edge("a", "b")))


def test_what_breaks_a_rule_is_named_with_its_records_and_what_to_do() -> None:
    records = records_of(table("a"), table("a", description="other"), *[edge(f"x{n}", "a") for n in range(7)])
    with pytest.raises(AssertionError) as caught:
        assert_valid(records)
    told = str(caught.value)
    assert told.startswith("the records break ")
    assert "- differing-duplicates (1): " in told
    assert "resources.jsonl:2 a" in told
    assert "to do: " in told
    assert_valid(records_of(table("a"), table("a", description="other")), on_conflict="first")


def test_warnings_count_where_it_is_strict() -> None:
    lineage = DeclaredLineage(
        from_identifier=TablesFromSQLQuery(sql="select 1"), to_identifier=InternalResource(databuilder_id="a")
    )
    records = records_of(table("a"), lineage)
    assert_valid(records)
    with pytest.raises(AssertionError, match="sql"):
        assert_valid(records, strict=True)


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of two tables and a lineage."""
    path = tmp_path / "new" / "golden.json"
    with monkeypatch.context() as patch:
        patch.setenv("SECODA_ASYNC_UPDATE_GOLDEN", "1")
        assert_golden(records_of(table("b", owners=["x"]), table("a"), edge("a", "b")), path)
    return path


def test_a_golden_file_reads_well_and_is_sorted(golden: Path) -> None:
    held = orjson.loads(golden.read_bytes())
    assert [one["databuilder_id"] for one in held["resources"]] == ["a", "b"]
    assert len(golden.read_text().splitlines()) > 30


def test_the_order_of_records_is_no_difference(golden: Path) -> None:
    assert_golden(records_of(table("a"), edge("a", "b"), table("b", owners=["x"])), str(golden))


def test_a_difference_is_told_by_id_and_field(golden: Path) -> None:
    now = records_of(table("b", owners=["y"], description="\x1b[2J"), table("c"), table("c"), edge("b", "c"))
    with pytest.raises(AssertionError) as caught:
        assert_golden(now, golden)
    assert str(caught.value).splitlines()[1:-1] == [
        "- a is missing",
        "+ c is new",
        '~ b: description: null → "\\u001b[2J"; owners: ["x"] → ["y"]',
        "= c is declared more often",
        "- lineage a → b is missing",
        "+ lineage b → c is new",
    ]
    assert "--secoda-update-golden" in str(caught.value)


def test_a_repeat_that_differs_is_told_by_its_fields(golden: Path) -> None:
    now = records_of(table("a"), table("a", description="2"), table("b", owners=["x"]), edge("a", "b"))
    with pytest.raises(AssertionError, match='~ a: description: null → "2"\n= a is declared more often'):
        assert_golden(now, golden)


def test_many_differences_are_clipped(golden: Path) -> None:
    with pytest.raises(AssertionError, match="… and 80 more"):
        assert_golden(records_of(table("a"), *[table(f"new {n}") for n in range(100)]), golden)


def test_without_a_golden_file_it_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"there is no golden file .* run pytest with --secoda-update-golden"):
        assert_golden(records_of(), tmp_path / "x.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"resources": [1], "lineage": []}'])
def test_a_file_that_is_no_golden_file_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(AssertionError, match="is no golden file"):
        assert_golden(records_of(), path)


def test_the_import_brings_neither_pytest_nor_the_engine() -> None:
    code = "import secoda_async.testing, sys; print({'pytest', 'duckdb', 'sqlglot', 'typer'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
