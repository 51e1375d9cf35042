"""How well a run knows its end: named crawls against real servers, each looked at once a second."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from benchmarks.harness import Report, process, run
from benchmarks.runners.foreseen import CRAWLS

NAMED: Final = ("flat", "one host throttled", "uneven page counts", "5 % retries")
GOAL: Final = 20.0
"""Percent of the whole time, at each look from the first quarter on."""
_QUARTER: Final = 0.25
_SHARES: Final = (0.25, 0.5, 0.75)


class Look(NamedTuple):
    """One look at a crawl."""

    at: float
    """Seconds since it began."""
    left: float | None
    """Seconds that it was said to take still."""

    def off(self, seconds: float) -> float:
        """Seconds between the end that was told and the real one, after ``seconds``; below 0: told too early."""
        return math.inf if self.left is None else self.at + self.left - seconds


def main(*, full: bool) -> Report:
    """Measure, print and save."""
    report = Report("eta")
    report.say("how far off the end was told, in percent of the whole time, and of what was left; below 0: too early")
    rows: list[Sequence[object]] = []
    figures: dict[str, Any] = {}
    with (
        process("benchmarks.runners.varied") as source,
        process("benchmarks.runners.varied") as other,
        tempfile.TemporaryDirectory() as folder,
    ):
        urls = [f"http://127.0.0.1:{one['port']}" for one in (source, other)]
        for number, name in enumerate(CRAWLS if full else NAMED):
            measured = run([sys.executable, "-m", "benchmarks.runners.foreseen", name, *urls, f"{folder}/{number}"])
            seconds = measured["seconds"]
            looks = [Look(at, left) for at, _, _, left in measured["looks"]]
            figures[name] = {**measured, **judge(looks, seconds)}
            rows.append(_row(name, measured["requests"], seconds, figures[name]))
    report.table(
        (
            "crawl",
            *("requests", "seconds"),
            *(f"at {share:.0%}" for share in _SHARES),
            "worst from then",
            *(f"of the rest at {share:.0%}" for share in _SHARES[:2]),
        ),
        rows,
    )
    for name in NAMED:
        report.goal(f"{name}: off by, from the first quarter on", figures[name]["worst"], at_most=GOAL, unit="%")
    report.save(figures)
    return report


def judge(looks: Sequence[Look], seconds: float) -> dict[str, Any]:
    """In percent: how far off some looks were, and the worst from the first quarter on."""
    chosen = [next(look for look in looks if look.at >= share * seconds) for share in _SHARES]
    return {
        "off": [100 * look.off(seconds) / seconds for look in chosen],
        "off_the_rest": [100 * look.off(seconds) / (seconds - look.at) for look in chosen[:2]],
        "worst": max(100 * abs(look.off(seconds)) / seconds for look in looks if look.at >= _QUARTER * seconds),
    }


def _row(name: str, requests: int, seconds: float, figures: dict[str, Any]) -> Sequence[object]:
    offs = (*figures["off"], figures["worst"], *figures["off_the_rest"])
    texts = [f"{off:+.1f}" if math.isfinite(off) else "not told" for off in offs]
    return name, f"{requests:,}", f"{seconds:.1f}", *texts


if __name__ == "__main__":
    main(full="--full" in sys.argv)
