"""All or nothing: what a run delivers, what it raises, what it reports."""

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from secoda_async import (
    CredentialError,
    IncompleteRunError,
    Input,
    JSONLSink,
    Kind,
    OutputError,
    RetryPolicy,
    RunError,
    SecodaIntegration,
    StatusError,
    UploadError,
)
from secoda_async.report import Delivery, RunReport, Status
from tests.integrations import MemorySink, StreamSink, edge, integration, table
from tests.server import serve

ONE_ATTEMPT = RetryPolicy(attempts=1)


async def answers(request: web.Request) -> web.Response:
    if request.path.startswith("/fails"):
        return web.Response(status=500, text="the source is broken")
    if request.path.startswith("/hangs"):
        await asyncio.sleep(60)
    return web.json_response({"path": request.path})


def snapshot(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


async def good_run(folder: Path) -> dict[str, bytes]:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("yesterday"))
        await self.declare_lineage(edge("a", "b"))

    await integration(extract).run(JSONLSink(folder))
    return await anyio.to_thread.run_sync(snapshot, folder)


async def test_a_complete_run_leaves_both_files_and_then_run_json_with_their_sums(tmp_path: Path) -> None:
    files = await good_run(tmp_path / "out")
    assert set(files) == {"resources.jsonl", "lineage.jsonl", "run.json"}
    told = orjson.loads(files["run.json"])
    for name in ("resources.jsonl", "lineage.jsonl"):
        content = files[name]
        assert told["files"][name] == {
            "bytes": len(content),
            "records": 1,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    assert (told["format"], told["integration"]) == (1, "Made")


@pytest.mark.parametrize("swallowed", [False, True], ids=["raised", "swallowed"])
async def test_a_request_that_fails_for_good_delivers_nothing_whether_or_not_it_is_caught(
    swallowed: bool, tmp_path: Path
) -> None:
    before = await good_run(tmp_path / "out")

    async def extract(self: Any) -> None:
        await self.declare_resource(table("today"))
        try:
            await self.http_get("/fails/here")
        except StatusError:
            if not swallowed:
                raise
        await self.declare_resource(table("more"))

    async with serve(answers) as url:
        made = integration(extract, base_url=url, retry=ONE_ATTEMPT)
        with pytest.raises(IncompleteRunError if swallowed else StatusError) as raised:
            await made.run(JSONLSink(tmp_path / "out"))
        assert f"GET {url}/fails/here answered 500" in str(raised.value)
    after = await anyio.to_thread.run_sync(snapshot, tmp_path / "out")
    failed = orjson.loads(after.pop("run.failed.json"))
    assert after == before
    assert "/fails/here answered 500" in failed["error"]
    assert made.report is not None
    assert (made.report.status, made.report.loss_count) == (Status.FAILED, 1)
    assert made.report.error == str(raised.value)


async def test_losses_that_are_allowed_are_delivered_and_said() -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("today"))
        with contextlib.suppress(StatusError):
            await self.http_get("/fails")

    sink = MemorySink()
    async with serve(answers) as url:
        report = await integration(extract, base_url=url, retry=ONE_ATTEMPT, allow_losses=True).run(sink)
    assert sink.calls == ["open", "commit"]
    assert (report.status, report.loss_count) == (Status.DEGRADED, 1)
    assert "/fails answered 500" in report.losses[0].message


async def test_an_error_that_ends_extract_delivers_nothing_even_where_losses_are_allowed() -> None:
    async def extract(self: Any) -> None:
        await self.http_get("/fails")

    sink = MemorySink()
    async with serve(answers) as url:
        with pytest.raises(StatusError):
            await integration(extract, base_url=url, retry=ONE_ATTEMPT, allow_losses=True).run(sink)
    assert sink.calls == ["open", "abort"]


async def test_the_next_complete_run_takes_the_failure_note_away(tmp_path: Path) -> None:
    async def extract(self: Any) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await integration(extract).run(JSONLSink(tmp_path / "out"))
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["run.failed.json"]
    assert set(await good_run(tmp_path / "out")) == {"resources.jsonl", "lineage.jsonl", "run.json"}


async def test_an_optional_request_that_fails_is_a_finding_and_the_run_is_complete() -> None:
    async def extract(self: Any) -> None:
        with pytest.raises(StatusError):
            await self.http_get("/fails", optional=True)

    async with serve(answers) as url:
        report = await integration(extract, base_url=url, retry=ONE_ATTEMPT).run(MemorySink())
    assert report.status is Status.COMPLETE
    assert [finding.code for finding in report.findings] == ["optional-request-failed"]


