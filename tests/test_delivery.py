"""What stands between a complete run and a workspace: rules, diff and stale guard, through the real command."""

import os
import shlex
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from secoda_async.testing import FakeWorkspace
from tests.server import serve
from tests.test_cli import COMMAND

SOURCE = """
from secoda_async import Resource, SecodaIntegration, Skip


class Tables(SecodaIntegration):
    async def extract(self) -> None:
        async for table in self.paginate("/tables", items="tables"):
            await self.declare_resource(Resource(**table))


class Swallows(SecodaIntegration):
    retry = None

    async def extract(self) -> None:
        page = "/tables"
        while page:
            try:
                reply = (await self.http_get(page)).raise_for_status().json()
            except Exception:
                break
            for table in reply["tables"]:
                await self.declare_resource(Resource(**table))
            page = reply["next"]


class Scopes(SecodaIntegration):
    async def extract(self) -> None:
        for name in ("a", "b"):
            async with self.scope(f"schema:{name}", on_error="carry"):
                reply = (await self.http_get(f"/schemas/{name}", retry=None)).raise_for_status()
                for table in reply.json():
                    await self.declare_resource(Resource(**table))
"""


def tables(count: int, **more: Any) -> list[dict[str, Any]]:
    """Tables that break no rule but that of their schema, which is not declared."""
    return [
        {
            "entity_type": "table",
            "databuilder_id": f"warehouse.sales.t{number}",
            "title": f"t{number}",
            "schema": "sales",
            "database": "warehouse",
            **more,
        }
        for number in range(count)
    ]


