"""The command on a synchronous file, as a process: the same lines as the real secodadk, and an end to every run."""

import signal
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from tests.command_line import COMMAND, command
from tests.compat.legacy import written
from tests.peer import peer_python
from tests.processes import started
from tests.server import serve
from tests.test_cluvio import CREDENTIALS, Api

EXAMPLE = Path(__file__).parents[2] / "examples" / "legacy_cluvio.py"


async def test_the_lines_of_an_untouched_file_are_those_of_the_real_secodadk(tmp_path: Path) -> None:
    async with serve(Api().answer) as url:
        credentials = {"base_url": url, **CREDENTIALS}
        given = [text for name, value in credentials.items() for text in ("--credential", f"{name}={value}")]
        status, out, errors = await command("run", f"{EXAMPLE}:CluvioIntegration", *given)
        assert status == 0, errors
        start = (
            "import runpy, sys; found = runpy.run_path(sys.argv[1])['CluvioIntegration']\n"
            "found(credentials=eval(sys.argv[2])).start()"
        )
        with anyio.fail_after(60):
            real = await anyio.run_process([peer_python(), "-W", "ignore", "-c", start, EXAMPLE, repr(credentials)])
    ours, theirs = ([orjson.loads(line) for line in text.splitlines()] for text in (out, real.stdout))
    assert len(ours) == 5
    # Each kind in its order: here resources and lineage come in batches of their own.
    for is_lineage in (False, True):
        of_kind = [[line for line in lines if ("from_identifier" in line) is is_lineage] for lines in (ours, theirs)]
        assert of_kind[0] == of_kind[1]


@pytest.mark.parametrize(
    "blocks",
    [
        "started(); time.sleep(3600)",
        "pool = ThreadPoolExecutor(1)\npool.submit(lambda: (started(), time.sleep(3600))).result()",
        "threading.Thread(target=lambda: time.sleep(3600)).start()\nstarted()\nself.http_get(url)",
    ],
    ids=["in extract", "in a pool", "in a thread, and extract waits for an answer"],
)
async def test_ctrl_c_ends_the_process_whatever_its_threads_are_doing(tmp_path: Path, blocks: str) -> None:
    async def never(_: web.Request) -> web.Response:
        await anyio.sleep_forever()
        raise AssertionError

    sign = tmp_path / "started"
    path = written(tmp_path, f"started = lambda: open({str(sign)!r}, 'w').close()\n{blocks}")
    async with serve(never) as url:
        with started([COMMAND, "run", f"{path}:Legacy", "--credential", f"base_url={url}"]) as process:
            with anyio.fail_after(60):
                while not await anyio.Path(sign).exists():  # noqa: ASYNC110 # another process's file
                    await anyio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            with anyio.fail_after(30):
                errors = (await anyio.to_thread.run_sync(process.stderr.read, abandon_on_cancel=True)).decode()
                status = await anyio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
    assert status == 130
    assert "nothing was delivered" in errors
    assert "Traceback" not in errors


async def test_a_file_of_secodadk_can_be_measured(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"path": request.path})

    body = """
        with ThreadPoolExecutor(4) as pool:
            for reply in pool.map(self.http_get, [f"{url}/{n}" for n in range(20)]):
                self.declare_resource(table(reply.json()["path"]))
    """
    target, journal = f"{written(tmp_path, body)}:Legacy", tmp_path / "legacy.journal"
    async with serve(answer) as url:
        given = ("--credential", f"base_url={url}")
        status, _, errors = await command("run", target, *given, "--record", journal, "--out", tmp_path / "out")
        assert status == 0, errors
    arguments: list[Any] = [
        "bench",
        target,
        *given,
        "--journal",
        journal,
        "--rounds",
        "1",
        "--concurrency",
        "4",
        "--json",
    ]
    status, out, errors = await command(*arguments)
    assert status == 0, errors
    assert orjson.loads(out)["points"][0]["figures"]["records"] == 20
