"""How much memory 2,000,000 records take that are declared in a loop, with and without ``await``."""

from __future__ import annotations

import sys
from typing import Any, Final

from benchmarks.harness import Report, median, run

RECORDS: Final = 2_000_000
BASELINE: Final = 10_000
ROUNDS: Final = 1
FULL_ROUNDS: Final = 3
_MIB: Final = 2**20


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("memory")
    baselines, awaited, forgotten = [], [], []
    for _ in range(FULL_ROUNDS if full else ROUNDS):
        baselines.append(_declare(BASELINE, "await"))
        awaited.append(_declare(RECORDS, "await"))
        forgotten.append(_declare(RECORDS, "no-await"))
    base = median([one["peak_bytes"] for one in baselines])
    bound = awaited[0]["bound_bytes"]
    report.say(f"baseline, {BASELINE:,} records awaited: peak {base / _MIB:.0f} MiB")
    for name, runs in (("awaited", awaited), ("not awaited", forgotten)):
        peak, seconds = median([one["peak_bytes"] for one in runs]), median([one["seconds"] for one in runs])
        report.say(
            f"{RECORDS:,} records {name}: peak {peak / _MIB:.0f} MiB, {(peak - base) / _MIB:.0f} MiB over the "
            f"baseline; {seconds:.1f} s; {runs[0]['declared']:,} taken; ended: {runs[0]['ended']}"
        )
    report.say(f"what it said: {forgotten[0]['message']}")
    # The worst of the runs: a bound that holds in the median is none.
    worst = max(one["peak_bytes"] for one in awaited) - base
    report.check(worst <= bound, f"awaited: at most {bound / _MIB:.0f} MiB over the baseline")
    report.check(
        all(one["ended"] == "complete" and one["declared"] == RECORDS for one in awaited), "awaited: all are taken"
    )
    report.check(
        all(one["ended"] == "BackpressureError" for one in forgotten), "not awaited: ends in BackpressureError"
    )
    report.check(all("await" in one["message"] for one in forgotten), "not awaited: the error names await")
    report.check(
        all(one["peak_bytes_at_start"] < one["peak_bytes"] for one in baselines),
        "the baseline is the run's own, not that of the process that started it",
    )
    report.save({"records": RECORDS, "baseline": baselines, "awaited": awaited, "not_awaited": forgotten})
    return report


def _declare(count: int, how: str) -> dict[str, Any]:
    return run([sys.executable, "-m", "benchmarks.runners.declare", str(count), how])
