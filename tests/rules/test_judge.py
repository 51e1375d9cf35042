"""The SQL of the rules against a plain reading of them, hostile data, and shapes that would take for ever."""

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secoda_async.analysis.engine import Connection, analyse
from secoda_async.analysis.tables import load_lineage, load_resources
from secoda_async.dataset import Dataset
from secoda_async.rules.judge import judge
from secoda_async.rules.judge_dataset import judge_dataset, validate_dataset
from tests.datasets import edge, external, internal, query, resource, write_dataset, write_lines
from tests.effort import examples
from tests.rules import naive

ids = st.sampled_from(["", "a", "b", "c", "d", "A", "a "])
kinds = st.sampled_from([*naive.TYPES, "view"])
texts = st.sampled_from(["", "x"]) | st.none()
resources = st.builds(resource, kinds, ids, st.none() | ids, schema=texts, database=texts, group=texts, product=texts)
names = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(["", "x"]) for name in ("cluster", "database", "schema")}
)
ends = st.one_of(
    ids.map(internal),
    names.map(lambda given: external(**given)),
    names.map(lambda given: external(column="c", **given)),
    st.just(query("select 1 from t")),
)


@given(
    given_resources=st.lists(resources, max_size=8),
    given_lineage=st.lists(st.builds(edge, ends, ends), max_size=6),
    on_conflict=st.sampled_from(["error", "first", "last"]),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=examples(50, fast=12),
)
def test_what_sql_finds_is_what_a_plain_reading_finds(
    tmp_path: Path, given_resources: list[Any], given_lineage: list[Any], on_conflict: Any
) -> None:
    dataset = write_dataset(tmp_path / "data", given_resources, given_lineage)

    def body(connection: Connection) -> dict[str, tuple[int, list[tuple[int, str]]]]:
        load_resources(connection, dataset, "resource")
        load_lineage(connection, dataset, "lineage")
        found = judge(connection, dataset, resources="resource", lineage="lineage", on_conflict=on_conflict)
        return {one.rule: (one.count, [(sample.line, sample.id) for sample in one.samples]) for one in found}

    expected = naive.judge(given_resources, given_lineage, on_conflict)
    assert anyio.run(analyse, tmp_path, dataset, body) == {
        rule: (len(found), sorted(found)[:5]) for rule, found in expected.items()
    }


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def find(dataset: Dataset, work: Path) -> Counter[str]:
    return Counter({breach.rule: breach.count for breach in (await judge_dataset(dataset, work)).breaches})


HOSTILE = [
    "'); drop table resources; --",
    "$path",
    "$1",
    "?",
    "{{x}}",
    "a\x00b",
    "\x1b]0;owned\x07",
    "\u202eabc",
    "%s%n",
    "../../etc/passwd",
    "NULL",
    "null",
    " ",
    "é",
    "e\u0301",
    "[bold]x[/bold]",
    "\n",
    "\U0001f600" * 100,
]


async def test_hostile_ids_are_ids_and_nothing_else(tmp_path: Path) -> None:
    tables = [resource("table", id_, schema="s", database="d") for id_ in HOSTILE]
    columns = [resource("column", f"c{n}", id_) for n, id_ in enumerate(HOSTILE)]
    lineage = [edge(internal(id_), internal("c1")) for id_ in HOSTILE]
    dataset = write_dataset(tmp_path / "data", [*tables, *columns], lineage)
    verdict = await validate_dataset(dataset, tmp_path)
    assert {breach.rule: breach.count for breach in verdict.breaches} == {"missing-parent": len(HOSTILE)}
    unknown = write_dataset(tmp_path / "unknown", columns, lineage)
    verdict = await validate_dataset(unknown, tmp_path)
    assert {breach.rule: breach.count for breach in verdict.breaches} == {
        "unknown-parent": len(HOSTILE),
        "unknown-lineage-end": len(HOSTILE),
    }
    for breach in verdict.breaches:
        assert len(breach.samples) == 5
        for sample in breach.samples:
            assert (sample.id + sample.note).isprintable()


