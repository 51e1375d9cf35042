"""One crawl, by this project and by what its users would pick instead, side by side, against one server.

``python -m benchmarks.crawl --help`` tells how to measure some of it at other sizes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from benchmarks.ceiling import requests_per_second
from benchmarks.harness import ROOT, BenchmarkError, Report, conclude, lines, median, peer_python, process, run
from benchmarks.runners.source import records_of, requests_for

PEERS: Final = ROOT / "benchmarks" / "peers"
SIZES: Final = (1_000, 5_000)
LATENCIES: Final = (0, 20, 100)
CONCURRENCY: Final = 100
SWEEP: Final = (200, 400, 800)
CEILING: Final = 2.0
"""The server answers so many times as fast as the fastest crawl asks."""


@dataclass(frozen=True)
class Row:
    """One way to crawl."""

    key: str
    """Names it in goals, in results and on the command line."""
    title: str
    folder: str | None
    """Its folder in ``benchmarks/peers``; None: this project."""
    environment: str | None = None
    """Whose Python runs it; None: the one that runs the benchmarks."""
    concurrency: int = CONCURRENCY
    """Requests at once; 0: found out by itself."""
    settings: tuple[str, ...] = ()
    rounds: int = 1
    sample: int | None = None
    """How many tables it crawls, where all would take too long: its time is scaled by the number of requests."""

    @property
    def at_once(self) -> str:
        return str(self.concurrency or "adaptive")


FLOOR: Final = Row("floor", "bare protocol, the floor", "floor")
TUNED: Final = Row("tuned", "aiohttp script, tuned", "tuned")
HANDWRITTEN: Final = Row("handwritten", "aiohttp script", "handwritten")
OURS: Final = Row("ours", "secoda_async", None)
COLD: Final = Row("cold", "secoda_async, cold", None, concurrency=0)
WARM: Final = Row("warm", "secoda_async, warm", None, concurrency=0)
OWN: Final = (FLOOR, TUNED, HANDWRITTEN, OURS, COLD, WARM)
FIXED: Final = tuple(replace(OURS, key=f"ours-{number}", concurrency=number) for number in SWEEP)
CRAWLEE: Final = Row("crawlee", "Crawlee", "crawlee", "crawlee")
SCRAPY: Final = Row("scrapy", "Scrapy", "scrapy", "scrapy")
DLT: Final = Row("dlt", "dlt", "dlt", "dlt")
SINGER: Final = Row("singer", "Singer SDK", "singer", "singer", concurrency=1)
RIVALS: Final = (CRAWLEE, SCRAPY, DLT, SINGER)
HTTPX: Final = Row("httpx", "httpx, gather", "httpx", "httpx")
HTTPX_10: Final = replace(HTTPX, key="httpx-10", concurrency=10)
SECODADK: Final = Row("secodadk", "secodadk, as shipped", "secodadk", "secodadk", concurrency=1, sample=20)
POOLED: Final = replace(SECODADK, key="pooled", title="secodadk, one client", settings=("pooled",), sample=None)
ROWS: Final = (*OWN, *FIXED, *RIVALS, HTTPX, HTTPX_10, SECODADK, POOLED)


@dataclass
class Cell:
    """One size at one latency: its rows, and what they took."""

    tables: int
    latency: int
    rows: Sequence[Row]
    runs: dict[str, list[float]] = field(default_factory=dict)
    """Seconds by row, those of a sample as they were."""

    def row(self, key: str) -> Row | None:
        return next((row for row in self.rows if row.key == key), None)

    def seconds(self, key: str) -> float:
        """The median; that of a sample scaled by the number of requests."""
        row = self.row(key)
        assert row is not None
        scale = requests_for(self.tables) / requests_for(row.sample or self.tables)
        return median(self.runs[key]) * scale

    def speed(self, key: str) -> float | None:
        """Requests a second; None where the row was not run."""
        return requests_for(self.tables) / self.seconds(key) if key in self.runs else None


def cells(*, full: bool) -> list[Cell]:
    """What is measured where. The slow ones run fewer rounds, or a sample, where all of it would take too long."""
    return [Cell(tables, latency, _rows(tables, latency, full=full)) for latency in LATENCIES for tables in SIZES]


def _rows(tables: int, latency: int, *, full: bool) -> list[Row]:
    largest = tables == max(SIZES)
    rows = [*OWN, *(FIXED if largest and latency == max(LATENCIES) else ())]
    rounds = 5 if full else (2 if latency == 100 else 3) if largest else 1
    rows = [replace(row, rounds=rounds) for row in rows]
    # One request after another: a tenth of a second each adds up, and scales.
    sample = 100 if full else 20
    sequential = [SINGER, POOLED] if latency == 0 else [replace(row, sample=sample) for row in (SINGER, POOLED)]
    slow = [CRAWLEE, SCRAPY, DLT, *sequential, SECODADK, HTTPX, *([HTTPX_10] if latency < 100 or not largest else [])]
    if full:
        return [*rows, *(replace(row, rounds=5) for row in slow)]
    if largest:
        # Ten at once is the better setting of httpx without latency.
        return [*rows, *(row for row in slow if row is not HTTPX and (row is not HTTPX_10 or latency == 0))]
    return [*rows, *([CRAWLEE, SCRAPY, DLT] if latency == 0 else [])]


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    return crawl(cells(full=full), Report("crawl"))


def crawl(measured: Sequence[Cell], report: Report) -> Report:
    """Measure these cells, print and save."""
    for name in {row.environment for cell in measured for row in cell.rows if row.environment}:
        peer_python(name)  # raises before the first minute is spent
    with process("benchmarks.runners.source") as source, tempfile.TemporaryDirectory() as folder:
        bench = _Bench(source["port"], Path(folder))
        ceiling = requests_per_second(source["port"], f"/0/{measured[0].tables}/tables/1")
        report.say(f"the server alone, without latency: {ceiling:,.0f} answers a second")
        for cell in measured:
            wrong = bench.measure(cell)
            _show(report, cell)
            but = f": not {', '.join(wrong)}" if wrong else ""
            report.check(not wrong, f"each wrote the same lines, every record once{but}")
    fastest = max(cell.speed(key) or 0 for cell in measured for key in cell.runs)
    report.check(
        ceiling >= CEILING * fastest, f"the server answers {CEILING:g} times as fast as the fastest of them asks"
    )
    _goals(report, measured)
    for tables in sorted({cell.tables for cell in measured}):
        chosen = [cell for cell in measured if cell.tables == tables]
        report.plot(f"{tables}-tables", lambda axes, chosen=chosen: _bars(axes, chosen), inches=(9, 10))
    report.save(
        {"server_answers_per_second": ceiling, "cells": [_figures(cell) for cell in measured]}, **bench.packages
    )
    return report


class _Bench:
    """Runs rows against one server, each in a process of its own, and compares what they write."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder
        self._expected: dict[int, Counter[bytes]] = {}
        self._number = 0
        self.packages: dict[str, str] = {}

    def measure(self, cell: Cell) -> list[str]:
        """Run the rows of a cell in turn, round after round. Returns which wrote anything else than all the rest."""
        cell.runs = {row.key: [] for row in cell.rows}
        wrong: set[str] = set()
        # Nobody's time: it has the server build its answers, and finds what the warm runs begin with.
        self._run(replace(FLOOR, concurrency=1000), cell.tables, cell.latency)
        state = self._new_folder()
        if cell.row(WARM.key):
            self._run(WARM, cell.tables, cell.latency, f"state={state}")
        for number in range(max(row.rounds for row in cell.rows)):
            turn = number % len(cell.rows)  # nobody is always the first, or always behind the same
            for row in (*cell.rows[turn:], *cell.rows[:turn]):
                if number >= row.rounds:
                    continue
                tables = row.sample or cell.tables
                settings = (f"state={state}",) if row.key == WARM.key else ()
                seconds, folder = self._run(row, tables, cell.latency, *settings)
                cell.runs[row.key].append(seconds)
                if not self._is_right(folder, tables, thoroughly=number == 0):
                    wrong.add(row.key)
        return sorted(wrong)

    def _run(self, row: Row, tables: int, latency: int, *settings: str) -> tuple[float, Path]:
        folder = self._new_folder()
        arguments = [
            f"http://127.0.0.1:{self._port}/{latency}/{tables}",
            str(row.concurrency),
            folder,
            *row.settings,
            *settings,
        ]
        if row.folder is None:
            result = run([sys.executable, "-m", "benchmarks.runners.ours", *arguments])
        else:
            python = peer_python(row.environment) if row.environment else sys.executable
            result = run([python, PEERS / row.folder / "crawl.py", *arguments], path=PEERS / "shared")
        self.packages |= {f"{name} ({row.key})": version for name, version in result["packages"].items()}
        return float(result["seconds"]), folder

    def _is_right(self, folder: Path, tables: int, *, thoroughly: bool) -> bool:
        """Whether it wrote what all must write; by the number of lines alone where it was compared before."""
        if not thoroughly:
            written = sum((folder / f"{name}.jsonl").read_bytes().count(b"\n") for name in ("resources", "lineage"))
            return written == records_of(tables)
        if tables not in self._expected:
            self._expected[tables] = lines(self._run(FLOOR, tables, 0)[1])
        expected = self._expected[tables]
        whole = expected.total() == len(expected) == records_of(tables)
        return whole and lines(folder) == expected

    def _new_folder(self) -> Path:
        self._number += 1
        return self._folder / str(self._number)


