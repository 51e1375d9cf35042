"""What a journal costs: a crawl with one, beside the same crawl without."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.harness import Report, lines, median, process, run, spread
from benchmarks.runners.source import requests_for

TABLES: Final = 3_000
REQUESTS: Final = requests_for(TABLES)
CONCURRENCY: Final = 100
ROUNDS: Final = 3
FULL_ROUNDS: Final = 5
MOST: Final = 1.6
"""At most so many times the wall clock of a crawl against a source that takes no time."""


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("journal")
    ways: dict[str, list[str]] = {"without": [], "with": ["resumable"]}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    with process("benchmarks.runners.source") as source, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"http://127.0.0.1:{source['port']}/0/{TABLES}"
        for number in range(FULL_ROUNDS if full else ROUNDS):
            for way, settings in ways.items():
                command = [sys.executable, "-m", "benchmarks.runners.ours", url, str(CONCURRENCY)]
                measured = run([*command, folder / f"{way}-{number}", *settings])
                seconds[way].append(float(measured["seconds"]))
                cpu[way].append(float(measured["cpu"]))
        equal = lines(folder / "with-0") == lines(folder / "without-0")
        [journal] = (folder / "with-0" / "state" / "runs").glob("*/journal")
        size = journal.stat().st_size
    report.say(f"{REQUESTS:,} requests without latency, {CONCURRENCY} at a time; seconds, interleaved")
    figures: dict[str, float] = {}
    for what, taken in (("wall clock", seconds), ("processor", cpu)):
        for way, values in taken.items():
            report.say(f"{what}, {way}: {median(values):.2f}, the median of {spread(values)}")
        more = (median(taken["with"]) - median(taken["without"])) / REQUESTS * 1e6
        figures[what] = median(taken["with"]) / median(taken["without"])
        report.say(f"{what}: {figures[what]:.2f} times that without a journal, {more:.0f} us more a request")
    report.say(f"the journal: {size / REQUESTS:.0f} bytes a request")
    report.check(figures["wall clock"] <= MOST, f"at most {MOST:g} x the wall clock without a journal")
    report.check(equal, "both wrote the same lines")
    report.save({"tables": TABLES, "concurrency": CONCURRENCY, "seconds": seconds, "cpu": cpu, "ratios": figures})
    return report
