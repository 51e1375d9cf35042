"""Moves what crosses the queue to the spool, off the event loop, and on to a streaming sink what is sure to count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import Final

import anyio
from anyio import to_thread

from secoda_async.pipeline.intake import Intake, Item
from secoda_async.pipeline.sink import Sink, StreamingSink
from secoda_async.spool import Batch, Spool
from secoda_async.spool_index import ROOT, Range, ScopeEnd
from secoda_async.stored_scopes import StoredScope

_PIECE: Final = 2**20
_AGE: Final = 1.0  # seconds after which a batch crosses although it is not full

Written = Batch | Range | ScopeEnd
"""What a streaming sink has to know: a batch of the run itself, where one of a scope is, and how a scope ended."""


async def pump(intake: Intake, spool: Spool, sink: Sink) -> None:
    """Run until the intake is closed and everything is written. Raises DeliveryError where it cannot be."""
    stream = _Stream(sink, spool) if isinstance(sink, StreamingSink) else None
    while True:
        try:
            with anyio.move_on_after(_AGE) as waiting:
                items = [await intake.items.receive()]
        except anyio.EndOfStream:
            return
        if waiting.cancelled_caught:
            intake.flush()
            continue
        items += _queued(intake)
        with anyio.CancelScope(shield=True):  # or they would be neither in the queue nor in the spool
            written = await to_thread.run_sync(_write, spool, items)
        if stream is not None:
            await stream.take(written)
        for item in items:
            if isinstance(item, Batch):
                intake.delivered(item)


async def drain(intake: Intake, spool: Spool) -> None:
    """Write what a pump that was cut off has left in the queue: the spool then holds all that was declared.

    Nothing else gets it. Raises SpoolError where it cannot be written.
    """
    if items := [*_queued(intake)]:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_write, spool, items)


def _queued(intake: Intake) -> Iterator[Item]:
    """What else waits: a busy loop lets another thread have its turn every few milliseconds only."""
    with suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            yield intake.items.receive_nowait()


def _write(spool: Spool, items: list[Item]) -> list[Written]:
    written: list[Written] = []
    for kind, group in groupby(items, type):
        if kind is Batch:
            batches = [item for item in group if isinstance(item, Batch)]
            ranges = spool.append(*batches)
            written += (b if b.scope == ROOT else place for b, place in zip(batches, ranges, strict=True))
            continue
        for item in group:
            if isinstance(item, bytes):
                spool.reject(item)
            elif isinstance(item, StoredScope):
                for part in item.read():
                    written += spool.append(part) if isinstance(part, Batch) else [_end(spool, part)]
            elif isinstance(item, ScopeEnd):
                written.append(_end(spool, item))
    return written


def _end(spool: Spool, end: ScopeEnd) -> ScopeEnd:
    spool.end_scope(end)
    return end


class _Stream:
    """Gives a streaming sink what is sure to be part of the sync: of a scope, when the outermost has ended well."""

    def __init__(self, sink: StreamingSink, spool: Spool) -> None:
        self._sink = sink
        self._spool = spool
        self._pending: dict[int, list[Range]] = {}

    async def take(self, written: list[Written]) -> None:
        """Hand on what is sure by now."""
        stored: list[Range] = []
        for one in written:
            match one:
                case Batch():
                    await self._hand_on(stored)
                    stored = []
                    await self._sink.write(one)
                case Range():
                    self._pending.setdefault(one.scope, []).append(one)
                case ScopeEnd():
                    stored += self._ended(one)
        await self._hand_on(stored)

    def _ended(self, end: ScopeEnd) -> list[Range]:
        places = self._pending.pop(end.scope, [])
        if not end.outcome.counts:
            return []
        if end.parent == ROOT:
            return places
        self._pending.setdefault(end.parent, []).extend(places)
        return []

    async def _hand_on(self, places: list[Range]) -> None:
        for some in _pieces(places):
            for batch in await to_thread.run_sync(self._read, some):
                await self._sink.write(batch)

    def _read(self, places: list[Range]) -> list[Batch]:
        return [Batch(place.scope, place.kind, self._spool.read(place), place.records) for place in places]


def _pieces(places: list[Range]) -> Iterator[list[Range]]:
    """So many at a time that their lines are about a piece: a thread for each would cost more than its reading."""
    some: list[Range] = []
    size = 0
    for place in places:
        some.append(place)
        size += place.length
        if size >= _PIECE:
            yield some
            some, size = [], 0
    if some:
        yield some