async def test_the_first_of_several_errors_is_raised_and_the_others_are_notes() -> None:
    async def extract(self: Any) -> None:
        async def fail(text: str) -> None:
            raise ValueError(text)

        async with asyncio.TaskGroup() as group:
            for text in ("first", "second"):
                group.create_task(fail(text))

    with pytest.raises(ValueError, match="first") as raised:
        await integration(extract).run(MemorySink())
    assert raised.value.__notes__ == ["also: ValueError: second"]


async def test_a_task_that_nobody_waits_for_is_a_loss_even_before_its_first_request() -> None:
    async def extract(self: Any) -> None:
        async def helper() -> None:
            await asyncio.sleep(60)
            await self.declare_resource(table("late"))

        self.helper = asyncio.get_running_loop().create_task(helper())

    sink = MemorySink()
    with pytest.raises(IncompleteRunError, match=r"helper' was still running when extract\(\) returned"):
        await integration(extract).run(sink)
    assert sink.calls == ["open", "abort"]


async def test_awaiting_a_cancelled_task_ends_the_run_with_nothing_delivered() -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("x"))
        task = asyncio.get_running_loop().create_task(anyio.sleep_forever())
        await asyncio.sleep(0)
        task.cancel()
        await task

    sink = MemorySink()
    with pytest.raises(asyncio.CancelledError):
        await integration(extract).run(sink)
    assert sink.calls == ["open", "abort"]


async def test_a_request_in_flight_when_extract_returns_is_a_loss_that_names_it() -> None:
    async def extract(self: Any) -> None:
        self.task = asyncio.get_running_loop().create_task(self.http_get("/hangs"))
        await asyncio.sleep(0.05)

    async with serve(answers) as url:
        with pytest.raises(IncompleteRunError, match=r"/hangs was still in flight"):
            await integration(extract, base_url=url).run(MemorySink())


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_a_request_that_nobody_awaits_is_a_loss() -> None:
    async def extract(self: Any) -> None:
        self.http_post("/x", json={"a": 1})
        await self.http_get("/y")

    async with serve(answers) as url:
        made = integration(extract, base_url=url)
        with pytest.raises(IncompleteRunError, match=r"1 http_\* calls were never awaited"):
            await made.run(MemorySink())
    assert made.report is not None
    assert made.report.source.requests == 1


async def test_a_task_that_was_awaited_is_no_loss_and_neither_is_another_ones_task() -> None:
    async def extract(self: Any) -> None:
        await asyncio.gather(*(self.http_get(f"/{number}") for number in range(20)))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.http_post("/x", json={"a": 1}))

    async with serve(answers) as url, anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        report = await integration(extract, base_url=url).run(MemorySink())
        group.cancel_scope.cancel()
    assert (report.status, report.loss_count) == (Status.COMPLETE, 0)


async def test_a_request_that_a_timeout_of_the_caller_cut_off_is_a_loss() -> None:
    async def extract(self: Any) -> None:
        with anyio.move_on_after(0.05):
            await self.http_get("/hangs")

    async with serve(answers) as url:
        with pytest.raises(IncompleteRunError, match="/hangs was cut off"):
            await integration(extract, base_url=url).run(MemorySink())


async def test_requests_cut_off_by_the_error_that_ends_the_run_are_no_losses_of_their_own() -> None:
    async def extract(self: Any) -> None:
        async def one(path: str) -> None:
            await self.http_get(path)

        await self.for_each(["/hangs", "/hangs", "/fails"], one)

    async with serve(answers) as url:
        made = integration(extract, base_url=url, retry=ONE_ATTEMPT)
        with pytest.raises(StatusError):
            await made.run(MemorySink())
    assert made.report is not None
    assert made.report.loss_count == 1


async def test_cancelling_a_run_aborts_the_sink_and_is_not_converted(tmp_path: Path) -> None:
    before = await good_run(tmp_path / "out")
    started = anyio.Event()

    async def extract(self: Any) -> None:
        await self.declare_resource(table("today"))
        started.set()
        await anyio.sleep_forever()

    made = integration(extract)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run(JSONLSink(tmp_path / "out")))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    after = await anyio.to_thread.run_sync(snapshot, tmp_path / "out")
    assert orjson.loads(after.pop("run.failed.json"))["error_type"] == "CancelledError"
    assert after == before


async def test_a_sink_that_fails_while_streaming_ends_the_run_and_extract_with_it() -> None:
    class Broken(StreamSink):
        async def write(self, batch: Any) -> None:
            raise OutputError("the disk is full")

    ended: list[str] = []

    async def extract(self: Any) -> None:
        try:
            await self.declare_resource(table("x"))
            await anyio.sleep_forever()
        finally:
            ended.append("extract")

    sink = Broken()
    with pytest.raises(OutputError, match="the disk is full"):
        await integration(extract).run(sink)
    assert (ended, sink.calls) == (["extract"], ["open", "abort"])


