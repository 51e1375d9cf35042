"""How many requests a second a crawl makes with 1 to 1,000 at once, where that bends, and why."""

from __future__ import annotations

import math
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes

from benchmarks.ceiling import requests_per_second
from benchmarks.harness import Report, median, process, run
from benchmarks.runners.source import records_of, requests_for, trips_for

LATENCY_MS: Final = 100
KEPT_UP: Final = 0.8
"""So many times as many at once bring at least so much of that in requests a second, until it bends."""
BUSY: Final = 0.8
"""Of the time the event loop's thread works: above it, that is what decides."""
ADAPTIVE: Final = 0


class Size(NamedTuple):
    """How much is measured."""

    at_once: tuple[int, ...]
    """Rising."""
    turns: int
    """Requests of each slot, one after the other."""
    most_tables: int
    """Of one crawl, and of the adaptive one."""
    rounds: int


QUICK: Final = Size((1, 3, 10, 30, 100, 300, 1000), turns=20, most_tables=10_000, rounds=2)
FULL: Final = Size((1, 3, 10, 30, 100, 300, 1000), turns=30, most_tables=30_000, rounds=5)


class Point(NamedTuple):
    """Medians of the crawls with so many at once."""

    at_once: int
    tables: int
    a_second: float
    """Requests a second."""
    allowed: float
    """Requests a second, if nothing took time but the latency."""
    busy: float
    """Share of the time in which the event loop's thread worked."""
    loop_us: float
    """Processor time of that thread, in microseconds a request."""

    @property
    def kept_up(self) -> float:
        return self.a_second / self.allowed


def main(*, full: bool, size: Size | None = None) -> Report:
    """Measure, print and save."""
    size = size or (FULL if full else QUICK)
    report = Report("scaling")
    tables = {at_once: min(size.most_tables, size.turns * at_once) for at_once in size.at_once}
    tables[ADAPTIVE] = size.most_tables
    crawls: dict[int, list[dict[str, Any]]] = {at_once: [] for at_once in tables}
    with process("benchmarks.runners.source") as source, tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{source['port']}/{LATENCY_MS}"
        ceiling = requests_per_second(source["port"], "/0/1000/tables/1")
        for number in range(size.rounds):
            for at_once, runs in crawls.items():
                runs.append(_crawl(url, tables[at_once], at_once, Path(folder, f"{at_once}-{number}")))
    points = [_point(at_once, tables[at_once], crawls[at_once]) for at_once in size.at_once]
    adaptive = _point(ADAPTIVE, tables[ADAPTIVE], crawls[ADAPTIVE])
    found = [one["slots"] for one in crawls[ADAPTIVE]]
    report.say(
        f"a list, pages, then a request a table, {LATENCY_MS} ms each; medians of {size.rounds} interleaved "
        f"rounds; the server alone, without latency: {ceiling:,.0f} answers a second"
    )
    report.table(
        ("at once", "tables", "requests a second", "of what latency allows", "loop busy", "us of the loop a request"),
        [
            *((f"{one.at_once:,}", *_cells(one), *_loop(one)) for one in points),
            (f"adaptive (found {min(found):,.0f} to {max(found):,.0f})", *_cells(adaptive)[:2], "", *_loop(adaptive)),
        ],
    )
    for line in explain(points, ceiling):
        report.say(line)
    every = [(tables[at_once], one) for at_once, runs in crawls.items() for one in runs]
    report.check(
        all(one["requests"] == one["attempts"] == requests_for(count) for count, one in every),
        "each request was made once",
    )
    report.check(all(one["records"] == records_of(count) for count, one in every), "every record was declared")
    report.plot("throughput", lambda axes: _draw(axes, points, adaptive))
    report.save(
        {
            "size": size._asdict(),
            "latency_ms": LATENCY_MS,
            "server_answers_per_second": ceiling,
            "points": [one._asdict() for one in points],
            "adaptive": adaptive._asdict(),
            "crawls": {str(at_once): runs for at_once, runs in crawls.items()},
        }
    )
    return report


def explain(points: list[Point], ceiling: float) -> list[str]:
    """Where the throughput bends, and why, in words: of points with rising numbers at once."""
    gains = [(b.a_second / a.a_second, b.at_once / a.at_once) for a, b in pairwise(points)]
    straight = next((n for n, (gain, more) in enumerate(gains) if gain < KEPT_UP * more), len(gains))
    last, best = points[straight], max(points, key=lambda one: one.a_second)
    said = []
    if straight:
        least = min(gain / more for gain, more in gains[:straight])
        said.append(
            f"up to {last.at_once:,} at once the latency decides: n times as many at once bring at least {least:.2f} n "
            f"times the requests a second; there the event loop's thread is busy for {last.busy:.0%} of the time"
        )
    if straight == len(gains):
        return [*said, "it does not bend"]
    gain, more = gains[straight]
    said.append(
        f"it bends between {last.at_once:,} and {points[straight + 1].at_once:,} at once: {more:.1f} times as many "
        f"bring {gain:.2f} times the requests a second"
    )
    most = 1e6 / best.loop_us
    if best.busy >= BUSY:
        said.append(
            f"the event loop's thread decides there: {best.busy:.0%} busy at {best.at_once:,} at once. A request takes "
            f"{best.loop_us:.0f} us of it, so it has no time left from {most * LATENCY_MS / 1000:,.0f} at once on, and "
            f"makes {most:,.0f} requests a second at most; {best.a_second:,.0f} were seen"
        )
    else:
        said.append(
            f"the event loop's thread does not explain it: {best.busy:.0%} busy at {best.at_once:,} at once, at most "
            f"{most:,.0f} requests a second; the server takes {ceiling:,.0f}"
        )
    return said


def _crawl(url: str, tables: int, at_once: int, folder: Path) -> dict[str, Any]:
    return run([sys.executable, "-m", "benchmarks.runners.scaled", f"{url}/{tables}", str(at_once), folder])


def _point(at_once: int, tables: int, runs: list[dict[str, Any]]) -> Point:
    seconds = median([one["seconds"] for one in runs])
    requests = requests_for(tables)
    # The list comes first, and nothing is deeper than the pages of one database; the rest fills the slots.
    turns = math.ceil((requests - 1) / (at_once or requests))
    least = max(1 + turns, trips_for(tables)) * LATENCY_MS / 1000
    return Point(
        at_once=at_once,
        tables=tables,
        a_second=requests / seconds,
        allowed=requests / least,
        busy=median([one["efficiency"]["loop_busy_seconds"] / one["efficiency"]["seconds"] for one in runs]),
        loop_us=median([one["efficiency"]["loop_busy_seconds"] for one in runs]) / requests * 1e6,
    )


def _cells(one: Point) -> tuple[str, ...]:
    return f"{one.tables:,}", f"{one.a_second:,.0f}", f"{one.kept_up:.0%}"


def _loop(one: Point) -> tuple[str, ...]:
    return f"{one.busy:.0%}", f"{one.loop_us:.0f}"


def _draw(axes: Axes, points: list[Point], adaptive: Point) -> None:
    at_once = [one.at_once for one in points]
    axes.plot(at_once, [one.allowed for one in points], linestyle=":", color="grey", label="what the latency allows")
    axes.plot(at_once, [one.a_second for one in points], marker="o", label="fixed number at once")
    axes.axhline(adaptive.a_second, linestyle="--", color="tab:orange", label="adaptive, cold")
    axes.set(xscale="log", yscale="log", xlabel="requests at once", ylabel="requests a second")
    axes.set_title(f"A crawl at {LATENCY_MS} ms of latency")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend()
