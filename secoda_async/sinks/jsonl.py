"""Leaves a complete run as files in a folder."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import anyio
import orjson
from anyio import to_thread
from typing_extensions import override

from secoda_async.baselines import Target
from secoda_async.dataset import FAILED_FILE, RUN_FILE
from secoda_async.errors import OutputError, reason_of
from secoda_async.pipeline.sink import RunInfo, SyncSink
from secoda_async.redact import Redactor
from secoda_async.shielding import opened
from secoda_async.spool import Spool, replace_file, start_writing
from secoda_async.spool_index import Kind

FORMAT: Final = 1
_PIECE, _PIECES = 2**18, 64  # bytes, for which memory is at hand, and how many before a cancelled run is heard


class JSONLSink(SyncSink):
    """Writes ``resources.jsonl`` and ``lineage.jsonl``, then ``run.json`` with size and SHA-256 of both.

    Usage: ``await integration.run(JSONLSink("out"))``. Files of an earlier run are replaced only by those of a
    complete one; a failed run writes ``run.failed.json`` and touches nothing else. Whoever finds the sums of
    ``run.json`` to be those of the files has one complete run. Raises OutputError where the folder cannot be written.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._run: dict[str, Any] = {}
        self._redact = Redactor()

    @override
    def target(self) -> Target:
        """The folder."""
        path = str(self._directory.resolve())
        return Target("files", f"{self._directory.name}-{hashlib.sha256(path.encode()).hexdigest()[:12]}")

    @override
    async def open(self, run: RunInfo) -> None:
        self._run = {"format": FORMAT, "run": run.run_id, "integration": run.integration}
        self._redact = run.redact
        await to_thread.run_sync(self._check)

    @override
    async def commit(self, spool: Spool) -> None:
        copies = {
            self._directory / f".{kind.filename}.{spool.run_id}.tmp": self._directory / kind.filename for kind in Kind
        }
        try:
            for kind, copy in zip(Kind, copies, strict=True):
                await _copy(spool.file(kind).path, copy)
        except OSError as exc:
            raise self._error(exc) from exc
        else:
            await to_thread.run_sync(self._publish, spool, copies)
        finally:
            with anyio.CancelScope(shield=True):
                for copy in copies:
                    await anyio.Path(copy).unlink(missing_ok=True)

    @override
    async def abort(self, error: BaseException) -> None:
        reason = self._redact(reason_of(error))
        try:
            await to_thread.run_sync(
                self._write_run, FAILED_FILE, {"error": reason, "error_type": type(error).__name__}
            )
        except OSError as exc:
            raise self._error(exc) from exc

    def _publish(self, spool: Spool, copies: dict[Path, Path]) -> None:
        files = {kind.filename: spool.file(kind).sums() for kind in Kind}
        try:
            for copy, target in copies.items():
                copy.replace(target)
            self._write_run(RUN_FILE, {"files": files, "lacks": spool.lacks})
            (self._directory / FAILED_FILE).unlink(missing_ok=True)
        except OSError as exc:  # a file may be the new one and another the old: the sums of run.json tell
            raise self._error(exc, ambiguous=True) from exc

    def _check(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            probe = self._directory / f".{self._run['run']}.probe"
            probe.touch()
            probe.unlink()
        except OSError as exc:
            raise self._error(exc) from exc

    def _write_run(self, name: str, more: dict[str, Any]) -> None:
        content = {**self._run, "finished_at": datetime.now(UTC), **more}
        replace_file(self._directory / name, orjson.dumps(content, option=orjson.OPT_INDENT_2))

    def _error(self, exc: OSError, *, ambiguous: bool = False) -> OutputError:
        return OutputError(
            f"the folder {self._directory} cannot be written: {exc.strerror or exc}; "
            "free space, mend its permissions or choose another",
            ambiguous=ambiguous,
        )


async def _copy(source: Path, target: Path) -> None:
    """In pieces, so that a cancelled run does not wait for gigabytes."""
    async with opened(source, "rb") as reader, opened(target, "wb") as writer:
        while await to_thread.run_sync(_copy_some, reader.wrapped, writer.wrapped):
            pass
        await writer.flush()
        await to_thread.run_sync(os.fsync, writer.wrapped.fileno())


def _copy_some(reader: IO[bytes], writer: IO[bytes]) -> bool:
    """Whether there is more."""
    for _ in range(_PIECES):
        piece = reader.read(_PIECE)
        if not piece:
            return False
        writer.write(piece)
        start_writing(writer, writer.tell() - len(piece), len(piece))
    return True
