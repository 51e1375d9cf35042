"""Accepts declared records: encodes each at once, gathers lines into batches, and says when to wait.

Peak memory of what is declared and not yet on disk: ``max_undelivered`` (64 MiB), plus 64 KiB for each scope that is
open, at most 64 MiB for all of them, plus one record. A scope that has ended costs its name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Self, TypeVar

import anyio
import orjson

from secoda_async.counters import Counters
from secoda_async.errors import BackpressureError, EncodeError, RecordError, RecordTooLargeError, RunError, ScopeError
from secoda_async.findings import Findings
from secoda_async.models import DeclaredLineage, Record, Resource, unknown_keywords
from secoda_async.pipeline.encode import describe, encode, show
from secoda_async.pipeline.scope import OpenBatch, Scope, current_scope
from secoda_async.settings import Settings
from secoda_async.spool import Batch
from secoda_async.spool_index import ROOT, Kind, Outcome, ScopeEnd
from secoda_async.stored_scopes import StoredScope

SCOPE_BYTES: Final = 64 * 2**10
"""So many bytes gather in an open scope before they are written."""
SCOPES_BYTES: Final = 64 * 2**20
"""So many in all open scopes together."""
MOST_REJECTED: Final = 10_000
"""Records that could not be taken and are kept; all are counted."""
_MIB: Final = 2**20
_RESOURCES, _LINEAGE = Kind.RESOURCES, Kind.LINEAGE  # each look at a member of an Enum costs as much as a call

E = TypeVar("E", bound=Exception)


Item = Batch | ScopeEnd | StoredScope | bytes
"""What crosses the queue: lines, a scope's end, a stored scope to carry over, and the line of a rejected record."""


