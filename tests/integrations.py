"""Integrations made of a function, for tests that are about the run and not about the source."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from secoda_async import Batch, DeclaredLineage, InternalResource, Resource, RunInfo, SecodaIntegration, Sink, Spool
from secoda_async.spool_index import Kind


def table(name: object, **fields: Any) -> Resource:
    return Resource(entity_type="table", databuilder_id=str(name), title=str(name), **fields)


def edge(start: object, end: object) -> DeclaredLineage:
    return DeclaredLineage(
        from_identifier=InternalResource(databuilder_id=str(start)),
        to_identifier=InternalResource(databuilder_id=str(end)),
    )


def integration(extract: Callable[[Any], Awaitable[None]], **settings: Any) -> SecodaIntegration:
    """An integration whose ``extract`` is the function; ``credentials=`` and settings as usual."""

    class Made(SecodaIntegration):
        async def extract(self) -> None:
            await extract(self)

    return Made(**{"credentials": {}, **settings})


class MemorySink(Sink):
    """Remembers what it was asked, and what a committed spool held."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lines: dict[Kind, list[bytes]] = {}
        self.error: BaseException | None = None

    async def open(self, run: RunInfo) -> None:
        self.calls.append("open")

    async def commit(self, spool: Spool) -> None:
        self.calls.append("commit")
        for kind in Kind:
            self.lines[kind] = (await anyio.Path(spool.file(kind).path).read_bytes()).splitlines()

    async def abort(self, error: BaseException) -> None:
        self.calls.append("abort")
        self.error = error


class StreamSink(MemorySink):
    """Also remembers every batch it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.written = anyio.Event()

    async def write(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.written.set()
