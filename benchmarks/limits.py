"""How close to a limit a crawl comes, declared or hidden, and how seldom it is refused; what the server saw counts."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.harness import Report, median, process, run, spread

Minutes = Sequence[tuple[float, int]]

ROUNDS: Final = 1
FULL_ROUNDS: Final = 3
WORKERS: Final = 200
DECLARED: Final = {50: 501, 1000: 10_001}
"""Requests to send at each rate: ten full windows and one."""
LEAST_SHARE: Final = 0.98
WARM_SECONDS, WARM_REQUESTS = 10.0, 1000
HIDDEN: Final = {
    # Kind: what it takes a second, and for how many requests it is asked.
    "sliding-20-50": (20.0, 1600),
    "sliding-200-50": (200.0, 5000),
    "few-16-50": (16 / 0.05, 8000),
}
FOUND_SHARE, MOST_REFUSED, MOST_REFUSED_WARM = 0.95, 0.005, 0.05
FREE: Final = ("free-100", 5000)
POOL: Final = ("pool-15-50", 1000)
FIXED: Final = 100


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("limits")
    rounds = FULL_ROUNDS if full else ROUNDS
    with (
        process("benchmarks.runners.limited") as server,
        process("benchmarks.runners.limited") as other,
        tempfile.TemporaryDirectory() as name,
    ):
        ask = _Asker(f"http://127.0.0.1:{server['port']}", Path(name))
        figures = {
            "declared": _declared(report, ask, rounds),
            "hidden": _hidden(report, ask),
            "without a limit": _unlimited(report, ask, rounds),
            "beside": _beside(report, ask, f"127.0.0.1:{other['port']}", rounds),
        }
    report.save(figures)
    return report


class _Asker:
    """Runs one measurement in a process of its own, under a name of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._number = 0

    def __call__(self, *kinds: str, requests: int, state: str | None = None, **plan: Any) -> dict[str, Any]:
        """A kind is one of the server's, or the URL of another server's."""
        self._number += 1
        urls = [
            f"{kind if '://' in kind else f'{self._url}/{kind}'}/{number}.{self._number}"
            for number, kind in enumerate(kinds)
        ]
        whole = {
            "urls": urls,
            "requests": requests,
            "workers": None,
            "concurrency": None,
            "rate_limits": {},
            "state_dir": str(self._folder / (state or f"state-{self._number}")),
            **plan,
        }
        return run([sys.executable, "-m", "benchmarks.runners.asker", orjson.dumps(whole).decode()])


def _refused(minutes: Minutes) -> float:
    return sum(status != 200 for _, status in minutes) / max(1, len(minutes))


def _taken_in(minutes: Minutes) -> float:
    """Seconds from the first request that the server took to the last."""
    taken = [moment for moment, status in minutes if status == 200]
    return taken[-1] - taken[0]


def _declared(report: Report, ask: _Asker, rounds: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for rate, requests in DECLARED.items():
        shares: list[float] = []
        refusals = 0
        for _ in range(rounds):
            measured = ask(
                f"sliding-{rate}-5", requests=requests, workers=WORKERS, concurrency=WORKERS, rate_limits={"*": rate}
            )
            [minutes] = measured["minutes"]
            # No second may see more than `rate`, so the last leaves that many windows after the first, at least.
            least = math.ceil(requests / rate) - 1
            shares.append(least / _taken_in(minutes))
            refusals += sum(status != 200 for _, status in minutes)
        report.say(
            f"{rate}/s declared, {WORKERS} tasks, {requests:,} requests: share of the least time {spread(shares)}"
        )
        report.check(
            median(shares) >= LEAST_SHARE, f"{rate}/s: at least {LEAST_SHARE:.0%} of the theoretical least time"
        )
        report.check(refusals == 0, f"{rate}/s: a strict sliding window refuses none ({refusals})")
        figures[str(rate)] = {"shares": shares, "refusals": refusals}
    return figures


def _hidden(report: Report, ask: _Asker) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for kind, (possible, requests) in HIDDEN.items():
        [minutes] = ask(kind, requests=requests)["minutes"]
        began = minutes[0][0]
        warm = [one for one in minutes[WARM_REQUESTS:] if one[0] >= began + WARM_SECONDS]
        share = sum(status == 200 for _, status in warm) / _taken_in(warm) / possible
        refused, refused_warm = _refused(warm), _refused(minutes[: len(minutes) - len(warm)])
        report.say(
            f"{kind}, told of to nobody: after a warm-up of {len(minutes) - len(warm):,} requests "
            f"({refused_warm:.2%} refused) {share:.1%} of what it takes, {refused:.2%} of {len(warm):,} refused"
        )
        report.check(share >= FOUND_SHARE, f"{kind}: at least {FOUND_SHARE:.0%} of a hidden limit")
        report.check(refused < MOST_REFUSED, f"{kind}: under {MOST_REFUSED:.1%} refused")
        report.check(refused_warm <= MOST_REFUSED_WARM, f"{kind}: at most {MOST_REFUSED_WARM:.0%} in the warm-up")
        figures[kind] = {"share": share, "refused": refused, "refused_warm": refused_warm}
    return figures


def _unlimited(report: Report, ask: _Asker, rounds: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for kind, requests in (FREE, POOL):
        seconds: dict[str, list[float]] = {"fixed": [], "cold": [], "warm": []}
        for number in range(rounds):
            state = f"{kind}-{number}"
            seconds["fixed"].append(ask(kind, requests=requests, concurrency=FIXED)["seconds"])
            for way in ("cold", "warm"):
                seconds[way].append(ask(kind, requests=requests, state=state)["seconds"])
        for way, taken in seconds.items():
            report.say(f"{kind}, {requests:,} requests, {way}: {median(taken):.2f} s, the median of {spread(taken)}")
        figures[kind] = {"seconds": seconds}
        for way in ("cold", "warm"):
            ratio = median(seconds["fixed"]) / median(seconds[way])
            report.check(ratio > 1, f"{kind}, {way}: faster than a fixed {FIXED} ({ratio:.2f} x)")
            figures[kind][way] = ratio
    return figures


def _beside(report: Report, ask: _Asker, throttled: str, rounds: int) -> dict[str, Any]:
    """Two hosts in one crawl, one of which is throttled."""
    half = 200
    alone = [_taken_in(ask("free-5", requests=half, concurrency=20)["minutes"][0]) for _ in range(rounds)]
    beside = []
    for _ in range(rounds):
        measured = ask(
            *("free-5", f"http://{throttled}/sliding-20-5"),
            requests=2 * half,
            workers=2 * half,
            concurrency=20,
            rate_limits={throttled: 20},
        )
        beside.append(_taken_in(measured["minutes"][0]))
    report.say(f"{half} requests to a free host, alone: {spread(alone)} s; beside {half} at 20/s: {spread(beside)} s")
    report.check(median(beside) < 2 * median(alone) + 0.1, "a free host is not slowed by a throttled one beside it")
    return {"alone": alone, "beside": beside}
