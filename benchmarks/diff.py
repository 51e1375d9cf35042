"""How much memory and time the comparison of two datasets of 10,000,000 resources takes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Report, run

RECORDS: Final = 10_000_000
BOUND: Final = 512 * 2**20
_PATIENCE: Final = 900.0
_MIB: Final = 2**20


def main() -> Report:
    """Measure, print and save."""
    report = Report("diff")
    with tempfile.TemporaryDirectory() as folder:
        before, now = Path(folder, "before"), Path(folder, "now")
        _run("write", before, RECORDS, 0)
        _run("write", now, RECORDS, RECORDS // 20)
        found = _run("compare", before, now, folder)
    report.say(
        f"2 x {RECORDS:,} resources, {found['bytes'] / 2**30:.1f} GiB: peak {found['peak_bytes'] / _MIB:.0f} MiB, "
        f"{found['seconds']:.0f} s"
    )
    shifted = RECORDS // 20
    expected = {
        "before": RECORDS,
        "now": RECORDS,
        "added": shifted,
        "changed": (RECORDS - shifted) // 10,
        "staled": shifted,
    }
    report.check(found["diff"] == expected, f"it finds {expected}")
    report.check(found["peak_bytes"] <= BOUND, f"at most {BOUND // _MIB} MiB in all")
    report.save({"records": RECORDS, **found}, duckdb=found["duckdb"])
    return report


def _run(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.runners.compare", *map(str, arguments)]
    return run(command, patience=_PATIENCE)
