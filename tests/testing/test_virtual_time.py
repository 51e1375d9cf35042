"""Waiting takes no time, unless somebody works meanwhile whom the loop cannot see."""

import asyncio
import importlib.util
import subprocess
import sys
import threading
import time

import anyio
import pytest
from aiohttp import ClientSession, web
from anyio import from_thread, to_thread

from secoda_async.testing import run_virtually
from tests.server import serve


def now() -> float:
    return asyncio.get_running_loop().time()


def test_hours_pass_at_once_and_in_order() -> None:
    async def main() -> list[str]:
        woken: list[str] = []

        async def sleep(hours: int) -> None:
            await anyio.sleep(hours * 3600)
            woken.append(f"{now() / 3600:.3f}")

        async with anyio.create_task_group() as tasks:
            for hours in (3, 1, 2):
                tasks.start_soon(sleep, hours)
        return woken

    assert run_virtually(main()) == ["1.000", "2.000", "3.000"]


@pytest.mark.parametrize("kind", ["anyio", "executor"])
def test_a_thread_that_works_is_waited_for_in_its_own_time(kind: str) -> None:
    async def main() -> float:
        with anyio.fail_after(60):
            if kind == "anyio":
                await to_thread.run_sync(time.sleep, 0.05)
            else:
                await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.05)
        return now()

    assert 0.04 < run_virtually(main()) < 60


def test_a_thread_may_itself_wait_for_the_loop() -> None:
    async def main() -> str:
        await to_thread.run_sync(lambda: from_thread.run(anyio.sleep, 0.02))
        return "done"

    assert run_virtually(main()) == "done"


def test_what_another_thread_brings_is_waited_for_without_a_timer() -> None:
    async def main() -> None:
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        threading.Timer(0.02, loop.call_soon_threadsafe, [event.set]).start()
        await event.wait()

    run_virtually(main())


def test_while_a_socket_is_open_no_time_is_skipped() -> None:
    async def slowly(_: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response(text="done")

    async def main() -> str:
        with anyio.fail_after(60):
            async with serve(slowly) as url, ClientSession() as session, session.get(url) as reply:
                return await reply.text()

    assert run_virtually(main()) == "done"


def test_an_error_passes_through() -> None:
    async def main() -> None:
        await anyio.sleep(1)
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        run_virtually(main())


SLEEPS = """
import sys
if sys.argv[1] == "without":
    sys.modules["sniffio"] = None  # so that it cannot be imported
import anyio
from secoda_async.testing import run_virtually
run_virtually(anyio.sleep(3600))
print("sniffio" in sys.modules and sys.modules["sniffio"] is not None)
"""


@pytest.mark.parametrize("kind", ["with", "without"])
def test_it_is_the_same_where_anyio_asks_sniffio_what_runs(kind: str) -> None:
    assert importlib.util.find_spec("sniffio") is not None, "a development dependency"
    done = subprocess.run([sys.executable, "-c", SLEEPS, kind], check=False, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"{kind == 'with'}\n", 0), done.stderr
