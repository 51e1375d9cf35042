"""Each rule of the table finds its breach, and leaves the innocent alone."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from secoda_async import Breach, ConfigurationError, EntityType
from secoda_async.rules.document import document
from secoda_async.rules.judge_dataset import judge_dataset, validate_dataset
from secoda_async.rules.table import BY_ID, RULES
from secoda_async.rules.verdict import Severity
from tests.datasets import edge, external, internal, query, resource, write_bytes, write_dataset

Json = dict[str, Any]
NAMES = {"cluster": "c", "database": "d", "schema": "s"}
DATABASE = resource("database", "d")
SCHEMA = resource("schema", "s", "d")
TABLE = resource("table", "t", "s", schema="s", database="d")
COLUMN = resource("column", "c", "t")
GROUP = resource("dashboard_group", "g")
DASHBOARD = resource("dashboard", "b", "g", group="g")
CHART = resource("chart", "h", "b", product="p")
WAREHOUSE = [DATABASE, SCHEMA, TABLE, COLUMN]
BOARDS = [GROUP, DASHBOARD, CHART]
ALL = [*WAREHOUSE, *BOARDS]
FEED = edge(internal("t"), internal("h"))


class Case(NamedTuple):
    rule: str
    broken: tuple[list[Json], list[Json]]
    samples: list[tuple[int, str, str]]
    """Line, id and note of each breach that is expected."""
    innocent: tuple[list[Json], list[Json]]


CASES = [
    Case("empty-id", ([resource("table", "")], []), [(1, "", "a table")], ([TABLE], [])),
    Case(
        "empty-lineage-end",
        ([], [edge(internal("t"), internal("")), edge(internal(""), external())]),
        [(1, "", "to_identifier"), (2, "", "from_identifier")],
        ([TABLE, COLUMN], [edge(internal("t"), internal("c")), edge(external(), internal("t"))]),
    ),
    Case(
        "column-without-parent",
        ([COLUMN, resource("column", "x"), resource("column", "y", "")], []),
        [(2, "x", ""), (3, "y", "")],
        ([TABLE, COLUMN, resource("table", "x")], []),
    ),
    Case("chart-without-parent", ([resource("chart", "x")], []), [(1, "x", "")], ([CHART], [])),
    Case(
        "differing-duplicates",
        ([TABLE, COLUMN, TABLE, {**TABLE, "title": "other"}, {**TABLE, "title": "third"}], []),
        [(4, "t", "differs from line 1")],
        ([TABLE, COLUMN, TABLE, {**TABLE, "title": ""}, {**TABLE, "unknown": 1}], []),
    ),
    Case(
        "query-as-target",
        ([], [edge(internal("t"), query("select 1 from t")), edge(query("select 1 from t"), query("select 1 from t"))]),
        [(1, "t", ""), (2, "", "")],
        ([], [edge(query("select 1 from t"), internal("t"))]),
    ),
    Case(
        "parent-cycle",
        (
            [
                resource("table", "a", "b"),
                resource("table", "b", "a"),
                resource("table", "x", "x"),
                resource("column", "y", "a"),
            ],
            [],
        ),
        [(1, "a", "its parent is b"), (2, "b", "its parent is a"), (3, "x", "its parent is x")],
        ([*ALL, resource("column", "n", "c"), resource("column", "o", "gone")], []),
    ),
    Case(
        "unknown-type",
        ([resource("view", "x"), resource("Table", "y"), resource("", "z")], []),
        [(1, "x", "view"), (2, "y", "Table"), (3, "z", "")],
        ([resource(kind, kind) for kind in EntityType], []),
    ),
    Case(
        "table-without-names",
        (
            [
                resource("table", "x", schema="s"),
                resource("table", "y", schema="", database="d"),
                resource("table", "z"),
            ],
            [],
        ),
        [(1, "x", "no database"), (2, "y", "no schema"), (3, "z", "no schema and no database")],
        ([TABLE, COLUMN], []),
    ),
    Case("dashboard-without-group", ([resource("dashboard", "x", group="")], []), [(1, "x", "")], (BOARDS, [])),
    Case("chart-without-product", ([resource("chart", "x")], []), [(1, "x", "")], (BOARDS, [])),
    Case(
        "missing-parent",
        ([resource("schema", "x"), resource("table", "y", ""), resource("dashboard", "z")], []),
        [(1, "x", "a schema"), (2, "y", "a table"), (3, "z", "a dashboard")],
        (ALL, []),
    ),
    Case(
        "wrong-parent",
        (
            [
                *ALL,
                resource("table", "x", "d"),
                resource("column", "y", "s"),
                resource("database", "z", "d"),
                resource("chart", "w", "g"),
            ],
            [],
        ),
        [
            (8, "x", "a table under a database"),
            (9, "y", "a column under a schema"),
            (10, "z", "a database under a database"),
            (11, "w", "a chart under a dashboard_group"),
        ],
        (
            [
                *ALL,
                resource("column", "n", "c"),
                resource("view", "v", "t"),
                resource("column", "o", "v"),
                resource("table", "p", "gone"),
            ],
            [],
        ),
    ),
    Case(
        "unknown-parent",
        ([TABLE, resource("column", "x", "T")], []),
        [(1, "t", "its parent is s"), (2, "x", "its parent is T")],
        ([*reversed(ALL), resource("column", "x", "")], []),
    ),
    Case(
        "unknown-lineage-end",
        ([TABLE], [edge(internal("t"), internal("x")), edge(internal("x"), internal("y"))]),
        [(1, "x", "to_identifier"), (2, "x", "from_identifier and to_identifier")],
        (
            [TABLE, COLUMN],
            [edge(internal("t"), internal("c")), edge(external(), internal("t")), edge(internal(""), internal("t"))],
        ),
    ),
    Case(
        "lineage-combination",
        (
            [],
            [
                edge(external(column="c"), external()),
                edge(external(), external(column="c")),
                edge(external(column="c"), external(column="c")),
                edge(query("select 1 from t"), external()),
            ],
        ),
        [
            (1, "", "external_column to external_table"),
            (2, "", "external_table to external_column"),
            (3, "", "external_column to external_column"),
            (4, "", "tables_from_query to external_table"),
        ],
        (
            [],
            [
                *(edge(internal("t"), other) for other in (internal("c"), external(), external(column="c"))),
                *(edge(other, internal("t")) for other in (external(), external(column="c"), query("select 1 from t"))),
                edge(external(), external("u")),
            ],
        ),
    ),
    Case(
        "external-lineage",
        ([], [edge(external(), external("u"))]),
        [(1, "", "")],
        ([], [edge(external(), internal("t"))]),
    ),
    Case(
        "external-names",
        ([], [edge(internal("t"), external(**{**NAMES, "cluster": ""})), edge(external(column="c"), internal("t"))]),
        [(1, "t", "to_identifier"), (2, "t", "from_identifier")],
        ([], [edge(internal("t"), external(**NAMES)), edge(external(column="c", **NAMES), internal("t")), FEED]),
    ),
    Case(
        "unfed",
        (BOARDS, [edge(internal("h"), internal("t"))]),
        [(2, "b", "a dashboard"), (3, "h", "a chart")],
        ([*BOARDS, resource("dashboard", "z", "g")], [FEED, edge(external(), internal("z"))]),
    ),
    Case(
        "sql-does-not-parse",
        (
            [],
            [
                edge(query("selec x from from"), internal("t")),
                edge(query("select * from {{ ref('x') }}"), internal("u")),
            ],
        ),
        [(1, "t", "*"), (2, "u", "*")],
        (
            [],
            [
                edge(query(sql), internal("t"))
                for sql in (
                    "select a from t",
                    "select top 5 [a] from [b].[c]",
                    "select `a` from `p.d.t`",
                    "create view v as select 1 from t",
                )
            ],
        ),
    ),
    Case(
        "sql-names-no-table",
        (
            [],
            [
                edge(query(sql), internal("t"))
                for sql in ("select 1", "with a as (select 1) select * from a", "", "-- t", "create view v as select 1")
            ],
        ),
        [(line, "t", "") for line in range(1, 6)],
        (
            [],
            [
                edge(query(sql), internal("t"))
                for sql in (
                    "select 1 from t",
                    "with t as (select * from t) select * from t",
                    "insert into a select * from b",
                )
            ],
        ),
    ),
    Case(
        "sql-not-judged",
        ([], [edge(query("select 1 from t --" + " " * 300_000), internal("t"))]),
        [(1, "t", "longer than 262,144 characters")],
        ([], [edge(query("select 1 from t --" + " " * 200_000), internal("t"))]),
    ),
]
IDS = [case.rule for case in CASES]
READ = {"malformed-line", "carriage-return"}  # see test_what_stands_in_the_lines_themselves


def find(breaches: tuple[Breach, ...], rule: str) -> list[Breach]:
    return [breach for breach in breaches if breach.rule == rule]


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_a_breach_is_found_where_it_is(case: Case, tmp_path: Path) -> None:
    verdict = await judge_dataset(write_dataset(tmp_path / "data", *case.broken), tmp_path)
    (breach,) = find(verdict.breaches, case.rule)
    rule = BY_ID[case.rule]
    assert breach.severity is rule.severity
    assert (breach.message, breach.to_do) == (rule.says, rule.to_do)
    assert breach.count == len(case.samples)
    assert {sample.file for sample in breach.samples} == {f"{rule.kind}.jsonl"}
    for sample, (line, id_, note) in zip(breach.samples, case.samples, strict=True):
        assert (sample.line, sample.id) == (line, id_)
        assert note in {sample.note, "*"}


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_the_innocent_is_left_alone(case: Case, tmp_path: Path) -> None:
    verdict = await judge_dataset(write_dataset(tmp_path / "data", *case.innocent), tmp_path)
    assert find(verdict.breaches, case.rule) == []


async def test_what_stands_in_the_lines_themselves(tmp_path: Path) -> None:
    line = b'{"entity_type":"database","databuilder_id":"d"}'
    fine = await validate_dataset(write_bytes(tmp_path / "fine", line + b"\n"), tmp_path)
    assert (fine.passed, fine.breaches, fine.resources) == (True, (), 1)
    windows = await validate_dataset(write_bytes(tmp_path / "crlf", line + b"\r\n"), tmp_path)
    assert [(breach.rule, breach.count, breach.samples[0].line) for breach in windows.breaches] == [
        ("carriage-return", 1, 1)
    ]
    broken = await validate_dataset(write_bytes(tmp_path / "broken", line + b"\n{}\n", b"x\n"), tmp_path)
    (breach,) = broken.breaches
    assert (breach.rule, breach.severity, breach.count) == ("malformed-line", Severity.ERROR, 2)
    assert [(sample.file, sample.line) for sample in breach.samples] == [("resources.jsonl", 2), ("lineage.jsonl", 1)]
    assert breach.samples[0].note.startswith("entity_type: Field required")
    assert not broken.passed


def test_every_rule_has_a_case() -> None:
    assert sorted(BY_ID) == sorted({*IDS, *READ})
    assert len(BY_ID) == len(RULES)


async def test_a_sync_as_the_platform_wants_it_breaks_nothing(tmp_path: Path) -> None:
    lineage = [FEED, edge(query("select c from s.t"), internal("b")), edge(external(**NAMES), internal("t"))]
    verdict = await judge_dataset(write_dataset(tmp_path / "data", ALL, lineage), tmp_path, strict=True)
    assert (verdict.breaches, verdict.passed, verdict.resources, verdict.lineage) == ((), True, 7, 3)


async def test_strict_makes_errors_of_warnings_but_not_of_what_could_not_be_judged(tmp_path: Path) -> None:
    dataset = write_dataset(
        tmp_path / "data",
        [resource("view", "x")],
        [edge(query("x" * 300_000), internal("x")), edge(external(), external("u"))],
    )
    loose = await judge_dataset(dataset, tmp_path)
    strict = await judge_dataset(dataset, tmp_path, strict=True)
    assert {breach.severity for breach in loose.breaches} == {Severity.WARNING}
    assert loose.passed
    assert {breach.rule: breach.severity for breach in strict.breaches} == {
        "unknown-type": Severity.ERROR,
        "external-lineage": Severity.ERROR,
        "external-names": Severity.ERROR,
        "sql-not-judged": Severity.WARNING,
    }
    assert not strict.passed
    assert [breach.rule for breach in strict.errors] == [breach.rule for breach in strict.breaches[:3]]


async def test_samples_are_the_first_five_in_the_order_of_lines(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", [resource("column", f"c{n}") for n in range(5000)])
    (breach,) = (await judge_dataset(dataset, tmp_path)).breaches
    assert breach.count == 5000
    assert [(sample.line, sample.id) for sample in breach.samples] == [(n + 1, f"c{n}") for n in range(5)]


@pytest.mark.parametrize("on_conflict", ["never", "", None, "FIRST"])
async def test_a_policy_that_is_none_is_refused(on_conflict: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match='on_conflict must be "error", "first" or "last", not'):
        await judge_dataset(write_dataset(tmp_path), tmp_path, on_conflict=on_conflict)


async def test_of_differing_duplicates_the_one_that_is_sent_is_judged(tmp_path: Path) -> None:
    good, bad = {**COLUMN, "parent_databuilder_id": "t"}, {**COLUMN, "parent_databuilder_id": None}
    dataset = write_dataset(tmp_path / "data", [*WAREHOUSE[:3], good, bad])
    found = {
        policy: [breach.rule for breach in (await judge_dataset(dataset, tmp_path, on_conflict=policy)).breaches]
        for policy in ("error", "first", "last")
    }
    assert found == {
        "error": ["column-without-parent", "differing-duplicates"],
        "first": [],
        "last": ["column-without-parent"],
    }


def test_the_page_of_rules_is_what_the_table_makes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
    assert page == document(), "write it anew: python -m secoda_async.rules > docs/rules.md"