async def test_a_sink_that_cannot_commit_fails_the_run_and_its_spool_stays_complete(state_dir: Path) -> None:
    class Broken(MemorySink):
        async def commit(self, spool: Any) -> None:
            raise OutputError("no")

    async def extract(self: Any) -> None:
        await self.declare_resource(table("x"))

    made = integration(extract)
    with pytest.raises(OutputError, match="no"):
        await made.run(Broken())
    [run] = (state_dir / "runs").iterdir()
    state = orjson.loads(await anyio.Path(run / "manifest.json").read_bytes())
    assert (state["state"], state["delivery_error"]) == ("complete", "no")
    assert made.report is not None
    assert made.report.status is Status.FAILED


@pytest.mark.parametrize(
    ("ends", "delivery"),
    [
        (None, Delivery.DELIVERED),
        (OutputError("no"), Delivery.NOTHING),
        (UploadError("sent, and no answer", ambiguous=True), Delivery.UNCERTAIN),
        (asyncio.CancelledError(), Delivery.UNCERTAIN),
    ],
)
async def test_the_report_says_what_became_of_the_result(ends: BaseException | None, delivery: Delivery) -> None:
    class Ends(MemorySink):
        async def commit(self, spool: Any) -> None:
            if ends is not None:
                raise ends

    async def extract(self: Any) -> None:
        await self.declare_resource(table("x"))

    made = integration(extract)
    with pytest.raises(type(ends)) if ends is not None else contextlib.nullcontext():
        await made.run(Ends())
    assert made.report is not None
    assert made.report.delivery is delivery


async def test_an_error_while_aborting_does_not_hide_the_first() -> None:
    class Broken(MemorySink):
        async def abort(self, error: BaseException) -> None:
            raise OSError("abort failed too")

    async def extract(self: Any) -> None:
        raise ValueError("the cause")

    with pytest.raises(ValueError, match="the cause") as raised:
        await integration(extract).run(Broken())
    assert raised.value.__notes__ == ["also: OSError: abort failed too"]


async def test_an_error_that_aborting_meets_too_is_told_once() -> None:
    class Full(MemorySink):
        async def commit(self, spool: Any) -> None:
            raise OutputError("the disk is full")

        async def abort(self, error: BaseException) -> None:
            raise OutputError("the disk is full")

    async def extract(self: Any) -> None:
        await self.declare_resource(table("x"))

    with pytest.raises(OutputError, match="the disk is full") as raised:
        await integration(extract).run(Full())
    assert not hasattr(raised.value, "__notes__")


async def test_the_same_instance_runs_twice_and_each_run_is_fresh() -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table((await self.http_get("/a")).json()["path"]))

    async with serve(answers) as url:
        made = integration(extract, base_url=url)
        sinks = [MemorySink(), MemorySink()]
        reports = [await made.run(sink) for sink in sinks]
    assert sinks[0].lines == sinks[1].lines
    assert [report.resources for report in reports] == [{"table": 1}] * 2
    assert [report.source.requests for report in reports] == [1, 1]
    assert reports[0].run != reports[1].run


async def test_the_same_instance_cannot_run_twice_at_once() -> None:
    async def extract(self: Any) -> None:
        with pytest.raises(RunError, match="already running"):
            await self.run(MemorySink())

    report = await integration(extract).run(MemorySink())
    assert report.status is Status.COMPLETE


async def test_two_integrations_at_once_do_not_mix() -> None:
    def made(name: str, url: str) -> SecodaIntegration:
        async def extract(self: Any) -> None:
            async def one(number: int) -> None:
                reply = await self.http_get(f"/{name}/{number}")
                await self.declare_resource(table(reply.json()["path"]))

            await self.for_each(range(50), one)

        return integration(extract, base_url=url)

    sinks = {"one": MemorySink(), "two": MemorySink()}
    async with serve(answers) as url, anyio.create_task_group() as group:
        for name, sink in sinks.items():
            group.start_soon(made(name, url).run, sink)
    for name, sink in sinks.items():
        found = {orjson.loads(line)["databuilder_id"] for line in sink.lines[Kind.RESOURCES]}
        assert found == {f"/{name}/{number}" for number in range(50)}


async def test_a_failure_of_one_integration_leaves_another_alone() -> None:
    async def fails(self: Any) -> None:
        await self.http_get("/fails")

    async def works(self: Any) -> None:
        for _ in range(10):
            await self.http_get("/x")

    async with serve(answers) as url:
        results = await asyncio.gather(
            integration(fails, base_url=url, retry=ONE_ATTEMPT).run(MemorySink()),
            integration(works, base_url=url).run(MemorySink()),
            return_exceptions=True,
        )
    assert isinstance(results[0], StatusError)
    assert not isinstance(results[1], BaseException)
    assert results[1].source.requests == 10


