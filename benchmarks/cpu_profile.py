"""Where processor time goes, by layer: of a crawl without latency and with 20 ms, or of a loop that declares."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes

from benchmarks.harness import Report, process, run

CONCURRENCY: Final = 100
LATENCIES_MS: Final = (0, 20)
_PATIENCE: Final = 600.0


class Size(NamedTuple):
    """How much is measured."""

    tables: int
    records: int
    rounds: int


QUICK: Final = Size(tables=5_000, records=300_000, rounds=5)
FULL: Final = Size(tables=5_000, records=1_000_000, rounds=20)


class Profile(NamedTuple):
    """Of several runs together, in microseconds a request or a record."""

    layers: dict[str, float]
    thread: float
    """All of the event loop's thread, as its clock tells."""
    others: float
    """All other threads, which the layers leave out."""
    looks: int

    def shown(self, spent: float) -> str:
        return f"{spent:.1f}" if self.thread >= 10 else f"{spent:.2f}"


def main(name: str, *, full: bool, size: Size | None = None) -> Report:
    """Measure, print and save; ``name`` is one of `PROFILES`."""
    report = Report(f"profile-{name}")
    each, runs = PROFILES[name](size or (FULL if full else QUICK))
    profiles = {column: _together(of_one) for column, of_one in runs.items()}
    totals: Counter[str] = Counter()
    for one in profiles.values():
        totals.update(one.layers)  # type: ignore[arg-type] # typeshed counts in integers
    order = [layer for layer, _ in totals.most_common()]
    headers = [f"event loop's thread, us a {each}"]
    for column in profiles:
        headers += [column, "share"]
    report.table(
        headers,
        [
            *((layer, *_row(layer, profiles)) for layer in order),
            ("all of it", *(cell for one in profiles.values() for cell in (one.shown(one.thread), "100%"))),
            ("other threads", *(cell for one in profiles.values() for cell in (one.shown(one.others), ""))),
        ],
    )
    report.say(f"looks at where it was: {', '.join(f'{one.looks:,}' for one in profiles.values())}")
    # A look comes late by a few milliseconds, and none comes after the last.
    report.check(
        all(0.9 * one.thread <= sum(one.layers.values()) <= 1.02 * one.thread for one in profiles.values()),
        "the layers add up to the thread's time",
    )

    def draw(axes: Axes) -> None:
        height = 0.8 / len(profiles)
        for number, (column, one) in enumerate(profiles.items()):
            places = [place + number * height for place in range(len(order))]
            axes.barh(places, [one.layers.get(layer, 0.0) for layer in order], height, label=column)
        axes.set_yticks([place + 0.4 - height / 2 for place in range(len(order))], order)
        axes.invert_yaxis()
        axes.set(xlabel=f"processor time, us a {each}", title=f"Where the event loop's time goes: {name}")
        axes.legend()

    report.plot("layers", draw)
    report.save({"per": each, "profiles": {column: one._asdict() for column, one in profiles.items()}, "raw": runs})
    return report


def _crawl(size: Size) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    runs: dict[str, list[dict[str, Any]]] = {f"{latency} ms": [] for latency in LATENCIES_MS}
    with process("benchmarks.runners.source") as source, tempfile.TemporaryDirectory() as folder:
        for number in range(size.rounds):
            for latency, some in zip(LATENCIES_MS, runs.values(), strict=True):
                url = f"http://127.0.0.1:{source['port']}/{latency}/{size.tables}"
                some.append(_run("crawl", url, CONCURRENCY, Path(folder, f"{latency}-{number}")))
    return "request", runs


def _records(size: Size) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    with tempfile.TemporaryDirectory() as folder:
        runs = [_run("declare", size.records, Path(folder, str(number))) for number in range(size.rounds)]
    return "record", {"declared in a loop": runs}


PROFILES: Final[dict[str, Callable[[Size], tuple[str, dict[str, list[dict[str, Any]]]]]]] = {
    "crawl": _crawl,
    "records": _records,
}


def _together(runs: list[dict[str, Any]]) -> Profile:
    """All looks together: a run alone has few."""
    each = sum(one["each"] for one in runs) / 1e6
    layers: Counter[str] = Counter()
    for one in runs:
        layers.update(one["layers"])
    return Profile(
        {layer: seconds / each for layer, seconds in layers.most_common()},
        sum(one["thread_seconds"] for one in runs) / each,
        sum(one["other_threads_seconds"] for one in runs) / each,
        sum(one["looks"] for one in runs),
    )


def _row(layer: str, profiles: dict[str, Profile]) -> list[str]:
    cells = []
    for one in profiles.values():
        spent = one.layers.get(layer, 0.0)
        cells += [one.shown(spent), f"{spent / sum(one.layers.values()):.0%}"]
    return cells


def _run(what: str, *arguments: object) -> dict[str, Any]:
    return run([sys.executable, "-m", "benchmarks.runners.profiled", what, *map(str, arguments)], patience=_PATIENCE)