@dataclass
class Scene:
    """A source that lists what it is told to, a workspace, and the command between them."""

    folder: Path
    url: str
    workspace: FakeWorkspace
    integration_id: str
    listed: list[dict[str, Any]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    async def secoda(self, *arguments: object, state: str = "state") -> subprocess.CompletedProcess[str]:
        """Run the command, with its output as text."""
        environment = {**os.environ, "SECODA_API_KEY": "key", "SECODA_ASYNC_STATE": str(self.folder / state)}
        done = await anyio.run_process(
            [str(part) for part in (COMMAND, *arguments)], check=False, env=environment, cwd=self.folder
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    async def run(self, *more: object, name: str = "Tables", **options: Any) -> subprocess.CompletedProcess[str]:
        """Run an integration of `SOURCE`, and upload."""
        return await self.secoda(
            *("run", f"source.py:{name}", "--upload", "--credential", f"base_url={self.url}", *self.target, *more),
            **options,
        )

    @property
    def target(self) -> list[str]:
        return ["--integration-id", self.integration_id, "--base-url", self.workspace.url]

    @property
    def syncs(self) -> int:
        return len(self.workspace.syncs(self.integration_id))

    @property
    def held(self) -> int:
        return len(self.workspace.resources(self.integration_id))

    def last_run(self) -> Path:
        return max((self.folder / "state" / "runs").iterdir())


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async def source(request: web.Request) -> web.Response:
        if request.path_qs in made.broken:
            return web.Response(status=500, text="on fire")
        if request.path.startswith("/schemas/"):
            name = request.path.rpartition("/")[2]
            return web.json_response([{**one, "databuilder_id": f"{name}.{one['title']}"} for one in made.listed])
        page = int(request.query.get("page", "1"))
        rest = made.listed[page * 100 :]
        following = f"/tables?page={page + 1}" if rest else None
        return web.json_response({"tables": made.listed[(page - 1) * 100 : page * 100], "next": following})

    await anyio.Path(folder / "source.py").write_text(SOURCE)
    async with serve(source) as url, FakeWorkspace(api_key="key") as workspace:
        made = Scene(folder, url, workspace, workspace.create_integration("tables"))
        yield made


async def test_a_source_that_suddenly_lists_a_twentieth_is_refused_with_a_diff_until_it_is_overridden(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(1_000)
        first = await made.run()
        assert (first.returncode, made.held) == (0, 1_000), first.stderr
        made.listed = tables(50)
        refused = await made.run()
        assert refused.returncode == 4, refused.stderr
        assert (made.syncs, made.held) == (1, 1_000)
        assert "REMOVED: 950 of 1,000 resources (95.0 %)" in refused.stderr
        assert "it would remove 950 of 1,000 resources of type 'table' (95 %)" in refused.stderr
        assert "--allow-stale 'table'" in refused.stderr
        assert "warehouse.sales.t50" in refused.stderr
        # What was crawled need not be crawled again: the last line is the command.
        command = shlex.split(refused.stderr.splitlines()[-1])
        assert command[:3] == ["secoda-async", "upload", str(made.last_run())]
        sent = await made.secoda(*command[1:], "--allow-stale", "table")
        assert sent.returncode == 0, sent.stderr
        assert (made.syncs, made.held) == (2, 50)
        made.listed = tables(2)
        allowed = await made.run("--allow-stale", "table")
        assert (allowed.returncode, made.syncs, made.held) == (0, 3, 2), allowed.stderr


async def test_an_integration_that_swallows_a_500_on_a_page_uploads_nothing_and_names_the_page(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(1_000)
        made.broken = {"/tables?page=3"}
        done = await made.run(name="Swallows")
        assert (done.returncode, made.syncs) == (1, 0), done.stderr
        assert f"GET {made.url}/tables?page=3" in done.stderr
        assert "500" in done.stderr


async def test_without_a_local_baseline_the_workspace_is_asked(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(100)
        assert (await made.run()).returncode == 0
        made.listed = tables(5)
        elsewhere = await made.run(state="another machine")
        assert (elsewhere.returncode, made.syncs) == (4, 1), elsewhere.stderr
        assert "the workspace, which holds 100 resources" in elsewhere.stderr
        made.listed = tables(95)
        elsewhere = await made.run(state="a third machine")
        assert (elsewhere.returncode, made.held) == (0, 95), elsewhere.stderr


async def test_a_rule_that_is_broken_is_exit_status_3_and_nothing_is_uploaded(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = [*tables(10), {"entity_type": "column", "databuilder_id": "orphan", "title": "o"}]
        done = await made.run()
        assert (done.returncode, made.syncs) == (3, 0), done.stderr
        assert "orphan" in done.stderr
        dry = await made.secoda("validate", made.last_run())
        assert dry.returncode == 3


async def test_warnings_are_told_and_refused_under_strict(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(10, parent_databuilder_id="never declared")
        strict = await made.run("--strict")
        assert (strict.returncode, made.syncs) == (3, 0), strict.stderr
        done = await made.run()
        assert (done.returncode, made.syncs) == (0, 1), done.stderr
        assert "never declared" in done.stderr


async def test_other_findings_are_exit_status_5_under_strict_though_the_sync_was_delivered(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        schema = {"entity_type": "schema", "databuilder_id": "warehouse.sales", "parent_databuilder_id": "warehouse"}
        made.listed = [
            {"entity_type": "database", "databuilder_id": "warehouse", "title": "w"},
            {**schema, "title": "s"},
            *tables(10, parent_databuilder_id="warehouse.sales", no_such_field=1),
        ]
        done = await made.run("--strict")
        assert (done.returncode, made.syncs) == (5, 1), done.stderr
        made.listed = tables(10, no_such_field=1)
        done = await made.run()
        assert (done.returncode, made.syncs) == (0, 2), done.stderr


async def test_a_broken_schema_is_carried_over_and_the_exit_status_says_degraded(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(30)
        assert (await made.run(name="Scopes")).returncode == 0
        made.listed = tables(40)
        made.broken = {"/schemas/b"}
        done = await made.run(name="Scopes")
        assert (done.returncode, made.held) == (6, 70), done.stderr
        assert "carried over" in done.stderr
        assert not made.workspace.syncs(made.integration_id)[-1].removed


async def test_a_dry_run_sends_nothing_and_says_what_an_upload_would_do(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(100)
        assert (await made.run()).returncode == 0
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        (foreign / "resources.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in tables(99)[1:]))
        (foreign / "lineage.jsonl").touch()
        dry = await made.secoda("upload", foreign, *made.target, "--dry-run")
        assert (dry.returncode, made.syncs) == (0, 1), dry.stderr
        assert "REMOVED: 2 of 100 resources (2.0 %)" in dry.stderr
        assert "would be delivered (--dry-run)" in dry.stderr
        sent = await made.secoda("upload", foreign, *made.target)
        assert (sent.returncode, made.syncs, made.held) == (0, 2, 98), sent.stderr
        (foreign / "resources.jsonl").write_bytes(b'{"entity_type": "table"}\n')
        refused = await made.secoda("upload", foreign, *made.target)
        assert (refused.returncode, made.syncs) == (1, 2), refused.stderr
        assert "resources.jsonl, line 1" in refused.stderr
        assert "databuilder_id" in refused.stderr


@pytest.mark.parametrize("state", ["extracting", "failed"])
async def test_only_a_complete_run_can_be_uploaded_afterwards(tmp_path: Path, state: str) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(500)
        made.broken = {"/tables?page=3"}
        assert (await made.run(name="Swallows")).returncode == 1
        manifest = made.last_run() / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b'"failed"', f'"{state}"'.encode()))
        done = await made.secoda("upload", made.last_run(), *made.target, "--first-sync")
        assert (done.returncode, made.syncs) == (1, 0), done.stderr
        assert "is not complete" in done.stderr


async def test_the_report_of_a_refused_run_holds_the_diff_and_what_rules_say(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.listed = tables(40)
        assert (await made.run()).returncode == 0
        made.listed = tables(1)
        done = await made.run("--report", tmp_path / "report.json")
        assert done.returncode == 4, done.stderr
        told = orjson.loads((tmp_path / "report.json").read_bytes())
        assert (told["status"], told["delivery"]) == ("failed", "nothing")
        assert (told["diff"]["staled"], told["diff"]["before"]) == (39, 40)
        assert {breach["severity"] for breach in told["breaches"]} == {"warning"}
