"""What the whole chain of layers costs a request over bare aiohttp, in processor time."""

from __future__ import annotations

import sys
from typing import Final

from benchmarks.harness import Report, median, process, run

REQUESTS: Final = 400
IN_FLIGHT: Final = 32
ROUNDS: Final = 40
GOAL: Final = 1.05


def main() -> Report:
    """Measure, print and save."""
    report = Report("chain")
    report.say(
        f"{ROUNDS} rounds of {REQUESTS} GETs each way, interleaved; {IN_FLIGHT} in flight; 4 KB of JSON, not parsed"
    )
    figures: dict[str, dict[str, float]] = {}
    with process("benchmarks.runners.source") as source:
        url = f"http://127.0.0.1:{source['port']}/0"
        for name, suffix in (("plain", ""), ("gzip", "/gzip")):
            measured = run(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.runners.chained",
                    url,
                    suffix,
                    *map(str, (REQUESTS, IN_FLIGHT, ROUNDS)),
                ]
            )
            cost = {way: median(taken) / REQUESTS * 1e6 for way, taken in measured["seconds"].items()}
            ratio = cost["chain"] / cost["aiohttp"]
            report.say(
                f"{name}: chain {cost['chain']:.1f} us, bare aiohttp {cost['aiohttp']:.1f} us a request; "
                f"{ratio:.2f} times (goal: {GOAL:g}, which is {'met' if ratio <= GOAL else 'NOT met'})"
            )
            report.check(measured["equal"] and not measured["findings"], f"{name}: both read the same bytes")
            figures[name] = {**cost, "ratio": ratio}
    report.save({"requests": REQUESTS, "in_flight": IN_FLIGHT, "rounds": ROUNDS, "microseconds": figures})
    return report
