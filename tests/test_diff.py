"""A diff says exactly what a sync does to what is held, as a plain comparison in memory would."""

import asyncio
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from secoda_async.cli.app import app
from secoda_async.cli.show_diff import show_diff
from secoda_async.dataset import Dataset
from secoda_async.diff import EXAMPLES, OTHER_TYPES, Diff, LineageDiff, TypeDiff, diff_datasets
from secoda_async.errors import DatasetError
from tests.effort import examples

Record = dict[str, Any]


def resource(id_: str | None, type_: str | None = "table", **fields: Any) -> Record:
    return {"entity_type": type_, "databuilder_id": id_, **fields}


def edge(start: str, end: str) -> Record:
    ends = ({"type": "internal_resource", "databuilder_id": id_} for id_ in (start, end))
    return dict(zip(("from_identifier", "to_identifier"), ends, strict=True))


def dataset(folder: Path, resources: Sequence[Record] = (), lineage: Sequence[Record] = ()) -> Dataset:
    folder.mkdir()
    written = Dataset(folder / "resources.jsonl", folder / "lineage.jsonl")
    for path, records in zip(written, (resources, lineage), strict=True):
        path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return written


async def diff_of(work: Path, before: Sequence[Record], now: Sequence[Record], **options: Any) -> Diff:
    return await diff_datasets(dataset(work / "a", before), dataset(work / "b", now), work, **options)


def of_type(diff: Diff, name: str) -> TypeDiff:
    [found] = [one for one in diff.types if one.type == name]
    return found


async def test_each_resource_is_added_changed_staled_or_as_it_was(tmp_path: Path) -> None:
    before = [resource("same"), resource("other", title="a"), resource("gone", title="Gone", parent_databuilder_id="s")]
    now = [resource("other", title="b"), resource("new"), resource("same")]
    diff = await diff_of(tmp_path, before, now)
    [tables] = diff.types
    assert (tables.before, tables.now, tables.added, tables.changed, tables.staled) == (3, 3, 1, 1, 1)
    assert [one.id for one in tables.added_examples] == ["new"]
    assert [one.id for one in tables.changed_examples] == ["other"]
    assert [(one.id, one.title, one.parent) for one in tables.staled_examples] == [("gone", "Gone", "s")]
    assert tables.staled_share == pytest.approx(1 / 3)
    assert (diff.before, diff.now, diff.added, diff.changed, diff.staled) == (3, 3, 1, 1, 1)


async def test_what_is_left_out_of_a_line_is_no_change(tmp_path: Path) -> None:
    diff = await diff_of(tmp_path, [resource("t", title="", description=None, is_pk=False)], [resource("t")])
    assert (diff.added, diff.changed, diff.staled) == (0, 0, 0)


async def test_another_type_for_an_id_is_a_change_and_no_removal(tmp_path: Path) -> None:
    diff = await diff_of(tmp_path, [resource("x", "table")], [resource("x", "dashboard")])
    assert (of_type(diff, "table").before, of_type(diff, "table").now, of_type(diff, "table").staled) == (1, 0, 0)
    new = of_type(diff, "dashboard")
    assert (new.before, new.now, new.added, new.changed) == (0, 1, 0, 1)
    assert [(one.id, one.was) for one in new.changed_examples] == [("x", "table")]


@pytest.mark.parametrize(("keep", "changed"), [("first", 0), ("last", 1)])
async def test_of_one_id_twice_the_one_counts_that_is_uploaded(
    tmp_path: Path, keep: Literal["first", "last"], changed: int
) -> None:
    now = [resource("t", title="as before"), resource("t", title="another")]
    diff = await diff_of(tmp_path, [resource("t", title="as before")], now, keep=keep)
    assert (diff.now, diff.added, diff.changed) == (1, 0, changed)


async def test_of_known_ids_alone_what_changed_is_not_known(tmp_path: Path) -> None:
    before = [resource("t"), resource("u"), resource("was-a-table")]
    now = [resource("t", title="x"), resource("was-a-table", "chart")]
    diff = await diff_of(tmp_path, before, now, ids_only=True)
    tables = of_type(diff, "table")
    assert (tables.before, tables.now, tables.staled, tables.changed) == (3, 1, 1, None)
    assert diff.changed is None
    assert (diff.lineage.before, diff.lineage.now, diff.lineage.removed) == (None, 0, None)
    assert "changed: not known" in shown(diff)