async def test_ids_of_a_megabyte_are_clipped_where_they_are_told(tmp_path: Path) -> None:
    long = "x" * 2**20
    lines = [resource("column", f"{n}{long}", f"{n}{long}") for n in range(40)]
    verdict = await validate_dataset(write_dataset(tmp_path / "data", lines), tmp_path)
    assert {breach.rule: breach.count for breach in verdict.breaches} == {"parent-cycle": 40}
    assert all(len(sample.id) <= 200 and len(sample.note) <= 300 for sample in verdict.breaches[0].samples)


async def test_numbers_where_strings_belong_are_told_and_not_judged(tmp_path: Path) -> None:
    verdict = await validate_dataset(
        write_dataset(tmp_path / "data", [{"entity_type": 1, "databuilder_id": 2}]), tmp_path
    )
    assert [breach.rule for breach in verdict.breaches] == ["malformed-line"]


async def test_sql_of_data_is_never_run(tmp_path: Path) -> None:
    target = tmp_path / "written"
    statements = [
        "select * from read_csv('/etc/passwd')",
        f"copy (select 1) to '{target}'",
        "drop table resources",
        "'); drop table rules.resource; --",
        "attach 'x.db'",
        "select * from t; delete from t",
    ]
    lineage = [edge(query(sql), internal("d")) for sql in statements]
    dataset = write_dataset(tmp_path / "data", [resource("database", "d")], lineage)
    before = files(tmp_path)
    verdict = await validate_dataset(dataset, tmp_path)
    assert files(tmp_path) == before
    assert {breach.rule for breach in verdict.breaches} <= {"sql-does-not-parse", "sql-names-no-table"}


@pytest.mark.parametrize("circle", [0, 1, 2, 7, 100])
async def test_long_chains_and_the_circles_they_lead_into(tmp_path: Path, circle: int) -> None:
    length = 100_000
    dataset = write_lines(tmp_path / "data", _chain(length, circle))
    found = await find(dataset, tmp_path)
    assert found["parent-cycle"] == circle
    assert found["unknown-parent"] == (0 if circle else 1)


def _chain(length: int, circle: int) -> list[bytes]:
    """Columns, each under the next; the last so that it makes a circle of so many, or under nothing that is known."""
    last = length - circle if circle else length
    return [
        b'{"entity_type":"column","databuilder_id":"%d","parent_databuilder_id":"%d"}'
        % (n, n + 1 if n < length - 1 else last)
        for n in range(length)
    ]


async def test_many_small_circles_beside_a_long_chain(tmp_path: Path) -> None:
    pairs = [
        b'{"entity_type":"column","databuilder_id":"p%d","parent_databuilder_id":"p%d"}' % (n, n ^ 1)
        for n in range(1000)
    ]
    dataset = write_lines(tmp_path / "data", [*pairs, *_chain(5000, 0)])
    assert (await find(dataset, tmp_path))["parent-cycle"] == 1000


@pytest.mark.parametrize("seconds", [0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8])
async def test_cancelled_at_any_moment_nothing_is_left(tmp_path: Path, seconds: float) -> None:
    columns = [b'{"entity_type":"column","databuilder_id":"%d"}' % n for n in range(20_000)]
    dataset = write_lines(tmp_path / "data", columns, [orjson.dumps(edge(query("select 1"), internal("1")))])
    with anyio.move_on_after(seconds):
        await judge_dataset(dataset, tmp_path)
    assert files(tmp_path) == ["data", "data/lineage.jsonl", "data/resources.jsonl"]


async def test_nothing_is_left_beside_the_files(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", [resource("column", "c")], [edge(query("select"), internal("c"))])
    await judge_dataset(dataset, tmp_path)
    assert files(tmp_path) == ["data", "data/lineage.jsonl", "data/resources.jsonl"]
