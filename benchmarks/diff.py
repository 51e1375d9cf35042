"""How much memory and time the comparison of two large datasets takes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Report, run

RECORDS: Final = 1_000_000
FULL_RECORDS: Final = 10_000_000
BOUND: Final = 512 * 2**20
_PATIENCE: Final = 900.0
_MIB: Final = 2**20


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("diff")
    records = FULL_RECORDS if full else RECORDS
    with tempfile.TemporaryDirectory() as folder:
        before, now = Path(folder, "before"), Path(folder, "now")
        _run("write", before, records, 0)
        _run("write", now, records, records // 20)
        found = _run("compare", before, now, folder)
    report.say(
        f"2 x {records:,} resources, {found['bytes'] / 2**30:.1f} GiB: peak {found['peak_bytes'] / _MIB:.0f} MiB, "
        f"{found['seconds']:.0f} s"
    )
    shifted = records // 20
    expected = {
        "before": records,
        "now": records,
        "added": shifted,
        "changed": (records - shifted) // 10,
        "staled": shifted,
    }
    report.check(found["diff"] == expected, f"it finds {expected}")
    report.check(found["peak_bytes"] <= BOUND, f"at most {BOUND // _MIB} MiB in all")
    report.save({"records": records, **found}, duckdb=found["duckdb"])
    return report


def _run(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.runners.compare", *map(str, arguments)]
    return run(command, patience=_PATIENCE)
