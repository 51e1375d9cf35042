"""Moves batches from the queue to the spool, off the event loop, and on to a streaming sink."""

from __future__ import annotations

from typing import Final

import anyio
from anyio import to_thread

from secoda_async.pipeline.intake import Intake
from secoda_async.pipeline.sink import Sink, StreamingSink
from secoda_async.spool import Spool

_AGE: Final = 1.0  # seconds after which a batch crosses although it is not full


async def pump(intake: Intake, spool: Spool, sink: Sink) -> None:
    """Run until the intake is closed and everything is written. Raises DeliveryError where it cannot be."""
    streaming = sink if isinstance(sink, StreamingSink) else None
    while True:
        try:
            with anyio.move_on_after(_AGE) as waiting:
                batch = await intake.batches.receive()
        except anyio.EndOfStream:
            return
        if waiting.cancelled_caught:
            intake.flush()
            continue
        await to_thread.run_sync(spool.append, batch)
        if streaming is not None:
            await streaming.write(batch)
        intake.delivered(batch)
