"""Two runs' records are compared by id and field: order and repeats are no difference, everything else is."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async.comparison.differences import EXAMPLES, Differences, find_differences
from tests.datasets import Json, edge, external, internal, resource, write_dataset
from tests.effort import examples


async def differences(
    folder: Path, old: list[Json], new: list[Json], *, edges: tuple[list[Json], list[Json]] = ([], [])
) -> Differences:
    """Of two integrations that declare these resources, and these edges."""
    first = write_dataset(folder / "old", old, edges[0])
    return await find_differences(first, write_dataset(folder / "new", new, edges[1]), folder)


def tables(*names: str, **fields: object) -> list[Json]:
    return [resource("table", name, **fields) for name in names]


async def test_order_and_repeats_are_no_difference_and_repeats_are_counted(tmp_path: Path) -> None:
    edges = [edge(internal("a"), internal("b")), edge(internal("b"), internal("c"))]
    found = await differences(
        tmp_path, tables("a", "b", "c"), tables("c", "a", "b", "a", "a"), edges=(edges, [*edges[::-1], edges[0]])
    )
    assert found.none
    assert (found.old.resources, found.old.repeated_resources, found.old.repeated_lineage) == (3, 0, 0)
    assert (found.new.resources, found.new.repeated_resources, found.new.repeated_lineage) == (3, 2, 1)
    assert (found.old.lineage, found.new.lineage) == (2, 2)


async def test_two_that_declare_nothing_do_not_differ(tmp_path: Path) -> None:
    assert (await differences(tmp_path, [], [])).none


async def test_what_only_one_declares_is_named(tmp_path: Path) -> None:
    found = await differences(tmp_path, tables("a", "b"), [*tables("b"), resource("chart", "c")])
    assert not found.none
    assert (found.only_old, found.only_new, found.changed) == (1, 1, 0)
    assert [(one.id, one.type) for one in found.only_old_examples] == [("a", "table")]
    assert [(one.id, one.type) for one in found.only_new_examples] == [("c", "chart")]


async def test_each_field_that_differs_is_named_with_both_values(tmp_path: Path) -> None:
    old = [*tables("a", title="A", owners=["x", "y"], is_pk=False), *tables("b", title="B")]
    new = [resource("view", "a", title="A2", owners=["x"]), *tables("b", title=None)]
    found = await differences(tmp_path, old, new)
    assert found.changed == 2
    # What is left out is its default: a title is an empty string, and is_pk is false.
    assert found.changed_fields == {"title": 2, "entity_type": 1, "owners": 1}
    [first, second] = found.changed_examples
    assert {one.field: (one.old, one.new) for one in first.fields} == {
        "entity_type": ("table", "view"),
        "title": ("A", "A2"),
        "owners": ("['x', 'y']", "['x']"),
    }
    assert [(one.field, one.old, one.new) for one in second.fields] == [("title", "B", "")]


async def test_an_id_with_several_contents_is_equal_only_to_the_same_contents(tmp_path: Path) -> None:
    one, other = tables("a", title="1")[0], tables("a", title="2")[0]
    assert (await differences(tmp_path / "1", [one, other], [other, one, one])).none
    found = await differences(tmp_path / "2", [one, other], [other])
    assert (found.changed, found.old.repeated_resources, found.new.repeated_resources) == (1, 1, 0)
    assert [(v.field, v.old, v.new) for v in found.changed_examples[0].fields] == [("title", "1", "2")]


async def test_lineage_is_added_and_removed(tmp_path: Path) -> None:
    old, new = [edge(internal("a"), internal("b"))], [edge(internal("a"), external("t", schema="s"))]
    found = await differences(tmp_path, [], [], edges=(old, new))
    assert not found.none
    assert (found.lineage.removed, found.lineage.added) == (1, 1)
    assert found.lineage.removed_examples == ("a → b",)
    assert found.lineage.added_examples == ("a → external_table",)


async def test_examples_are_few_and_everything_is_counted(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(EXAMPLES + 10)]
    gone = [f"g{number}" for number in range(EXAMPLES + 5)]
    found = await differences(tmp_path, tables(*names, *gone, title="1"), tables(*names, title="2"))
    assert (found.changed, len(found.changed_examples)) == (EXAMPLES + 10, EXAMPLES)
    assert (found.only_old, len(found.only_old_examples)) == (EXAMPLES + 5, EXAMPLES)
    assert [one.id for one in found.changed_examples] == names[:EXAMPLES]
    assert found.changed_fields == {"title": EXAMPLES + 10}


async def test_long_values_are_shown_where_they_differ(tmp_path: Path) -> None:
    same = "x" * 10_000
    found = await differences(tmp_path, tables("a", title=f"{same}1"), tables("a", title=f"{same}2\x1b[2J"))
    [values] = found.changed_examples[0].fields
    assert values.old == f"…{'x' * 20}1"
    assert values.new == f"…{'x' * 20}2\\x1b[2J"


RECORDS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "1", "2"]), st.sampled_from(["table", "view"])), max_size=8
)


def contents(records: list[tuple[str, str, str]]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for id_, title, kind in records:
        found.setdefault(id_, set()).add((title, kind))
    return found


@settings(max_examples=examples(100, fast=10))
@given(old=RECORDS, new=RECORDS)
async def test_it_finds_what_a_plain_comparison_finds(
    tmp_path_factory: object, old: list[tuple[str, str, str]], new: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("side")  # type: ignore[attr-defined]
    found = await differences(
        folder, *([resource(kind, id_, title=title) for id_, title, kind in records] for records in (old, new))
    )
    one, other = contents(old), contents(new)
    assert found.only_old == len(one.keys() - other.keys())
    assert found.only_new == len(other.keys() - one.keys())
    assert found.changed == sum(one[id_] != other[id_] for id_ in one.keys() & other.keys())
    assert found.none == (one == other)
    assert found.old.repeated_resources == len(old) - len(one)
