"""The files and commands of docs/porting.md, run as they stand there."""

import os
from pathlib import Path

import anyio
import orjson
from aiohttp import web

from tests.command_line import COMMAND
from tests.markdown import ROOT, blocks
from tests.server import serve

DOC = ROOT / "docs" / "porting.md"


async def test_the_walk_of_the_document_ends_without_a_difference(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer geheim"
        if request.path == "/tables":
            return web.json_response({"items": ["orders", "users"]})
        return web.json_response({"comment": f"of {request.path}"})

    for block in blocks(DOC):
        assert block.file is not None
        (tmp_path / block.file).write_text(block.code)
    commands = [block.code for block in blocks(DOC, "sh")]
    assert len(commands) == 3
    env = {**os.environ, "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"}

    async def said(command: str) -> str:
        done = await anyio.run_process(["bash", "-c", command], cwd=tmp_path, env=env, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    async with serve(answer) as url:
        (tmp_path / "credentials.json").write_bytes(orjson.dumps({"base_url": url, "token": "geheim"}))
        await said(commands[0])
        compared = await said(commands[1])
    again = await said(commands[2])  # where no source is needed
    assert "3 resources (0 repeated), 2 lineage (0 repeated), 3 requests" in compared
    assert "no difference" in compared
    assert orjson.loads(again)["none"] is True
    assert len((tmp_path / "legacy" / "resources.jsonl").read_text().splitlines()) == 3
