"""DuckDB over files of any size: in bounded memory, and with no way from data to another file or to SQL.

Imported at a delivery only: the import alone takes as long as thousands of records.
"""

from __future__ import annotations

import glob
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Final, TypeVar

import anyio
import duckdb
from anyio import to_thread
from duckdb import DuckDBPyConnection as Connection

from secoda_async.errors import DatasetError, SpoolError
from secoda_async.reading import longest_line

__all__ = ["Connection", "analyse", "go_on"]

T = TypeVar("T")
MEMORY: Final = 256 * 2**20
"""Bytes that the engine may take; what is more goes to files in the folder it works in."""
MEMORY_PER_BYTE: Final = 8
"""Bytes that it may take besides, for each byte of the longest line: it holds several copies of one on the way."""
_THREADS: Final = 2  # each reads in a buffer of its own, so more of them need more memory
_LOOK: Final = 0.01  # seconds between two looks at whether a query that was interrupted has ended


async def analyse(work: Path, reads: Iterable[Path], judge: Callable[[Connection], T], *, memory: int = MEMORY) -> T:
    """What ``judge`` finds out with a database of its own, in a thread.

    Usage: ``lines = await analyse(folder, dataset, lambda connection: load_resources(connection, dataset, "r"))``.

    ``reads`` are the only files that a query can read; ``work`` is a folder for temporary files. They are removed when
    this returns or raises. Cancelling it interrupts the query, and whatever ``judge`` asks after it.
    Raises DatasetError where one of ``reads`` cannot be read, and SpoolError where ``work`` cannot be written, the disk
    is full, or ``memory`` (bytes) is not enough.
    """
    thread = _Thread()

    def body() -> T:
        _THREAD.set(thread)
        with (
            thread.running(),
            _translated(work, memory),
            _database(work, [*reads], memory) as connection,
            thread.asking(connection),
        ):
            return judge(connection)

    try:
        return await to_thread.run_sync(body, abandon_on_cancel=True)
    finally:
        await thread.stop()


def go_on() -> None:
    """For a long loop of a ``judge`` that asks nothing: ends it where its caller was cancelled."""
    _THREAD.get().go_on()


class _Stopped(Exception):  # noqa: N818 # never leaves this file
    """Raised in a thread whose caller was cancelled before it had begun."""


class _Thread:
    """One thread's work, which can be stopped from the event loop."""

    def __init__(self) -> None:
        self._began = threading.Event()
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._open = threading.Lock()  # an interrupt must never meet a connection that is closing
        self._connection: Connection | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        self._began.set()
        try:
            self.go_on()
            yield
        finally:
            self._ended.set()

    @contextmanager
    def asking(self, connection: Connection) -> Iterator[None]:
        self._connection = connection
        try:
            self.go_on()
            yield
        finally:
            with self._open:
                self._connection = None

    async def stop(self) -> None:
        """Where it has not ended: interrupt each query until it has. It is not waited for if it never begins."""
        self._stopped.set()
        with anyio.CancelScope(shield=True):
            while self._began.is_set() and not self._ended.is_set():
                if self._open.acquire(blocking=False):
                    try:
                        if self._connection is not None:
                            self._connection.interrupt()
                    finally:
                        self._open.release()
                await anyio.sleep(_LOOK)

    def go_on(self) -> None:
        if self._stopped.is_set():
            raise _Stopped


_THREAD: Final[ContextVar[_Thread]] = ContextVar("thread")


@contextmanager
def _translated(work: Path, memory: int) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as exc:
        raise SpoolError(
            f"the records cannot be examined in {memory // 2**20} MiB of memory and the space left in {work}: "
            f"{_first_line(exc)}; free space there"
        ) from exc
    except (duckdb.IOException, duckdb.FatalException, OSError) as exc:
        raise SpoolError(f"the records cannot be examined in {work}: {_first_line(exc)}; free space there") from exc


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0]


def _measure(path: Path) -> int:
    """The length of the longest line. Raises DatasetError where the file cannot be read, or the line not be taken."""
    try:
        longest = longest_line(path, go_on)
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    resolved = str(path.resolve())
    if glob.has_magic(resolved) and set(glob.glob(resolved)) - {resolved}:  # noqa: PTH207 # an absolute pattern
        # The engine would take it for a pattern, and has no way to write that it is none.
        raise DatasetError(f"{path} is also a pattern of other files' names; rename what has *, ? or [ in it")
    return longest


@contextmanager
def _database(work: Path, reads: list[Path], memory: int) -> Iterator[Connection]:
    longest = max(map(_measure, reads), default=0)
    memory += MEMORY_PER_BYTE * longest
    with tempfile.TemporaryDirectory(prefix="analysis-", dir=work) as folder:
        connection = duckdb.connect(
            f"{folder}/tables.duckdb",
            config={
                "memory_limit": f"{memory}B",
                "threads": str(_THREADS),
                "temp_directory": f"{folder}/spill",
                "preserve_insertion_order": "true",  # the numbers of lines rest on it
                "python_enable_replacements": "false",
                "allow_persistent_secrets": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        try:
            connection.execute("set enable_progress_bar = false")
            connection.execute("set variable longest_line = $longest", {"longest": longest})
            connection.execute("set allowed_paths = $paths", {"paths": [str(path.resolve()) for path in reads]})
            connection.execute("set enable_external_access = false")
            connection.execute("set lock_configuration = true")
            yield connection
        finally:
            with suppress(duckdb.Error):  # a full disk: what is left of the files is removed anyway
                connection.close()
