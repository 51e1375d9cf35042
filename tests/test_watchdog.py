"""A run that hangs says what it waits for: by itself after a while, and whenever it is asked."""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from secoda_async import RateLimit, RetryPolicy
from secoda_async.network.message import Request, Response
from tests.integrations import MemorySink, integration, table
from tests.network.fake_transport import FakeTransport
from tests.processes import started

HERE = re.escape(__file__)


class HangsOnSome(FakeTransport):
    """What is asked of ``/hangs`` is never answered."""

    async def send(self, request: Request) -> Response:
        if request.url.path.startswith("/hangs"):
            await anyio.sleep_forever()
        return await super().send(request)


async def warned_of(
    extract: Callable[[Any], Any], caplog: pytest.LogCaptureFixture, answer: Any = None, **settings: Any
) -> str:
    """The first warning of a run that is cancelled then."""
    transport = HangsOnSome(answer) if answer is not None else HangsOnSome()
    made = integration(extract, transport=transport, **{"watchdog": 0.2, **settings})
    with caplog.at_level(logging.WARNING, "secoda_async"), anyio.move_on_after(30) as scope:
        async with anyio.create_task_group() as group:

            async def look() -> None:
                while not caplog.records:  # noqa: ASYNC110 # another thread's
                    await asyncio.sleep(0.02)
                scope.cancel()

            group.start_soon(look)
            await made.run(MemorySink())
    return caplog.records[0].getMessage()


async def test_each_request_is_listed_with_what_it_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    def answer(request: Request) -> Response:
        match request.url.host:
            case "back.example":
                return Response(request, 503)
            case "pause.example":
                return Response(request, 429, headers={"Retry-After": "200"})  # type: ignore[arg-type]
        return Response(request, 200)

    async def later(ask: Any, url: str) -> None:
        await asyncio.sleep(0.05)
        await ask(url)

    async def extract(self: Any) -> None:
        ask = self.http_get
        await asyncio.gather(
            ask("https://sent.example/hangs?api_key=s3cret-of-mine"),
            ask("https://back.example/b"),
            ask("https://pause.example/p"),
            later(ask, "https://pause.example/behind"),
            *(ask(f"https://limit.example/{number}") for number in range(2)),
            *(ask(f"https://slots.example/hangs/{number}") for number in range(3)),
        )

    text = await warned_of(
        extract,
        caplog,
        answer,
        rate_limits={"limit.example": RateLimit(1, per=3600)},
        retry=RetryPolicy(backoff=3600, max_backoff=3600),
        concurrency=2,
    )
    assert "nothing has happened for 0 s (watchdog = 0.2). What is waited for:" in text
    lines = text.splitlines()

    def line(pattern: str) -> bool:
        return any(re.fullmatch(f"  {pattern}", one) for one in lines)

    assert line(r"GET https://sent\.example/hangs\?api_key=\[redacted\] has no answer yet, for \d+ s"), text
    assert line(r"GET https://back\.example/b is sent again in \d+ s, after 503"), text
    assert line(r"GET https://pause\.example/p is sent again in \d+ s, after 429"), text
    assert line(r"GET https://pause\.example/behind waits for the end of a pause that the server asked for, in .*"), (
        text
    )
    assert line(r"GET https://limit\.example/1 waits for the limit of 'limit\.example', for 0 s"), text
    assert line(r"GET https://slots\.example/hangs/2 waits for a free slot \(2 in flight\), for 0 s"), text
    assert not any("limit.example/0" in one for one in lines)


async def test_the_users_tasks_are_listed_with_their_innermost_line(caplog: pytest.LogCaptureFixture) -> None:
    async def extract(self: Any) -> None:
        async def sleeps(_: int) -> None:
            await asyncio.sleep(3600)

        async def pages() -> Any:
            yield 1
            await anyio.sleep_forever()

        async with asyncio.TaskGroup() as group:
            group.create_task(self.for_each(range(3), sleeps))
            async for _ in pages():
                pass

    text = await warned_of(extract, caplog)
    assert re.search(rf"3 tasks at {HERE}:\d+ in sleeps", text), text
    assert re.search(rf"1 task at {HERE}:\d+ in pages", text), text


async def test_an_answer_that_its_reader_does_not_read_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def extract(self: Any) -> None:
        async with self.http_stream("GET", "https://x.example/export"):
            await anyio.sleep_forever()

    text = await warned_of(extract, caplog)
    assert "GET https://x.example/export is being read by its caller, for 0 s" in text


async def test_many_are_counted_and_not_listed(caplog: pytest.LogCaptureFixture) -> None:
    async def extract(self: Any) -> None:
        await asyncio.gather(*(self.http_get(f"https://x.example/hangs/{number}") for number in range(5000)))

    text = await warned_of(extract, caplog, concurrency=10)
    assert re.search(r"\n  … and [\d,]{4,} more\n", text)
    assert len(text.splitlines()) < 40


async def test_a_run_that_makes_progress_is_not_warned_of_and_no_thread_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def extract(self: Any) -> None:
        for number in range(20):
            await self.declare_resource(table(number))
            await asyncio.sleep(0.03)

    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if "watchdog" in thread.name]

    with caplog.at_level(logging.WARNING, "secoda_async"):
        await integration(extract, watchdog=0.3).run(MemorySink())
        with anyio.fail_after(10):
            while threads():  # noqa: ASYNC110 # it ends at its next look
                await asyncio.sleep(0.02)
        await integration(extract, watchdog=None).run(MemorySink())
    assert caplog.records == []


SCRIPT = """
    import asyncio, pathlib, sys, time
    from secoda_async import SecodaIntegration

    class Waits(SecodaIntegration):
        base_url = "http://127.0.0.1:9"
        async def extract(self) -> None:
            told = pathlib.Path(__file__).with_name("told")
            print("going", file=sys.stderr, flush=True)
            {body}

    Waits(credentials={{}}, watchdog={watchdog}).start()
"""


def script(tmp_path: Path, body: str, watchdog: float | None) -> Path:
    path = tmp_path / "waits.py"
    path.write_text(textwrap.dedent(SCRIPT).format(body=body, watchdog=watchdog))
    return path


def until_told(process: "subprocess.Popen[str]", tmp_path: Path, words: str) -> str:
    """What a process writes to standard error; its ``extract`` goes on as soon as the words are among it."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            (tmp_path / "told").touch()
    assert process.wait() == 0
    return "".join(lines)


@pytest.mark.parametrize("body", ["while not told.exists(): time.sleep(0.01)", "while not told.exists(): pass"])
def test_a_loop_that_the_users_code_blocks_is_told_with_its_line(body: str, tmp_path: Path) -> None:
    path = script(tmp_path, body, 0.4)
    with started([sys.executable, path], text=True) as process:
        errors = until_told(process, tmp_path, "in extract")
    assert re.search(
        rf"the event loop has been blocked for \d+ s or more, by {re.escape(str(path))}:\d+ in extract", errors
    )


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the platform has no SIGUSR1")
@pytest.mark.parametrize("blocked", [False, True])
def test_sigusr1_tells_at_any_time_and_the_run_goes_on(blocked: bool, tmp_path: Path) -> None:
    wait = "time.sleep(0.01)" if blocked else "await asyncio.sleep(0.01)"
    path = script(tmp_path, f"while not told.exists(): {wait}", None)
    with started([sys.executable, path], text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "going\n"
        os.kill(process.pid, signal.SIGUSR1)
        errors = until_told(process, tmp_path, "in extract")
    assert errors.startswith("What is waited for:\n")
    assert f"{path}:" in errors
    assert ("the event loop has been blocked" in errors) is blocked
