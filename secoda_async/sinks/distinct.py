"""Leaves out the repeated lines of a file, in bounded memory however long it is."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from anyio import to_thread

_CACHE: Final = 64 * 2**10  # KiB of memory for the table of digests; the rest of it is on disk
_LOOK: Final = 100_000  # database steps between two looks at whether the run was cancelled
# 128 bits: among ten million lines the chance of two different ones with one digest is below 10**-24.
_DIGEST_BYTES: Final = 16


async def without_repeats(source: Path, folder: Path) -> Path:
    """The file without the lines that equal an earlier one, in ``folder``; the file itself where there are none.

    Usage: ``path = await without_repeats(spool.file(Kind.RESOURCES).path, spool.directory)``.
    Lines that differ in a single byte both stay. Raises OSError or sqlite3.Error where it cannot be written.
    """
    stopped = threading.Event()
    try:
        return await to_thread.run_sync(_without_repeats, source, folder, stopped, abandon_on_cancel=True)
    finally:
        stopped.set()  # a thread that was left behind ends at its next look


def _without_repeats(source: Path, folder: Path, stopped: threading.Event) -> Path:
    table = folder / f"{source.stem}.digests.sqlite"
    try:
        with closing(sqlite3.connect(table, isolation_level=None)) as database:
            repeats = _find_repeats(source, database, stopped)
            first = next(repeats, None)
            if first is None:
                return source
            target = folder / f"{source.stem}.distinct{source.suffix}"
            with source.open("rb") as reader, target.open("wb") as writer:
                repeat: int | None = first
                for number, line in enumerate(reader, 1):
                    if number == repeat:
                        repeat = next(repeats, None)
                    else:
                        writer.write(line)
            return target
    finally:
        table.unlink(missing_ok=True)


def _find_repeats(source: Path, database: sqlite3.Connection, stopped: threading.Event) -> Iterator[int]:
    """The numbers of the lines that equal an earlier one, rising, counted from 1."""
    database.set_progress_handler(stopped.is_set, _LOOK)
    database.executescript(
        f"pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -{_CACHE};"
        "begin; create table line (digest blob)"
    )
    database.executemany("insert into line values (?)", _digests(source))
    rows = database.execute(
        "select rowid from"
        " (select rowid, row_number() over (partition by digest order by rowid) as occurrence from line)"
        " where occurrence > 1 order by rowid"
    )
    return (number for (number,) in rows)


def _digests(source: Path) -> Iterator[tuple[bytes]]:
    with source.open("rb") as lines:
        for line in lines:
            yield (hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest(),)