async def test_lineage_is_compared_by_both_of_its_ends(tmp_path: Path) -> None:
    before = dataset(tmp_path / "a", [], [edge("a", "b"), edge("a", "b"), edge("b", "c")])
    now = dataset(tmp_path / "b", [], [edge("b", "a"), edge("b", "c")])
    lineage = (await diff_datasets(before, now, tmp_path)).lineage
    assert (lineage.before, lineage.now, lineage.added, lineage.removed) == (2, 2, 1, 1)
    assert (lineage.added_examples, lineage.removed_examples) == (("b → a",), ("a → b",))


async def test_two_empty_datasets_have_no_difference(tmp_path: Path) -> None:
    diff = await diff_of(tmp_path, [], [])
    assert diff.types == ()
    assert (diff.before, diff.staled, diff.changed) == (0, 0, 0)


async def test_examples_are_the_first_of_the_file_clipped_and_harmless(tmp_path: Path) -> None:
    ids = [f"\x1b[2J{n}" for n in range(20)]
    before = [resource(id_, title="t" * 1000, parent_databuilder_id="[red]p") for id_ in ids]
    [tables] = (await diff_of(tmp_path, before, [])).types
    assert tables.staled == len(ids)
    assert [one.id for one in tables.staled_examples] == [rf"\x1b[2J{n}" for n in range(EXAMPLES)]
    assert all(len(one.title) == 120 for one in tables.staled_examples)
    assert tables.staled_examples[0].parent == "[red]p"


async def test_what_loses_most_comes_first(tmp_path: Path) -> None:
    before = [resource(f"{type_}{n}", type_) for type_ in ("chart", "column", "table") for n in range(4)]
    now = [one for one in before if one["databuilder_id"] not in {"table0", "column0", "column1"}]
    assert [one.type for one in (await diff_of(tmp_path, before, now)).types] == ["column", "table", "chart"]


async def test_a_dataset_of_countless_types_is_told_in_bounded_room(tmp_path: Path) -> None:
    before = [resource(f"{n}", f"type{n}") for n in range(500)]
    diff = await diff_of(tmp_path, before, before[:450])
    assert len(diff.types) == 101
    assert (diff.before, diff.now, diff.staled) == (500, 450, 50)
    assert OTHER_TYPES in {one.type for one in diff.types}


async def test_a_type_of_any_length_is_clipped(tmp_path: Path) -> None:
    [one] = (await diff_of(tmp_path, [], [resource("t", "x" * 100_000)])).types
    assert one.type == "x" * 120


async def test_lineage_is_counted_once_also_where_nothing_is_known_of_what_is_held(tmp_path: Path) -> None:
    now = dataset(tmp_path / "b", [], [edge("a", "b"), edge("a", "b"), edge("b", "c")])
    lineage = (await diff_datasets(dataset(tmp_path / "a"), now, tmp_path, ids_only=True)).lineage
    assert (lineage.before, lineage.now, lineage.added) == (None, 2, None)


async def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    before, now = dataset(tmp_path / "a", [resource("t")]), dataset(tmp_path / "b", [resource("t")])
    now.resources.write_bytes(before.resources.read_bytes() + b'{"databuilder_id":\n')
    with pytest.raises(DatasetError, match="line 2"):
        await diff_datasets(before, now, tmp_path)


async def test_a_diff_survives_json(tmp_path: Path) -> None:
    diff = await diff_of(tmp_path, [resource("t"), resource("u")], [resource("t", title="x")], against="yesterday's")
    assert Diff.model_validate_json(diff.model_dump_json()) == diff
    assert orjson.loads(diff.model_dump_json())["types"][0]["staled_share"] == 0.5


records = st.lists(
    st.builds(
        resource,
        st.sampled_from([None, "", "a", "b", "c", "d", "é", "'; drop table change; --"]),
        st.sampled_from([None, "table", "column", "chart"]),
        title=st.sampled_from([None, "", "x", "y"]),
    ),
    max_size=8,
)


def _by_id(given_: list[Record], keep: str) -> dict[str, tuple[str, str]]:
    """The oracle: type and title of each id."""
    ordered = given_ if keep == "last" else given_[::-1]
    return {
        one["databuilder_id"]: (one["entity_type"] or "", one["title"] or "")
        for one in ordered
        if one["databuilder_id"]
    }


