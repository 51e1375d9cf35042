"""What of a run's records a page carries along: names and lineage, small enough to be searched in a browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import orjson

from secoda_async.page.lineage_end import NO_TYPE, RESOURCE, Key, LineageEnd
from secoda_async.page.templating import show_name
from secoda_async.printable import printable
from secoda_async.spool import LIVE
from secoda_async.spool_index import Kind

MOST_NODES: Final = 200_000
MOST_EDGES: Final = 500_000
MOST_TEXT: Final = 24_000_000
"""Characters of all ids and titles together."""
_ID: Final = 300  # characters that are shown
_TITLE: Final = 200
_TYPE: Final = 60
_MOST_TYPES: Final = 100
_OTHER: Final = "(other types)"


class Bounds(NamedTuple):
    """The most that a page carries; what is beyond is counted."""

    nodes: int = MOST_NODES
    edges: int = MOST_EDGES
    text: int = MOST_TEXT


class PageRecords:
    """Resources and lineage as columns: a node is its place in ``ids``, an edge is two places in ``edges``.

    Usage: ``records = PageRecords.read(folder); records.as_json()``.
    """

    def __init__(self, bounds: Bounds = Bounds()) -> None:  # noqa: B008 # it is immutable
        self.ids: list[str] = []
        self.titles: list[str] = []
        self.types: list[str] = []
        self.type_of: list[int] = []
        self.edges: list[int] = []
        self.resources_left_out = 0
        """Declared resources that did not fit."""
        self.edges_left_out = 0
        """Lineages that did not fit, or of which an end did not."""
        self._bounds = bounds
        self._text = 0
        self._types: dict[str, int] = {}
        self._places: dict[Key, int] = {}
        self._parents: dict[int, str] = {}
        self._known_edges: set[tuple[int, int]] = set()

    @classmethod
    def read(cls, folder: Path, bounds: Bounds = Bounds()) -> Self:  # noqa: B008 # it is immutable
        """The records in a run's folder, also of a run that failed. Blocks; raises OSError where there are none."""
        records = cls(bounds)
        if (folder / LIVE / Kind.RESOURCES.filename).is_file():
            folder = folder / LIVE
        for record in _records(folder / Kind.RESOURCES.filename):
            records.add_resource(record)
        for record in _records(folder / Kind.LINEAGE.filename):
            records.add_lineage(record)
        return records

    def add_resource(self, record: Mapping[str, Any]) -> None:
        """Take a resource; of several with one id the last one's title and type count."""
        names = ("databuilder_id", "title", "entity_type", "parent_databuilder_id")
        id_, title, kind, parent = (record.get(name) for name in names)
        if not isinstance(id_, str):
            return
        title, kind = (one if isinstance(one, str) else "" for one in (title, kind))
        title = "" if title.isspace() else title  # what is shown then is the id
        place = self._places.get((RESOURCE, id_))
        if place is None:
            place = self._add((RESOURCE, id_), id_, title, kind)
            if place is None:
                self.resources_left_out += 1
                return
        else:
            self.titles[place], self.type_of[place] = printable(title, _TITLE), self._type(kind)
            self._parents.pop(place, None)
        if isinstance(parent, str) and parent:
            self._parents[place] = parent

    def add_lineage(self, record: Mapping[str, Any]) -> None:
        """Take a lineage; the same one again is no other."""
        start, end = (self._end(record.get(name)) for name in ("from_identifier", "to_identifier"))
        if start is None or end is None:
            self.edges_left_out += 1
        elif (start, end) not in self._known_edges:
            if len(self._known_edges) >= self._bounds.edges:
                self.edges_left_out += 1
                return
            self._known_edges.add((start, end))
            self.edges += (start, end)

    def as_json(self) -> bytes:
        """What the page reads: ``ids``, ``titles`` ("" where it is the id), ``types``, ``type``, ``edges``, and
        ``inside``: places of parent and child by turns.
        """
        parents = ((self._places.get((RESOURCE, id_)), place) for place, id_ in self._parents.items())
        told = {
            "ids": self.ids,
            "titles": ["" if title == id_ else title for title, id_ in zip(self.titles, self.ids, strict=True)],
            "types": self.types,
            "type": self.type_of,
            "edges": self.edges,
            "inside": [one for pair in parents if pair[0] is not None and pair[0] != pair[1] for one in pair],
        }
        return orjson.dumps(told)

    def _end(self, identifier: object) -> int | None:
        end = LineageEnd.of(identifier)
        if end is None:
            return None
        place = self._places.get(end.key)
        return self._add(end.key, end.name, "", end.kind) if place is None else place

    def _add(self, key: Key, id_: str, title: str, kind: str) -> int | None:
        id_, title = show_name(id_, _ID), printable(title, _TITLE)
        self._text += len(id_) + len(title)
        if len(self.ids) >= self._bounds.nodes or self._text > self._bounds.text:
            return None
        place = self._places[key] = len(self.ids)
        self.ids.append(id_)
        self.titles.append(title)
        self.type_of.append(self._type(kind))
        return place

    def _type(self, kind: str) -> int:
        name = printable(kind, _TYPE) or NO_TYPE
        if name not in self._types and len(self._types) >= _MOST_TYPES:
            name = _OTHER
        if name not in self._types:
            self._types[name] = len(self.types)
            self.types.append(name)
        return self._types[name]


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:  # the last line of a run that died
                continue
            if isinstance(record, dict):
                yield record
