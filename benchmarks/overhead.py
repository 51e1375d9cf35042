"""What limits, retries, counters and the spool cost: a crawl without latency, beside a hand-written aiohttp script."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.harness import Report, lines, median, process, run, spread

TABLES: Final = 3_000
CONCURRENCY: Final = 100
ROUNDS: Final = 3
FULL_ROUNDS: Final = 5
LEAST: Final = 1.0
"""At least as fast as the script, with everything that the script leaves out."""


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("overhead")
    seconds: dict[str, list[float]] = {"ours": [], "handwritten": []}
    with process("benchmarks.runners.source") as source, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"http://127.0.0.1:{source['port']}/0"
        for number in range(FULL_ROUNDS if full else ROUNDS):
            for runner, taken in seconds.items():
                into = folder / f"{runner}-{number}"
                command = [
                    sys.executable,
                    "-m",
                    f"benchmarks.runners.{runner}",
                    url,
                    str(TABLES),
                    str(CONCURRENCY),
                    into,
                ]
                taken.append(float(run(command)["seconds"]))
        equal = lines(folder / "ours-0") == lines(folder / "handwritten-0")
    ratio = median(seconds["handwritten"]) / median(seconds["ours"])
    report.say(f"{TABLES + 1:,} requests without latency, {CONCURRENCY} at a time; seconds, interleaved")
    for runner, taken in seconds.items():
        report.say(f"{runner}: {median(taken):.2f}, the median of {spread(taken)}")
    report.say(f"requests a second, ours over the hand-written aiohttp and uvloop script: {ratio:.2f}")
    report.check(ratio >= LEAST, f"at least {LEAST:g} x the script, limits, retries, counters and spool on")
    report.check(equal, "both wrote the same lines")
    report.save({"tables": TABLES, "concurrency": CONCURRENCY, "seconds": seconds, "ratio": ratio})
    return report
