"""What differs between two sets of records that fit in memory: by id, and by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from secoda_async.models import DeclaredLineage, Record, Resource
from secoda_async.pipeline.encode import encode
from secoda_async.printable import printable

Fields = dict[str, Any]
_MOST_SHOWN: Final = 20
_LONGEST: Final = 60  # characters of a value


class Sides(NamedTuple):
    """A value before, and now; None where a record has no such field."""

    before: Any
    now: Any


class Changed(NamedTuple):
    """A resource that is on both sides, and is not the same."""

    id: str
    fields: Mapping[str, Sides]


class Difference(NamedTuple):
    """What the second set has more, less, or otherwise than the first; the order of records does not count."""

    added: tuple[str, ...] = ()
    """Ids of resources that only the second has."""
    missing: tuple[str, ...] = ()
    """Ids that only the first has: what a sync of the second would have removed."""
    changed: tuple[Changed, ...] = ()
    repeated: tuple[str, ...] = ()
    """Ids that the second declares more often than the first, and lineage likewise."""
    lineage_added: tuple[str, ...] = ()
    lineage_missing: tuple[str, ...] = ()

    @property
    def lines(self) -> Iterator[str]:
        """For a person: what kind of difference, and of which record. Nothing in them is obeyed by a terminal."""
        yield from _some("- {} is missing", self.missing)
        yield from _some("+ {} is new", self.added)
        yield from _some("~ {}", [_told(one) for one in self.changed])
        yield from _some("= {} is declared more often", self.repeated)
        yield from _some("- lineage {} is missing", self.lineage_missing)
        yield from _some("+ lineage {} is new", self.lineage_added)


def fields_of(record: Record) -> Fields:
    """A record as it is sent."""
    found: Fields = orjson.loads(encode(record))
    return found


def compare(
    before: tuple[Iterable[Resource | Fields], Iterable[DeclaredLineage | Fields]],
    now: tuple[Iterable[Resource | Fields], Iterable[DeclaredLineage | Fields]],
) -> Difference:
    """What differs between two pairs of resources and lineage, each as records or as what is sent of them."""
    resources = [_grouped(side[0]) for side in (before, now)]
    lineage = [Counter(_dumped(_fields(one)) for one in side[1]) for side in (before, now)]
    old, new = resources
    changed = []
    for id_ in old.keys() & new.keys():
        fields = _changes(old[id_], new[id_])
        if fields:
            changed.append(Changed(id_, fields))
    repeated = [id_ for id_ in old.keys() & new.keys() if len(new[id_]) > len(old[id_])]
    repeated += [id_ for id_ in new.keys() - old.keys() if len(new[id_]) > 1]
    edges = lineage[0].keys() & lineage[1].keys()
    return Difference(
        added=tuple(sorted(new.keys() - old.keys())),
        missing=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(changed, key=lambda one: one.id)),
        repeated=(
            *sorted(repeated),
            *sorted(_edge(edge) for edge in edges if lineage[1][edge] > lineage[0][edge]),
        ),
        lineage_added=tuple(sorted(map(_edge, lineage[1].keys() - lineage[0].keys()))),
        lineage_missing=tuple(sorted(map(_edge, lineage[0].keys() - lineage[1].keys()))),
    )


def _fields(record: Record | Fields) -> Fields:
    return fields_of(record) if isinstance(record, Record) else record


def _grouped(resources: Iterable[Resource | Fields]) -> dict[str, list[Fields]]:
    found: dict[str, list[Fields]] = {}
    for one in resources:
        fields = _fields(one)
        found.setdefault(str(fields.get("databuilder_id")), []).append(fields)
    return found


def _changes(before: list[Fields], now: list[Fields]) -> dict[str, Sides]:
    """The fields in which records that share an id differ; those that both sides have are left aside."""
    only_before, only_now = _without(before, now), _without(now, before)
    if not only_before and not only_now:
        return {}
    found: dict[str, Sides] = {}
    for first, second in zip(only_before or before, only_now or now, strict=False):
        for name in {**first, **second}:
            if first.get(name) != second.get(name):
                found.setdefault(name, Sides(first.get(name), second.get(name)))
    return found


def _without(some: list[Fields], others: list[Fields]) -> list[Fields]:
    return [one for one in some if one not in others]


def _dumped(fields: Fields) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def _edge(line: bytes) -> str:
    fields = orjson.loads(line)
    return " → ".join(_end(fields.get(name) or {}) for name in ("from_identifier", "to_identifier"))


def _end(end: Fields) -> str:
    named = [str(value) for name, value in end.items() if name != "type" and value is not None]
    return ".".join(named)


def _told(one: Changed) -> str:
    parts = [f"{name}: {_shown(sides.before)} → {_shown(sides.now)}" for name, sides in one.fields.items()]
    return f"{one.id}: {'; '.join(parts)}"


def _shown(value: Any) -> str:
    return printable(orjson.dumps(value).decode(), _LONGEST)


def _some(text: str, found: Iterable[str]) -> Iterator[str]:
    all_of = [*found]
    for one in all_of[:_MOST_SHOWN]:
        yield text.format(printable(one, 4 * _LONGEST))
    if len(all_of) > _MOST_SHOWN:
        yield f"  … and {len(all_of) - _MOST_SHOWN:,} more"
