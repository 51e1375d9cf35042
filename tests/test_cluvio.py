"""The Cluvio example, against a local server that answers as Cluvio's API does."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from examples.cluvio import Cluvio
from secoda_async import CredentialError, JSONLSink, StatusError
from secoda_async.testing import FakeSource
from tests.server import serve

EMAIL = "me@example.com"
PASSWORD = "correct horse"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}
DASHBOARDS = {
    "data": [
        {
            "id": "a1",
            "type": "dashboard",
            "attributes": {"name": "Sales", "description": "By region", "updated_at": "2024-05-06T07:08:09.100Z"},
        },
        {
            "id": 7,
            "type": "dashboard",
            "attributes": {"name": "Größe\n", "description": None, "updated_at": "2024-05-06T07:08:09+02:00"},
        },
    ]
}


class Api:
    """The two endpoints, and what was asked of them."""

    def __init__(self, dashboards: Any = DASHBOARDS) -> None:
        self.dashboards = dashboards
        self.asked: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        if self.asked[-1] == ("POST", "/users/sign_in"):
            assert request.headers["Accept"] == "application/json"
            if await request.json() != {"user": {"email": EMAIL, "password": PASSWORD}}:
                return web.json_response({"error": "Invalid Email or password."}, status=401)
            return web.json_response({"token": "the-session-token"})
        if self.asked[-1] == ("GET", "/dashboards/") and request.headers.get("token") == "the-session-token":
            return web.json_response(self.dashboards)
        return web.json_response({"error": "not found"}, status=404)


async def test_the_group_each_dashboard_and_its_lineage_are_declared(tmp_path: Path) -> None:
    api = Api()
    async with serve(api.answer) as url:
        report = await Cluvio(credentials={"base_url": url, **CREDENTIALS}).run(JSONLSink(tmp_path))
    assert api.asked == [("POST", "/users/sign_in"), ("GET", "/dashboards/")]
    assert report.resources == {"dashboard": 2, "dashboard_group": 1}
    empty = {
        **dict.fromkeys(["parent_databuilder_id", "description", "definition", "external_updated_at", "native_type"]),
        **dict.fromkeys(["owners", "sort_order", "type", "schema", "database", "group", "product"]),
        "is_pk": False,
        "hidden": False,
    }
    of_all = {
        "entity_type": "dashboard",
        "parent_databuilder_id": "dashboard_group.default",
        "native_type": "dashboard",
        "product": "cluvio",
    }
    lines = [json.loads(line) for line in (tmp_path / "resources.jsonl").read_text().splitlines()]
    assert lines == [
        {
            **empty,
            "entity_type": "dashboard_group",
            "databuilder_id": "dashboard_group.default",
            "title": "default",
        },
        {
            **empty,
            **of_all,
            "databuilder_id": "dashboard.a1",
            "title": "Sales",
            "description": "By region",
            "external_updated_at": "2024-05-06T07:08:09.100000Z",
        },
        {
            **empty,
            **of_all,
            "databuilder_id": "dashboard.7",
            "title": "Größe\n",
            "description": None,
            "external_updated_at": "2024-05-06T07:08:09+02:00",
        },
    ]
    group = {"type": "internal_resource", "databuilder_id": "dashboard_group.default"}
    lineage = [json.loads(line) for line in (tmp_path / "lineage.jsonl").read_text().splitlines()]
    assert lineage == [
        {
            "from_identifier": {"type": "internal_resource", "databuilder_id": f"dashboard.{id_}"},
            "to_identifier": group,
        }
        for id_ in ("a1", 7)
    ]


def test_it_loses_nothing_whatever_the_api_does(fault_lab: Any) -> None:
    source = FakeSource()
    source.post("/users/sign_in", json={"token": "the-session-token"})
    source.get("/dashboards/", json=DASHBOARDS)
    report = fault_lab(lambda transport: Cluvio(credentials=CREDENTIALS, transport=transport), source)
    assert (report.requests, report.resources) == (2, 3)


async def test_a_wrong_password_fails_plainly_and_is_nowhere_to_be_read(tmp_path: Path, state_dir: Path) -> None:
    api = Api()
    async with serve(api.answer) as url:
        integration = Cluvio(credentials={"base_url": url, "email": EMAIL, "password": "wrong&battery"})
        with pytest.raises(StatusError, match=r"/users/sign_in.*401") as caught:
            await integration.run(JSONLSink(tmp_path / "out"))
    assert api.asked == [("POST", "/users/sign_in")]
    assert integration.report is not None
    files = [file for folder in (tmp_path / "out", state_dir) for file in folder.rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {"run.failed.json"}
    written = [file.read_text() for file in files]
    for text in (str(caught.value), repr(caught.value), integration.report.model_dump_json(), *written):
        assert "wrong&battery" not in text
        assert "wrong%26battery" not in text
    assert not (tmp_path / "out" / "resources.jsonl").exists()


async def test_dashboards_that_cannot_be_listed_fail_the_run(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/users/sign_in":
            return web.json_response({"token": "t"})
        return web.json_response({"error": "forbidden"}, status=403)

    async with serve(handler) as url:
        with pytest.raises(StatusError, match=r"/dashboards/.*403"):
            await Cluvio(credentials={"base_url": url, **CREDENTIALS}).run(JSONLSink(tmp_path))
    assert not (tmp_path / "resources.jsonl").exists()


async def test_an_account_without_dashboards_is_one_empty_group(tmp_path: Path) -> None:
    async with serve(Api({"data": []}).answer) as url:
        report = await Cluvio(credentials={"base_url": url, **CREDENTIALS}).run(JSONLSink(tmp_path))
    assert report.resources == {"dashboard_group": 1}
    assert report.lineage == 0


def test_the_server_is_cluvio_s_own_unless_a_credential_names_another() -> None:
    assert Cluvio(credentials=CREDENTIALS).base_url == "https://api.cluvio.com"
    assert Cluvio(credentials={**CREDENTIALS, "base_url": "https://x.example"}).base_url == "https://x.example"


@pytest.mark.parametrize("missing", ["email", "password"])
async def test_a_missing_credential_is_named_before_the_first_request(missing: str, tmp_path: Path) -> None:
    api = Api()
    async with serve(api.answer) as url:
        credentials = {"base_url": url, **CREDENTIALS, missing: ""}
        with pytest.raises(CredentialError, match=f"'{missing}'"):
            await Cluvio(credentials=credentials).run(JSONLSink(tmp_path))
    assert api.asked == []
