"""Moves batches from the queue to the spool, off the event loop, and on to a streaming sink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import anyio
from anyio import to_thread

from secoda_async.pipeline.intake import Intake
from secoda_async.pipeline.sink import Sink, StreamingSink
from secoda_async.spool import Batch, Spool

_AGE: Final = 1.0  # seconds after which a batch crosses although it is not full


async def pump(intake: Intake, spool: Spool, sink: Sink) -> None:
    """Run until the intake is closed and everything is written. Raises DeliveryError where it cannot be."""
    streaming = sink if isinstance(sink, StreamingSink) else None
    while True:
        try:
            with anyio.move_on_after(_AGE) as waiting:
                batches = [await intake.batches.receive()]
        except anyio.EndOfStream:
            return
        if waiting.cancelled_caught:
            intake.flush()
            continue
        batches += _queued(intake)
        with anyio.CancelScope(shield=True):  # or they would be neither in the queue nor in the spool
            await to_thread.run_sync(_append, spool, batches)
        for batch in batches:
            if streaming is not None:
                await streaming.write(batch)
            intake.delivered(batch)


async def drain(intake: Intake, spool: Spool) -> None:
    """Write what a pump that was cut off has left in the queue: the spool then holds all that was declared.

    Nothing else gets it. Raises SpoolError where it cannot be written.
    """
    if batches := [*_queued(intake)]:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_append, spool, batches)


def _queued(intake: Intake) -> Iterator[Batch]:
    """What else waits: a busy loop lets another thread have its turn every few milliseconds only."""
    with suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            yield intake.batches.receive_nowait()


def _append(spool: Spool, batches: list[Batch]) -> None:
    for batch in batches:
        spool.append(batch)
