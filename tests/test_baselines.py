"""The last accepted sync is what was accepted, and is asked only where the target surely holds nothing else."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest
from anyio import to_thread

from secoda_async import DatasetError, RunReport, SecodaSink, Spool, SpoolError, StaleGuardError, Target, UploadError
from secoda_async.baselines import Baselines
from secoda_async.dataset import Dataset
from secoda_async.report import Delivery
from secoda_async.resend import _copy
from secoda_async.testing import FakeWorkspace
from tests.integrations import integration, table
from tests.test_delivery import scene, tables


def dataset(folder: Path, count: int) -> Dataset:
    """So many records, in files of a folder."""
    folder.mkdir(exist_ok=True)
    found = Dataset(folder / "resources.jsonl", folder / "lineage.jsonl")
    found.resources.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in tables(count)))
    found.lineage.touch()
    return found


def lines(found: Dataset) -> int:
    return found.resources.read_bytes().count(b"\n")


async def test_files_that_their_writer_overwrites_are_compared_with_what_was_accepted(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await to_thread.run_sync(dataset, tmp_path / "out", 100)
        first = await made.secoda("upload", tmp_path / "out", *made.target)
        assert (first.returncode, made.held) == (0, 100), first.stderr
        await to_thread.run_sync(dataset, tmp_path / "out", 5)  # in place: the same files with another content
        again = await made.secoda("upload", tmp_path / "out", *made.target)
        assert (again.returncode, made.held) == (4, 100), again.stderr
        assert "REMOVED: 95 of 100 resources" in again.stderr


async def test_after_a_sync_that_only_adds_the_workspace_is_asked_what_it_holds(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(100)
        assert (await made.run()).returncode == 0
        made.listed = tables(5)
        made.workspace._staling = False
        added = await made.run("--staling-is-off")
        assert (added.returncode, made.held) == (0, 100), added.stderr
        made.workspace._staling = True
        refused = await made.run()
        assert (refused.returncode, made.held) == (4, 100), refused.stderr
        assert "the workspace, which holds 100 resources" in refused.stderr
        assert (await made.run("--allow-stale", "table")).returncode == 0
        last = await made.run()
        assert (last.returncode, made.held) == (0, 5), last.stderr
        assert "compared with the last accepted sync" in last.stderr


class CutOff(SecodaSink):
    """Is cancelled after the workspace has taken the sync."""

    async def commit(self, spool: Spool) -> None:
        await super().commit(spool)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)


class Homeless(SecodaSink):
    """Loses the folder of the last accepted sync once the workspace has taken the new one."""

    def __init__(self, folder: Path, **arguments: str) -> None:
        super().__init__(**arguments)
        self._folder = folder
        self.aborted = False

    async def commit(self, spool: Spool) -> None:
        await super().commit(spool)
        (found,) = await to_thread.run_sync(lambda: [*self._folder.glob("baselines/*/*")])
        await to_thread.run_sync(found.rename, self._folder / "away")

    async def abort(self, error: BaseException) -> None:
        self.aborted = True


async def sync(sink: SecodaSink, count: int) -> RunReport:
    async def extract(self: object) -> None:
        for number in range(count):
            await self.declare_resource(table(number, schema="s", database="d"))  # type: ignore[attr-defined]

    made = integration(extract)
    try:
        return await made.run(sink)
    except BaseException:
        assert made.report is not None
        reports.append(made.report)
        raise


reports: list[RunReport] = []


async def test_where_the_end_of_an_upload_is_not_known_the_workspace_is_asked_what_it_holds() -> None:
    async with FakeWorkspace(api_key="key") as workspace:
        target = {"api_key": "key", "integration_id": workspace.create_integration("i"), "base_url": workspace.url}
        await sync(SecodaSink(**target), 5)
        with pytest.raises(asyncio.CancelledError):
            await sync(CutOff(**target), 100)
        assert reports[-1].delivery is Delivery.UNCERTAIN
        assert len(workspace.resources(target["integration_id"])) == 100
        with pytest.raises(StaleGuardError, match="95 of 100"):
            await sync(SecodaSink(**target), 5)
        report = await sync(SecodaSink(**target), 99)
        assert report.diff is not None
        assert "the workspace" in report.diff.against
        report = await sync(SecodaSink(**target), 98)
        assert report.diff is not None
        assert "the last accepted sync" in report.diff.against


async def test_a_sync_that_was_delivered_and_cannot_be_kept_is_told_as_delivered(state_dir: Path) -> None:
    async with FakeWorkspace(api_key="key") as workspace:
        target = {"api_key": "key", "integration_id": workspace.create_integration("i"), "base_url": workspace.url}
        sink = Homeless(state_dir, **target)
        with pytest.raises(SpoolError, match="all of it was delivered, but"):
            await sync(sink, 5)
        assert reports[-1].delivery is Delivery.DELIVERED
        assert "all of it was delivered" in str(reports[-1].error)
        assert not sink.aborted


def refused(ambiguous: bool) -> Exception:
    return UploadError("no", ambiguous=ambiguous)


@pytest.mark.parametrize(
    ("error", "doubt"),
    [(refused(ambiguous=False), ""), (refused(ambiguous=True), "2"), (asyncio.CancelledError(), "2"), (None, "2")],
)
async def test_what_is_held_is_in_doubt_unless_surely_nothing_arrived(
    tmp_path: Path, error: BaseException | None, doubt: str
) -> None:
    store = Baselines(tmp_path, Target("host", "name"))
    with ExitStack() as held:
        await to_thread.run_sync(held.enter_context, store.held("1"))
        await to_thread.run_sync(store.accept, await to_thread.run_sync(dataset, tmp_path / "out", 1), "1")

        async def send() -> None:
            async with store.sending("2"):
                if error is not None:
                    raise error

        if error is None:
            await send()
        else:
            with pytest.raises(type(error)):
                await send()
        found = await to_thread.run_sync(store.current)
        assert found is not None
        assert (found.run, found.doubt) == ("1", doubt)
        if doubt:  # what was in doubt stays so, though the next one surely did not arrive
            with pytest.raises(UploadError):
                async with store.sending("3"):
                    raise refused(ambiguous=False)
            found = await to_thread.run_sync(store.current)
            assert found is not None
            assert found.doubt


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes().replace(b"t0", b"t9")),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
)
def test_a_baseline_that_is_not_what_was_accepted_is_an_error(tmp_path: Path, change: Callable[[Path], object]) -> None:
    store = Baselines(tmp_path, Target("host", "name"))
    with store.held("1"):
        accepted = store.accept(dataset(tmp_path / "out", 2), "1")
        change(accepted.dataset.resources)
        with pytest.raises(
            SpoolError, match=r"resources\.jsonl in .* is not what was accepted.*remove .*current\.json"
        ):
            store.current()


def test_a_baseline_is_there_until_the_next_one_is_whole(tmp_path: Path) -> None:
    store = Baselines(tmp_path, Target("host", "name"))
    with store.held("1"):
        store.accept(dataset(tmp_path / "out", 2), "1")
        (tmp_path / "out" / "lineage.jsonl").unlink()
        with pytest.raises(SpoolError):
            store.accept(Dataset(tmp_path / "out" / "resources.jsonl", tmp_path / "out" / "lineage.jsonl"), "1")
        found = store.current()
        assert found is not None
        assert lines(found.dataset) == 2
        store.accept(dataset(tmp_path / "out", 3), "1")  # the same run again
        found = store.current()
        assert found is not None
        assert lines(found.dataset) == 3
        assert [path.name for path in found.directory.parent.iterdir() if path.is_dir()] == [found.directory.name]


def test_files_that_are_written_while_they_are_read_are_not_uploaded(tmp_path: Path) -> None:
    found = dataset(tmp_path / "out", 10)
    with found.resources.open("ab") as file:
        file.truncate(2**28)
    stopped = threading.Event()

    def write() -> None:
        with found.resources.open("ab", buffering=0) as file:
            while not stopped.wait(0.001):
                file.write(b"{}\n")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with pytest.raises(DatasetError, match="are being written; upload them when that has ended"):
            _copy(found, tmp_path)
    finally:
        stopped.set()
        thread.join()


async def test_what_a_run_lacks_by_permission_is_told_by_the_upload_of_it_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(500)
        assert (await made.run()).returncode == 0
        made.broken = {"/tables?page=3"}
        refused = await made.run("--allow-losses", name="Swallows")
        assert (refused.returncode, made.held) == (4, 500), refused.stderr
        sent = await made.secoda("upload", made.last_run(), *made.target, "--allow-stale", "table")
        assert (sent.returncode, made.held) == (6, 200), sent.stderr
        assert "losses were allowed" in sent.stderr
