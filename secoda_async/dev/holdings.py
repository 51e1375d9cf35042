"""What a workspace holds of one integration at one moment, as it is looked at: a tree, lineage, and a search."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from secoda_async.models import EntityType
from secoda_async.page.lineage_end import NO_TYPE, RESOURCE, Key, LineageEnd

_ORDER: Final = {kind.value: place for place, kind in enumerate(EntityType)}
"""Types as the tree shows them, side by side; others come after them."""


class Node:
    """A resource, or an end of a lineage that is none."""

    __slots__ = ("down", "inside", "is_held", "key", "kind", "name", "parent", "sort_order", "up")

    def __init__(self, key: Key, name: str, kind: str, *, is_held: bool) -> None:
        self.key = key
        self.name = name
        """The title, or the id where there is none to read."""
        self.kind = kind
        self.is_held = is_held
        """Whether it is a resource that the workspace holds."""
        self.sort_order = 0.0
        self.parent: Node | None = None
        self.inside: Sequence[Node] = ()
        """What stands under it, in the order in which it is shown."""
        self.up: Sequence[Node] = ()
        """What data comes from."""
        self.down: Sequence[Node] = ()
        """What data goes to."""

    @property
    def id(self) -> str:
        """The ``databuilder_id``, or what else names it; "" where nothing does."""
        return ".".join(filter(None, self.key[1:]))


class Holdings:
    """Resources by what leads to them, and lineage once it has been added.

    Usage: ``held = Holdings(moment.iter_resources())``, ``held.add_lineage(moment.iter_lineage())``. Both block, for
    about a second and 100,000 records.
    """

    def __init__(self, resources: Iterable[Mapping[str, Any]]) -> None:
        self.nodes: dict[Key, Node] = {}
        self.types: Counter[str] = Counter()
        self.has_lineage = False
        parents: list[tuple[Node, str]] = []
        for record in resources:
            node = self._resource(record)
            if parent := record.get("parent_databuilder_id"):
                parents.append((node, str(parent)))
        self.resources = [*self.nodes.values()]
        self.roots = self._stand_under(parents)

    def add_lineage(self, lineage: Iterable[Mapping[str, Any]]) -> None:
        """Take all lineage there is."""
        down: defaultdict[Node, list[Node]] = defaultdict(list)
        up: defaultdict[Node, list[Node]] = defaultdict(list)
        for record in lineage:
            start, end = self._end(record.get("from_identifier")), self._end(record.get("to_identifier"))
            if start is not None and end is not None:
                down[start].append(end)
                up[end].append(start)
        # Lines that differ in what no end is found by are held as several, and lead to the same.
        for node, ends in down.items():
            node.down = _each_once(ends)
        for node, starts in up.items():
            node.up = _each_once(starts)
        self.has_lineage = True

    def found(self, text: str, kind: str = "") -> list[Node]:
        """Resources with this text in their title or id, whatever the case; with ``kind`` of that type only."""
        wanted = text.casefold()
        return [
            node
            for node in self.resources
            if (not kind or node.kind == kind) and (wanted in node.name.casefold() or wanted in node.id.casefold())
        ]

    def _resource(self, record: Mapping[str, Any]) -> Node:
        id_, title, kind = (str(record.get(name) or "") for name in ("databuilder_id", "title", "entity_type"))
        name = id_ if not title or title.isspace() else title
        node = self.nodes[RESOURCE, id_] = Node((RESOURCE, id_), name, kind or NO_TYPE, is_held=True)
        # As the models take it, which read "3" and 3.0 as 3.
        if place := record.get("sort_order"):
            node.sort_order = float(place)
        self.types[node.kind] += 1
        return node

    def _stand_under(self, parents: list[tuple[Node, str]]) -> list[Node]:
        """Put resources under their parents; what stands under none."""
        inside: defaultdict[Node, list[Node]] = defaultdict(list)
        for node, id_ in parents:
            parent = self.nodes.get((RESOURCE, id_))
            if parent is not None and parent is not node:
                node.parent = parent
                inside[parent].append(node)
        for parent, nodes in inside.items():
            parent.inside = sorted(nodes, key=_order)
        roots = [node for node in self.resources if node.parent is None]
        # Resources that stand under each other in a ring hang on none of these, and are to be seen all the same.
        seen: set[Key] = set()
        for root in roots:
            _mark(root, seen)
        for node in self.resources:
            if node.key not in seen:
                roots.append(node)
                _mark(node, seen)
        return sorted(roots, key=_order)

    def _end(self, identifier: object) -> Node | None:
        end = LineageEnd.of(identifier)
        if end is None:
            return None
        node = self.nodes.get(end.key)
        if node is None:
            node = self.nodes[end.key] = Node(end.key, end.name, end.kind, is_held=False)
        return node


def ancestors(node: Node) -> list[Node]:
    """What it stands under, the outermost first; a ring is gone round once."""
    found: list[Node] = []
    parent = node.parent
    while parent is not None and parent not in found and parent is not node:
        found.append(parent)
        parent = parent.parent
    return found[::-1]


def _each_once(nodes: list[Node]) -> list[Node]:
    return nodes if len(nodes) == 1 else [*dict.fromkeys(nodes)]


def _order(node: Node) -> tuple[int, str, float, str]:
    return _ORDER.get(node.kind, len(_ORDER)), node.kind, node.sort_order, node.name.casefold()


def _mark(root: Node, seen: set[Key]) -> None:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.key not in seen:
            seen.add(node.key)
            waiting.extend(node.inside)
