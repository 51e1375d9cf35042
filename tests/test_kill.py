"""A run that is killed in any moment has uploaded everything or nothing, and goes on to the same end."""

import random
import signal
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from secoda_async import DatasetError
from secoda_async.dataset import find_dataset
from secoda_async.testing import FakeWorkspace
from tests.processes import started
from tests.server import serve
from tests.test_cli import COMMAND

SCHEMAS = 40
TABLES = 60
SOURCE = """
from secoda_async import DeclaredLineage, InternalResource, Resource, SecodaIntegration


class Tables(SecodaIntegration):
    async def extract(self) -> None:
        schemas = (await self.http_get("/schemas")).json()
        await self.for_each(schemas, self.extract_schema, scope=lambda name: f"schema:{name}")

    async def extract_schema(self, name: str) -> None:
        async for table in self.paginate(f"/schemas/{name}/tables", items="tables"):
            await self.declare_resource(
                Resource(entity_type="table", databuilder_id=table["id"], description=table["text"])
            )
            await self.declare_lineage(
                DeclaredLineage(
                    from_identifier=InternalResource(databuilder_id=table["id"]),
                    to_identifier=InternalResource(databuilder_id=table["id"] + ".view"),
                )
            )
"""


async def source(request: web.Request) -> web.Response:
    """Schemas, and their tables on three pages each."""
    if request.path == "/schemas":
        return web.json_response([f"s{number}" for number in range(SCHEMAS)])
    name, page = request.path.split("/")[2], int(request.query.get("page", "1"))
    await anyio.sleep(0.005)
    size = TABLES // 3
    tables = [{"id": f"{name}.t{n}", "text": "x" * 5_000} for n in range((page - 1) * size, page * size)]
    following = f"/schemas/{name}/tables?page={page + 1}" if page < 3 else None
    return web.json_response({"tables": tables, "next": following})


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(5, 100))])
async def test_kill_9_never_leaves_a_partial_sync_and_a_resumed_run_ends_as_if_undisturbed(
    seed: int, tmp_path: Path
) -> None:
    program = tmp_path / "source.py"
    await anyio.Path(program).write_text(SOURCE)
    moment = random.Random(seed).uniform(0.3, 1.5)  # seconds; an undisturbed run takes about 1.3
    state = tmp_path / "state"
    async with serve(source) as url, FakeWorkspace(api_key="key") as workspace:
        integration_id = workspace.create_integration("tables")

        def command(*more: object) -> list[Any]:
            return [
                *(COMMAND, "run", f"{program}:Tables", "--quiet", "--upload", "--credential", f"base_url={url}"),
                *("--integration-id", integration_id, "--base-url", workspace.url, "--state-dir", state, *more),
            ]

        with started(command("--resumable"), env={"SECODA_API_KEY": "key"}) as process:
            with anyio.move_on_after(moment):
                await anyio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
            process.send_signal(signal.SIGKILL)
            await anyio.to_thread.run_sync(process.wait)
        await anyio.sleep(0.1)  # the workspace notices that a connection is gone
        syncs = workspace.syncs(integration_id)
        assert [sync.resource_lines for sync in syncs] in ([], [SCHEMAS * TABLES])
        killed_in = await anyio.to_thread.run_sync(state_of_the_run, state)
        assert killed_in in {"nothing", "extracting", "complete", "accepted"}
        assert killed_in in {"complete", "accepted"} or syncs == []

        more = ["--resume", "last"] if killed_in in {"extracting", "complete"} else []
        with started(command(*more), env={"SECODA_API_KEY": "key"}) as process:
            assert await anyio.to_thread.run_sync(process.wait) == 0
        held = workspace.resources(integration_id)
        assert {id_: one["description"] for id_, one in held.items()} == {
            f"s{schema}.t{number}": "x" * 5_000 for schema in range(SCHEMAS) for number in range(TABLES)
        }
        assert len(workspace.lineage(integration_id)) == SCHEMAS * TABLES
        assert all(not sync.removed for sync in workspace.syncs(integration_id))


def state_of_the_run(state: Path) -> str:
    """What the killed run's files say, which is never that they are complete where they are not."""
    told = [orjson.loads(path.read_bytes())["state"] for path in state.glob("runs/*/manifest.json")]
    if not told or not [*state.glob("runs/*/journal")]:
        return "nothing"
    [run] = (state / "runs").iterdir()
    try:
        lines = find_dataset(run).dataset.resources.read_bytes().count(b"\n")
    except DatasetError:
        assert told == ["extracting"]
    else:
        assert lines == SCHEMAS * TABLES
    return str(told[0])
