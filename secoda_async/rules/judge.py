"""Judges loaded tables by every rule that is SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import duckdb
import orjson

from secoda_async.analysis.duplicates import find_dropped
from secoda_async.analysis.engine import Connection, go_on
from secoda_async.analysis.pages import read_pages
from secoda_async.dataset import Dataset
from secoda_async.printable import printable
from secoda_async.rules.cycles import find_cycles
from secoda_async.rules.table import RULES, Rule
from secoda_async.rules.verdict import SAMPLES, Breach, Sample
from secoda_async.settings import OnConflict

LONGEST_SQL: Final = 256 * 2**10
"""Characters of a statement from which it is not judged."""
_CLIP: Final = 200  # characters of an id, and of a note, in a sample
_LOOK: Final = 100_000  # lines between two looks at whether it was cancelled

_TABLES: Final = (
    """
    create table rules.parent as
    with named as (select distinct md5_number(parent) as key from rules.resource where parent <> ''),
    declared as (
        select md5_number(id) as key, line, type, coalesce(md5_number(nullif(parent, '')), 0) as above
        from rules.resource where id <> ''
    )
    select named.key as key, min(line) as line, arg_min(type, line) as type, arg_min(above, line) as above
    from named left join declared using (key) group by named.key
    """,
    # Only what is someone's parent can be on a circle.
    """
    create table rules.above as select low.line as line, high.line as up
    from rules.parent low join rules.parent high on low.above = high.key
    where low.line is not null and high.line is not null
    """,
    """
    create table rules.unknown_end as
    with named as (
        select md5_number(from_id) as key from rules.lineage where from_type = 'internal_resource' and from_id <> ''
        union
        select md5_number(to_id) from rules.lineage where to_type = 'internal_resource' and to_id <> ''
    )
    select key from named anti join (select md5_number(id) as key from rules.resource) using (key)
    """,
    """
    create table rules.fed as
    with ends as (select distinct md5_number(to_id) as key from rules.lineage where to_type = 'internal_resource')
    select key from ends
    union
    select md5_number(parent) from rules.resource
    where type = 'chart' and parent <> '' and md5_number(id) in (select key from ends)
    """,
)


def judge(
    connection: Connection,
    dataset: Dataset,
    *,
    resources: str,
    lineage: str,
    on_conflict: OnConflict = "error",
    strict: bool = False,
    statements: Path | None = None,
    told: Callable[[int, int], None] = lambda _, __: None,
) -> list[Breach]:
    """What a dataset breaks of the rules that are SQL, in the order of the table.

    Usage: ``load_resources(connection, dataset, "r"); load_lineage(connection, dataset, "l")``, then
    ``judge(connection, dataset, resources="r", lineage="l")``.

    Judged is what an upload would hold: without repeats, and of differing records of one id what the policy keeps;
    under ``error`` the first of them counts as the parent of others. The tables of `find_dropped` stay for an upload.
    ``statements`` is a new file for the SQL of lineages, which `judge_sql` reads; where it is None, none is judged.
    ``told`` is called with the number of rules that are judged, and of all.
    """
    find_dropped(connection, resources, lineage, on_conflict)
    connection.execute("create schema rules")
    try:
        for view, table, dropped in (
            ("resource", resources, "dropped_resources"),
            ("lineage", lineage, "dropped_lineage"),
        ):
            connection.execute(
                f"create view rules.{view} as select * from main.{table} anti join temp.{dropped} using (line)"
            )
        for statement in _TABLES:
            connection.execute(statement)
        find_cycles(connection)
        rules = [rule for rule in RULES if rule.finds]
        breaches = []
        for number, rule in enumerate(rules, 1):
            breaches.append(_breach(connection, rule, dataset, strict=strict))
            told(number, len(rules))
        if statements is not None:
            _write_statements(connection, dataset.lineage, statements)
    finally:
        with suppress(duckdb.Error):  # what failed before has said why
            connection.execute("drop schema rules cascade")
    if on_conflict != "error":
        breaches = [breach for breach in breaches if breach.rule != "differing-duplicates"]
    return [breach for breach in breaches if breach.count]


def make_breach(rule: Rule, count: int, samples: Sequence[Sample], *, strict: bool) -> Breach:
    """A rule as it was broken."""
    return Breach(
        rule=rule.id,
        severity=rule.strict if strict else rule.severity,
        count=count,
        message=rule.says,
        to_do=rule.to_do,
        samples=tuple(samples[:SAMPLES]),
    )


def make_sample(file: str, line: int, id_: str, note: str) -> Sample:
    """A sample whose texts are fit for a terminal."""
    return Sample(file=file, line=line, id=printable(id_, _CLIP), note=printable(note, _CLIP))


def _breach(connection: Connection, rule: Rule, dataset: Dataset, *, strict: bool) -> Breach:
    count, found = connection.execute(
        "select count(*), min_by({'line': line, 'id': left(coalesce(id, ''), 400), 'note': left(note, 400)}, line, $n) "
        f"from ({rule.finds})",
        {"n": SAMPLES},
    ).fetchone() or (0, None)
    file = dataset.file(rule.kind).name
    samples = [make_sample(file, one["line"], one["id"], one["note"]) for one in found or ()]
    return make_breach(rule, count, samples, strict=strict)


def _write_statements(connection: Connection, lineage: Path, path: Path) -> None:
    """A line for each different statement: its first line, how many lineages have it, what it feeds, and its text."""
    connection.execute(
        """
        create table rules.statement as
        select min(line) as line, count(*) as count, arg_min(coalesce(to_id, ''), line) as feeds from rules.lineage
        where from_type = 'tables_from_query' group by sql_digest order by line
        """
    )
    with path.open("xb") as target, lineage.open("rb") as source:
        lines = enumerate(source, 1)
        for wanted, count, feeds in read_pages(connection, "rules.statement", "line, count, left(feeds, 400)"):
            for line, content in lines:
                if line % _LOOK == 0:
                    go_on()
                if line == wanted:
                    sql = orjson.loads(content)["from_identifier"].get("sql") or ""
                    text = sql if len(sql) <= LONGEST_SQL else None
                    target.write(orjson.dumps([line, count, feeds, text], option=orjson.OPT_APPEND_NEWLINE))
                    break
