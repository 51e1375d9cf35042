"""Accepts declared records: encodes each at once, gathers lines into batches, and says when to wait.

Peak memory of what is declared and not yet on disk: ``max_undelivered`` (64 MiB), plus one record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar

import anyio

from secoda_async.counters import Counters
from secoda_async.errors import BackpressureError, EncodeError, RecordError, RecordTooLargeError, RunError
from secoda_async.findings import Findings
from secoda_async.models import DeclaredLineage, Record, Resource, unknown_keywords
from secoda_async.pipeline.encode import describe, encode
from secoda_async.settings import Settings
from secoda_async.spool import Batch, Kind

ROOT_SCOPE: Final = 0
_MIB: Final = 2**20

E = TypeVar("E", bound=Exception)


@dataclass(slots=True)
class _OpenBatch:
    lines: bytearray = field(default_factory=bytearray)
    records: int = 0


class Intake:
    """Takes records until it is closed; batches come out of ``batches`` in the order in which they were filled.

    Usage: ``await intake.declare_resource(resource)``. The record is taken by the call; the await is where a full
    queue is waited for. Raises RecordError where a record is not taken, which also is a loss of the run.
    """

    def __init__(self, settings: Settings, counters: Counters, findings: Findings) -> None:
        self._batch_bytes = settings.batch_bytes
        self._queue_bytes = settings.queue_bytes
        self._max_undelivered = settings.max_undelivered
        self._max_record = settings.max_record
        self._counters = counters
        self._findings = findings
        self._undelivered = 0
        self._open: dict[tuple[int, Kind], _OpenBatch] = {(ROOT_SCOPE, kind): _OpenBatch() for kind in Kind}
        self._resources = self._open[ROOT_SCOPE, Kind.RESOURCES]
        self._lineage = self._open[ROOT_SCOPE, Kind.LINEAGE]
        self._closed = False
        # Bounded by bytes, in `_take`: a batch crosses only when it is full, or when the queue is empty.
        self._send, self.batches = anyio.create_memory_object_stream[Batch](float("inf"))
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._ready.set_result(None)
        self._drain = _Drain(self)
        self._waiters: list[asyncio.Future[None]] = []

    def declare_resource(self, resource: Resource) -> Awaitable[None]:
        """Take a resource. The awaitable is ready unless the queue is full."""
        if not isinstance(resource, Resource):
            raise self._refused(EncodeError(f"declare_resource takes a Resource, not {type(resource).__name__}"))
        awaitable = self._take(self._resources, Kind.RESOURCES, resource)
        self._counters.resources[resource.entity_type] += 1
        if resource.__pydantic_extra__:
            self._report_unknown(resource)
        return awaitable

    def declare_lineage(self, lineage: DeclaredLineage) -> Awaitable[None]:
        """Take a lineage. The awaitable is ready unless the queue is full."""
        if not isinstance(lineage, DeclaredLineage):
            raise self._refused(EncodeError(f"declare_lineage takes a DeclaredLineage, not {type(lineage).__name__}"))
        awaitable = self._take(self._lineage, Kind.LINEAGE, lineage)
        self._counters.lineage += 1
        start, end = lineage.from_identifier, lineage.to_identifier
        if lineage.__pydantic_extra__ or start.__pydantic_extra__ or end.__pydantic_extra__:
            self._report_unknown(lineage)
        return awaitable

    def flush(self) -> None:
        """Let what is gathered cross the queue, full or not."""
        for (scope, kind), batch in self._open.items():
            if batch.records:
                self._pass_on(scope, kind, batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.batches.close()

    def close(self) -> None:
        """Let the rest cross, and take nothing more. Calling it again does nothing."""
        if not self._closed:
            self.flush()
            self._closed = True
            self._send.close()

    def delivered(self, batch: Batch) -> None:
        """A batch is on disk: there is room again."""
        size = len(batch.lines)
        self._undelivered -= size
        self._counters.undelivered = self._undelivered
        self._counters.delivered += size
        # At half, not at the brim: who waits would take the room of one record each and wait again.
        if self._undelivered <= self._queue_bytes // 2 and self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    @property
    def is_full(self) -> bool:
        """Whether an awaited declare waits."""
        return self._undelivered >= self._queue_bytes

    def statistics(self) -> dict[str, int]:
        """Bytes that wait in open batches and in the queue, and batches in the queue."""
        queued = self.batches.statistics().current_buffer_used
        return {"undelivered_bytes": self._undelivered, "queued_batches": queued}

    def _take(self, batch: _OpenBatch, kind: Kind, record: Record) -> Awaitable[None]:
        try:
            line = encode(record)
        except EncodeError as error:
            raise self._refused(error) from None
        size = len(line)
        undelivered = self._undelivered + size
        if size > self._max_record or undelivered > self._max_undelivered or self._closed:
            raise self._refused(self._reason(record, size))
        batch.lines += line
        batch.records += 1
        self._undelivered = undelivered
        if len(batch.lines) >= self._batch_bytes:
            self._pass_on(ROOT_SCOPE, kind, batch)
        return self._ready if undelivered < self._queue_bytes else self._drain

    def _pass_on(self, scope: int, kind: Kind, batch: _OpenBatch) -> None:
        self._send.send_nowait(Batch(scope, kind, batch.lines, batch.records))
        batch.lines, batch.records = bytearray(), 0
        counters = self._counters
        counters.undelivered = self._undelivered
        counters.undelivered_peak = max(counters.undelivered_peak, self._undelivered)

    def _reason(self, record: Record, size: int) -> RecordError | RunError:
        if self._closed:
            return RunError(f"{describe(record)} was declared after extract() had returned; await what declares it")
        if size > self._max_record:
            return RecordTooLargeError(
                f"{describe(record)} is {size} bytes as JSON, over max_record ({self._max_record} bytes)"
            )
        return BackpressureError(
            f"{describe(record)} was not taken: {self._undelivered / _MIB:.0f} MiB are declared and not yet written. "
            "Write `await self.declare_resource(...)` and `await self.declare_lineage(...)`: the await is where "
            "a full queue is waited for"
        )

    def _refused(self, error: E) -> E:
        """Count the record as lost: the run is incomplete even where the error is caught."""
        self._findings.lose(str(error))
        return error

    def _report_unknown(self, record: Record) -> None:
        for owner, name in unknown_keywords(record):
            message = f"{owner} has no field {name!r}: it was ignored, first for {describe(record)}"
            self._findings.find("unknown-keyword", f"{owner}.{name}", message)


class _Drain:
    """Awaited while the queue is full: ends when there is room."""

    __slots__ = ("_intake",)

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def __await__(self) -> Generator[Any, None, None]:
        intake = self._intake
        loop = asyncio.get_running_loop()
        while intake.is_full:
            # A future each: cancelling one that is shared would cancel everybody else's wait.
            turn: asyncio.Future[None] = loop.create_future()
            intake._waiters.append(turn)
            yield from turn