def _show(report: Report, cell: Cell) -> None:
    report.say("")
    report.say(
        f"{cell.tables:,} tables, {requests_for(cell.tables):,} requests, {cell.latency} ms of latency; "
        "medians of interleaved runs"
    )
    hand = cell.speed(HANDWRITTEN.key)
    rows = []
    for row in sorted(cell.rows, key=lambda row: cell.seconds(row.key)):
        speed = cell.speed(row.key)
        assert speed is not None
        least, most = min(cell.runs[row.key]), max(cell.runs[row.key])
        rows.append(
            (
                row.title,
                row.at_once,
                f"{cell.seconds(row.key):,.2f}",
                f"{speed:,.0f}",
                f"{speed / hand:.2f}" if hand else "",
                f"{least:.2f} to {most:.2f}, {len(cell.runs[row.key])}",
                f"scaled from {requests_for(row.sample)} requests" if row.sample else "",
            )
        )
    report.table(("runner", "at once", "seconds", "requests/s", "x script", "measured, runs", ""), rows)


def _goals(report: Report, measured: Sequence[Cell]) -> None:
    """The goals, each where the rows that it needs were run."""
    largest = max(cell.tables for cell in measured)
    for cell in measured:
        if cell.tables != largest:
            continue
        if cell.latency == 0:
            _goal(report, cell, OURS, 1.3, HANDWRITTEN)
            _goal(report, cell, OURS, 1.0, TUNED)
            _goal(report, cell, COLD, 1.2, HANDWRITTEN)
            _goal(report, cell, COLD, 0.95, TUNED)
        if cell.latency == 100:
            _goal(report, cell, COLD, 3.4, HANDWRITTEN)
            _goal(report, cell, COLD, 0.75, OURS, *FIXED)
            _goal(report, cell, WARM, 0.95, OURS, *FIXED)
        ours = OURS if cell.latency == 0 else COLD
        _goal(report, cell, ours, 100, SECODADK)
        _goal(report, cell, ours, 3, *RIVALS)
        if cell.latency:
            _goal(report, cell, OURS, 0.90 if cell.latency < 100 else 0.95, FLOOR)


