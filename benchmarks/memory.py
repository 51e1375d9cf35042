"""How much memory it takes to declare 10 thousand to 10 million records in a loop, with and without ``await``."""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes

from benchmarks.harness import Report, median, run

FLAT: Final = 20.0
"""MB that the most records may take over 100 thousand."""
_MB: Final = 1e6
_MIB: Final = 2**20
_PATIENCE: Final = 600.0


class Size(NamedTuple):
    """How much is measured."""

    counts: tuple[int, ...]
    """Of records, rising: the first is the baseline of the bound, the second that of flatness."""
    not_awaited: int
    rounds: int


QUICK: Final = Size((10_000, 100_000, 1_000_000), not_awaited=1_000_000, rounds=2)
FULL: Final = Size((10_000, 100_000, 1_000_000, 10_000_000), not_awaited=1_000_000, rounds=3)


def main(*, full: bool, size: Size | None = None) -> Report:
    """Measure, print and save."""
    size = size or (FULL if full else QUICK)
    report = Report("memory")
    awaited: dict[int, list[dict[str, Any]]] = {count: [] for count in size.counts}
    forgotten = []
    for _ in range(size.rounds):
        for count, runs in awaited.items():
            runs.append(_declare(count, "await"))
        forgotten.append(_declare(size.not_awaited, "no-await"))
    report.table(
        ("records", "peak MB", "the worst", "seconds", "ended"),
        [
            *(_row(f"{count:,} awaited", runs) for count, runs in awaited.items()),
            _row(f"{size.not_awaited:,} not awaited", forgotten),
        ],
    )
    report.say(f"what it said: {forgotten[0]['message']}")
    first, second, *_, last = size.counts
    # The worst of the runs: a bound that holds in the median is none.
    worst = max(_peaks(awaited[last]))
    report.goal(
        f"{last:,} records over {second:,}", (worst - median(_peaks(awaited[second]))) / _MB, at_most=FLAT, unit="MB"
    )
    bound = awaited[last][0]["bound_bytes"]
    over = worst - median(_peaks(awaited[first]))
    report.check(over <= bound, f"awaited: at most {bound / _MIB:.0f} MiB over {first:,} records")
    report.check(
        all(one["ended"] == "complete" and one["declared"] == count for count in awaited for one in awaited[count]),
        "awaited: all are taken",
    )
    report.check(
        all(one["ended"] == "BackpressureError" for one in forgotten), "not awaited: ends in BackpressureError"
    )
    report.check(all("await" in one["message"] for one in forgotten), "not awaited: the error names await")
    report.check(
        all(one["peak_bytes_at_start"] < one["peak_bytes"] for one in awaited[first]),
        "the baseline is the run's own, not that of the process that started it",
    )

    def draw(axes: Axes) -> None:
        axes.plot(size.counts, [median(_peaks(runs)) / _MB for runs in awaited.values()], marker="o")
        axes.set(xscale="log", xlabel="records declared", ylabel="peak of resident memory, MB", ylim=(0, None))
        axes.set_title("Memory over the number of records")
        axes.grid(visible=True, alpha=0.3)

    report.plot("records", draw)
    report.save({"size": size._asdict(), "awaited": {str(n): r for n, r in awaited.items()}, "not_awaited": forgotten})
    return report


def _row(name: str, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    peaks = _peaks(runs)
    seconds = median([one["seconds"] for one in runs])
    return name, f"{median(peaks) / _MB:.0f}", f"{max(peaks) / _MB:.0f}", f"{seconds:.1f}", runs[0]["ended"]


def _peaks(runs: list[dict[str, Any]]) -> list[int]:
    return [one["peak_bytes"] for one in runs]


def _declare(count: int, how: str) -> dict[str, Any]:
    return run([sys.executable, "-m", "benchmarks.runners.declare", str(count), how], patience=_PATIENCE)
