"""Cancelling a run, in whatever it is doing: the sink is told, the files say so, and nothing is left behind."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from filelock import FileLock

from secoda_async import JSONLSink, RateLimit, RetryPolicy
from secoda_async.network.message import Response
from secoda_async.report import Delivery
from tests.integrations import MemorySink, StreamSink, integration, table
from tests.network.fake_transport import FakeTransport
from tests.processes import started

STEPS = range(1, 120, 3)


@asynccontextmanager
async def cancelled(make: Callable[[], Any], when: Callable[[], Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """A task that is cancelled once ``when()`` has been awaited; given when it has ended."""
    task = asyncio.get_running_loop().create_task(make())
    await when()
    task.cancel()
    with anyio.fail_after(30):
        await asyncio.wait([task])
    yield task


def manifest(state_dir: Path) -> dict[str, Any]:
    [run] = (state_dir / "runs").iterdir()
    told: dict[str, Any] = orjson.loads((run / "manifest.json").read_bytes())
    return told


def declared(state_dir: Path) -> list[str]:
    [run] = (state_dir / "runs").iterdir()
    lines = (run / "resources.jsonl").read_bytes().splitlines()
    return [orjson.loads(line)["databuilder_id"] for line in lines]


@pytest.mark.parametrize("streams", [False, True], ids=["files", "streaming"])
@pytest.mark.parametrize("steps", STEPS)
async def test_a_run_that_is_cancelled_at_any_step_ends_as_one_thing_or_the_other(
    steps: int, streams: bool, state_dir: Path
) -> None:
    sink = StreamSink() if streams else MemorySink()
    taken: list[str] = []

    async def extract(self: Any) -> None:
        for number in range(10):
            await self.http_get(f"/tables/{number}")
            await self.declare_resource(table(number))
            taken.append(str(number))

    async def when() -> None:
        for _ in range(steps):
            await asyncio.sleep(0.0002 if steps % 2 else 0)

    made = integration(extract, base_url="http://x.example", transport=FakeTransport(), resumable=True)
    async with cancelled(lambda: made.run(sink), when) as task:
        if not task.cancelled():
            assert task.exception() is None
    assert made.report is not None
    if not (state_dir / "runs").exists():
        assert sink.calls == []
        return
    told = manifest(state_dir)
    delivered = made.report.delivery is Delivery.DELIVERED
    assert made.report.delivery is not Delivery.UNCERTAIN or sink.calls == ["open", "commit", "abort"]
    assert sink.calls in ([], ["open", "commit"] if delivered else ["open", "commit", "abort"], ["open", "abort"])
    assert told["state"] in (["accepted", "complete"] if delivered else ["complete", "failed"])
    assert told["state"] != "complete" or len(taken) == 10
    assert declared(state_dir) == taken
    [run] = (state_dir / "runs").iterdir()
    assert [path for path in run.iterdir() if path.suffix == ".tmp"] == []
    with FileLock(run / "lock", blocking=False):
        pass


async def test_a_second_cancellation_does_not_cut_the_clean_up_off(state_dir: Path) -> None:
    class Slow(MemorySink):
        async def abort(self, error: BaseException) -> None:
            aborting.set()
            await asyncio.sleep(0.2)
            await super().abort(error)

    aborting, sink = asyncio.Event(), Slow()
    extracting = asyncio.Event()

    async def extract(self: Any) -> None:
        extracting.set()
        await anyio.sleep_forever()

    made = integration(extract)

    async def run() -> None:
        await made.run(sink)

    task = asyncio.get_running_loop().create_task(run())
    await extracting.wait()
    task.cancel()
    await aborting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sink.calls == ["open", "abort"]
    assert manifest(state_dir)["state"] == "failed"


@pytest.mark.parametrize("phase", ["open", "extract", "commit"])
async def test_a_sink_whose_abort_hangs_does_not_keep_a_cancelled_run_from_ending(phase: str, state_dir: Path) -> None:
    reached = asyncio.Event()

    async def hang(where: str) -> None:
        if where == phase:
            reached.set()
            await anyio.sleep_forever()

    class Hangs(MemorySink):
        async def open(self, run: Any) -> None:
            await super().open(run)
            await hang("open")

        async def commit(self, spool: Any) -> None:
            await super().commit(spool)
            await hang("commit")

        async def abort(self, error: BaseException) -> None:
            await super().abort(error)
            await anyio.sleep_forever()

    async def extract(self: Any) -> None:
        await self.declare_resource(table("x"))
        await hang("extract")

    sink = Hangs()
    made = integration(extract)
    async with cancelled(lambda: made.run(sink), reached.wait) as task:
        assert task.cancelled()
    calls = {"open": ["open"], "extract": ["open", "abort"], "commit": ["open", "commit", "abort"]}
    assert sink.calls == calls[phase]
    assert made.report is not None
    assert made.report.delivery is (Delivery.UNCERTAIN if phase == "commit" else Delivery.NOTHING)
    assert manifest(state_dir)["state"] == ("complete" if phase == "commit" else "failed")


@pytest.mark.parametrize("hangs", [False, True])
async def test_connections_are_closed_when_a_run_is_cancelled_within_bounds(hangs: bool) -> None:
    closed: list[str] = []

    class Closes(FakeTransport):
        async def aclose(self) -> None:
            await asyncio.sleep(3600 if hangs else 0)
            closed.append("closed")

    transport = Closes(hold=asyncio.Event())

    async def extract(self: Any) -> None:
        await self.http_get("http://x.example/")

    async def asked() -> None:
        while not transport.asked:  # noqa: ASYNC110 # a list
            await asyncio.sleep(0)

    sink = MemorySink()
    async with cancelled(lambda: integration(extract, transport=transport).run(sink), asked) as task:
        assert task.cancelled()
    assert closed == ([] if hangs else ["closed"])
    assert sink.calls == ["open", "abort"]


async def test_whatever_waits_is_woken_and_no_task_of_the_run_is_left() -> None:
    """A sleep, a limit, a slot, a retry, a pause that the server asked for, and a task that nobody awaits."""
    asleep = asyncio.Event()

    def answer(request: Any) -> Response:
        status = {"/back-off": 503, "/pause": 429}.get(request.url.path, 200)
        return Response(request, status, headers={"Retry-After": "200"} if status != 200 else {})  # type: ignore[arg-type]

    async def extract(self: Any) -> None:
        loop = asyncio.get_running_loop()
        helpers.append(loop.create_task(asyncio.sleep(3600), name="helper"))

        async def sleeps() -> None:
            asleep.set()
            await asyncio.sleep(3600)

        ask = [self.http_get(f"http://{host}.example/{path}") for host, path in waits]
        await asyncio.gather(sleeps(), *ask)

    helpers: list[asyncio.Task[None]] = []
    waits = [("back", "back-off"), ("pause", "pause"), ("pause", "x"), *[("limit", str(n)) for n in range(3)]]
    made = integration(
        extract,
        transport=FakeTransport(answer),
        rate_limits={"limit.example": RateLimit(1, per=3600)},
        retry=RetryPolicy(backoff=3600, max_backoff=3600),
    )

    async def all_wait() -> None:
        await asleep.wait()
        while made.current_run is None or made.current_run.counters.source.waiting < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)

    before = asyncio.all_tasks()
    async with cancelled(lambda: made.run(MemorySink()), all_wait) as task:
        assert task.cancelled()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [left.get_name() for left in asyncio.all_tasks() - before] == []


WAITS = """
    import asyncio, sys, time
    from contextlib import suppress
    from secoda_async import Resource, SecodaIntegration

    class Waits(SecodaIntegration):
        async def extract(self) -> None:
            for number in range(10):
                await self.declare_resource(Resource(entity_type="table", databuilder_id=str(number)))
            print("going", file=sys.stderr, flush=True)
            {body}

    Waits(credentials={}).start()
