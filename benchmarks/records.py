"""What a record costs from its keywords to the disk, by stage, beside secodadk and pydantic's construction alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from benchmarks.harness import ROOT, BenchmarkError, Report, lines, median, peer_python, run
from benchmarks.runners.records_rows import COLUMNS, KINDS, MIX

MOST: Final = 0.1
"""Of secodadk's line, for all that comes after pydantic's construction."""
_OURS: Final = "benchmarks.runners.records_ours"
_SECODADK: Final = "benchmarks.runners.records_secodadk"
_PATIENCE: Final = 600.0

Round = dict[str, dict[str, float]]
"""Seconds by kind and stage."""


class Size(NamedTuple):
    """How much is measured."""

    rounds: int
    """Each has both libraries after each other."""
    count: int
    """Records of each kind in a round: few enough that no queue is full before they end."""
    whole: int
    """Records of the whole run; secodadk gets a tenth."""
    runs: int


QUICK: Final = Size(rounds=60, count=2_000, whole=1_000_000, runs=3)
FULL: Final = Size(rounds=300, count=2_000, whole=10_000_000, runs=3)


def main(*, full: bool, size: Size | None = None) -> Report:
    """Measure, print and save."""
    size = size or (FULL if full else QUICK)
    report = Report("records")
    peer = peer_python("secodadk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = _rounds(size, peer, folder)
        equal = lines(folder / "rounds-ours") == lines(folder / "rounds-secodadk")
        wholes = [_whole(size.whole, peer, folder, number) for number in range(size.runs)]
    report.say(
        f"{size.rounds} interleaved rounds of {size.count:,} records of each kind and of the mix (1 table, {COLUMNS} "
        "columns, 1 lineage); processor time of one thread, medians"
    )
    stages, goals = _stages(ours, theirs, size.count)
    report.table(
        ("ns a record", *stages),
        [(what, *(f"{stages[kind][what]:,.0f}" for kind in stages)) for what in stages[MIX]],
    )
    report.check(equal, "both wrote the same lines")
    for kind, ratio in goals.items():
        report.goal(f"{kind}: declare to bytes beyond construction, of secodadk's line", ratio, at_most=MOST)
    report.say(f"{size.whole:,} records of the mix in a run, secodadk {size.whole // 10:,}; medians of {size.runs}")
    mine, other = ([pair[i] for pair in wholes] for i in (0, 1))
    whole = {
        "secoda_async: wall clock": _each(mine, "seconds", size.whole),
        "secoda_async: processor": _each(mine, "cpu_seconds", size.whole),
        "secoda_async: of it the spool's thread": _each(mine, "other_threads_seconds", size.whole),
        "secodadk: wall clock": _each(other, "seconds", size.whole // 10),
        "secodadk: processor": _each(other, "cpu_seconds", size.whole // 10),
    }
    report.table(("constructed, declared and on disk", "ns a record"), [(k, f"{v:,.0f}") for k, v in whole.items()])
    report.check(all(one["records"] == size.whole for one in mine), "every record is in the spool")
    report.save(
        {"size": size._asdict(), "ns": stages, "of_a_line": goals, "whole_ns": whole, "whole": mine},
        **other[0]["packages"],
    )
    return report


def _stages(ours: list[Round], theirs: list[Round], count: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Nanoseconds by kind and stage, and what declaring costs of a line, by kind."""
    stages: dict[str, dict[str, float]] = {}
    goals: dict[str, float] = {}
    for kind in (*KINDS, MIX):

        def ns(rounds: list[Round], stage: str, kind: str = kind) -> float:
            return median([one[kind][stage] for one in rounds]) / count * 1e9

        line = ns(theirs, "line")
        pydantic, construct, declare = (ns(ours, stage) for stage in ("pydantic", "construct", "declare"))
        stages[kind] = {
            "construct, pydantic alone": pydantic,
            "construct": construct,
            "construct and declare": declare,
            "beyond pydantic's construction": declare - pydantic,
            "secodadk: construct": ns(theirs, "construct"),
            "secodadk: line": line,
            "secodadk: construct and declare": ns(theirs, "declare"),
        }
        goals[kind] = (declare - pydantic) / line
    return stages, goals


def _rounds(size: Size, peer: Path, folder: Path) -> tuple[list[Round], list[Round]]:
    with ExitStack() as ended:
        asks = [
            ended.enter_context(_in_turn(python, module, size.count, folder / f"rounds-{name}"))
            for python, module, name in ((sys.executable, _OURS, "ours"), (peer, _SECODADK, "secodadk"))
        ]
        for ask in asks:
            ask()  # the first one is slow, whoever it is
        pairs = [tuple(ask() for ask in asks) for _ in range(size.rounds)]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


@contextmanager
def _in_turn(python: str | Path, module: str, count: int, folder: Path) -> Iterator[Callable[[], Round]]:
    """A process that makes a round whenever it is asked to, and nothing meanwhile."""
    command = [python, "-m", module, "rounds", str(count), folder]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        asking, answers = child.stdin, child.stdout

        def ask() -> Round:
            asking.write(b"\n")
            asking.flush()
            line = answers.readline()
            if not line:
                raise BenchmarkError(f"{module} ended before its time")
            found: Round = orjson.loads(line)
            return found

        yield ask
        asking.close()
    if child.returncode:
        raise BenchmarkError(f"{module} ended with {child.returncode}")


def _whole(count: int, peer: Path, folder: Path, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    ours = [sys.executable, "-m", _OURS, "whole", str(count), folder / f"ours-{number}"]
    theirs = [peer, "-m", _SECODADK, "whole", str(count // 10), folder / f"secodadk-{number}"]
    return run(ours, patience=_PATIENCE), run(theirs, patience=_PATIENCE)


def _each(runs: list[dict[str, Any]], figure: str, count: int) -> float:
    return median([one[figure] for one in runs]) / count * 1e9
