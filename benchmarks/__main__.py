"""Runs the benchmarks: ``python -m benchmarks [--full] [NAME ...]``, or ``--profile NAME``; ``--help`` tells the names.

Ends with a table of all goals; with 1 where a promise was broken, and with 2 where a benchmark could not run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from benchmarks import (
    chain,
    cpu_profile,
    crawl,
    diff,
    eta,
    journal,
    limits,
    memory,
    records,
    rules,
    scaling,
    scopes,
    upload,
)
from benchmarks.harness import BenchmarkError, Report, conclude

_BENCHMARKS: dict[str, Callable[..., Report]] = {
    "crawl": crawl.main,
    "chain": chain.main,
    "scaling": scaling.main,
    "records": records.main,
    "upload": upload.main,
    "journal": journal.main,
    "limits": limits.main,
    "memory": memory.main,
    "scopes": scopes.main,
    "diff": diff.main,
    "rules": rules.main,
    "eta": eta.main,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure time and memory.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(_BENCHMARKS)}; default: all")
    parser.add_argument("--full", action="store_true", help="every row at its full size: up to an hour, not minutes")
    parser.add_argument(
        "--profile",
        metavar="NAME",
        choices=cpu_profile.PROFILES,
        help=f"instead, where the processor time of one goes: {', '.join(cpu_profile.PROFILES)}",
    )
    arguments = parser.parse_args()
    names = arguments.names or list(_BENCHMARKS)
    if unknown := set(names) - set(_BENCHMARKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(_BENCHMARKS)}")
    chosen = [benchmark for name, benchmark in _BENCHMARKS.items() if name in names]
    if arguments.profile:
        if arguments.names:
            parser.error("--profile is in place of benchmarks: name none beside it")
        chosen = [partial(cpu_profile.main, arguments.profile)]
    reports: list[Report] = []
    try:
        reports.extend(benchmark(full=arguments.full) for benchmark in chosen)  # one after the other
    except BenchmarkError as error:
        conclude(reports)
        print(error, file=sys.stderr)
        return 2
    return conclude(reports)


if __name__ == "__main__":
    sys.exit(main())
