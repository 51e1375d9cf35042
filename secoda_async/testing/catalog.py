"""What a workspace holds of one integration, and what each sync did to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """One accepted import. Usage: ``(sync,) = workspace.syncs(integration_id); assert not sync.removed``."""

    at: datetime
    resource_lines: int
    """Lines of the resources file, repeated ids included."""
    lineage_lines: int
    """Lines of the lineage file, repeats included."""
    added: frozenset[str]
    """Ids that the workspace did not hold before."""
    changed: frozenset[str]
    """Ids that it held with other content."""
    removed: frozenset[str]
    """Ids that it held and holds no more, since this sync left them out."""
    lineage_added: int
    lineage_removed: int


class Catalog:
    """Resources and lineage of one integration.

    Usage: ``sync = catalog.apply(resources, lineage, staling=True, ...)``. Lines are kept as bytes, a fifth of what
    they are as dictionaries, since a sync may bring millions.
    """

    def __init__(self, name: str, type_: str) -> None:
        self.name = name
        self.type = type_
        self.syncs: list[Sync] = []
        self._resources: dict[str, bytes] = {}
        self._lineage: dict[bytes, None] = {}

    @property
    def size(self) -> tuple[int, int]:
        """How many resources and lineages it holds."""
        return len(self._resources), len(self._lineage)

    def resource(self, id_: str) -> dict[str, Any] | None:
        """One resource, where it is held."""
        line = self._resources.get(id_)
        return None if line is None else dict(orjson.loads(line))

    def resources(self) -> dict[str, dict[str, Any]]:
        """Every resource by its id."""
        return {id_: orjson.loads(line) for id_, line in self._resources.items()}

    def lineage(self) -> list[dict[str, Any]]:
        """Every lineage."""
        return [*self.iter_lineage()]

    def snapshot(self) -> Self:
        """The same, which later syncs leave as it is. Costs nothing, since a sync replaces what is held as a whole."""
        same = copy.copy(self)
        same.syncs = [*self.syncs]
        return same

    def iter_resources(self) -> Iterator[dict[str, Any]]:
        """Every resource, one at a time."""
        return map(orjson.loads, self._resources.values())

    def iter_lineage(self) -> Iterator[dict[str, Any]]:
        """Every lineage, one at a time."""
        return map(orjson.loads, self._lineage)

    def apply(
        self,
        resources: dict[str, bytes],
        lineage: dict[bytes, None],
        *,
        staling: bool,
        resource_lines: int,
        lineage_lines: int,
    ) -> Sync:
        """Make one sync's content the catalog's; with ``staling`` what it leaves out is removed."""
        held = self._resources
        merged = {id_: _merge(held[id_], line) if id_ in held else line for id_, line in resources.items()}
        kept = {} if staling else self._lineage
        sync = Sync(
            at=datetime.now(UTC),
            resource_lines=resource_lines,
            lineage_lines=lineage_lines,
            added=frozenset(merged.keys() - held.keys()),
            changed=frozenset(id_ for id_, line in merged.items() if id_ in held and line is not held[id_]),
            removed=frozenset(held.keys() - merged.keys() if staling else ()),
            lineage_added=len(lineage.keys() - self._lineage.keys()),
            lineage_removed=len(self._lineage.keys() - lineage.keys()) if staling else 0,
        )
        self._resources = merged if staling else {**held, **merged}
        self._lineage = {**kept, **lineage}
        self.syncs.append(sync)
        return sync


def _merge(held: bytes, line: bytes) -> bytes:
    """The new content, ``held`` itself where nothing changes: empty values do not overwrite what is held."""
    if held == line:
        return held
    old = orjson.loads(held)
    new = {**old, **{name: value for name, value in orjson.loads(line).items() if value not in (None, "", [])}}
    # Compared as JSON: to Python, true and 1 are equal.
    return held if _canonical(new) == _canonical(old) else orjson.dumps(new)


def _canonical(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