def _goal(report: Report, cell: Cell, ours: Row, at_least: float, *others: Row) -> None:
    """So many times the requests a second of the fastest of the others."""
    speeds = {row.key: speed for row in others if (speed := cell.speed(row.key)) is not None}
    speed = cell.speed(ours.key)
    if speed is None or not speeds:
        return
    best = max(speeds, key=speeds.__getitem__)
    other = cell.row(best)
    assert other is not None
    among = f", the best of {len(speeds)}" if len(speeds) > 1 else ""
    report.goal(
        f"{cell.latency} ms, {ours.title} ({ours.at_once}) / {other.title} ({other.at_once}){among}",
        speed / speeds[best],
        at_least=at_least,
    )


def _bars(axes: Axes, chosen: Sequence[Cell]) -> None:
    """Requests a second by runner and latency."""
    rows = {row.key: row for cell in chosen for row in cell.rows}
    fastest = {key: max(cell.speed(key) or 0 for cell in chosen) for key in rows}
    keys = sorted(rows, key=fastest.__getitem__)
    places = np.arange(len(keys))
    height = 0.8 / len(chosen)
    for number, cell in enumerate(chosen):
        speeds = [cell.speed(key) or np.nan for key in keys]
        offset = (len(chosen) - 1) / 2 - number
        bars = axes.barh(places + offset * height, speeds, height, label=f"{cell.latency} ms")
        axes.bar_label(bars, [f"{speed:,.0f}" if speed == speed else "" for speed in speeds], padding=2, fontsize=7)
    titles = [f"{rows[key].title} ({rows[key].at_once})" for key in keys]
    axes.set_yticks(places, titles)
    axes.set_xscale("log")
    axes.set_xlabel("requests a second, at a latency of")
    axes.set_title(f"{chosen[0].tables:,} tables of 20 columns")
    axes.legend(loc="lower right")
    axes.margins(x=0.1)


def _figures(cell: Cell) -> dict[str, Any]:
    return {
        "tables": cell.tables,
        "requests": requests_for(cell.tables),
        "latency_ms": cell.latency,
        "rows": {
            row.key: {
                "title": row.title,
                "at_once": row.at_once,
                "seconds": cell.seconds(row.key),
                "requests_per_second": cell.speed(row.key),
                "scaled_from_tables": row.sample,
                "runs": cell.runs[row.key],
            }
            for row in cell.rows
        },
    }


def _command() -> int:
    known = {row.key: row for row in ROWS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crawl", description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=SIZES, help="sizes (default: %(default)s)")
    parser.add_argument("--latency", type=int, nargs="+", default=LATENCIES, help="ms (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of each (default: %(default)s)")
    parser.add_argument(
        "--runners", nargs="+", choices=known, default=[row.key for row in OWN], help="which (default: %(default)s)"
    )
    given = parser.parse_args()
    rows = [replace(known[key], rounds=given.rounds) for key in given.runners]
    try:
        measured = [Cell(tables, latency, rows) for latency in given.latency for tables in given.tables]
        return conclude([crawl(measured, Report("crawl"))])
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(_command())
