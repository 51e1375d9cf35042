"""What the whole chain of layers costs a request over bare aiohttp, in processor time."""

from __future__ import annotations

import sys
from typing import Final

from benchmarks.harness import Report, median, process, run

REQUESTS: Final = 400
IN_FLIGHT: Final = 32
ROUNDS: Final = 40
FULL_ROUNDS: Final = 120
GOAL: Final = 1.05


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("chain")
    rounds = FULL_ROUNDS if full else ROUNDS
    report.say(
        f"{rounds} rounds of {REQUESTS} GETs each way, interleaved; {IN_FLIGHT} in flight; 4 KB of JSON, not parsed"
    )
    figures: dict[str, dict[str, float]] = {}
    with process("benchmarks.runners.source") as source:
        url = f"http://127.0.0.1:{source['port']}/0/1000"
        for name, suffix in (("plain", ""), ("gzip", "/gzip")):
            measured = run(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.runners.chained",
                    url,
                    suffix,
                    *map(str, (REQUESTS, IN_FLIGHT, rounds)),
                ]
            )
            cost = {way: median(taken) / REQUESTS * 1e6 for way, taken in measured["seconds"].items()}
            ratio = cost["chain"] / cost["aiohttp"]
            report.say(f"{name}: chain {cost['chain']:.1f} us, bare aiohttp {cost['aiohttp']:.1f} us a request")
            report.goal(f"{name}: processor time of the chain over bare aiohttp", ratio, at_most=GOAL)
            report.check(measured["equal"] and not measured["findings"], f"{name}: both read the same bytes")
            figures[name] = {**cost, "ratio": ratio}
    report.save({"requests": REQUESTS, "in_flight": IN_FLIGHT, "rounds": rounds, "microseconds": figures})
    return report
