"""How much memory and time it takes to judge a large dataset by the rules."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Report, run
from benchmarks.runners.judged import CHAIN, PLANTED

RECORDS: Final = 1_000_000
FULL_RECORDS: Final = 10_000_000
BOUND: Final = 512 * 2**20
_PATIENCE: Final = 1200.0
_MIB: Final = 2**20


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("rules")
    records = FULL_RECORDS if full else RECORDS
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder, "data")
        _run("write", dataset, records)
        found = _run("judge", dataset, folder)
    report.say(
        f"{records:,} resources and {records // 10:,} lineages, {found['bytes'] / 2**30:.1f} GiB: "
        f"peak {found['peak_bytes'] / _MIB:.0f} MiB; read and checked in {found['read_seconds']:.0f} s, "
        f"judged in {found['judge_seconds']:.0f} s"
    )
    tables = (records - CHAIN) // 20
    planted = len(range(7, tables, PLANTED))
    expected = {"parent-cycle": CHAIN, "unknown-parent": planted}
    report.check(found["breaches"] == expected and not found["faults"], f"it finds {expected} and nothing else")
    report.check(found["peak_bytes"] <= BOUND, f"at most {BOUND // _MIB} MiB in all")
    report.save({"records": records, **found}, duckdb=found["duckdb"])
    return report


def _run(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.runners.judged", *map(str, arguments)]
    return run(command, patience=_PATIENCE)
