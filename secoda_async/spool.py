"""A run's files: what was declared, in order, on disk before anything is delivered.

``<state_dir>/runs/<run id>/`` holds ``resources.jsonl`` and ``lineage.jsonl`` (every declared record, duplicates
included), ``index.jsonl`` (a row per batch), ``manifest.json`` (format, state, counts) and ``lock``. All methods
block: they are called in a worker thread.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import orjson
from filelock import FileLock, Timeout

from secoda_async.errors import SpoolError

FORMAT: Final = 1
KEPT_RUNS: Final = 3
_DEFAULT_DIR: Final = ".secoda-async"


class Kind(StrEnum):
    """The two kinds of record, each with a file of its own."""

    RESOURCES = "resources"
    LINEAGE = "lineage"

    @property
    def filename(self) -> str:
        return f"{self.value}.jsonl"


class State(StrEnum):
    """How far a run came; only a complete one may be delivered."""

    EXTRACTING = "extracting"
    COMPLETE = "complete"
    ACCEPTED = "accepted"
    FAILED = "failed"


class Batch(NamedTuple):
    """Lines of one scope and kind, on their way from the intake to the files."""

    scope: int
    kind: Kind
    lines: bytes | bytearray
    records: int


class SpoolFile(NamedTuple):
    """One file of a spool, as far as it is written."""

    path: Path
    bytes: int
    records: int
    sha256: str

    def sums(self) -> dict[str, int | str]:
        """What a reader checks the file's content against."""
        return {"bytes": self.bytes, "records": self.records, "sha256": self.sha256}


def resolve_state_dir(setting: Path | None) -> Path:
    """The setting, else ``SECODA_ASYNC_STATE``, else ``.secoda-async`` in the working directory."""
    return setting or Path(os.environ.get("SECODA_ASYNC_STATE") or _DEFAULT_DIR)


def new_run_id() -> str:
    """Sorts by time of creation, and two of the same moment differ."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(2)}"


class _Writer:
    """Appends to one file, and knows its length and digest as it goes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.records = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO = path.open("xb", buffering=0)

    def append(self, lines: bytes | bytearray, records: int) -> None:
        rest = memoryview(lines)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._digest.update(lines)
        self.bytes += len(lines)
        self.records += records

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def finished(self) -> SpoolFile:
        return SpoolFile(self.path, self.bytes, self.records, self._digest.hexdigest())


class Spool:
    """Writes one run's files.

    Usage: ``spool = Spool.create(state_dir, run_id)``, then ``append`` for each batch, then ``complete`` or ``fail``,
    then ``close``. Raises SpoolError where the files cannot be written.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        self.directory = directory
        self.run_id = run_id
        self.state = State.EXTRACTING
        self._started_at = datetime.now(UTC)
        self._closing = ExitStack()
        self._lock = FileLock(directory / "lock", thread_local=False)  # worker threads take turns

    @classmethod
    def create(cls, state_dir: Path, run_id: str) -> Spool:
        """Make the run's folder, take its lock, and remove old runs: the last 3 are kept, and any that is locked."""
        directory = state_dir / "runs" / run_id
        with _reported(directory):
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            ignore = state_dir / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            directory.parent.mkdir(mode=0o700, exist_ok=True)
            _prune(directory.parent, keep=KEPT_RUNS - 1)
            directory.mkdir(mode=0o700)
            spool = cls(directory, run_id)
            with ExitStack() as undo:
                undo.callback(spool.close)
                spool._open_files()
                undo.pop_all()
            return spool

    def _open_files(self) -> None:
        self._lock.acquire(blocking=False)
        self._closing.callback(self._lock.release)
        self._writers = {kind: _Writer(self.directory / kind.filename) for kind in Kind}
        self._index = _Writer(self.directory / "index.jsonl")
        for writer in (*self._writers.values(), self._index):
            self._closing.callback(writer.close)
        self._write_manifest({})

    def append(self, batch: Batch) -> None:
        """Write a batch, then its row in the index."""
        writer = self._writers[batch.kind]
        row = {
            "scope": batch.scope,
            "kind": batch.kind,
            "offset": writer.bytes,
            "length": len(batch.lines),
            "records": batch.records,
            "crc32": zlib.crc32(batch.lines),
        }
        with _reported(self.directory):
            writer.append(batch.lines, batch.records)
            self._index.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE), 1)

    def file(self, kind: Kind) -> SpoolFile:
        """What has been written of a kind."""
        return self._writers[kind].finished()

    def complete(self) -> None:
        """Say that everything was extracted: the files are on disk before the manifest says so."""
        with _reported(self.directory):
            for writer in (*self._writers.values(), self._index):
                writer.sync()
            self._finish(State.COMPLETE)

    def accept(self) -> None:
        """Say that the sink took it."""
        self._finish(State.ACCEPTED)

    def fail(self, error: str) -> None:
        """Say that it must not be delivered, and why."""
        self._finish(State.FAILED, error=error)

    def close(self) -> None:
        """Close the files and let go of the lock. Calling it again does nothing."""
        self._closing.close()

    def _finish(self, state: State, **more: Any) -> None:
        self.state = state
        files = {kind.value: self.file(kind).sums() for kind in Kind}
        self._write_manifest({"finished_at": datetime.now(UTC), "files": files, **more})

    def _write_manifest(self, more: dict[str, Any]) -> None:
        manifest = {
            "format": FORMAT,
            "run": self.run_id,
            "state": self.state,
            "started_at": self._started_at,
            **more,
        }
        with _reported(self.directory):
            replace_file(self.directory / "manifest.json", orjson.dumps(manifest, option=orjson.OPT_INDENT_2))


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file so that a reader sees the old content or the new, never half of either."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _reported(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SpoolError(
            f"the run's files in {directory} cannot be written: {exc.strerror or exc}; "
            "free space, mend the permissions, or choose another place with state_dir or SECODA_ASYNC_STATE"
        ) from exc


def _prune(runs: Path, keep: int) -> None:
    finished = sorted((entry for entry in runs.iterdir() if entry.is_dir()), reverse=True)
    for old in finished[keep:]:
        try:
            with FileLock(old / "lock", blocking=False, thread_local=False):
                shutil.rmtree(old, ignore_errors=True)
        except Timeout:
            continue  # a run that is still going
