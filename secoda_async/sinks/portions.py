"""Divides a file of lines into ranges that each fit into one request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Portion(NamedTuple):
    """Whole lines of a file."""

    offset: int
    size: int


def portions(path: Path, *, most_bytes: int, most_lines: int) -> Iterator[Portion]:
    """The file's ranges in order, of whole lines; one line that is longer than ``most_bytes`` is a range of its own.

    Blocks while it reads. Raises OSError where the file cannot be read.
    """
    offset = size = count = 0
    with path.open("rb", buffering=2**20) as lines:
        for line in lines:
            if count and (count == most_lines or size + len(line) > most_bytes):
                yield Portion(offset, size)
                offset, size, count = offset + size, 0, 0
            size += len(line)
            count += 1
    if count:
        yield Portion(offset, size)
