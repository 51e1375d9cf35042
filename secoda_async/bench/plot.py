"""Requests a second over concurrency, as a drawing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from secoda_async.bench.sweep import BenchReport
from secoda_async.errors import ConfigurationError, OutputError
from secoda_async.wording import counted

_FAST: Final = "#1f6feb"
_NEAR: Final = "#8250df"


def require_plots(path: Path) -> None:
    """Raises ConfigurationError where no plot can be drawn: before an hour of runs, not after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError("--plot needs matplotlib: pip install 'secoda-async[bench]'")
    if path.suffix not in {".svg", ".png", ".pdf"}:
        raise ConfigurationError(f"--plot {path}: end its name in .svg, .png or .pdf")


def plot(report: BenchReport, path: Path) -> None:
    """Draw requests a second and efficiency over concurrency. Raises OutputError where it cannot be written."""
    from matplotlib.figure import Figure  # noqa: PLC0415 # an extra, and slow to import

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    near = axes.twinx()
    fixed = [point for point in report.points if point.concurrency is not None]
    fixed.sort(key=lambda point: point.concurrency or 0)
    if fixed:
        numbers = [point.concurrency or 0 for point in fixed]
        axes.plot(numbers, [one.requests_per_second for one in fixed], "o-", color=_FAST, label="requests a second")
        near.plot(
            numbers, [100 * (one.figures.efficiency or 0) for one in fixed], "s:", color=_NEAR, label="efficiency"
        )
        axes.set_xscale("log")
        axes.set_xticks(numbers, [f"{number:,}" for number in numbers], minor=False)
        axes.set_xticks([], minor=True)
    else:
        axes.set_xticks([])
    for point in report.points:
        if point.concurrency is None:
            label = f"adaptive (peak of {point.figures.peak_in_flight:,})"
            axes.axhline(point.requests_per_second, color=_FAST, linestyle="--", label=label)
    axes.set_title(f"{report.integration}: {report.asked:,} requests, median of {counted(report.rounds, 'round')}")
    axes.set_xlabel("requests in flight at once")
    axes.set_ylabel("requests a second")
    axes.set_ylim(bottom=0)
    near.set_ylabel("efficiency, %")
    near.set_ylim(0, 105)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    try:
        figure.savefig(path)
    except OSError as exc:
        raise OutputError(f"the plot {path} cannot be written: {exc.strerror or exc}") from exc