"""
BODIES = {
    "swallows": "while True:\n    with suppress(asyncio.CancelledError):\n        await asyncio.sleep(3600)",
    "sleeps": "time.sleep(3600)",
    "computes": "while True: pass",
}


def script(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "waits.py"
    text = textwrap.dedent(WAITS).replace("{body}", textwrap.indent(body, " " * 8).strip())
    path.write_text(text)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("body", BODIES)
def test_a_second_signal_ends_at_once_what_the_first_does_not_stop(
    body: str, number: signal.Signals, tmp_path: Path, state_dir: Path
) -> None:
    with started([sys.executable, script(tmp_path, BODIES[body])], text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "going\n"
        os.kill(process.pid, number)
        assert process.stderr.readline() == (
            f"{number.name}: stopping in order, and nothing more is delivered; a second signal stops at once\n"
        )
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert errors == f"{number.name}: stopped at once; the run is not complete\n"
    assert manifest(state_dir)["state"] == "extracting"


def test_what_was_declared_before_the_first_signal_is_in_the_spool(tmp_path: Path, state_dir: Path) -> None:
    with started([sys.executable, script(tmp_path, "await asyncio.sleep(3600)")], text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "going\n"
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143
    assert declared(state_dir) == [str(number) for number in range(10)]
    assert manifest(state_dir)["state"] == "failed"


async def test_an_error_keeps_what_was_declared_before_it_too(state_dir: Path) -> None:
    async def extract(self: Any) -> None:
        for number in range(10):
            await self.declare_resource(table(number))
        raise ValueError("no")

    with suppress(ValueError):
        await integration(extract).run(MemorySink())
    assert declared(state_dir) == [str(number) for number in range(10)]


async def test_what_is_said_of_a_cancelled_run_is_for_a_person(tmp_path: Path, state_dir: Path) -> None:
    inside = anyio.Event()

    async def extract(_: Any) -> None:
        inside.set()
        await anyio.sleep_forever()

    made = integration(extract)
    async with cancelled(lambda: made.run(JSONLSink(tmp_path / "out")), inside.wait):
        assert made.report is not None
        assert made.report.error == "it was cancelled"
        assert manifest(state_dir)["error"] == "it was cancelled"
        assert orjson.loads((tmp_path / "out" / "run.failed.json").read_bytes())["error"] == "it was cancelled"
