"""Declares records in a loop and tells the peak of memory: ``python -m benchmarks.runners.declare COUNT await``.

The last argument is ``await`` or ``no-await``. Each record is built in the loop.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import orjson

from benchmarks.runners.peak import peak_bytes

_AT_START = peak_bytes()

from typing_extensions import override  # noqa: E402 # what is imported is a part of what is measured

from secoda_async import Resource, SecodaIntegration, Sink, Spool  # noqa: E402 # as above
from secoda_async.errors import SecodaAsyncError  # noqa: E402 # as above
from secoda_async.pipeline.encode import encode  # noqa: E402 # as above
from secoda_async.pipeline.sink import RunInfo  # noqa: E402 # as above


def column(n: int) -> Resource:
    table = f"warehouse.public.table_{n // 20}"
    return Resource(
        entity_type="column",
        databuilder_id=f"{table}.column_{n}",
        parent_databuilder_id=table,
        title=f"column_{n}",
        description="What this column holds, in a sentence of a usual length.",
        sort_order=n % 20,
        type="character varying",
    )


class Loop(SecodaIntegration):
    """Declares as fast as it can."""

    count: int
    awaits: bool
    declared = 0

    @override
    async def extract(self) -> None:
        if self.awaits:
            for n in range(self.count):
                await self.declare_resource(column(n))
                self.declared += 1
        else:
            for n in range(self.count):
                self.declare_resource(column(n))  # type: ignore[unused-awaitable] # what is measured
                self.declared += 1


class Nowhere(Sink):
    """Ends a run without a second copy of its files."""

    @override
    async def open(self, run: RunInfo) -> None:
        return

    @override
    async def commit(self, spool: Spool) -> None:
        return

    @override
    async def abort(self, error: BaseException) -> None:
        return


def main() -> None:
    ended, message = "complete", ""
    with tempfile.TemporaryDirectory() as folder:
        integration = Loop(credentials={}, state_dir=Path(folder))
        integration.count, integration.awaits = int(sys.argv[1]), {"await": True, "no-await": False}[sys.argv[2]]
        started = time.perf_counter()
        try:
            integration.start(Nowhere())
        except SecodaAsyncError as error:
            ended, message = type(error).__name__, str(error)
        seconds = time.perf_counter() - started
        assert integration.report is not None
        result = {
            "seconds": seconds,
            "declared": integration.declared,
            "ended": ended,
            "message": message,
            "peak_bytes": peak_bytes(),
            "peak_bytes_at_start": _AT_START,
            "undelivered_peak_bytes": integration.report.undelivered_peak_bytes,
            # What the pipeline states as the most that it holds: what is undelivered, and one record.
            "bound_bytes": integration.settings.max_undelivered + len(encode(column(integration.count))),
        }
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
