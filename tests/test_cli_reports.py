"""``report`` and ``endpoints``: what an earlier run left, for a person and for Secoda's permission form."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from tests.command_line import command, one_message
from tests.server import serve

SOURCE = """
from secoda_async import APIKeyAuth, Input, Resource, SecodaIntegration


class Tables(SecodaIntegration):
    inputs = {"base_url": Input(secret=False, description="a | b <script>"), "key": Input(required=False)}

    async def extract(self):
        auth = APIKeyAuth(self.credentials["key"])
        for number in range(3):
            await self.http_get(f"/tables/{number}", auth=auth)
        await self.http_post("/search", json={})
        await self.declare_resource(Resource(entity_type="table", databuilder_id="1"))


class Declared(Tables):
    endpoints = ["GET api.example.com/tables/{id}", "files.example.com"]


class Bare(Tables):
    inputs = None

    async def extract(self):
        return
"""


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({})

    (tmp_path / "source.py").write_text(SOURCE)
    monkeypatch.setenv("SECODA_ASYNC_STATE", str(tmp_path / "state"))
    async with serve(answer) as url:
        given = ("--credential", f"base_url={url}", "--credential", "key=geheimer-schluessel")
        status, _, errors = await command(
            "run", "source.py:Tables", *given, "--quiet", "--report", "r.json", cwd=tmp_path
        )
        assert (status, errors) == (0, "")
        yield tmp_path


async def test_the_form_lists_what_the_last_run_asked_and_the_inputs(folder: Path) -> None:
    status, out, errors = await command("endpoints", cwd=folder)
    assert (status, errors) == (0, "")
    lines = out.splitlines()
    host = lines[2].split(" | ")[0].removeprefix("| ")
    assert lines == [
        "| Host | Method | Path | Credentials |",
        "| --- | --- | --- | --- |",
        f"| {host} | POST | /search | none |",
        f"| {host} | GET | /tables/{{id}} | api key |",
        "",
        "| Input | Sensitive | Required | Description |",
        "| --- | --- | --- | --- |",
        "| base_url | no | yes | a \\| b &lt;script> |",
        "| key | yes | no |  |",
    ]


async def test_an_integration_lists_what_it_declares(folder: Path) -> None:
    status, out, _ = await command("endpoints", "source.py:Declared", cwd=folder)
    assert status == 0
    assert out.splitlines()[2:4] == [
        "| api.example.com | GET | /tables/{id} | as the integration sets them |",
        "| files.example.com | any | /** | as the integration sets them |",
    ]
    status, _, errors = await command("endpoints", "source.py:Tables", cwd=folder)
    assert (status, "secoda-async endpoints last" in one_message(errors)) == (2, True)


async def test_the_form_as_json(folder: Path) -> None:
    _, out, _ = await command("endpoints", "r.json", "--json", cwd=folder)
    form = orjson.loads(out)
    assert [(one["method"], one["path"]) for one in form["endpoints"]] == [("POST", "/search"), ("GET", "/tables/{id}")]
    assert [one["name"] for one in form["inputs"]] == ["base_url", "key"]


async def test_a_run_is_found_by_last_by_its_id_by_its_folder_and_by_its_report(folder: Path) -> None:
    [run] = (folder / "state" / "runs").iterdir()
    reports = [
        (await command("report", *name, "--json", cwd=folder))[1]
        for name in ((), ("last",), (run.name,), (run,), ("r.json",))
    ]
    assert {orjson.loads(text)["run"] for text in reports} == {run.name}
    status, out, _ = await command("report", cwd=folder)
    assert (status, out.splitlines()[0]) == (0, "complete")
    assert "1 table" in out


@pytest.mark.parametrize(
    ("name", "said"),
    [("20200101T000000", "there is no run '20200101T000000'"), ("source.py", "is no report of a run")],
)
async def test_a_run_that_is_not_there_is_an_error_that_says_what_there_is(folder: Path, name: str, said: str) -> None:
    for which in ("report", "endpoints"):
        status, out, errors = await command(which, name, cwd=folder)
        assert (status, out) == (2, "")
        assert said in one_message(errors)


async def test_the_folder_of_the_output_is_no_run_and_the_error_says_what_is(folder: Path) -> None:
    (folder / "out").mkdir()
    status, _, errors = await command("report", "out", cwd=folder)
    assert status == 2
    assert "a run keeps it in the state folder" in one_message(errors)
    assert "Say `last` for the newest run, or give a run's id" in one_message(errors)


async def test_without_any_run_the_error_says_what_to_do(tmp_path: Path) -> None:
    status, _, errors = await command("report", cwd=tmp_path)
    assert (status, "Run an integration first" in one_message(errors)) == (2, True)


async def test_a_page_is_not_written_over_the_report_that_it_is_made_of(folder: Path) -> None:
    before = (folder / "r.json").read_bytes()
    status, _, errors = await command("report", "r.json", "--html", "r.json", cwd=folder)
    assert (status, "is the report itself; choose another file" in one_message(errors)) == (2, True)
    assert (folder / "r.json").read_bytes() == before
