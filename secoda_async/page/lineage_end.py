"""An end of a lineage as a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

Key: TypeAlias = tuple[str, ...]
"""Which resource, table, column or query it is: its kind of identifier, and the identifier's values."""

RESOURCE: Final = "internal_resource"
KINDS: Final[Mapping[str, str]] = {
    RESOURCE: "resource that was not declared",
    "external_table": "table of the workspace",
    "external_column": "column of the workspace",
    "tables_from_query": "tables of a query",
}
"""What it is called where it is no declared resource."""
_FIELDS: Final = ("databuilder_id", "sql", "cluster", "database", "schema", "table", "column")


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
            return cls((RESOURCE, id_), id_, KINDS[RESOURCE]) if id_ else None
        given = tuple(str(value) for value in map(identifier.get, _FIELDS) if value)
        return cls.at((kind, *given))

    @classmethod
    def at(cls, key: Key) -> LineageEnd | None:
        """The end of this key; None: there is no such key."""
        kind, *given = key or ("",)
        return cls(key, ".".join(given), KINDS[kind]) if kind in KINDS and given else None
