"""A run's files: what was declared, in order, on disk before anything is delivered.

``<state_dir>/runs/<run id>/`` holds ``resources.jsonl`` and ``lineage.jsonl`` (every declared record, duplicates
included), ``index.jsonl`` (a row per batch and per scope), ``rejected.jsonl`` (records that could not be taken),
``manifest.json`` (format, state, counts), ``report.json`` and ``lock``. Where a scope failed, ``live/`` holds the two
files and the index again, without what was declared there. All methods block: they are called in a worker thread.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple

import orjson
from filelock import FileLock, Timeout

from secoda_async.errors import SpoolError
from secoda_async.spool_index import ROOT, Kind, Range, ScopeEnd, read_live_index

FORMAT: Final = 1
KEPT_RUNS: Final = 3
MANIFEST: Final = "manifest.json"
INDEX: Final = "index.jsonl"
REJECTED: Final = "rejected.jsonl"
LIVE: Final = "live"
"""The folder of what is part of the sync, where that is not all of it."""
_PORTION: Final = 2**20  # bytes that are worth the disk's while
_DEFAULT_DIR: Final = ".secoda-async"


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


def make_private(state_dir: Path, directory: Path) -> None:
    """Make a folder within ``state_dir``, and that one; only their owner can read them."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = state_dir / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    for folder in (*reversed(directory.relative_to(state_dir).parents), directory.relative_to(state_dir)):
        (state_dir / folder).mkdir(mode=0o700, exist_ok=True)


