"""What a record costs on secodadk, in an environment that holds it; as ``records_ours.py``, which says how."""

from __future__ import annotations

import gc
import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

warnings.simplefilter("ignore")  # its models shadow a method of pydantic's

from secodadk import DeclaredLineage, InternalResource, Resource, SecodaIntegration  # noqa: E402
from secodadk.strats.custom import JSONLIngestResourcesStrategy  # noqa: E402

from benchmarks.runners.records_rows import KINDS, MIX, REPEATED, rows  # noqa: E402

Make = Callable[..., Any]
Keywords = dict[str, Any]


def lineage(source: str, target: str) -> DeclaredLineage:
    return DeclaredLineage(
        from_identifier=InternalResource(databuilder_id=source), to_identifier=InternalResource(databuilder_id=target)
    )


MAKE: Final[dict[str, Make]] = {"table": Resource, "column": Resource, "lineage": lineage}


class Declaring(SecodaIntegration):
    """Constructs and declares, and does nothing else."""

    def bound(self, some: list[tuple[str, Keywords]]) -> list[tuple[Make, Keywords, Callable[[Any], object]]]:
        take = {"lineage": self.declare_lineage}
        return [(MAKE[kind], keywords, take.get(kind, self.declare_resource)) for kind, keywords in some]


class Rounds(Declaring):
    """A round whenever it is told to."""

    def extract(self) -> None:
        count = self.credentials["count"]
        for number, _ in enumerate(sys.stdin):
            found = {kind: self.measure(rows(kind, number * count, count)) for kind in (*KINDS, MIX)}
            print(json.dumps(found), flush=True)

    def measure(self, some: list[tuple[str, Keywords]]) -> dict[str, float]:
        bound = self.bound(some)
        records = [make(**keywords) for make, keywords, _ in bound]
        gc.collect()
        gc.disable()
        try:
            times = [time.thread_time()]
            for make, keywords, _ in bound:
                make(**keywords)
            times.append(time.thread_time())
            for record in records:
                json.dumps(record.model_dump(mode="json"))
            times.append(time.thread_time())
            for make, keywords, take in bound:
                take(make(**keywords))
            times.append(time.thread_time())
        finally:
            gc.enable()
        stages = ("construct", "line", "declare")
        return {stage: after - before for stage, before, after in zip(stages, times, times[1:], strict=False)}


class Whole(Declaring):
    """As an integration does it."""

    def extract(self) -> None:
        bound = self.bound(rows(MIX, 0, REPEATED))
        for make, keywords, take in islice(cycle(bound), self.credentials["count"]):
            take(make(**keywords))


def main() -> None:
    mode, count, name = sys.argv[1:]
    folder = Path(name)
    folder.mkdir()
    files = JSONLIngestResourcesStrategy(
        resources_path=str(folder / "resources.jsonl"), lineages_path=str(folder / "lineage.jsonl")
    )
    kind = {"rounds": Rounds, "whole": Whole}[mode]
    integration = kind(credentials={"count": int(count)}, ingest_resources_strategy=files)
    began, used = time.perf_counter(), time.process_time()
    integration.start()
    found = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}
    if mode == "whole":
        packages = {"secodadk": metadata.version("secodadk"), "pydantic of secodadk": metadata.version("pydantic")}
        print(json.dumps({**found, "packages": packages}))


if __name__ == "__main__":
    main()
