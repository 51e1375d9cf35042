"""Prints every line as it comes, as ``secodadk`` does by default."""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import BinaryIO, Final

from anyio import to_thread
from typing_extensions import override

from secoda_async.errors import OutputError
from secoda_async.pipeline.sink import RunInfo, StreamingSink
from secoda_async.spool import Batch, Spool

_PIECE: Final = 4096  # POSIX: a pipe that is ready for writing takes this much without blocking
_LOOK: Final = 100  # milliseconds between two looks at whether the run was cancelled


class StdoutSink(StreamingSink):
    """Writes resources and lineage to standard output, one JSON object a line, before the run is known to be complete.

    Usage: ``await integration.run(StdoutSink())``; who reads it must heed the exit status, since a failed run has
    printed a part. ``stream`` is another open file in its place. Raises OutputError where the reader went away.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._given = stream
        self._stream: BinaryIO | None = stream
        self._stopped = threading.Event()

    @override
    async def open(self, run: RunInfo) -> None:
        self._stopped.clear()
        self._stream = self._given or sys.stdout.buffer  # what `extract` may put in its place is not meant for lines

    @override
    async def write(self, batch: Batch) -> None:
        # A reader that has stopped reading must not keep a cancelled run from ending: its thread is left behind, and
        # ends by itself at its next look.
        await to_thread.run_sync(self._write, batch.lines, abandon_on_cancel=True)

    @override
    async def commit(self, spool: Spool) -> None:
        return

    @override
    async def abort(self, error: BaseException) -> None:
        self._stopped.set()

    def _write(self, lines: bytes | bytearray) -> None:
        stream = self._stream
        assert stream is not None
        try:
            stream.flush()
            descriptor = _pollable(stream)
            if descriptor is None:
                stream.write(lines)
                stream.flush()
            else:
                self._write_when_ready(descriptor, memoryview(lines))
        except BrokenPipeError as exc:
            raise OutputError("standard output was closed by its reader before the run had ended") from exc
        except OSError as exc:
            raise OutputError(f"standard output cannot be written: {exc.strerror or exc}") from exc

    def _write_when_ready(self, descriptor: int, rest: memoryview) -> None:
        ready = select.poll()
        ready.register(descriptor, select.POLLOUT)
        while rest and not self._stopped.is_set():
            if ready.poll(_LOOK):
                rest = rest[os.write(descriptor, rest[:_PIECE]) :]


def _pollable(stream: BinaryIO) -> int | None:
    """The descriptor, where there is one and the platform can wait for it."""
    if not hasattr(select, "poll"):
        return None
    try:
        return stream.fileno()
    except OSError:  # an object in memory
        return None
