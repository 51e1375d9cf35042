"""What a benchmark came to, for a person."""

from __future__ import annotations

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from secoda_async.bench.bottleneck import percent
from secoda_async.bench.plan import ADAPTIVE, Conditions, name_of
from secoda_async.bench.sweep import BenchReport, Plan, PointReport
from secoda_async.wording import counted

_BAR = 40  # characters of the longest
_PARTS = 5  # of the processor's time that are shown
_WORTH_TELLING = 0.005  # of the processor's time
_AS_FAST = 0.97  # of the fastest
_MOST = 0.5  # from which one thing is enough to say
_MIB = 2**20
_MINUTE = 60


def show_plan(plan: Plan, console: Console) -> None:
    """Print what is about to be measured."""
    recording = plan.recording
    console.print(
        Text(
            f"{plan.integration}: {counted(recording.requests, 'recorded answer')}, {_conditions(plan.conditions)}; "
            f"{counted(plan.rounds, 'round')} of concurrency {', '.join(map(name_of, plan.points))}"
            + (f"; takes {_time(plan.seconds)} at least" if plan.seconds >= 1 else "")
        ),
        soft_wrap=True,
    )
    for point, seconds in plan.left_out:
        name = name_of(point)
        console.print(
            Text(f"left out: concurrency {name}, {_time(seconds)} a run; --concurrency {name},… measures it"),
            soft_wrap=True,
        )


def show_bench(report: BenchReport, console: Console) -> None:
    """Print the figures, a plot of them, and what held each point up."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("at once", "req/s", "records/s", "seconds", "efficient", "peak", "retries", "CPU", "memory"):
        table.add_column(Text(name, style="dim"), justify="right", no_wrap=True)
    for point in report.points:
        style = "bold" if point.concurrency == report.best else ""
        table.add_row(*(Text(cell, style=style) for cell in _cells(point)))
    console.print(table)
    console.print()
    console.print(Text("requests a second", style="dim"))
    _show_bars(report, console)
    console.print()
    console.print(Text("what holds it up", style="dim"))
    lines = Table.grid(padding=(0, 2))
    lines.add_column(justify="right")
    for point in report.points:
        lines.add_row(Text(point.name), Text(_held_up_by(point)))
    console.print(lines)
    console.print()
    best = report.best_point
    _line(console, "best", _best(report))
    parts = [f"{name} {percent(share)}" for name, share in best.cpu.items() if share >= _WORTH_TELLING][:_PARTS]
    if parts:
        _line(console, "its CPU", ", ".join(parts))
    _line(console, "replay", _replay(report))
    if report.asked != report.recorded:
        _line(console, "asked for", f"{report.asked:,} of {counted(report.recorded, 'recorded answer')}")


def _cells(point: PointReport) -> tuple[str, ...]:
    figures = point.figures
    memory = figures.memory_bytes
    return (
        point.name,
        _rate(point.requests_per_second),
        _rate(point.records_per_second),
        f"{figures.seconds:,.2f}",
        "" if figures.efficiency is None else percent(figures.efficiency),
        f"{figures.peak_in_flight:,}",
        f"{sum(figures.retries.values()):,}",
        percent(figures.loop_busy),
        "" if memory is None else f"{memory / _MIB:,.1f} MiB",
    )


def _held_up_by(point: PointReport) -> str:
    first, *others = point.bottlenecks
    return first.text if first.share >= _MOST else "; ".join(one.text for one in (first, *others[:1]))


def _show_bars(report: BenchReport, console: Console) -> None:
    most = report.best_point.requests_per_second
    bars = Table.grid(padding=(0, 1))
    bars.add_column(justify="right")
    bars.add_column(width=_BAR)
    bars.add_column()
    for point in report.points:
        rate = point.requests_per_second
        bars.add_row(Text(point.name), Bar(most, 0, rate, width=_BAR), Text(_rate(rate)))
    console.print(bars)


def _best(report: BenchReport) -> str:
    best = report.best_point
    told = f"{_named(best)}, {_rate(best.requests_per_second)} requests/s"
    if best.figures.efficiency is not None:
        told += f", {percent(best.figures.efficiency)} of what its latency, slots and limits allow"
    enough = min(
        (
            point
            for point in report.points
            if point.concurrency is not None
            and (report.best is None or point.concurrency < report.best)
            and point.requests_per_second >= _AS_FAST * best.requests_per_second
        ),
        key=lambda point: point.concurrency or 0,
        default=None,
    )
    return told if enough is None else f"{told}; {_named(enough)} is as fast within 3 %"


def _named(point: PointReport) -> str:
    return ADAPTIVE if point.concurrency is None else f"{point.concurrency:,} at once"


def _replay(report: BenchReport) -> str:
    place = "from memory" if report.replay_in_memory else "in part from the file"
    return (
        f"{place}; it serves {report.replay_requests_per_second:,.0f} requests a second at most, "
        "and costs less CPU than a network"
    )


def _line(console: Console, name: str, value: str) -> None:
    console.print(Text.assemble((f"{name}: ", "dim"), value), soft_wrap=True)


def _conditions(conditions: Conditions) -> str:
    told = ["latency as recorded" if conditions.latency is None else f"latency {_milliseconds(conditions.latency)}"]
    if conditions.jitter:
        told.append(f"jitter {percent(conditions.jitter)}")
    if conditions.error_rate:
        told.append(f"errors {percent(conditions.error_rate)}")
    return ", ".join(told)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 2 * _MINUTE else f"{seconds / _MINUTE:,.0f} min"


def _rate(rate: float) -> str:
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"
