"""One crawl by one runner: ``python <peer>/crawl.py URL CONCURRENCY FOLDER [SETTING ...]``, the same cut for all.

Prints one line of JSON: ``{"seconds": …, "cpu": …, "packages": {…}}``. What is measured is the whole crawl, its event
loop and its files included, and the start of Python and the imports not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What to crawl, how many requests at once, and where ``resources.jsonl`` and ``lineage.jsonl`` go."""

    url: str
    concurrency: int
    folder: Path
    settings: tuple[str, ...]

    @property
    def resources(self) -> Path:
        return self.folder / "resources.jsonl"

    @property
    def lineage(self) -> Path:
        return self.folder / "lineage.jsonl"


def measure(
    crawl: Callable[[Plan], dict[str, Any] | None], *packages: str, after: Callable[[Plan], None] = lambda _: None
) -> None:
    """Crawl, and tell how long it took, with what ``crawl`` gives; ``after`` is not part of what is measured."""
    url, concurrency, folder, *settings = sys.argv[1:]
    plan = Plan(url, int(concurrency), Path(folder), tuple(settings))
    plan.folder.mkdir()
    started, used = time.perf_counter(), time.process_time()
    told = crawl(plan) or {}
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    after(plan)
    versions = {name: metadata.version(name) for name in packages}
    print(json.dumps({"seconds": seconds, "cpu": cpu, "packages": versions, **told}))
