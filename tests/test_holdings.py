"""What stands around a resource that a workspace holds: the tree that it is in, and its lineage within two steps."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from secoda_async.dev.holdings import Holdings, Node
from secoda_async.dev.neighbourhood import neighbourhood
from tests.datasets import internal, resource

row = partial(resource, "table")


def test_resources_that_stand_under_each_other_in_a_ring_are_in_the_tree() -> None:
    ring = [row("a", "b"), row("b", "c"), row("c", "a"), row("d", "d"), row("e", "none")]
    held = Holdings([*ring, row("f", "b")])
    assert {node.id for node in held.roots} == {"a", "d", "e"}
    assert {node.id for root in held.roots for node in reached(root, "inside")} == set("abcdef")


NAMES = st.sampled_from("abcdefgh")


@given(st.lists(st.tuples(NAMES, NAMES), max_size=30), NAMES, st.integers(min_value=1, max_value=12))
def test_a_neighbourhood_counts_what_is_two_steps_away_and_shows_each_once(
    edges: list[tuple[str, str]], name: str, most: int
) -> None:
    held = Holdings([row(one) for one in "abcd"])
    held.add_lineage({"from_identifier": internal(start), "to_identifier": internal(to)} for start, to in {*edges})
    start = held.nodes.get(("internal_resource", name))
    if start is None:
        return
    near = neighbourhood(start, most)
    shown = [node for column in near.columns for node in column.nodes]
    assert len(shown) == len({node.key for node in shown}) == min(most, sum(column.total for column in near.columns))
    before, after = reached(start, "up", 2), reached(start, "down", 2)
    assert sum(column.total for column in near.columns) == len(before | after)
    steps = {node: column.step for column in near.columns for node in column.nodes}
    assert all(node in (before if step < 0 else after) for node, step in steps.items())
    expected = {(one, other) for one in shown for other in one.down if other in steps}
    assert {(shown[one], shown[other]) for one, other in near.edges} == expected
    assert (near.comes_from, near.goes_to) == (len(reached(start, "up", 1)) - 1, len(reached(start, "down", 1)) - 1)


def reached(start: Node, way: str, steps: int = 100) -> set[Node]:
    found = border = {start}
    for _ in range(steps):
        border = {other for node in border for other in getattr(node, way)} - found
        found = found | border
    return found
