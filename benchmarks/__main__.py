"""Runs the benchmarks: ``python -m benchmarks [crawl] [overhead] [chain] [journal] [limits] [memory] [scopes] [diff]
[rules]``.

Ends with 1 where a promise was broken, and with 2 where a benchmark could not run.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks import chain, crawl, diff, journal, limits, memory, overhead, rules, scopes
from benchmarks.harness import ROOT, BenchmarkError

_NAMES = ("crawl", "overhead", "chain", "journal", "limits", "memory", "scopes", "diff", "rules")


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
        if "overhead" in names:
            broken += overhead.main().broken
        if "chain" in names:
            broken += chain.main().broken
        if "journal" in names:
            broken += journal.main().broken
        if "limits" in names:
            broken += limits.main().broken
        if "memory" in names:
            broken += memory.main().broken
        if "scopes" in names:
            broken += scopes.main().broken
        if "diff" in names:
            broken += diff.main().broken
        if "rules" in names:
            broken += rules.main().broken
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2
    for promise in broken:
        print(f"broken: {promise}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
