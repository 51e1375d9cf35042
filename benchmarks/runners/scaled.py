"""Crawls the source once, with so many requests at once, and tells where the time went.

Usage: ``python -m benchmarks.runners.scaled URL CONCURRENCY FOLDER``; with 0 at once, the number is found out.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import orjson

from benchmarks.runners.declare import Nowhere
from benchmarks.runners.ours import Tables


def main() -> None:
    url, concurrency, folder = sys.argv[1:]
    integration = Tables(credentials={"base_url": url}, concurrency=int(concurrency) or None, state_dir=Path(folder))
    began = time.perf_counter()
    report = integration.start(Nowhere())
    result = {
        "seconds": time.perf_counter() - began,
        "requests": report.source.requests,
        "attempts": report.source.attempts,
        "records": sum(report.resources.values()) + report.lineage,
        "efficiency": report.efficiency.model_dump(),
        "slots": max((pace.slots for pace in report.source.paces.values()), default=None),
    }
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
