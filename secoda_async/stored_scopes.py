"""Scopes of an accepted sync, which can take the place of scopes that fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from secoda_async.spool import INDEX, Batch, read_range
from secoda_async.spool_index import Outcome, Range, ScopeEnd, read_index


class StoredScope(NamedTuple):
    """A scope and those within it, inner ones first, and where their records are."""

    directory: Path
    parts: tuple[tuple[ScopeEnd, tuple[Range, ...]], ...]

    @property
    def extracted_at(self) -> float:
        """When the oldest of its records was read from the source, in seconds since the epoch."""
        return min(end.extracted_at for end, _ in self.parts)

    @property
    def records(self) -> int:
        return sum(place.records for _, places in self.parts for place in places)

    def carried(self, *, parent: int, first: int) -> Self:
        """The same under other ids, from ``first`` on, in the scope ``parent`` of another run."""
        ids = {end.scope: number for number, (end, _) in enumerate(self.parts, first)}
        return self._replace(
            parts=tuple(
                (
                    end._replace(scope=ids[end.scope], parent=ids.get(end.parent, parent), outcome=Outcome.CARRIED),
                    places,
                )
                for end, places in self.parts
            )
        )

    def read(self) -> Iterator[Batch | ScopeEnd]:
        """Its records and ends, in order, one batch at a time. Raises SpoolError where they are damaged."""
        for end, places in self.parts:
            for place in places:
                yield Batch(end.scope, place.kind, read_range(self.directory, place), place.records)
            yield end


class StoredScopes:
    """The scopes of the files in a folder. Usage: ``stored = StoredScopes.load(directory).find("schema:sales")``.

    It holds a row per batch and scope in memory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ends: dict[int, ScopeEnd] = {}
        self._ids: dict[str, int] = {}
        self._places: dict[int, list[Range]] = {}
        self._inner: dict[int, list[int]] = {}

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the index, where there is one. Raises SpoolError where it is damaged."""
        found = cls(directory)
        path = directory / INDEX
        for row in read_index(path) if path.is_file() else ():
            if isinstance(row, Range):
                found._places.setdefault(row.scope, []).append(row)
            else:
                found._ends[row.scope] = row
                found._ids[row.name] = row.scope
                found._inner.setdefault(row.parent, []).append(row.scope)
        return found

    def find(self, name: str) -> StoredScope | None:
        """A scope by its name."""
        scope = self._ids.get(name)
        return None if scope is None else StoredScope(self._directory, tuple(self._parts(scope)))

    def _parts(self, scope: int) -> Iterator[tuple[ScopeEnd, tuple[Range, ...]]]:
        for inner in self._inner.get(scope, ()):
            yield from self._parts(inner)
        yield self._ends[scope], tuple(self._places.get(scope, ()))
