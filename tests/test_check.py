"""``check``: a small part of a run tells whether credentials and endpoints work, and delivers nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from secoda_async import ConfigurationError, JSONLSink, PageNumber, RequestBudgetError, Resource, SecodaIntegration
from secoda_async.testing import FakeWorkspace
from tests.command_line import command, one_message
from tests.server import serve

SOURCE = """
import asyncio
from secoda_async import BearerAuth, Input, PageNumber, Resource, RetryPolicy, SecodaIntegration


class Tables(SecodaIntegration):
    inputs = {"base_url": Input(secret=False), "token": Input()}
    retry = RetryPolicy(attempts=2, backoff=0.01)

    def default_auth(self):
        return BearerAuth(self.credentials["token"])

    async def extract(self):
        await self.for_each(self.paginate("/tables", PageNumber("page", total="total"), items="items"), self.one)

    async def one(self, table):
        (await self.http_get(f"/tables/{table}")).raise_for_status()
        await self.declare_resource(Resource(entity_type="table", databuilder_id=str(table)))


class Gathers(Tables):
    async def extract(self):
        await asyncio.gather(*(self.one(number) for number in range(1000)))


class Unseen(Tables):
    async def extract(self):
        await self.http_get("/tables", auth=None)


class AsksNothing(Tables):
    async def extract(self):
        pass


class Swallows(Tables):
    async def extract(self):
        try:
            await self.http_get("/fails")
        except Exception:
            pass
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
async def asked() -> list[str]:
    return []


