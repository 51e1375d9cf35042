"""An end of a lineage as a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

Key: TypeAlias = tuple[str, ...]
"""Which resource, table, column or query it is: its kind of identifier, and the values of all of that kind's fields."""

RESOURCE: Final = "internal_resource"
KINDS: Final[Mapping[str, str]] = {
    RESOURCE: "resource that was not declared",
    "external_table": "table of the workspace",
    "external_column": "column of the workspace",
    "tables_from_query": "tables of a query",
}
"""What it is called where it is no declared resource."""
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    RESOURCE: ("databuilder_id",),
    "external_table": ("cluster", "database", "schema", "table"),
    "external_column": ("cluster", "database", "schema", "table", "column"),
    "tables_from_query": ("sql",),
}
NO_TYPE: Final = "(no type)"
"""What a resource's type is called where it has none."""
_NAMELESS: Final = "(no name)"


class LineageEnd(NamedTuple):
    """Equal ends have equal keys. Usage: ``LineageEnd.of(record["from_identifier"])``."""

    key: Key
    name: str
    kind: str

    @classmethod
    def of(cls, identifier: object) -> LineageEnd | None:
        """None: it is no identifier."""
        if not isinstance(identifier, dict):
            return None
        kind = str(identifier.get("type"))
        if kind == RESOURCE:
            # Nearly all of them, of which there may be millions.
            id_ = str(identifier.get("databuilder_id") or "")
            return cls((RESOURCE, id_), id_ or _NAMELESS, KINDS[RESOURCE])
        # A place for each field, so that a table without a schema is not one without a database.
        return cls.at((kind, *(str(identifier.get(field) or "") for field in _FIELDS.get(kind, ()))))

    @classmethod
    def at(cls, key: Key) -> LineageEnd | None:
        """The end of this key; None: there is no such key."""
        kind, *given = key
        if kind not in KINDS or len(given) != len(_FIELDS[kind]):
            return None
        # A query is of many lines, and a name of one.
        return cls(key, " ".join(".".join(filter(None, given)).split()) or _NAMELESS, KINDS[kind])

    @property
    def fields(self) -> Mapping[str, str]:
        """What it is found by."""
        kind, *given = self.key
        return dict(zip(_FIELDS[kind], given, strict=True))
