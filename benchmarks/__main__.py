"""Runs the benchmarks: ``python -m benchmarks [crawl] [overhead] [chain] [journal] [limits] [memory] [scopes] [diff]
[rules]``.

Ends with 1 where a promise was broken, and with 2 where a benchmark could not run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import chain, crawl, diff, journal, limits, memory, overhead, rules, scopes
from benchmarks.harness import ROOT, BenchmarkError, Report

_BENCHMARKS: dict[str, Callable[[], Report]] = {
    "overhead": overhead.main,
    "chain": chain.main,
    "journal": journal.main,
    "limits": limits.main,
    "memory": memory.main,
    "scopes": scopes.main,
    "diff": diff.main,
    "rules": rules.main,
}
_NAMES = ("crawl", *_BENCHMARKS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure time and memory.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(_NAMES)}; default: all")
    parser.add_argument(
        "--secodadk-python",
        type=Path,
        default=Path(os.environ.get("SECODADK_PYTHON") or ROOT / ".venv-secodadk" / "bin" / "python"),
        help="a Python that has secodadk (SECODADK_PYTHON; default: %(default)s)",
    )
    arguments = parser.parse_args()
    names = arguments.names or _NAMES
    if unknown := set(names) - set(_NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(_NAMES)}")
    broken: list[str] = []
    try:
        if "crawl" in names:
            if not arguments.secodadk_python.exists():
                raise BenchmarkError(
                    f"{arguments.secodadk_python} does not exist: run `make bench`, which makes it, "
                    "or name a Python that has secodadk with --secodadk-python or SECODADK_PYTHON"
                )
            broken += crawl.main(arguments.secodadk_python.absolute()).broken
        for name, benchmark in _BENCHMARKS.items():
            if name in names:
                broken += benchmark().broken
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2
    for promise in broken:
        print(f"broken: {promise}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
