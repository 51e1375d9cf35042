"""A folder is delivered whole or not at all, and what is said of it is true, in whatever moment it is cut off."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web
from anyio import to_thread
from filelock import FileLock

from secoda_async import RunError, SecodaSink, Settings
from secoda_async.dataset import find_dataset
from secoda_async.redact import Redactor
from secoda_async.report import Delivery
from secoda_async.resend import Resend
from secoda_async.spool import Spool
from secoda_async.testing import FakeWorkspace
from tests.integrations import MemorySink, edge, integration, table
from tests.processes import started
from tests.server import serve
from tests.test_cli import COMMAND
from tests.test_delivery import tables

RECORDS = 200


async def extract(self: Any) -> None:
    for number in range(RECORDS):
        await self.declare_resource(table(number, schema="s", database="d"))
        await self.declare_lineage(edge(number, number + 1))
    await self.declare_resource(table(0, schema="s", database="d"))  # a repeat, so that files are written anew


async def complete_run(state_dir: Path) -> Path:
    await integration(extract).run(MemorySink())
    [run] = await to_thread.run_sync(lambda: [*(state_dir / "runs").iterdir()])
    return run


def left_behind(state_dir: Path) -> list[str]:
    """Folders and files of work on the way, open files, and locks that somebody still holds."""
    found = [str(path) for path in state_dir.rglob("*") if path.name.startswith(("preflight-", "work-", "."))]
    opened = Path("/proc/self/fd")  # Linux has it
    found += [path for path in map(_opened, opened.glob("*")) if path.startswith(str(state_dir))]
    for lock in state_dir.rglob("lock"):
        with FileLock(lock, blocking=False, thread_local=False):
            pass
    return [path for path in found if not path.endswith(".gitignore")]


def _opened(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(8, 100))])
async def test_an_upload_that_is_cancelled_in_any_moment_leaves_nothing_and_tells_the_truth(
    seed: int, state_dir: Path
) -> None:
    run = await complete_run(state_dir)
    async with FakeWorkspace(api_key="key") as workspace:
        id_ = workspace.create_integration("i")
        sink = SecodaSink(api_key="key", integration_id=id_, base_url=workspace.url)
        resend = Resend(run, sink, settings=Settings(), redact=Redactor())
        task = asyncio.create_task(resend.execute())
        await asyncio.sleep(random.Random(seed).uniform(0, 0.7))  # seconds; undisturbed it takes about 0.5
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.1)  # the workspace notices that a connection is gone
        syncs = [sync.resource_lines for sync in workspace.syncs(id_)]
        assert syncs in ([], [RECORDS])
        assert resend.delivery in (
            {Delivery.DELIVERED, Delivery.UNCERTAIN} if syncs else {Delivery.NOTHING, Delivery.UNCERTAIN}
        )
        assert task.cancelled() or task.exception() is None
        assert await to_thread.run_sync(left_behind, state_dir) == []
        assert (await to_thread.run_sync(find_dataset, run)).run == run.name


async def test_what_an_upload_that_was_killed_has_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    received = anyio.Event()

    async def hang(request: web.Request) -> web.Response:
        if request.method == "POST":
            received.set()
            await anyio.sleep_forever()
        return web.json_response({"results": [], "links": {"next": None}, "count": 0})

    lines = b"".join(orjson.dumps(one) + b"\n" for one in tables(100))
    await anyio.Path(tmp_path / "resources.jsonl").write_bytes(lines)
    await anyio.Path(tmp_path / "lineage.jsonl").touch()
    environment = {**os.environ, "SECODA_API_KEY": "key"}
    async with serve(hang) as url:
        command = [COMMAND, "upload", tmp_path, "--integration-id", "i", "--base-url", url]
        with started(command, env=environment) as process:
            await received.wait()
            process.kill()
        [folder] = await to_thread.run_sync(lambda: [*tmp_path.glob("state/baselines/*/*")])
        assert len(await to_thread.run_sync(lambda: [*folder.glob("work-*")])) == 1
        with started([*command, "--dry-run"], env=environment) as process:
            assert await to_thread.run_sync(process.wait) == 0
        assert await to_thread.run_sync(lambda: [*folder.glob("work-*")]) == []


async def test_an_uploaded_run_keeps_its_records_once(state_dir: Path) -> None:
    async with FakeWorkspace(api_key="key") as workspace:
        id_ = workspace.create_integration("i")
        await integration(extract).run(SecodaSink(api_key="key", integration_id=id_, base_url=workspace.url))
        assert len(workspace.resources(id_)) == RECORDS
    kept = await to_thread.run_sync(lambda: {path.name for path in state_dir.glob("runs/*/*")})
    assert kept == {"index.jsonl", "lineage.jsonl", "lock", "manifest.json", "report.json", "resources.jsonl"}


async def test_a_run_that_goes_on_is_not_uploaded(state_dir: Path) -> None:
    spool = await to_thread.run_sync(Spool.create, state_dir, "run")
    sink = SecodaSink(api_key="key", integration_id="i", base_url="http://127.0.0.1:1")
    with pytest.raises(RunError, match="still goes on"):
        await Resend(spool.directory, sink, settings=Settings(), redact=Redactor()).execute()
    await to_thread.run_sync(spool.close)
