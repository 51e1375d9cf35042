"""Whatever happens to a run, its spool is complete exactly when all of it is there, and then holds each record once."""

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
from anyio import to_thread
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secoda_async import Batch, DatasetError, OutputError, Spool
from secoda_async.dataset import Dataset, find_dataset
from tests.effort import examples
from tests.integrations import StreamSink, integration
from tests.scope_trees import Boom, Model, Player, Step, trees


def records(dataset: Dataset) -> tuple[list[str], list[str]]:
    """The ids of resources and the ends of lineages, in order of their number."""
    resources = [orjson.loads(line)["databuilder_id"] for line in dataset.resources.read_bytes().splitlines()]
    lineage = [orjson.loads(line) for line in dataset.lineage.read_bytes().splitlines()]
    ends = [line["from_identifier"]["databuilder_id"] for line in lineage]
    return sorted(resources, key=int), sorted(ends, key=int)


class Fragile(StreamSink):
    """Fails at one of its calls, and remembers what a kill at its commit would leave."""

    def __init__(self, how: str, when: int, copies: Path, runs: Path) -> None:
        super().__init__()
        self._how = how
        self._when = when
        self._copies = copies
        self._runs = runs
        self.writes = 0

    async def write(self, batch: Batch) -> None:
        self.writes += 1
        if self._how == "write" and self.writes > self._when % 3:
            raise OutputError("the reader went away")
        await super().write(batch)

    async def commit(self, spool: Spool) -> None:
        if self._how == "kill":
            await to_thread.run_sync(shutil.copytree, self._runs, self._copies / "at the commit")
        if self._how == "commit":
            raise OutputError("the disk is full")
        await super().commit(spool)


def complete(runs: Path) -> Dataset | None:
    """The one run's records, where its files say that they are complete."""
    [run] = runs.iterdir()
    try:
        return find_dataset(run).dataset
    except DatasetError:
        return None


@example([("scope", "skip", [("scope", "other", [("scope", "fail", [("fail",)])])])], "nothing", 0)
@settings(max_examples=examples(200, fast=60))
@given(
    tree=trees(),
    how=st.sampled_from(["nothing", "cancel", "write", "commit", "kill"]),
    when=st.integers(0, 300),
)
def test_a_spool_is_complete_exactly_when_all_of_it_is_there(tree: list[Step], how: str, when: int) -> None:
    expected, raises, loses = Model().of(tree)
    ticks = Counter[str]()

    async def scenario(folder: Path) -> tuple[BaseException | None, bool, Fragile]:
        runs, copies = folder / "runs", folder / "copies"
        ended = False

        async def tick() -> None:
            ticks["all"] += 1
            if ticks["all"] == when + 1:
                if how == "cancel":
                    task.cancel()
                    await asyncio.sleep(0)
                elif how == "kill":
                    await to_thread.run_sync(shutil.copytree, runs, copies / "in the middle")

        async def extract(self: Any) -> None:
            nonlocal ended
            await Player(tick).play(self, tree)
            ended = True

        sink = Fragile(how, when, copies, runs)
        made = integration(extract, state_dir=folder)
        task = asyncio.get_running_loop().create_task(made.run(sink))
        await asyncio.wait([task])
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        return error, ended, sink

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        error, ended, sink = asyncio.run(scenario(folder))
        found = complete(folder / "runs")
        if error is None:
            assert not raises
            assert not loses
            assert found is not None
            assert "commit" in sink.calls
        if found is not None:
            assert ended
            assert not loses
            assert records(found) == (expected, expected)
        was_cut_off = how == "cancel" and isinstance(error, asyncio.CancelledError)
        could_not_write = how == "write" and sink.writes > when % 3
        assert (found is None) <= (raises or loses or was_cut_off or could_not_write), error
        if raises and not was_cut_off and not could_not_write:
            assert isinstance(error, Boom)
        for copy in (folder / "copies").glob("*"):
            (run,) = copy.iterdir()
            (run / "lock").unlink()  # a killed process holds none
            killed = complete(copy)
            assert (killed is not None) == (copy.name == "at the commit")
            assert killed is None or records(killed) == (expected, expected)
