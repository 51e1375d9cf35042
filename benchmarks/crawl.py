"""How near a crawl of 1,000 tables comes to the least time that its latency allows, with secodadk beside it."""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.ceiling import requests_per_second
from benchmarks.harness import ROOT, Report, lines, median, peer_python, process, run, spread

TABLES: Final = 1_000
SAMPLE: Final = 20
CONCURRENCY: Final = 100
LATENCY_MS: Final = 100
ROUNDS: Final = 3
FULL_ROUNDS: Final = 5
MOST: Final = 2.0
"""The ratio to the least time stays under this."""
_PEER: Final = ROOT / "benchmarks" / "runners" / "peer.py"


def least_seconds(tables: int, concurrency: int, latency_ms: int) -> float:
    """One round for the list, which every other request needs, then as many rounds as the slots make of the rest."""
    return (1 + math.ceil(tables / concurrency)) * latency_ms / 1000


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("crawl")
    secodadk_python = peer_python("secodadk")
    ours, peers = [], []
    versions: dict[str, str] = {}
    with process("benchmarks.runners.source") as source, tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{source['port']}/{LATENCY_MS}"
        ceiling = requests_per_second(source["port"], "/0/tables/1")
        for number in range(FULL_ROUNDS if full else ROUNDS):
            ours.append(_ours(url, TABLES, Path(folder, f"ours-{number}")))
            peer = _peer(secodadk_python, url, SAMPLE, Path(folder, f"peer-{number}"))
            peers.append(peer["seconds"])
            versions = peer["packages"]
        _ours(url, SAMPLE, Path(folder, "sample"))
        mine, theirs = lines(Path(folder, "sample")), lines(Path(folder, "peer-0"))
        whole = lines(Path(folder, "ours-0"))

    least = least_seconds(TABLES, CONCURRENCY, LATENCY_MS)
    requests = 1 + TABLES
    took = median(ours)
    scaled = median(peers) * requests / (1 + SAMPLE)
    report.say(f"{TABLES} tables of 20 columns, {requests} requests of {LATENCY_MS} ms, {CONCURRENCY} at a time")
    report.say(f"the server alone, without latency: {ceiling:,.0f} answers a second")
    report.say(f"least time: (1 + ceil({TABLES} / {CONCURRENCY})) rounds x {LATENCY_MS} ms = {least:.2f} s")
    report.say(f"secoda_async: {took:.2f} s, the median of {spread(ours)}; {took / least:.2f} x the least time")
    report.say(f"secodadk, {SAMPLE} tables: {median(peers):.2f} s, the median of {spread(peers)}")
    report.say(f"secodadk, scaled by requests to {TABLES} tables, not run: {scaled:.0f} s; {scaled / took:.0f} x ours")
    report.check(took / least < MOST, f"less than {MOST:g} x the least time")
    report.check(ceiling * least > 5 * requests, "the server could answer five times as fast as the least time needs")
    report.check(mine == theirs and mine.total() == SAMPLE * 22 - 1, "the sample's lines equal those of secodadk")
    report.check(whole.total() == TABLES * 22 - 1 and max(whole.values()) == 1, "every record of the crawl, each once")
    report.save(
        {
            "tables": TABLES,
            "requests": requests,
            "concurrency": CONCURRENCY,
            "latency_ms": LATENCY_MS,
            "least_seconds": least,
            "seconds": took,
            "all_seconds": ours,
            "ratio": took / least,
            "server_answers_per_second": ceiling,
            "secodadk_sample_tables": SAMPLE,
            "secodadk_sample_seconds": median(peers),
            "secodadk_all_sample_seconds": peers,
            "secodadk_scaled_seconds": scaled,
        },
        **versions,
    )
    return report


def _ours(url: str, tables: int, folder: Path) -> float:
    result = run([sys.executable, "-m", "benchmarks.runners.ours", url, str(tables), str(CONCURRENCY), folder])
    return float(result["seconds"])


def _peer(python: Path, url: str, tables: int, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    return run([python, _PEER, url, str(tables), folder])
