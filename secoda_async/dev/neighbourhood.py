"""What is within two steps of a node, along its lineage."""

from __future__ import annotations

from typing import Final, NamedTuple

from secoda_async.dev.holdings import Node

MOST_NODES: Final = 500
_STEPS: Final = (-2, -1, 0, 1, 2)


class Column(NamedTuple):
    """Nodes that are so many steps away: below 0 where the data comes from, above 0 where it goes to."""

    step: int
    nodes: list[Node]
    """Those that are shown."""
    total: int
    """How many there are."""


class Neighbourhood(NamedTuple):
    """From left to right, as data flows. A node stands where it is nearest."""

    columns: list[Column]
    edges: list[tuple[int, int]]
    """Of those that are shown: from and to, each a node's number over all columns."""
    comes_from: int
    """Nodes right before it."""
    goes_to: int
    """Nodes right after it, those included that stand before it already."""


def neighbourhood(start: Node, most: int = MOST_NODES) -> Neighbourhood:
    """Within two steps each way, ``most`` nodes of it, the start included; the others are counted."""
    found = _found(start)
    # Each column has an equal part of the room, and what one leaves free the others have, the nearest first.
    room = most - 1
    equal = room // 4
    share = {step: min(len(found[step]), equal) for step in (-1, 1, -2, 2)}
    room -= sum(share.values())
    for step, has in share.items():
        more = min(room, len(found[step]) - has)
        share[step] = has + more
        room -= more
    share[0] = 1
    columns = [Column(step, found[step][: share[step]], len(found[step])) for step in _STEPS]
    places = {node: place for place, node in enumerate(node for column in columns for node in column.nodes)}
    edges = {
        (places[node], places[other])
        for column in columns
        for node in column.nodes
        for other in node.down
        if other in places
    }
    others = [sum(other is not start for other in nodes) for nodes in (start.up, start.down)]
    return Neighbourhood(columns, sorted(edges), *others)


def _found(start: Node) -> dict[int, list[Node]]:
    found: dict[int, list[Node]] = {step: [] for step in _STEPS}
    found[0].append(start)
    seen: set[Node] = {start}
    before, after = [start], [start]
    for distance in (1, 2):
        # Also from what stands on the other side already, where data goes round in a ring.
        before = [*dict.fromkeys(other for node in before for other in node.up)]
        after = [*dict.fromkeys(other for node in after for other in node.down)]
        for step, nodes in ((-distance, before), (distance, after)):
            for node in nodes:
                if node not in seen:
                    seen.add(node)
                    found[step].append(node)
    return found
