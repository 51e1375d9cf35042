"""What a record costs on secoda_async.

``python -m benchmarks.runners.records_ours rounds COUNT FOLDER``: each line of standard input is a round, COUNT records
of each kind and COUNT of a crawl's mix. Prints a line of JSON for it, ``{kind: {stage: seconds}}``: processor seconds
of the event loop's thread, from the beginning until the end of that stage.

``… whole COUNT FOLDER``: one run that declares COUNT records of the mix. Prints its seconds, and what is in the spool.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson
from pydantic import BaseModel
from typing_extensions import override

from benchmarks.runners.declare import Nowhere
from benchmarks.runners.records_rows import KINDS, MIX, REPEATED, rows
from secoda_async import DeclaredLineage, InternalResource, JSONLSink, Resource, SecodaIntegration, Spool
from secoda_async.spool_index import Kind

Make = Callable[..., Any]
Keywords = dict[str, Any]
Take = Callable[[Any], Awaitable[None]]

_POLL: Final = 0.001  # seconds between two looks at what is written


# Each model with nothing but pydantic's own constructor.
class PlainResource(Resource):
    __init__ = BaseModel.__init__


class PlainInternalResource(InternalResource):
    __init__ = BaseModel.__init__


class PlainDeclaredLineage(DeclaredLineage):
    __init__ = BaseModel.__init__


def lineage(source: str, target: str) -> DeclaredLineage:
    return DeclaredLineage(
        from_identifier=InternalResource(databuilder_id=source), to_identifier=InternalResource(databuilder_id=target)
    )


def plain_lineage(source: str, target: str) -> DeclaredLineage:
    return PlainDeclaredLineage(
        from_identifier=PlainInternalResource(databuilder_id=source),
        to_identifier=PlainInternalResource(databuilder_id=target),
    )


OURS: Final[dict[str, Make]] = {"table": Resource, "column": Resource, "lineage": lineage}
PLAIN: Final[dict[str, Make]] = {"table": PlainResource, "column": PlainResource, "lineage": plain_lineage}


class Declaring(SecodaIntegration):
    """Constructs and declares, and does nothing else."""

    count: int

    def bound(self, some: Iterable[tuple[str, Keywords]]) -> list[tuple[Make, Keywords, Take]]:
        """For each record how it is made, of what, and who takes it."""
        take = {"lineage": self.declare_lineage}
        return [(OURS[kind], keywords, take.get(kind, self.declare_resource)) for kind, keywords in some]


class Rounds(Declaring):
    """A round whenever it is told to."""

    @override
    async def extract(self) -> None:
        done = 0
        for _ in sys.stdin:
            found = {kind: await self.measure(rows(kind, done, self.count)) for kind in (*KINDS, MIX)}
            print(orjson.dumps(found).decode(), flush=True)
            done += self.count

    async def measure(self, some: list[tuple[str, Keywords]]) -> dict[str, float]:
        plain = [(PLAIN[kind], keywords) for kind, keywords in some]
        ours = [(OURS[kind], keywords) for kind, keywords in some]
        bound = self.bound(some)
        await self.written()
        gc.collect()
        gc.disable()
        try:
            return {"pydantic": construct(plain), "construct": construct(ours), "declare": await declare(bound)}
        finally:
            gc.enable()

    async def written(self) -> None:
        """Until nothing is on its way to the disk, which would cost the others time."""
        intake = self._extraction.intake
        intake.flush()
        while intake.statistics()["undelivered_bytes"]:  # noqa: ASYNC110 # nothing tells when it is zero
            await asyncio.sleep(_POLL)


class Whole(Declaring):
    """As an integration does it."""

    @override
    async def extract(self) -> None:
        bound = self.bound(rows(MIX, 0, REPEATED))
        busy, used = time.thread_time(), time.process_time()
        for make, keywords, take in islice(cycle(bound), self.count):
            await take(make(**keywords))
        self.loop_seconds, self.cpu_seconds = time.thread_time() - busy, time.process_time() - used


class Counting(Nowhere):
    """Looks at what is in the spool."""

    found: ClassVar[dict[str, Any]] = {}

    @override
    async def commit(self, spool: Spool) -> None:
        files = [spool.file(kind) for kind in Kind]
        self.found |= {"records": sum(file.records for file in files), "bytes": sum(file.bytes for file in files)}


def construct(some: list[tuple[Make, Keywords]]) -> float:
    began = time.thread_time()
    for make, keywords in some:
        make(**keywords)
    return time.thread_time() - began


async def declare(some: list[tuple[Make, Keywords, Take]]) -> float:
    began = time.thread_time()
    for make, keywords, take in some:
        await take(make(**keywords))
    return time.thread_time() - began


def main() -> None:
    mode, count, name = sys.argv[1:]
    folder = Path(name)
    integration = {"rounds": Rounds, "whole": Whole}[mode](credentials={}, state_dir=folder / "state", watchdog=None)
    integration.count = int(count)
    if isinstance(integration, Whole):
        sink = Counting()
        began, used = time.perf_counter(), time.process_time()
        integration.start(sink)
        found = {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - used,
            "other_threads_seconds": integration.cpu_seconds - integration.loop_seconds,
            **sink.found,
        }
        print(orjson.dumps(found).decode())
    else:
        integration.start(JSONLSink(folder))


if __name__ == "__main__":
    main()
