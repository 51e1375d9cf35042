"""Prints every line as it comes, as ``secodadk`` does by default."""

from __future__ import annotations

import sys
from typing import BinaryIO, Final

from anyio import to_thread
from typing_extensions import override

from secoda_async.errors import OutputError
from secoda_async.pipeline.sink import RunInfo, StreamingSink
from secoda_async.spool import Batch, Spool

_PIECE: Final = 2**16


class StdoutSink(StreamingSink):
    """Writes resources and lineage to standard output, one JSON object a line, before the run is known to be complete.

    Usage: ``await integration.run(StdoutSink())``; the reader must heed the exit status. Raises OutputError where the
    reader went away.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream

    @override
    async def open(self, run: RunInfo) -> None:
        if self._stream is None:
            self._stream = sys.stdout.buffer

    @override
    async def write(self, batch: Batch) -> None:
        # Abandoned when cancelled: a reader that has stopped reading must not keep the run from ending.
        await to_thread.run_sync(self._write, batch.lines, abandon_on_cancel=True)

    @override
    async def commit(self, spool: Spool) -> None:
        return

    @override
    async def abort(self, error: BaseException) -> None:
        return

    def _write(self, lines: bytes | bytearray) -> None:
        assert self._stream is not None
        view = memoryview(lines)
        try:
            for start in range(0, len(view), _PIECE):
                self._stream.write(view[start : start + _PIECE])
            self._stream.flush()
        except BrokenPipeError as exc:
            raise OutputError("standard output was closed by its reader before the run had ended") from exc
        except OSError as exc:
            raise OutputError(f"standard output cannot be written: {exc.strerror or exc}") from exc
