"""DuckDB over files of any size: in bounded memory, and with no way from data to another file or to SQL.

Imported at a delivery only: the import alone takes as long as thousands of records.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import duckdb
from anyio import to_thread
from duckdb import DuckDBPyConnection as Connection

from secoda_async.errors import SpoolError

__all__ = ["Connection", "analyse"]

T = TypeVar("T")
MEMORY: Final = 256 * 2**20
"""Bytes that the engine may take; what is more goes to files in the folder it works in."""
_THREADS: Final = 2  # each reads in a buffer of its own, so more of them need more memory


async def analyse(work: Path, reads: Iterable[Path], judge: Callable[[Connection], T], *, memory: int = MEMORY) -> T:
    """What ``judge`` finds out with a database of its own, in a thread. Cancelling it ends its query.

    ``reads`` are the only files that a query can read; ``work`` is a folder for temporary files, which are removed.
    Raises SpoolError where the disk is full or a file cannot be read.
    """
    stop: list[Connection] = []
    ended = threading.Event()

    def body() -> T:
        try:
            with _database(work, reads, memory) as connection:
                stop.append(connection)
                return judge(connection)
        except (duckdb.IOException, duckdb.OutOfMemoryException, OSError) as exc:
            raise SpoolError(f"the records cannot be examined in {work}: {exc}; free space there") from exc
        finally:
            ended.set()

    try:
        return await to_thread.run_sync(body, abandon_on_cancel=True)
    finally:
        if not ended.is_set() and stop:
            stop[0].interrupt()


@contextmanager
def _database(work: Path, reads: Iterable[Path], memory: int) -> Iterator[Connection]:
    with tempfile.TemporaryDirectory(prefix="analysis-", dir=work) as folder:
        connection = duckdb.connect(
            f"{folder}/tables.duckdb",
            config={
                "memory_limit": f"{memory}B",
                "threads": str(_THREADS),
                "temp_directory": f"{folder}/spill",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        try:
            connection.execute("set allowed_paths = $paths", {"paths": [str(path.resolve()) for path in reads]})
            connection.execute("set enable_external_access = false")
            connection.execute("set lock_configuration = true")
            yield connection
        finally:
            connection.close()
