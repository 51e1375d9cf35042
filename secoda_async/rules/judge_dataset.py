"""Judges a whole dataset: its lines, its records, and the SQL in them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from secoda_async.analysis.engine import Connection, analyse
from secoda_async.analysis.folder import temporary_folder
from secoda_async.analysis.tables import load_lineage, load_resources
from secoda_async.dataset import Dataset
from secoda_async.reading import Reading, read_dataset
from secoda_async.rules.judge import judge, make_breach, make_sample
from secoda_async.rules.judge_sql import judge_sql
from secoda_async.rules.table import BY_ID, RULES
from secoda_async.rules.verdict import Breach, Severity, Verdict
from secoda_async.settings import OnConflict, check_on_conflict
from secoda_async.spool_index import Kind

_ORDER: Final = {rule.id: number for number, rule in enumerate(RULES)}


async def judge_dataset(
    dataset: Dataset, work: Path, *, on_conflict: OnConflict = "error", strict: bool = False
) -> Verdict:
    """What a dataset that this package wrote comes to.

    Usage: ``verdict = await judge_dataset(open_dataset(folder), work)``; ``verdict.errors`` are what stops a delivery.

    ``work`` is a folder for temporary files. Files of others are for `validate_dataset`. Raises ConfigurationError for
    an ``on_conflict`` that is none, DatasetError where a file cannot be read, and SpoolError where ``work`` is full.
    """
    check_on_conflict(on_conflict)
    async with temporary_folder(work, "rules-") as folder:
        statements = folder / "statements.jsonl"

        def body(connection: Connection) -> tuple[int, int, list[Breach]]:
            load_resources(connection, dataset, "resources")
            load_lineage(connection, dataset, "lineage")
            breaches = judge(
                connection,
                dataset,
                resources="resources",
                lineage="lineage",
                on_conflict=on_conflict,
                strict=strict,
                statements=statements,
            )
            return count_rows(connection, "resources"), count_rows(connection, "lineage"), breaches

        resources, lineage, breaches = await analyse(folder, dataset, body)
        breaches += await judge_sql(statements, dataset.lineage.name, strict=strict)
    return make_verdict(resources, lineage, breaches)


async def validate_dataset(
    dataset: Dataset, work: Path, *, on_conflict: OnConflict = "error", strict: bool = False
) -> Verdict:
    """What a dataset comes to that anyone may have written: every line is checked against the models first.

    Where a line is no record, that is the whole verdict. Otherwise as `judge_dataset`.
    """
    check_on_conflict(on_conflict)
    reading = await read_dataset(dataset)
    found = _read_breaches(reading, strict=strict)
    if reading.fault_count:
        return make_verdict(reading.resources.lines, reading.lineage.lines, found)
    verdict = await judge_dataset(dataset, work, on_conflict=on_conflict, strict=strict)
    return make_verdict(verdict.resources, verdict.lineage, [*found, *verdict.breaches])


def make_verdict(resources: int, lineage: int, breaches: list[Breach]) -> Verdict:
    """Errors first, each kind in the order of the table of rules."""
    breaches.sort(key=lambda breach: (breach.severity is not Severity.ERROR, _ORDER[breach.rule]))
    return Verdict(resources=resources, lineage=lineage, breaches=tuple(breaches))


def _read_breaches(reading: Reading, *, strict: bool) -> list[Breach]:
    breaches = []
    if reading.fault_count:
        samples = [make_sample(fault.file, fault.line, "", fault.reason) for fault in reading.faults]
        breaches.append(make_breach(BY_ID["malformed-line"], reading.fault_count, samples, strict=strict))
    ends = [
        (kind.filename, file)
        for kind, file in ((Kind.RESOURCES, reading.resources), (Kind.LINEAGE, reading.lineage))
        if file.carriage_returns
    ]
    if ends:
        samples = [make_sample(name, file.first_carriage_return, "", "") for name, file in ends]
        count = sum(file.carriage_returns for _, file in ends)
        breaches.append(make_breach(BY_ID["carriage-return"], count, samples, strict=strict))
    return breaches


def count_rows(connection: Connection, table: str) -> int:
    """How many rows a table has."""
    (count,) = connection.execute(f"select count(*) from {table}").fetchone() or (0,)
    return int(count)