class Intake:
    """Takes records until it is closed; batches come out of ``items`` in the order in which they were filled.

    Usage: ``await intake.declare_resource(resource)``. The record is taken by the call; the await is where a full
    queue is waited for. Raises RecordError where a record is not taken, which also is a loss of the run.
    """

    def __init__(
        self, settings: Settings, counters: Counters, findings: Findings, describe_origin: Callable[[], str] = str
    ) -> None:
        self._batch_bytes = settings.batch_bytes
        self._queue_bytes = settings.queue_bytes
        self._max_undelivered = settings.max_undelivered
        self._max_record = settings.max_record
        self._counters = counters
        self._findings = findings
        self._describe_origin = describe_origin
        self._crossed = 0  # bytes that are in the queue, or on their way to the disk
        self._resource_counts = counters.resources
        self._resources = OpenBatch(Kind.RESOURCES)
        self._lineage = OpenBatch(Kind.LINEAGE)
        self._names: set[str] = set()
        self._scopes: dict[int, Scope] = {}
        self._scopes_bytes = 0
        self._last_scope = ROOT
        self._closed = False
        # Bounded by bytes, in `_take`: a batch crosses only when it is full, or when the queue is empty.
        self._send, self.items = anyio.create_memory_object_stream[Item](float("inf"))
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._ready.set_result(None)
        self._drain = _Drain(self)
        self._waiters: list[asyncio.Future[None]] = []
        self._free_until = 0
        """Bytes in an open batch below which a record fits whatever the other one holds, and nothing has to be done."""
        self._weigh()

    def declare_resource(self, resource: Resource) -> Awaitable[None]:
        """Take a resource. The awaitable is ready unless the queue is full."""
        if not isinstance(resource, Resource):
            raise self.refused(EncodeError(f"declare_resource takes a Resource, not {type(resource).__name__}"))
        try:
            line = encode(resource)
        except EncodeError as error:
            raise self.refused(error, resource) from None
        batch = self._resources
        lines = batch.lines
        # Nothing is full, and there are no scopes: most records take no longer way than this.
        if len(lines) + len(line) < self._free_until and not self._names:
            lines += line
            batch.records += 1
            awaitable: Awaitable[None] = self._ready
        else:
            awaitable = self._take(_RESOURCES, resource, line)
        counts = self._resource_counts
        kind = resource.entity_type
        counts[kind] = counts.get(kind, 0) + 1
        if resource.__pydantic_extra__:
            self._report_unknown(resource)
        return awaitable

    def declare_lineage(self, lineage: DeclaredLineage) -> Awaitable[None]:
        """Take a lineage. The awaitable is ready unless the queue is full."""
        if not isinstance(lineage, DeclaredLineage):
            raise self.refused(EncodeError(f"declare_lineage takes a DeclaredLineage, not {type(lineage).__name__}"))
        try:
            line = encode(lineage)
        except EncodeError as error:
            raise self.refused(error, lineage) from None
        batch = self._lineage
        lines = batch.lines
        if len(lines) + len(line) < self._free_until and not self._names:
            lines += line
            batch.records += 1
            awaitable: Awaitable[None] = self._ready
        else:
            awaitable = self._take(_LINEAGE, lineage, line)
        self._counters.lineage += 1
        if (
            lineage.__pydantic_extra__
            or lineage.from_identifier.__pydantic_extra__
            or lineage.to_identifier.__pydantic_extra__
        ):
            self._report_unknown(lineage)
        return awaitable

    def take_batch(self, batch: OpenBatch) -> Awaitable[None]:
        """Take what was encoded, checked and counted elsewhere. The batch is empty then; awaited as a declare is."""
        self._pass_on(ROOT, batch)
        return self._ready if self._undelivered < self._queue_bytes else self._drain

    @property
    def scope(self) -> Scope | None:
        """The scope of the running task; None: that of the run."""
        found = current_scope.get()
        return found if found is not None and found.owner is self else None

    def open_scope(self, name: str) -> Scope:
        """Begin a scope within the running task's. Raises ScopeError where the name was used, or that one has ended."""
        outer = self.scope
        if self._closed or (outer is not None and outer.ended):
            raise self.refused(ScopeError(f"the scope {name!r} begins after what it belongs to has ended; await it"))
        if name in self._names:
            raise self.refused(
                ScopeError(f"there are two scopes called {name!r}; a name is the scope's own, in every run the same")
            )
        self._names.add(name)
        scope = Scope(self._new_id(), name, self, outer)
        self._scopes[scope.id] = scope
        if outer is not None:
            outer.inner += 1
        return scope

    def end_scope(self, scope: Scope, outcome: Outcome) -> None:
        """What the scope holds is part of the sync, or is not."""
        if outcome.counts and not self._closed:
            self._spill(scope)
        else:
            self._scopes_bytes -= scope.size
            for batch in scope.batches():
                batch.lines, batch.records = bytearray(), 0
        scope.ended = True
        del self._scopes[scope.id]
        if scope.outer is not None:
            scope.outer.inner -= 1
        if self._closed:  # the run has ended before it, so nothing of it is delivered
            return
        self._send.send_nowait(ScopeEnd(scope.id, scope.parent, scope.name, outcome, time.time()))

    def carry(self, scope: Scope, stored: StoredScope) -> None:
        """Put an accepted sync's records in the place of a scope that has failed."""
        first = self._new_id(len(stored.parts))
        self._send.send_nowait(stored.carried(parent=scope.parent, first=first))

    @property
    def open_scopes(self) -> list[str]:
        """Names of the scopes that have not ended."""
        return [scope.name for scope in self._scopes.values()]

    def flush(self) -> None:
        """Let what the run itself has gathered cross the queue, full or not."""
        for batch in (self._resources, self._lineage):
            if batch.records:
                self._pass_on(ROOT, batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.items.close()

    def close(self) -> None:
        """Let the rest cross, and take nothing more. Calling it again does nothing."""
        if not self._closed:
            self.flush()
            self._closed = True
            self._weigh()
            self._send.close()

    def delivered(self, batch: Batch) -> None:
        """A batch is on disk: there is room again."""
        size = len(batch.lines)
        self._crossed -= size
        self._weigh()
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

    @property
    def waiting(self) -> int:
        """Awaited declares that wait for room."""
        return len(self._waiters)

    def statistics(self) -> dict[str, int]:
        """Bytes that wait outside scopes and in the queue, bytes in open scopes, and what is in the queue."""
        return {
            "undelivered_bytes": self._undelivered,
            "scopes_bytes": self._scopes_bytes,
            "open_scopes": len(self._scopes),
            "queued_items": self.items.statistics().current_buffer_used,
        }

    @property
    def _undelivered(self) -> int:
        """Bytes that are declared and not on disk, those in open scopes left out."""
        return self._crossed + len(self._resources.lines) + len(self._lineage.lines)

    def _weigh(self) -> None:
        is_free = not self._closed and self._crossed + 2 * self._batch_bytes <= self._queue_bytes
        self._free_until = min(self._batch_bytes, self._max_record) if is_free else 0

    def _new_id(self, count: int = 1) -> int:
        """The first of so many ids."""
        first = self._last_scope + 1
        self._last_scope += count
        return first

    def _take(self, kind: Kind, record: Record, line: bytes) -> Awaitable[None]:
        scope = self.scope if self._names else None  # most runs have none
        if scope is not None:
            return self._take_into(scope, kind, record, line)
        batch = self._resources if kind is _RESOURCES else self._lineage
        undelivered = self._undelivered + len(line)
        if len(line) > self._max_record or undelivered > self._max_undelivered or self._closed:
            raise self._too_much(record, len(line))
        batch.lines += line
        batch.records += 1
        if len(batch.lines) >= self._batch_bytes:
            self._pass_on(ROOT, batch)
        return self._ready if undelivered < self._queue_bytes else self._drain

    def _take_into(self, scope: Scope, kind: Kind, record: Record, line: bytes) -> Awaitable[None]:
        size = len(line)
        if scope.ended:
            raise self.refused(
                ScopeError(f"{describe(record)} was declared into {scope.name!r} after that scope had ended; await it"),
                record,
            )
        if size > self._max_record or self._undelivered + size > self._max_undelivered or self._closed:
            raise self._too_much(record, size)
        batch = scope.resources if kind is _RESOURCES else scope.lineage
        batch.lines += line
        batch.records += 1
        self._scopes_bytes += size
        if scope.size >= SCOPE_BYTES:
            self._spill(scope)
        elif self._scopes_bytes > SCOPES_BYTES:
            self._spill_largest()
        return self._ready if self._undelivered < self._queue_bytes else self._drain

    def _spill(self, scope: Scope) -> None:
        self._scopes_bytes -= scope.size
        for batch in scope.batches():
            if batch.records:
                self._pass_on(scope.id, batch)

    def _spill_largest(self) -> None:
        """From those that hold the most, since small ones would make small batches."""
        average = self._scopes_bytes / len(self._scopes)
        for scope in self._scopes.values():
            if scope.size >= average:
                self._spill(scope)

    def _pass_on(self, scope: int, batch: OpenBatch) -> None:
        self._send.send_nowait(Batch(scope, batch.kind, batch.lines, batch.records))
        self._crossed += len(batch.lines)
        batch.lines, batch.records = bytearray(), 0
        self._weigh()
        counters = self._counters
        counters.undelivered = self._undelivered
        counters.undelivered_peak = max(counters.undelivered_peak, self._undelivered + self._scopes_bytes)

    def _too_much(self, record: Record, size: int) -> RecordError | RunError:
        if self._closed:
            return self.refused(
                RunError(f"{describe(record)} was declared after extract() had returned; await what declares it")
            )
        if size > self._max_record:
            error = f"{describe(record)} is {size} bytes as JSON, over max_record ({self._max_record} bytes)"
            return self.refused(RecordTooLargeError(error), record)
        error = (
            f"{describe(record)} was not taken: {self._undelivered / _MIB:.0f} MiB are declared and not yet written. "
            "Write `await self.declare_resource(...)` and `await self.declare_lineage(...)`: the await is where "
            "a full queue is waited for"
        )
        # Of the whole run, whatever the policy of a scope says: the program is wrong, and not the source.
        self._findings.run.lose(error)
        return BackpressureError(error)

    def refused(self, error: E, record: Record | None = None) -> E:
        """Count the record as lost, though the error may be caught, and keep what can be shown of it."""
        self._findings.lose(str(error), error=error)
        if record is not None:
            self._counters.rejected += 1
            if self._counters.rejected <= MOST_REJECTED and not self._closed:
                shown = {"reason": str(error), "request": self._describe_origin() or None, "record": show(record)}
                self._send.send_nowait(orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE))
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
        began = loop.time()
        try:
            while intake.is_full:
                # A future each: cancelling one that is shared would cancel everybody else's wait.
                turn: asyncio.Future[None] = loop.create_future()
                intake._waiters.append(turn)
                yield from turn
        finally:
            intake._counters.backpressure += loop.time() - began
