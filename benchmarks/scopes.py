"""How much memory scopes take: many of them, many of them open at once, and one with a million records."""

from __future__ import annotations

import sys
from typing import Any, Final

from benchmarks.harness import Report, median, run
from secoda_async.pipeline.intake import SCOPE_BYTES, SCOPES_BYTES

ROUNDS: Final = 1
FULL_ROUNDS: Final = 3
OPEN: Final = 1_000
SHAPES: Final = {"small": (100_000, 10), "full": (4_000, 250)}
"""Scopes, and records in each: of less than is gathered for one scope, and of more."""
NAME_BYTES: Final = 200
"""What a scope that has ended may take: its name, in a set."""
_MIB: Final = 2**20


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("scopes")
    rounds = FULL_ROUNDS if full else ROUNDS
    base = median([_declare(10, 1, 1_000)["peak_bytes"] for _ in range(rounds)])
    report.say(f"baseline, 10 scopes: peak {base / _MIB:.0f} MiB")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, (scopes, records) in SHAPES.items():
        runs = found[name] = [_declare(scopes, OPEN, records) for _ in range(rounds)]
        peak, seconds = median([one["peak_bytes"] for one in runs]), median([one["seconds"] for one in runs])
        report.say(
            f"{scopes:,} scopes of {records} records, {OPEN:,} open at once, and one of {scopes * records:,}: peak "
            f"{peak / _MIB:.0f} MiB, {(peak - base) / _MIB:.0f} MiB over the baseline; {seconds:.1f} s; at most "
            f"{max(one['undelivered_peak_bytes'] for one in runs) / _MIB:.0f} MiB declared and not written"
        )
        # Twice: the allocator keeps room for buffers that were grown and given away.
        bound = 2 * min(OPEN * SCOPE_BYTES, SCOPES_BYTES) + scopes * NAME_BYTES
        worst = max(one["peak_bytes"] for one in runs) - base
        report.check(worst <= bound, f"{name}: at most {bound / _MIB:.0f} MiB over the baseline")
        report.check(all(one["declared"] == 2 * scopes * records for one in runs), f"{name}: every record was taken")
        report.check(all(one["scopes"] == {"live": scopes + 1} for one in runs), f"{name}: every scope ended well")
        report.check(all(one["most_open"] == OPEN for one in runs), f"{name}: {OPEN:,} were open at once")
    report.save({"baseline_bytes": base, **found})
    return report


def _declare(scopes: int, open_at_once: int, records: int) -> dict[str, Any]:
    arguments = [str(scopes), str(open_at_once), str(records)]
    return run([sys.executable, "-m", "benchmarks.runners.scoped", *arguments])
