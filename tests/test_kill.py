"""A run that is killed in any moment has uploaded everything or nothing, and its spool says how far it came."""

import random
import signal
from pathlib import Path

import anyio
import orjson
import pytest

from secoda_async.testing import FakeWorkspace
from tests.processes import started
from tests.test_cli import COMMAND

TABLES = 3_000
SOURCE = f"""
import asyncio
from secoda_async import Resource, SecodaIntegration


class Tables(SecodaIntegration):
    async def extract(self) -> None:
        for number in range({TABLES}):
            await self.declare_resource(
                Resource(entity_type="table", databuilder_id=str(number), description="x" * 5_000)
            )
            if number % 30 == 0:
                await asyncio.sleep(0.001)
"""


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 100))])
async def test_kill_9_never_leaves_a_partial_sync(seed: int, tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    await anyio.Path(source).write_text(SOURCE)
    moment = random.Random(seed).uniform(0.2, 1.1)  # seconds; an undisturbed run takes about 0.9
    async with FakeWorkspace(api_key="key") as workspace:
        integration_id = workspace.create_integration("tables")
        arguments = [
            *(COMMAND, "run", f"{source}:Tables", "--quiet", "--upload"),
            *("--integration-id", integration_id, "--base-url", workspace.url, "--state-dir", tmp_path / "state"),
        ]
        with started(arguments, env={"SECODA_API_KEY": "key"}) as process:
            with anyio.move_on_after(moment):
                await anyio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
            process.send_signal(signal.SIGKILL)
            await anyio.to_thread.run_sync(process.wait)
        await anyio.sleep(0.1)  # the workspace notices that a connection is gone
        syncs = workspace.syncs(integration_id)
        assert [sync.resource_lines for sync in syncs] in ([], [TABLES])
        assert len(workspace.resources(integration_id)) == TABLES * len(syncs)
    runs = tmp_path / "state" / "runs"
    for manifest in runs.glob("*/manifest.json"):
        told = orjson.loads(manifest.read_bytes())
        if told["state"] == "extracting":
            assert syncs == []
        else:
            lines = (manifest.parent / "resources.jsonl").read_bytes()
            assert (lines.count(b"\n"), len(lines)) == (TABLES, told["files"]["resources"]["bytes"])
