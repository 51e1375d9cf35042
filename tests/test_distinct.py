"""An upload holds every different record once, in the order of their first occurrence, and one record of each id."""

from pathlib import Path
from typing import Any, get_args

import anyio
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secoda_async import DatasetError, RulesError, SecodaSink, SpoolError
from secoda_async.analysis.distinct import write_distinct
from secoda_async.analysis.duplicates import find_dropped
from secoda_async.analysis.engine import Connection, analyse
from secoda_async.analysis.tables import load_lineage, load_resources
from secoda_async.dataset import Dataset
from secoda_async.settings import OnConflict
from secoda_async.testing import FakeWorkspace
from tests.datasets import edge, internal, query, resource, write_dataset, write_lines
from tests.effort import examples
from tests.integrations import integration, table
from tests.rules.naive import kept_lineage, kept_resources

Json = dict[str, Any]
ids = st.sampled_from(["a", "b", "c", ""])
resources = st.builds(resource, st.just("table"), ids, title=st.sampled_from(["x", "y"]))
ends = ids.map(internal)


async def without_duplicates(dataset: Dataset, folder: Path, *, on_conflict: OnConflict = "error") -> Dataset:
    """As an upload does it."""

    def body(connection: Connection) -> Dataset:
        load_resources(connection, dataset, "resources")
        load_lineage(connection, dataset, "lineage")
        find_dropped(connection, "resources", "lineage", on_conflict)
        return write_distinct(connection, dataset, folder)

    return await analyse(folder, dataset, body)


def read(path: Path) -> list[Json]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@given(
    records=st.lists(resources, max_size=8),
    lineage=st.lists(st.builds(edge, ends | st.just(query("select 1")), ends), max_size=6),
    on_conflict=st.sampled_from(["first", "last"]),
)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=examples(50, fast=12))
def test_what_stays_is_each_different_record_once_and_one_of_each_id(
    records: list[Json], lineage: list[Json], on_conflict: OnConflict, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = write_dataset(tmp_path_factory.mktemp("data"), records, lineage)
    work = tmp_path_factory.mktemp("work")

    async def run() -> Any:
        return await without_duplicates(dataset, work, on_conflict=on_conflict)

    result = anyio.run(run)
    expected = [one for _, one in kept_resources(records, on_conflict)], [one for _, one in kept_lineage(lineage)]
    assert (read(result.resources), read(result.lineage)) == expected
    # A file that holds nothing to drop is the one that is sent, byte for byte.
    assert (result.resources == dataset.resources) is (len(expected[0]) == len(records))
    assert (result.lineage == dataset.lineage) is (len(expected[1]) == len(lineage))
    assert names(work) == sorted(path.name for path in result if path.parent == work)


@pytest.mark.parametrize("on_conflict", get_args(OnConflict))
async def test_repeats_are_no_conflict_however_they_are_spelt(tmp_path: Path, on_conflict: OnConflict) -> None:
    lines = [
        b'{"entity_type":"table","databuilder_id":"a","title":"\xc3\xa9"}',
        b'{"databuilder_id":"b","entity_type":"table"}',
        b'{ "databuilder_id":"a", "title":"\\u00e9", "entity_type":"table", "hidden":false, "owners":null, "other":1 }',
    ]
    result = await without_duplicates(write_lines(tmp_path, lines), tmp_path, on_conflict=on_conflict)
    assert result.resources.read_bytes().splitlines() == lines[:2]


async def test_a_cancelled_run_leaves_no_part_of_a_file_behind(tmp_path: Path) -> None:
    dataset = write_lines(
        tmp_path, (b'{"entity_type":"table","databuilder_id":"%d"}' % (number % 500) for number in range(100_000))
    )
    seconds = 0.05
    whole = tmp_path / "resources.distinct.jsonl"
    while not await anyio.Path(whole).exists():  # until one comes through: at each moment before that nothing was left
        assert names(tmp_path) == ["lineage.jsonl", "resources.jsonl"]
        with anyio.move_on_after(seconds):
            await without_duplicates(dataset, tmp_path)
        seconds *= 1.5
    assert (await anyio.Path(whole).read_bytes()).count(b"\n") == 500


async def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [resource("table", "a")])
    with pytest.raises(SpoolError, match="gone"):
        await without_duplicates(dataset, tmp_path / "gone")


async def test_a_line_that_is_no_record_is_an_error_that_names_it(tmp_path: Path) -> None:
    dataset = write_lines(tmp_path, [b'{"entity_type":"table","databuilder_id":"a"}', b"{"])
    with pytest.raises(DatasetError, match=r"resources\.jsonl, line 2: not JSON"):
        await without_duplicates(dataset, tmp_path)
    assert names(tmp_path) == ["lineage.jsonl", "resources.jsonl"]


@pytest.mark.parametrize(("on_conflict", "title"), [("first", "one"), ("last", "three")])
async def test_a_workspace_gets_the_record_that_the_policy_names(on_conflict: OnConflict, title: str) -> None:
    async def extract(self: Any) -> None:
        for name in ("one", "two", "one", "three"):
            await self.declare_resource(table("a", description=name))

    async with FakeWorkspace(api_key="key") as workspace:
        id_ = workspace.create_integration("source")
        sink = SecodaSink(api_key="key", integration_id=id_, base_url=workspace.url)
        await integration(extract, on_conflict=on_conflict).run(sink)
        (record,) = workspace.resources(id_).values()
        assert record["description"] == title


async def test_without_a_policy_nothing_is_sent(tmp_path: Path) -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("a", description="one"))
        await self.declare_resource(table("a", description="two"))

    async with FakeWorkspace(api_key="key") as workspace:
        id_ = workspace.create_integration("source")
        sink = SecodaSink(api_key="key", integration_id=id_, base_url=workspace.url)
        run = integration(extract)
        with pytest.raises(RulesError, match=r"a \(differs from line 1\)"):
            await run.run(sink)
        assert workspace.syncs(id_) == []
    assert run.report is not None
    assert run.report.delivery == "nothing"
