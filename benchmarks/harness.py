"""What the benchmarks share: processes to measure, medians, checks, and a file of results."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import orjson

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
_PACKAGES: Final = ("secoda-async", "aiohttp", "uvloop", "orjson", "pydantic", "anyio", "aiolimiter")
_PATIENCE: Final = 170.0  # seconds for one process


class BenchmarkError(Exception):
    """Raised when a benchmark cannot be run: its message says what to do."""


def run(command: Sequence[str | os.PathLike[str]], *, patience: float = _PATIENCE) -> dict[str, Any]:
    """Run a process to its end; the last line of its output is JSON. Raises BenchmarkError where it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise BenchmarkError(str(exc)) from None
    if done.returncode:
        raise BenchmarkError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr.strip()}")
    result: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return result


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


class Report:
    """One benchmark's measurements and promises.

    Usage: ``report.say(...)`` prints a line; ``report.check(ok, "what is promised")``; ``report.save(figures)``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken: list[str] = []
        print(f"\n== {name}", flush=True)

    def say(self, line: str) -> None:
        print(f"   {line}", flush=True)

    def check(self, kept: bool, promise: str) -> None:
        """Note a promise, and whether it was kept."""
        self.say(f"{'kept  ' if kept else 'BROKEN'} {promise}")
        if not kept:
            self.broken.append(promise)

    def save(self, figures: dict[str, Any], **packages: str) -> None:
        """Write figures beside what they were measured on, into a file of ``benchmarks/results``."""
        now = datetime.now(UTC)
        content = {
            "benchmark": self.name,
            "at": now,
            "commit": _commit(),
            "machine": {
                "platform": platform.platform(),
                "processor": _processor(),
                "cpus": os.cpu_count(),
            },
            "python": platform.python_version(),
            "packages": {**{name: metadata.version(name) for name in _PACKAGES}, **packages},
            "broken": self.broken,
            **figures,
        }
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}-{self.name}.json"
        path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        self.say(f"figures: {path.relative_to(ROOT)}")


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
