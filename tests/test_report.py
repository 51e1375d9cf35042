"""What a report says of a run, however that ended, and that it is JSON which reads back."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from secoda_async import BasicAuth, BearerAuth, IncompleteRunError, Input, OutputError, RetryPolicy, StatusError
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.redact import Redactor
from secoda_async.report import EndpointReport, RunReport, Status, write_report
from secoda_async.settings import Settings
from tests.integrations import MemorySink, integration, table
from tests.server import serve
from tests.test_cli import command, source, url  # noqa: F401 # fixtures

ONE_ATTEMPT = RetryPolicy(attempts=1)


async def answers(request: web.Request) -> web.Response:
    if request.path.startswith("/fails"):
        return web.Response(status=500)
    return web.json_response({"path": request.path})


def read_back(report: RunReport | None) -> RunReport:
    assert report is not None
    back = RunReport.model_validate_json(report.model_dump_json())
    assert back == report
    return back


async def test_a_report_tells_endpoints_bytes_inputs_and_memory_and_reads_back() -> None:
    async def extract(self: Any) -> None:
        self.inputs = {}
        await self.http_post("/sign_in", json={"user": "u"}, auth=BasicAuth("u", "p4ssw0rd"))
        await self.for_each(range(20), lambda n: self.http_get(f"/tables/{n}?page=1", auth=BearerAuth("t0ken-of-mine")))
        await self.http_get("/tables/7", headers={"X-API-Key": "k3y-of-mine"})
        await self.http_get("/open", params={"api_key": "k3y-of-mine"})
        await self.http_get("/missing")
        await self.declare_resource(table("x"))

    async with serve(answers) as base:
        made = integration(extract, base_url=base, credentials={"token": "t0ken-of-mine"})
        type(made).inputs = {
            "token": Input(description="from the admin page"),
            "days": Input(secret=False, required=False),
        }
        report = read_back(await made.run(MemorySink()))
    host = base.removeprefix("http://")
    told = [(one.method, one.host, one.path, one.auth, one.requests, one.statuses) for one in report.source.endpoints]
    assert told == [
        ("GET", host, "/missing", ["none"], 1, {200: 1}),
        ("GET", host, "/open", ["api key"], 1, {200: 1}),
        ("POST", host, "/sign_in", ["basic"], 1, {200: 1}),
        ("GET", host, "/tables/{id}", ["api key", "bearer"], 21, {200: 21}),
    ]
    for one in report.source.endpoints:
        latency = one.latency
        assert 0 < latency.p50 <= latency.p90 <= latency.p99 <= latency.max
    assert report.source.bytes_sent == len(b'{"user":"u"}')
    assert [(one.name, one.secret, one.required, one.description) for one in report.inputs] == [
        ("token", True, True, "from the admin page"),
        ("days", False, False, ""),
    ]
    assert report.peak_memory_bytes is not None
    assert 10 * 2**20 < report.peak_memory_bytes < 100 * 2**30
    assert report.efficiency.efficiency is not None
    assert 0 < report.efficiency.efficiency <= 1
    assert 0 < report.efficiency.least_seconds <= report.efficiency.seconds <= report.seconds
    for secret in ("p4ssw0rd", "t0ken-of-mine", "k3y-of-mine"):
        assert secret not in report.model_dump_json()


async def test_a_run_that_failed_has_a_report_of_all_that_it_did() -> None:
    async def extract(self: Any) -> None:
        await self.http_get("/tables/1")
        await self.http_get("/fails/1")

    async with serve(answers) as base:
        made = integration(extract, base_url=base, retry=RetryPolicy(attempts=3, backoff=0.001))
        with pytest.raises(StatusError):
            await made.run(MemorySink())
    report = read_back(made.report)
    assert (report.status, report.loss_count) == (Status.FAILED, 1)
    assert [(one.path, one.requests, one.statuses) for one in report.source.endpoints] == [
        ("/fails/{id}", 3, {500: 3}),
        ("/tables/{id}", 1, {200: 1}),
    ]
    assert report.source.retries == {"500": 2}


async def test_a_run_none_of_whose_requests_was_answered_has_one() -> None:
    async def extract(self: Any) -> None:
        for _ in range(3):
            with pytest.raises(Exception, match="cannot connect"):
                await self.http_get("/x")

    made = integration(extract, base_url="http://127.0.0.1:9", retry=ONE_ATTEMPT)
    with pytest.raises(IncompleteRunError):
        await made.run(MemorySink())
    report = read_back(made.report)
    [endpoint] = report.source.endpoints
    assert (endpoint.requests, endpoint.statuses, endpoint.errors) == (3, {}, {"ConnectError": 3})
    assert endpoint.latency.model_dump() == {"p50": 0, "p90": 0, "p99": 0, "max": 0}
    assert (report.efficiency.efficiency, report.efficiency.bound) == (None, "nothing")


async def test_a_run_that_asks_nothing_or_is_cancelled_has_one() -> None:
    async def nothing(self: Any) -> None: ...

    assert read_back(await integration(nothing).run(MemorySink())).source.endpoints == []

    async def endless(self: Any) -> None:
        started.set()
        await asyncio.sleep(3600)

    started = asyncio.Event()
    made = integration(endless)
    task = asyncio.get_running_loop().create_task(made.run(MemorySink()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert read_back(made.report).status is Status.FAILED


async def test_several_clients_of_one_side_are_told_together(url: str) -> None:  # noqa: F811
    traffic = Traffic()
    for _ in range(3):
        client = Client(Settings(base_url=url), traffic=traffic, findings=Findings(), redact=Redactor())
        async with client:
            await client.request("GET", "/x/7")
    [endpoint] = EndpointReport.list_of(traffic, str)
    assert (endpoint.path, endpoint.requests) == ("/x/{id}", 3)


async def test_a_secret_in_a_path_is_not_in_the_report_even_where_it_was_learnt_later() -> None:
    secret = "abcdefghijkl"

    async def extract(self: Any) -> None:
        await self.http_get(f"/bot{secret}/get")
        await self.http_get("/x", auth=BearerAuth(secret))

    async with serve(answers) as base:
        report = await integration(extract, base_url=base).run(MemorySink())
    assert secret not in report.model_dump_json()
    assert [one.path for one in report.source.endpoints] == ["/x", "/{id}/get"]


@pytest.mark.parametrize(("name", "status"), [("Tables", 0), ("Fails", 1), ("Bug", 1), ("Swallows", 1)])
async def test_report_writes_it_however_the_run_ends(
    name: str,
    status: int,
    source: Path,  # noqa: F811
    url: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    path = tmp_path / "report.json"
    options = ["--credential", f"base_url={url}", "--credential", "token=s3cr3t-token", "--report", path]
    ended, _, errors = await command("run", f"{source}:{name}", *options)
    assert ended == status, errors
    content = await anyio.Path(path).read_bytes()
    assert RunReport.model_validate_json(content).status is (Status.COMPLETE if status == 0 else Status.FAILED)
    assert b"s3cr3t-token" not in content
    assert orjson.loads(content)["source"]["endpoints"] if name != "Bug" else True


async def test_a_report_that_cannot_be_written_is_told_and_is_not_status_0(
    source: Path,  # noqa: F811
    url: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    options = ["--credential", f"base_url={url}", "--credential", "count=1", "--out", tmp_path / "out"]
    ended, _, errors = await command("run", f"{source}:Tables", *options, "--report", tmp_path / "none" / "x.json")
    assert (ended, "there is no folder" in errors, (tmp_path / "out").exists()) == (2, True, False)
    ended, _, errors = await command("run", f"{source}:Tables", *options, "--report", tmp_path)
    assert (ended, f"the report {tmp_path} cannot be written" in errors) == (1, True)
    assert (tmp_path / "out" / "run.json").exists()


async def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    async def nothing(self: Any) -> None: ...

    report = await integration(nothing).run(MemorySink())
    with pytest.raises(OutputError, match="cannot be written"):
        await anyio.to_thread.run_sync(write_report, report, tmp_path / "none" / "report.json")
    await anyio.to_thread.run_sync(write_report, report, tmp_path / "report.json")
    assert RunReport.model_validate_json((tmp_path / "report.json").read_bytes()) == report
    assert await anyio.to_thread.run_sync(lambda: [path.name for path in tmp_path.glob("*report*")]) == ["report.json"]
