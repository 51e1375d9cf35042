"""`start()` owns the process for one run, and gives it back."""

import asyncio
import gc
import os
import signal
import ssl
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from secoda_async import IncompleteRunError
from secoda_async.report import Status
from tests.integrations import MemorySink, integration, table
from tests.processes import started


def state() -> list[Any]:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return [handlers, gc.get_threshold(), sys.getswitchinterval(), asyncio.get_event_loop_policy().__class__]


def test_start_blocks_until_the_run_has_ended_and_gives_the_process_back() -> None:
    inside: list[Any] = []

    async def extract(self: Any) -> None:
        inside.append(
            (type(asyncio.get_running_loop()).__module__, gc.get_freeze_count() > 0, threading.current_thread())
        )
        await self.declare_resource(table("x"))

    before, frozen = state(), gc.get_freeze_count()
    sink = MemorySink()
    report = integration(extract).start(sink)
    assert state() == before
    assert gc.get_freeze_count() <= frozen
    assert (report.status, sink.calls) == (Status.COMPLETE, ["open", "commit"])
    assert inside == [("uvloop", True, threading.main_thread())]


def test_start_gives_the_process_back_after_an_error_too() -> None:
    async def extract(self: Any) -> None:
        raise ValueError("no")

    before = state()
    with pytest.raises(ValueError, match="no") as caught:
        integration(extract).start(MemorySink())
    assert state() == before
    assert caught.value.__context__ is None, "its traceback tells of nothing else"


@pytest.mark.parametrize(
    ("error", "told"), [(ssl.SSLError("x"), False), (ConnectionError("x"), False), (KeyError("x"), True)]
)
def test_a_handshake_that_fails_after_its_request_was_cancelled_is_not_told_of_again(
    error: Exception, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def extract(self: Any) -> None:
        asyncio.get_running_loop().create_future().set_exception(error)
        gc.collect()

    assert integration(extract).start(MemorySink()).status is Status.COMPLETE
    assert ("exception was never retrieved" in caplog.text) is told


def test_a_task_that_failed_and_that_nobody_awaited_is_a_loss(caplog: pytest.LogCaptureFixture) -> None:
    async def extract(self: Any) -> None:
        async def helper() -> None:
            raise KeyError("name")

        asyncio.get_running_loop().create_task(helper())  # that is the mistake
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self.declare_resource(table("x"))

    sink = MemorySink()
    with pytest.raises(IncompleteRunError, match=r"helper' failed and nobody awaited it: KeyError: 'name'"):
        integration(extract).start(sink)
    assert sink.calls == ["open", "abort"]
    assert "never retrieved" in caplog.text


async def test_start_inside_a_running_loop_runs_in_a_thread_of_its_own(loop_guard: BlockBuster) -> None:
    loop_guard.deactivate()  # here the caller's loop is blocked on purpose
    threads: list[threading.Thread] = []

    async def extract(self: Any) -> None:
        threads.append(threading.current_thread())
        await self.declare_resource(table("x"))

    async def fails(self: Any) -> None:
        raise ValueError("no")

    before = state()
    report = integration(extract).start(MemorySink())
    assert report.resources == {"table": 1}
    assert threads[0] is not threading.current_thread()
    with pytest.raises(ValueError, match="no"):
        integration(fails).start(MemorySink())
    assert state() == before


SCRIPT = """
    import asyncio, sys
    from secoda_async import JSONLSink, Resource, SecodaIntegration

    class Endless(SecodaIntegration):
        async def extract(self) -> None:
            number = 0
            while True:
                await self.declare_resource(Resource(entity_type="table", databuilder_id=str(number)))
                number += 1
                if number == 50_000:
                    print("going", flush=True)
                if number % 1_000 == 0:
                    await asyncio.sleep(0.001)

    {start}
"""
BLOCKING = "Endless(credentials={}).start(JSONLSink(sys.argv[1]))"
NOTEBOOK = """
    async def cell():
        Endless(credentials={}).start(JSONLSink(sys.argv[1]))
    asyncio.run(cell())
"""


@pytest.mark.parametrize(
    ("start", "number", "status"),
    [
        (BLOCKING, signal.SIGINT, -signal.SIGINT),
        (BLOCKING, signal.SIGTERM, 143),
        (NOTEBOOK, signal.SIGINT, -signal.SIGINT),
    ],
    ids=["Ctrl-C", "SIGTERM", "Ctrl-C in a notebook"],
)
def test_a_signal_ends_the_run_in_order_and_leaves_no_half_file(
    start: str, number: signal.Signals, status: int, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "resources.jsonl").write_text("yesterday\n")
    script = tmp_path / "script.py"
    body = textwrap.dedent(SCRIPT).replace("{start}", textwrap.dedent(start).strip())
    script.write_text(body)
    with started([sys.executable, script, out], text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == status, errors
    assert sorted(entry.name for entry in out.iterdir()) == ["resources.jsonl", "run.failed.json"]
    assert (out / "resources.jsonl").read_text() == "yesterday\n"