async def test_a_missing_credential_is_named_before_the_first_request() -> None:
    class Needs(SecodaIntegration):
        inputs = {"token": Input(), "region": Input(required=False)}  # as the README writes it

        async def extract(self) -> None:
            raise AssertionError("extract must not be reached")

    with pytest.raises(CredentialError, match=r"'token' is missing.*--credential token=VALUE"):
        await Needs(credentials={"token": ""}).run(MemorySink())


async def test_a_credential_that_is_looked_up_and_missing_says_how_to_give_it() -> None:
    async def extract(self: Any) -> None:
        self.credentials["password"]

    with pytest.raises(CredentialError, match=r"'password' is missing; given were user\."):
        await integration(extract, credentials={"user": "u"}).run(MemorySink())
    assert "u" not in repr(integration(extract, credentials={"user": "geheim"}).credentials).replace("user", "")


async def test_outside_of_extract_the_verbs_say_so() -> None:
    async def extract(self: Any) -> None: ...

    made = integration(extract)
    for call in (
        lambda: made.http_get("/"),
        lambda: made.declare_resource(table("x")),
        lambda: made.declare_lineage(edge("a", "b")),
        lambda: made.for_each([], print),
        lambda: made.map([], print),
    ):
        with pytest.raises(RunError, match="only while extract"):
            call()


async def test_a_limit_whose_host_is_never_asked_is_a_finding() -> None:
    from secoda_async import RateLimit

    async def extract(self: Any) -> None:
        await self.http_get("/x")

    async with serve(answers) as url:
        limits = {"127.0.0.1": RateLimit(1_000), "api.misspelt.example": RateLimit(1)}
        report = await integration(extract, base_url=url, rate_limits=limits).run(MemorySink())
    assert [(finding.code, finding.subject) for finding in report.findings] == [
        ("unmatched-limit", "api.misspelt.example")
    ]


async def test_an_exit_inside_extract_is_a_failure_and_not_an_exit_status() -> None:
    async def extract(self: Any) -> None:
        raise SystemExit(0)

    sink = MemorySink()
    with pytest.raises(SystemExit):
        await integration(extract).run(sink)
    assert sink.calls == ["open", "abort"]


async def test_the_output_folder_is_checked_before_the_first_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def extract(self: Any) -> None:
        raise AssertionError("extract must not be reached")

    with pytest.raises(OutputError, match="cannot be written") as raised:
        await integration(extract).run(JSONLSink(tmp_path / "file" / "out"))
    assert not hasattr(raised.value, "__notes__")  # what was never opened is not aborted


async def test_a_folder_that_breaks_while_files_are_replaced_is_an_uncertain_delivery(tmp_path: Path) -> None:
    out = tmp_path / "out"

    async def extract(self: Any) -> None:
        await anyio.Path(out / "lineage.jsonl").mkdir()  # a folder where the second file goes

    made = integration(extract)
    with pytest.raises(OutputError, match="cannot be written") as raised:
        await made.run(JSONLSink(out))
    assert raised.value.ambiguous
    assert made.report is not None
    assert made.report.delivery is Delivery.UNCERTAIN
    assert sorted([entry.name async for entry in anyio.Path(out).iterdir()]) == [
        "lineage.jsonl",
        "resources.jsonl",
        "run.failed.json",
    ]


async def test_a_guest_run_leaves_the_process_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    import gc
    import logging
    import signal

    def state() -> list[Any]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return [handlers, gc.get_threshold(), gc.get_freeze_count(), logging.getLogger("secoda_async").handlers]

    async def extract(self: Any) -> None:
        seen.append(state())
        await self.declare_resource(table("x"))

    seen: list[Any] = []
    before = state()
    await integration(extract).run(MemorySink())
    assert [*seen, state()] == [before, before]
    assert capfd.readouterr() == ("", "")


async def test_the_report_stays_in_the_runs_folder_however_the_run_ends(state_dir: Path) -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("x"))
        if self.fails:
            raise ValueError("no")

    for fails in (False, True):
        made = integration(extract)
        made.fails = fails
        with pytest.raises(ValueError, match="no") if fails else contextlib.nullcontext():
            await made.run(MemorySink())
        assert made.report is not None
        kept = await anyio.Path(state_dir / "runs" / made.report.run / "report.json").read_bytes()
        assert RunReport.model_validate_json(kept) == made.report
