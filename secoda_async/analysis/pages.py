"""Reads a table of any length a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from secoda_async.analysis.engine import Connection

_PAGE: Final = 10_000  # rows in memory at once


def read_pages(connection: Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table in the order in which they were inserted; nothing may have been deleted from it."""
    start = 0
    while page := connection.execute(
        f"select {columns} from {table} where rowid >= $start and rowid < $end order by rowid",
        {"start": start, "end": start + _PAGE},
    ).fetchall():
        yield from page
        start += _PAGE
