"""Takes records from any number of threads, without a way through the event loop for each.

Peak memory besides what the run's own intake holds: two open batches, as many bytes of full ones as `AHEAD` says, and
a record for each thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio

from secoda_async.compat.crossing import Crossing, ended
from secoda_async.counters import Counters
from secoda_async.errors import EncodeError, RecordTooLargeError, RunError
from secoda_async.findings import Findings
from secoda_async.models import Record, unknown_keywords
from secoda_async.pipeline.encode import describe, encode
from secoda_async.pipeline.intake import Intake
from secoda_async.pipeline.scope import OpenBatch
from secoda_async.settings import Settings
from secoda_async.spool_index import Kind

E = TypeVar("E", bound=Exception)

AHEAD: Final = 2**20
"""Bytes of full batches that may wait for the loop; a thread that declares more waits."""
_AGE: Final = 1.0  # seconds after which a batch crosses although it is not full
_TURN: Final = 0.001  # seconds until the loop looks again whether a thread has let go of the lock


class ThreadIntake:
    """Takes a record by the call, encoded; a thread that fills a batch while too much waits goes on when there is room.

    Usage: ``intake.declare(Kind.RESOURCES, record)`` in a thread, while ``feed`` runs in the loop; ``close``, then
    ``finish`` there. Raises RecordError where a record is not taken, which is a loss too, and SystemExit once the run
    has ended.
    """

    def __init__(
        self, intake: Intake, crossing: Crossing, settings: Settings, *, counters: Counters, findings: Findings
    ) -> None:
        self._intake = intake
        self._crossing = crossing
        self._batch_bytes = settings.batch_bytes
        self._max_record = settings.max_record
        self._counters = counters
        self._findings = findings
        self._lock = threading.Lock()
        self._open = {kind: OpenBatch(kind) for kind in Kind}
        self._full: deque[OpenBatch] = deque()
        self._passed_on = 0  # bytes; written under the lock
        self._taken = 0  # of these; written in the loop
        self._waiting: deque[threading.Lock] = deque()
        self._filled = asyncio.Event()
        self._is_closed = False
        self._has_returned = False

    def declare(self, kind: Kind, record: Any, wanted: tuple[type, ...]) -> None:
        """Take a record of one of the ``wanted`` types."""
        if not isinstance(record, wanted):
            name = wanted[0].__name__
            raise self._refused(EncodeError(f"declare_{_VERBS[kind]} takes a {name}, not {type(record).__name__}"))
        record = cast("Record", record)  # or the same model of secodadk's own, which is written the same way
        try:
            line = encode(record)
        except EncodeError as error:
            raise self._refused(error, record) from None
        if len(line) > self._max_record:
            told = f"{describe(record)} is {len(line)} bytes as JSON, over max_record ({self._max_record} bytes)"
            raise self._refused(RecordTooLargeError(told), record)
        with self._lock:
            if self._is_closed:
                if self._has_returned:  # else the run was cut off, and says so
                    told = f"{describe(record)} was declared after extract() had returned; join the thread it is in"
                    self._refused(RunError(told))
                raise ended()
            batch = self._open[kind]
            batch.lines += line
            batch.records += 1
            self._count(kind, record)
            if is_full := len(batch.lines) >= self._batch_bytes:
                self._pass_on(kind)
        if is_full:
            self._crossing.soon(self._filled.set)
            self._wait_for_room()

    async def feed(self) -> None:
        """Hand batches on as they become full or old, until cancelled."""
        while True:
            with anyio.move_on_after(_AGE) as young:
                await self._filled.wait()
            self._filled.clear()
            if young.cancelled_caught:
                await self._pass_on_open()
            while self._full:
                batch = self._full.popleft()
                size = len(batch.lines)
                await self._intake.take_batch(batch)
                self._taken += size
                self._let_go_on()

    def close(self, *, has_returned: bool) -> None:
        """Take nothing more, and end the threads that wait for room. Called in the loop.

        ``has_returned``: what comes now is lost, since ``extract`` returned without it.
        """
        self._has_returned = has_returned
        self._is_closed = True
        self._let_go_on()

    async def finish(self) -> None:
        """Hand on the rest at once, after `close`."""
        await self._pass_on_open()
        while self._full:
            _ = self._intake.take_batch(self._full.popleft())  # nobody waits any more
        self._let_go_on()

    def _count(self, kind: Kind, record: Record) -> None:
        # Under the lock, and of things that nobody but declares counts.
        if kind is Kind.RESOURCES:
            counts, name = self._counters.resources, getattr(record, "entity_type", "")
            counts[name] = counts.get(name, 0) + 1
        else:
            self._counters.lineage += 1
        if isinstance(record, Record):
            for owner, name in unknown_keywords(record):
                message = f"{owner} has no field {name!r}: it was ignored, first for {describe(record)}"
                self._findings.find("unknown-keyword", f"{owner}.{name}", message)

    def _pass_on(self, kind: Kind) -> None:
        batch = self._open[kind]
        self._open[kind] = OpenBatch(kind)
        self._passed_on += len(batch.lines)
        self._full.append(batch)

    async def _pass_on_open(self) -> None:
        while not self._lock.acquire(blocking=False):  # noqa: ASYNC110 # the loop waits for no thread
            await anyio.sleep(_TURN)
        try:
            for kind in Kind:
                if self._open[kind].records:
                    self._pass_on(kind)
        finally:
            self._lock.release()

    def _wait_for_room(self) -> None:
        while self._passed_on - self._taken > AHEAD:
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
            if self._is_closed:
                raise ended()
            if self._passed_on - self._taken > AHEAD:  # else the loop may have looked before it could see this
                turn.acquire()
                if self._is_closed:
                    raise ended()

    def _let_go_on(self) -> None:
        if self._is_closed or self._passed_on - self._taken <= AHEAD // 2:
            while self._waiting:
                self._waiting.popleft().release()

    def _refused(self, error: E, record: Record | None = None) -> E:
        self._crossing.soon(partial(self._intake.refused, error, record))
        return error


_VERBS: Final = {Kind.RESOURCES: "resource", Kind.LINEAGE: "lineage"}
