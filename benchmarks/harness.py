"""What the benchmarks share: processes to measure, medians, promises and goals, and files of results."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import orjson
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = Path(os.environ.get("BENCHMARK_RESULTS") or ROOT / "benchmarks" / "results")
_PACKAGES: Final = ("secoda-async", "aiohttp", "uvloop", "orjson", "pydantic", "anyio", "aiolimiter")
_PATIENCE: Final = 170.0  # seconds for one process


class BenchmarkError(Exception):
    """Raised when a benchmark cannot be run: its message says what to do."""


def run(
    command: Sequence[str | os.PathLike[str]], *, patience: float = _PATIENCE, path: Path | None = None
) -> dict[str, Any]:
    """Run a process to its end; the last line of its output is JSON. Raises BenchmarkError where it fails.

    ``path`` is the one folder that its imports are looked for in, beside its own and its environment's.
    """
    environment = os.environ if path is None else {**os.environ, "PYTHONPATH": str(path)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=patience, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise BenchmarkError(str(exc)) from None
    if done.returncode:
        raise BenchmarkError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr.strip()}")
    result: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return result


def peer_python(name: str) -> Path:
    """The Python of an environment that holds a peer. Raises BenchmarkError where there is none."""
    path = ROOT / (".venv-secodadk" if name == "secodadk" else f".venv-peers/{name}") / "bin" / "python"
    if not path.exists():
        raise BenchmarkError(f"{path} does not exist: run `make bench`, which makes it")
    return path


@contextmanager
def process(module: str) -> Iterator[dict[str, Any]]:
    """A module that runs meanwhile; gives the JSON of its first line of output."""
    with subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            if not line:
                raise BenchmarkError(f"{module} did not start")
            yield orjson.loads(line)
        finally:
            child.terminate()


def lines(folder: Path) -> Counter[bytes]:
    """Every line of both files, as JSON: the order of keys is no part of it."""
    return Counter(
        name.encode() + orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS)
        for name in ("resources", "lineage")
        for line in (folder / f"{name}.jsonl").read_bytes().splitlines()
    )


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Every value, so that a reader sees how sure a median is."""
    return ", ".join(f"{value:.2f}" for value in values)


@dataclass(frozen=True)
class Goal:
    """A figure that is aimed at: falling short of it is told, and breaks nothing."""

    name: str
    figure: float
    at_least: float | None
    at_most: float | None
    unit: str

    @property
    def met(self) -> bool:
        return (self.at_least is None or self.figure >= self.at_least) and (
            self.at_most is None or self.figure <= self.at_most
        )

    @property
    def mark(self) -> str:
        return "met" if self.met else "SHORT"

    @property
    def measured(self) -> str:
        return _with_unit(self.figure, self.unit)

    @property
    def aim(self) -> str:
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{word} {_with_unit(bound, self.unit)}" for word, bound in bounds if bound is not None)


class Report:
    """One benchmark's measurements, promises and goals.

    Usage: ``report.say(...)`` prints a line; ``report.check(ok, "what is promised")``;
    ``report.goal("name", figure, at_least=1.3)``; ``report.table(headers, rows)``; ``report.plot("name", draw)``;
    ``report.save(figures)`` at the end.

    Its files in ``results`` share one name: ``.json``, ``.txt`` with all that was printed, ``-<plot>.svg``.
    """

    def __init__(self, name: str, results: Path = RESULTS) -> None:
        self.name = name
        self._results = results
        self.broken: list[str] = []
        self.goals: list[Goal] = []
        self._at = datetime.now(UTC)
        self._said: list[str] = []
        print(f"\n== {name}", flush=True)

    def say(self, line: str) -> None:
        self._said.append(line)
        print(f"   {line}", flush=True)

    def check(self, kept: bool, promise: str) -> None:
        """Note a promise, and whether it was kept: one that is broken fails the command."""
        self.say(f"{'kept  ' if kept else 'BROKEN'} {promise}")
        if not kept:
            self.broken.append(promise)

    def goal(
        self,
        name: str,
        figure: float,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        unit: str = "x",
    ) -> None:
        """Note a goal, and whether the figure meets it: one that falls short is marked, and fails nothing."""
        if at_least is None and at_most is None:
            raise ValueError(f"{name}: a goal needs at_least= or at_most=")
        one = Goal(name, figure, at_least, at_most, unit)
        self.goals.append(one)
        self.say(f"{one.mark:<6} {name}: {one.measured} ({one.aim})")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print an aligned table; all columns but the first stand to the right."""
        for line in aligned(headers, rows):
            self.say(line)

    def plot(self, name: str, draw: Callable[[Axes], None], *, inches: tuple[float, float] = (9, 5)) -> None:
        """Write ``<results>/<time>-<benchmark>-<name>.svg``; ``draw`` gets the axes to draw on."""
        figure = Figure(figsize=inches, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        path = self._path(f"-{name}.svg")
        with mpl.rc_context({"svg.hashsalt": self.name}):
            figure.savefig(path, metadata={"Date": None})
        self.say(f"plot: {_shown(path)}")

    def save(self, figures: dict[str, Any], **packages: str) -> None:
        """Write figures beside what they were measured on, and all that was said."""
        measured_on = {
            "benchmark": self.name,
            "at": self._at,
            "commit": _commit(),
            "machine": {
                "platform": platform.platform(),
                "processor": _processor(),
                "cpus": os.cpu_count(),
            },
            "python": platform.python_version(),
            "packages": {**{name: metadata.version(name) for name in _PACKAGES}, **packages},
        }
        goals = [
            {
                "name": goal.name,
                "figure": goal.figure,
                "at_least": goal.at_least,
                "at_most": goal.at_most,
                "unit": goal.unit,
                "met": goal.met,
            }
            for goal in self.goals
        ]
        path = self._path(".json")
        self.say(f"figures: {_shown(path)}")
        path.write_bytes(
            orjson.dumps(
                {**measured_on, "broken": self.broken, "goals": goals, **figures},
                option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
            )
        )
        head = orjson.dumps(measured_on, option=orjson.OPT_INDENT_2).decode()
        self._path(".txt").write_text("\n".join((head, "", *self._said, "")))

    def _path(self, ending: str) -> Path:
        self._results.mkdir(parents=True, exist_ok=True)
        return self._results / f"{self._at:%Y%m%dT%H%M%SZ}-{self.name}{ending}"


def conclude(reports: Sequence[Report]) -> int:
    """Print every goal in one table, and every promise that was broken. Returns the exit status."""
    rows = [(report.name, goal.name, goal.measured, goal.aim, goal.mark) for report in reports for goal in report.goals]
    if rows:
        print("\n== goals")
        for line in aligned(("benchmark", "goal", "figure", "aim", ""), rows, left=2):
            print(f"   {line}")
    broken = [f"{report.name}: {promise}" for report in reports for promise in report.broken]
    for promise in broken:
        print(f"broken: {promise}", file=sys.stderr)
    return 1 if broken else 0


def aligned(headers: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> list[str]:
    """The lines of a table whose first ``left`` columns stand to the left, and the others to the right."""
    cells = [tuple(headers), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _with_unit(figure: float, unit: str) -> str:
    digits = f"{figure:,.2f}" if abs(figure) < 100 else f"{figure:,.0f}"
    return digits + (unit if unit in ("x", "%") else f" {unit}")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _commit() -> str | None:
    """The commit that was measured, marked where the files differ from it; None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