@pytest.fixture
async def url(asked: list[str]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        asked.append(str(request.rel_url))
        if request.headers.get("Authorization") != "Bearer geheimes-token":
            return web.json_response({"error": "who are you?"}, status=401)
        if request.path == "/tables":
            page = int(request.query.get("page", 1))
            return web.json_response({"total": 1000, "items": list(range(page * 10 - 10, page * 10))})
        return web.json_response({}, status=500 if request.path == "/fails" else 200)

    async with serve(answer) as base:
        yield base


def given(url: str, token: str = "geheimes-token") -> tuple[str, ...]:
    return ("--credential", f"base_url={url}", "--credential", f"token={token}")


async def test_one_page_and_a_few_items_are_asked_and_nothing_is_delivered(
    source: Path, url: str, asked: list[str], tmp_path: Path
) -> None:
    status, out, errors = await command("check", f"{source}:Tables", *given(url), cwd=tmp_path)
    assert (status, errors) == (0, "")
    assert sorted(asked) == ["/tables/0", "/tables/1", "/tables/2", "/tables?page=1"]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    host = url.removeprefix("http://")
    assert any(line.startswith(f"ok GET {host}/tables bearer 1 x 200") for line in lines)
    assert any(line.startswith(f"ok GET {host}/tables/{{id}} bearer 3 x 200") for line in lines)
    assert "sample: 3 table, 0 lineage" in lines
    assert "nothing failed, and nothing was delivered" in lines


async def test_what_a_check_has_left_cannot_be_uploaded_as_a_run(source: Path, url: str, tmp_path: Path) -> None:
    await command("check", f"{source}:Tables", *given(url), "--state-dir", "state", cwd=tmp_path)
    [run] = (tmp_path / "state" / "runs").iterdir()
    status, _, errors = await command(
        *("upload", run, "--integration-id", "x", "--base-url", "http://127.0.0.1:9"),
        env={"SECODA_API_KEY": "key"},
        cwd=tmp_path,
    )
    assert status == 1
    assert "a sample is no complete run" in one_message(errors)


async def test_a_refused_credential_is_exit_status_1_and_names_the_request(
    source: Path, url: str, tmp_path: Path
) -> None:
    status, out, errors = await command("check", f"{source}:Tables", *given(url, "falsches-token"), cwd=tmp_path)
    assert status == 1
    assert "/tables?page=1" in one_message(errors)
    assert "401" in one_message(errors)
    assert out.splitlines()[1].split()[0] == "look"
    assert "falsches-token" not in out + errors


async def test_a_failure_that_is_swallowed_is_found(source: Path, url: str, tmp_path: Path) -> None:
    status, _, errors = await command("check", f"{source}:Swallows", *given(url), cwd=tmp_path)
    assert (status, "/fails" in one_message(errors)) == (1, True)


async def test_an_integration_that_asks_in_its_own_way_stops_after_so_many_requests(
    source: Path, url: str, asked: list[str], tmp_path: Path
) -> None:
    status, out, errors = await command("check", f"{source}:Gathers", *given(url), "--max-requests", "20", cwd=tmp_path)
    assert (status, errors, len(asked)) == (0, "", 20)
    assert "stopped after 20 requests" in out


async def test_the_workspace_is_asked_whether_it_takes_the_key_and_knows_the_integration(
    source: Path, url: str, tmp_path: Path
) -> None:
    async with FakeWorkspace(api_key="key-of-the-workspace") as workspace:
        workspace.create_integration("tables", integration_id="tables")

        async def check(key: str, integration_id: str) -> tuple[int, str, str]:
            return await command(
                *("check", f"{source}:Tables", *given(url), "--integration-id", integration_id),
                *("--base-url", workspace.url),
                env={"SECODA_API_KEY": key},
                cwd=tmp_path,
            )

        status, out, _ = await check("key-of-the-workspace", "tables")
        assert (status, "workspace: it takes the key" in out) == (0, True)
        status, _, errors = await check("another-key", "tables")
        assert (status, "check the API key" in one_message(errors)) == (1, True)
        status, _, errors = await check("key-of-the-workspace", "other")
        assert (status, "none with the id 'other'" in one_message(errors)) == (1, True)
        assert workspace.syncs("tables") == []


async def test_json_is_the_report(source: Path, url: str, tmp_path: Path) -> None:
    status, out, _ = await command("check", f"{source}:Tables", *given(url), "--json", cwd=tmp_path)
    report = orjson.loads(out)
    assert (status, report["delivery"], report["resources"]) == (0, "nothing", {"table": 3})


class Sampled(SecodaIntegration):
    """Counts what a sample takes of each way to go through a source."""

    async def extract(self) -> None:
        self.seen: dict[str, list[Any]] = {"for_each": [], "map": [], "pages": []}

        async def see(item: Any) -> None:
            self.seen["for_each"].append(item)

        async def back(item: Any) -> Any:
            return item

        async def endless() -> AsyncIterator[int]:
            number = 0
            while True:
                yield number
                number += 1

        await self.for_each(range(100), see)
        await self.for_each(endless(), see)
        async for result in self.map(range(100), back):
            self.seen["map"].append(result)
        async for item in self.paginate("/tables", PageNumber("page", total="total"), items="items"):
            self.seen["pages"].append(item)
        await self.declare_resource(Resource(entity_type="table", databuilder_id="1"))


def paged(request: web.Request) -> web.Response:
    page = int(request.query.get("page", 1))
    return web.json_response({"total": 100, "items": list(range(page * 10 - 10, page * 10))})


async def test_a_sample_takes_the_first_items_of_everything_and_is_no_loss(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return paged(request)

    async with serve(answer) as url:
        integration = Sampled(credentials={}, base_url=url, sample=2, state_dir=tmp_path)
        report = await integration.run()
    assert integration.seen == {"for_each": [0, 1, 0, 1], "map": [0, 1], "pages": list(range(10))}
    assert (report.loss_count, report.delivery, report.source.requests) == (0, "nothing", 1)


async def test_a_sample_is_refused_where_it_would_replace_something(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a part of the source, which is never delivered"):
        await Sampled(credentials={}, sample=2, state_dir=tmp_path).run(JSONLSink(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


async def test_a_loop_without_an_end_ends_where_requests_are_bounded(tmp_path: Path) -> None:
    class Endless(SecodaIntegration):
        async def extract(self) -> None:
            while True:
                await self.http_get("/tables")

    async def answer(request: web.Request) -> web.Response:
        return paged(request)

    async with serve(answer) as url:
        integration = Endless(credentials={}, base_url=url, max_requests=7, state_dir=tmp_path)
        with pytest.raises(RequestBudgetError, match="the 7 requests that max_requests allows"):
            await integration.run()
    assert integration.report is not None
    assert integration.report.source.attempts == 7


async def test_credentials_that_are_refused_are_no_success_though_extract_went_on(source: Path, url: str) -> None:
    given = ("--credential", f"base_url={url}", "--credential", "token=geheimes-token")
    status, out, _ = await command("check", f"{source}:Unseen", *given, "--state-dir", source.parent / "state")
    assert status == 5
    assert out.splitlines()[-1] == ("the source refused 1 endpoint: look at the credentials and what they may read")


async def test_a_check_that_asked_nothing_says_so(source: Path, url: str) -> None:
    given = ("--credential", f"base_url={url}", "--credential", "token=geheimes-token")
    status, out, _ = await command("check", f"{source}:AsksNothing", *given, "--state-dir", source.parent / "state")
    assert status == 0
    assert "so nothing was checked" in out.splitlines()[-1]
    assert "nothing failed" not in out


async def test_a_sample_that_would_be_delivered_is_refused_with_what_to_do(source: Path) -> None:
    given = ("--credential", "base_url=http://127.0.0.1:9", "--credential", "token=x", "--set", "sample=2")
    folder = source.parent
    status, _, errors = await command(
        "run", f"{source}:Tables", *given, "--out", folder / "out", "--state-dir", folder / "s"
    )
    assert status == 2
    assert "leave sample out, or try it with secoda-async check" in one_message(errors)