def new_run_id() -> str:
    """Sorts by time of creation, and two of the same moment differ."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(2)}"


class _Writer:
    """Appends to one file, and knows its length and digest as it goes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.records = 0
        self._begun = 0  # bytes that the disk has been told to write
        self._digest = hashlib.sha256()
        self._file: BinaryIO = path.open("xb", buffering=0)

    def append(self, lines: bytes | bytearray, records: int) -> None:
        rest = memoryview(lines)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._digest.update(lines)
        self.bytes += len(lines)
        self.records += records
        if self.bytes - self._begun >= _PORTION:
            start_writing(self._file, self._begun, self.bytes - self._begun)
            self._begun = self.bytes

    def finish(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def finished(self) -> SpoolFile:
        return SpoolFile(self.path, self.bytes, self.records, self._digest.hexdigest())


class _Files:
    """The two files and their index, in one folder."""

    def __init__(self, directory: Path, closing: ExitStack) -> None:
        self.of_kind = {kind: _Writer(directory / kind.filename) for kind in Kind}
        self.index = _Writer(directory / INDEX)
        for writer in (*self.of_kind.values(), self.index):
            closing.callback(writer.close)

    def append(self, batches: Iterable[Batch]) -> list[Range]:
        """Write lines, then their rows in the index, each file in one go."""
        ranges: list[Range] = []
        rows = bytearray()
        lines: dict[Kind, list[bytes | bytearray]] = {kind: [] for kind in Kind}
        ahead = dict.fromkeys(Kind, 0)
        records = dict.fromkeys(Kind, 0)
        for scope, kind, some, count in batches:
            offset = self.of_kind[kind].bytes + ahead[kind]
            place = Range(scope, kind, offset, len(some), count, zlib.crc32(some))
            lines[kind].append(some)
            ahead[kind] += len(some)
            records[kind] += count
            rows += orjson.dumps(place.row(), option=orjson.OPT_APPEND_NEWLINE)
            ranges.append(place)
        for kind, pieces in lines.items():
            if pieces:
                self.of_kind[kind].append(pieces[0] if len(pieces) == 1 else b"".join(pieces), records[kind])
        self.index.append(rows, len(ranges))
        return ranges

    def end_scope(self, end: ScopeEnd) -> None:
        self.index.append(orjson.dumps(end.row(), option=orjson.OPT_APPEND_NEWLINE), 1)

    def finish(self) -> None:
        for writer in (*self.of_kind.values(), self.index):
            writer.finish()


class Spool:
    """Writes one run's files.

    Usage: ``spool = Spool.create(state_dir, run_id)``, then ``append`` for each batch, then ``complete`` or ``fail``,
    then ``close``. Raises SpoolError where the files cannot be written.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        self.directory = directory
        self.run_id = run_id
        self.state = State.EXTRACTING
        self.distinct: dict[Kind, Path] | None = None
        """Files to upload: what is part of the sync, each record once; None: they have not been made."""
        self.lacks = ""
        """What is missing by the will of whoever runs it, for a person."""
        self._started_at = datetime.now(UTC)
        self._has_dead = False
        self._open: set[int] = set()
        """Scopes of which something is written, and not how they ended."""
        self._closing = ExitStack()
        self._lock = FileLock(directory / "lock", thread_local=False)  # worker threads take turns

    @classmethod
    def create(cls, state_dir: Path, run_id: str) -> Spool:
        """Make the run's folder, take its lock, and remove old runs: the last 3 are kept, and any that is locked."""
        directory = state_dir / "runs" / run_id
        with _reported(directory):
            make_private(state_dir, directory.parent)
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
        self._files = self._live = _Files(self.directory, self._closing)
        self._write_manifest({})

    def append(self, *batches: Batch) -> list[Range]:
        """Write batches, then their rows in the index, which are returned."""
        self._open.update(batch.scope for batch in batches if batch.scope != ROOT)
        with _reported(self.directory):
            return self._files.append(batches)

    def end_scope(self, end: ScopeEnd) -> None:
        """Say how a scope ended; after its batches, and before the end of the scope that holds it."""
        self._has_dead |= not end.outcome.counts
        self._open.discard(end.scope)
        if end.parent != ROOT:
            self._open.add(end.parent)
        with _reported(self.directory):
            self._files.end_scope(end)

    def reject(self, line: bytes) -> None:
        """Keep what could not be taken, and why, in ``rejected.jsonl``."""
        with _reported(self.directory), (self.directory / REJECTED).open("ab") as file:
            file.write(line)

    def read(self, place: Range) -> bytes:
        """The lines of a batch that has been written. Raises SpoolError where they are damaged."""
        with _reported(self.directory):
            return read_range(self.directory, place)

    def file(self, kind: Kind) -> SpoolFile:
        """What is part of the sync: of a run that goes on, all that has been written of a kind."""
        return self._live.of_kind[kind].finished()

    @property
    def index(self) -> Path:
        """The index of these files."""
        return self._live.index.path

    def complete(self, lacks: str = "") -> None:
        """Say that everything was extracted: the files are on disk before the manifest says so.

        ``lacks`` tells a person what is missing from them by the will of whoever runs it.
        """
        self.lacks = lacks
        with _reported(self.directory):
            self._files.finish()
            if self._has_dead or self._open:
                self._write_live()
            self._finish(State.COMPLETE)

    def _write_live(self) -> None:
        folder = self.directory / LIVE
        folder.mkdir(mode=0o700)
        live = _Files(folder, self._closing)
        for row in read_live_index(self._files.index.path):
            if isinstance(row, ScopeEnd):
                live.end_scope(row)
            else:
                live.append([Batch(row.scope, row.kind, read_range(self.directory, row), row.records)])
        live.finish()
        self._live = live

    def accept(self) -> None:
        """Say that the sink took it."""
        self._finish(State.ACCEPTED)

    def fail(self, error: str) -> None:
        """Say what went wrong. A complete one stays complete: its delivery failed, and can be tried again."""
        if self.state is State.EXTRACTING:
            self._finish(State.FAILED, error=error)
        else:
            self._finish(self.state, delivery_error=error)

    def close(self) -> None:
        """Close the files, remove those of an upload, and let go of the lock. Calling it again does nothing."""
        for kind, path in (self.distinct or {}).items():
            if path != self.file(kind).path:
                with suppress(OSError):  # it goes with the folder
                    path.unlink()
        self._closing.close()

    def _finish(self, state: State, **more: Any) -> None:
        self.state = state
        files = {kind.value: self.file(kind).sums() for kind in Kind}
        folder = "." if self._live is self._files else LIVE
        told = {"folder": folder, "files": files, "index": self._live.index.finished().sums(), "lacks": self.lacks}
        self._write_manifest({"finished_at": datetime.now(UTC), **told, **more})

    def _write_manifest(self, more: dict[str, Any]) -> None:
        manifest = {
            "format": FORMAT,
            "run": self.run_id,
            "state": self.state,
            "started_at": self._started_at,
            **more,
        }
        with _reported(self.directory):
            replace_file(self.directory / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))


def is_complete(directory: Path) -> bool:
    """Whether a run's files say that all was extracted, and was not delivered."""
    try:
        return bool(orjson.loads((directory / MANIFEST).read_bytes())["state"] == State.COMPLETE)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return False


def mark_accepted(directory: Path) -> None:
    """Say of a complete run's files that a sink took them. Raises SpoolError where that cannot be written."""
    path = directory / MANIFEST
    with _reported(directory):
        told = orjson.loads(path.read_bytes())
        told.pop("delivery_error", None)
        told["state"] = State.ACCEPTED
        replace_file(path, orjson.dumps(told, option=orjson.OPT_INDENT_2))


def read_range(directory: Path, place: Range) -> bytes:
    """The lines of a batch, from the files of a folder. Raises SpoolError where they are not what was written."""
    path = directory / place.kind.filename
    with path.open("rb") as file:
        file.seek(place.offset)
        lines = file.read(place.length)
    if len(lines) != place.length or zlib.crc32(lines) != place.crc32:
        raise SpoolError(
            f"{path} is damaged: the {place.length} bytes from byte {place.offset} on are not those that were written; "
            "run the extraction again, on a disk that keeps what it is given"
        )
    return lines


def start_writing(file: IO[bytes], offset: int, length: int) -> None:
    """Let the disk begin with what was written here, where the system can: an fsync at the end waits for it less."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # some file systems know no advice
            os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_DONTNEED)


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
