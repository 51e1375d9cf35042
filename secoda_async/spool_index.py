"""The index of a run's files: which bytes belong to which scope, and how each scope ended.

``index.jsonl`` holds a row per batch, in the order of the files, and a row per scope at its end, inner ones before
the scope that holds them. Scope 0 is the run itself and has no row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from secoda_async.errors import SpoolError

ROOT: Final = 0
"""The scope of whatever is declared outside one."""


class Kind(StrEnum):
    """The two kinds of record, each with a file of its own."""

    RESOURCES = "resources"
    LINEAGE = "lineage"

    @property
    def filename(self) -> str:
        return f"{self.value}.jsonl"


class Outcome(StrEnum):
    """How a scope ended. Only what a live or a carried one holds is part of the sync."""

    LIVE = "live"
    CARRIED = "carried"
    """It failed, and these are its records of the last accepted sync."""
    DEAD = "dead"

    @property
    def counts(self) -> bool:
        return self is not Outcome.DEAD


class Range(NamedTuple):
    """The bytes of one batch in the file of its kind."""

    scope: int
    kind: Kind
    offset: int
    length: int
    records: int
    crc32: int

    def row(self) -> dict[str, Any]:
        """Its row in the index."""
        return self._asdict()


class ScopeEnd(NamedTuple):
    """How one scope ended."""

    scope: int
    parent: int
    name: str
    outcome: Outcome
    extracted_at: float
    """When its records were read from the source, in seconds since the epoch; carrying them over does not change it."""

    def row(self) -> dict[str, Any]:
        """Its row in the index."""
        return self._asdict()


class ScopeTree:
    """Which scopes count: those that ended well, inside none that did not. Some bytes a scope.

    Usage: ``tree = ScopeTree(); tree.add(end)`` for each, then ``tree.counts(scope)``.
    """

    def __init__(self) -> None:
        self._parents = array("q", [ROOT])
        self._good = bytearray([True])

    def add(self, end: ScopeEnd) -> None:
        """Take the end of a scope."""
        missing = end.scope + 1 - len(self._good)
        if missing > 0:
            self._parents.extend([ROOT] * missing)
            self._good.extend(bytes(missing))
        self._parents[end.scope] = end.parent
        self._good[end.scope] = end.outcome.counts

    def counts(self, scope: int) -> bool:
        """Whether what the scope holds is part of the sync; a scope without an end is not."""
        while scope != ROOT:
            if scope >= len(self._good) or not self._good[scope]:
                return False
            scope = self._parents[scope]
        return True


def read_index(path: Path) -> Iterator[Range | ScopeEnd]:
    """The rows of an index, in order. Raises SpoolError where one cannot be read."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = orjson.loads(line)
                if "name" in row:
                    yield ScopeEnd(**{**row, "outcome": Outcome(row["outcome"])})
                else:
                    yield Range(**{**row, "kind": Kind(row["kind"])})
            except (ValueError, TypeError, LookupError) as exc:
                raise SpoolError(f"{path}, line {number} is damaged ({exc}); run the extraction again") from None


def read_live_index(path: Path) -> Iterator[Range | ScopeEnd]:
    """The rows of an index that are part of the sync, in order."""
    tree = ScopeTree()
    for row in read_index(path):
        if isinstance(row, ScopeEnd):
            tree.add(row)
    return (row for row in read_index(path) if tree.counts(row.scope))