@settings(max_examples=examples(40, fast=12))
@given(before=records, now=records, keep=st.sampled_from(["first", "last"]))
def test_a_diff_is_what_two_dictionaries_say(
    tmp_path_factory: pytest.TempPathFactory, before: list[Record], now: list[Record], keep: Literal["first", "last"]
) -> None:
    diff = asyncio.run(diff_of(tmp_path_factory.mktemp("diff"), before, now, keep=keep))
    old, new = _by_id(before, keep), _by_id(now, keep)
    expected = {
        name: (
            sum(type_ == name for type_, _ in old.values()),
            sum(type_ == name for type_, _ in new.values()),
            sum(type_ == name for id_, (type_, _) in new.items() if id_ not in old),
            sum(type_ == name for id_, (type_, _) in new.items() if id_ in old and old[id_] != new[id_]),
            sum(type_ == name for id_, (type_, _) in old.items() if id_ not in new),
        )
        for name in {type_ for type_, _ in (*old.values(), *new.values())}
    }
    assert {one.type: (one.before, one.now, one.added, one.changed, one.staled) for one in diff.types} == expected


def shown(diff: Diff) -> str:
    console = Console(file=StringIO(), width=100)
    show_diff(diff, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


async def test_what_is_removed_is_told_first_by_type_with_share_and_examples(tmp_path: Path) -> None:
    before = [resource(f"sales.t{n}", title=f"Table {n}", parent_databuilder_id="sales") for n in range(10)]
    text = shown(await diff_of(tmp_path, before, [*before[:1], resource("new")], against="yesterday's sync"))
    lines = text.splitlines()
    assert lines[0] == "compared with yesterday's sync"
    assert lines[1] == "REMOVED: 9 of 10 resources (90.0 %)"
    assert lines[2] == "  table: 9 of 10 (90.0 %)"
    assert lines[3] == '    sales.t1 "Table 1" in sales'
    assert lines[8] == "    … and 4 more"
    assert lines[9:12] == ["added: 1", "  table: 1", "    new"]


async def test_a_first_sync_only_adds(tmp_path: Path) -> None:
    text = shown((await diff_of(tmp_path, [], [resource("t")])).model_copy(update={"changed": None}))
    assert text.splitlines()[:4] == ["nothing is removed, since no resource is held", "added: 1", "  table: 1", "    t"]
    assert "changed: 0" in text


async def test_where_staling_is_off_nothing_is_called_removed(tmp_path: Path) -> None:
    diff = await diff_of(tmp_path, [resource("t"), resource("u")], [resource("u")])
    text = shown(diff.model_copy(update={"removes_absent": False}))
    assert "absent, and kept since staling is off: 1 of 2 resources (50.0 %)" in text
    assert "REMOVED" not in text


async def test_texts_of_records_are_shown_as_they_are(tmp_path: Path) -> None:
    text = shown(await diff_of(tmp_path, [resource("[bold]x[/]", title="[link=evil]")], []))
    assert '[bold]x[/] "[link=evil]"' in text


@pytest.mark.parametrize(
    ("removed", "of", "said"),
    [(1, 5000, "under 0.1 %"), (4999, 5000, "over 99.9 %"), (1, 1, "100 %"), (1, 3, "33.3 %")],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(removed: int, of: int, said: str) -> None:
    one = TypeDiff(type="table", before=of, now=of - removed, added=0, changed=0, staled=removed)
    assert f"({said})" in shown(Diff(types=(one,), lineage=LineageDiff(before=0, now=0, added=0, removed=0)))


def folders(work: Path) -> tuple[str, str]:
    dataset(work / "a", [resource("t"), resource("u")])
    dataset(work / "b", [resource("t")], [edge("t", "u")])
    return str(work / "a"), str(work / "b")


def test_the_command_compares_two_folders(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["diff", *folders(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "REMOVED: 1 of 2 resources (50.0 %)" in result.stdout
    assert "lineage: 0 of 0 removed, 1 added" in result.stdout


def test_the_command_prints_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["diff", "--json", *folders(tmp_path)])
    assert result.exit_code == 0
    assert Diff.model_validate_json(result.stdout).staled == 1


def test_a_folder_without_records_is_wrong_usage(tmp_path: Path) -> None:
    first, _ = folders(tmp_path)
    result = CliRunner().invoke(app, ["diff", first, str(tmp_path)])
    assert result.exit_code == 2
    assert "resources.jsonl" in result.stderr
