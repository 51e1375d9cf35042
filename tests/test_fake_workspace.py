"""The fake workspace keeps what the platform is documented to do, so that a test against it means something."""

import asyncio
import io
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.testing import FakeWorkspace
from secoda_async.testing.catalog import Catalog
from secoda_async.testing.import_check import MAX_LINE, CheckedFile, LineageFile, RejectedLineError, ResourcesFile
from tests.command_line import COMMAND

KEY = "key-of-the-workspace"
AUTH = {"Authorization": f"Bearer {KEY}"}


def resource(id_: str, **fields: Any) -> dict[str, Any]:
    return {"entity_type": "table", "databuilder_id": id_, "title": id_, **fields}


def internal(id_: str) -> dict[str, Any]:
    return {"type": "internal_resource", "databuilder_id": id_}


def lineage(from_: dict[str, Any], to: dict[str, Any]) -> dict[str, Any]:
    return {"from_identifier": from_, "to_identifier": to}


def jsonl(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def form(**files: bytes) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, content in files.items():
        data.add_field(name, io.BytesIO(content), filename=f"{name}.jsonl")
    return data


class Caller:
    """Calls a workspace as any HTTP client would."""

    def __init__(self, workspace: FakeWorkspace, session: aiohttp.ClientSession) -> None:
        self.workspace = workspace
        self._session = session

    async def __call__(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        options.setdefault("headers", AUTH)
        async with self._session.request(method, self.workspace.url + path, allow_redirects=False, **options) as reply:
            body = await reply.read()
            return reply.status, json.loads(body) if reply.content_type == "application/json" else body, reply.headers

    async def upload(self, id_: str, resources: bytes = b"", lineages: bytes = b"") -> tuple[int, Any]:
        data = form(resources_file=resources, lineages_file=lineages)
        status, body, _ = await self("POST", f"/integration/integrations/{id_}/import_jsonl_metadata/", data=data)
        return status, body


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def call(session: aiohttp.ClientSession) -> AsyncIterator[Caller]:
    async with FakeWorkspace(api_key=KEY) as workspace:
        yield Caller(workspace, session)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}])
@pytest.mark.parametrize("path", ["/integration/integrations", "/resource/catalog", "/no/such/path"])
async def test_every_path_asks_for_the_key(call: Caller, path: str, headers: dict[str, str]) -> None:
    status, body, _ = await call("GET", path, headers=headers)
    assert status == 401
    assert "uthentication" in body["detail"]


async def test_health_needs_no_key(call: Caller) -> None:
    assert (await call("GET", "/healthcheck", headers={}))[:2] == (200, {"status": "OK"})


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1"])
async def test_paths_are_served_with_and_without_prefix(call: Caller, prefix: str) -> None:
    new = {"type": "custom", "name": "Cluvio", "credentials": {}}
    status, body, _ = await call("POST", f"{prefix}/integration/integrations/", json=new)
    assert status == 201
    path = f"{prefix}/integration/integrations/{body['id']}/import_jsonl_metadata/"
    data = form(resources_file=jsonl(resource("t")), lineages_file=b"")
    assert (await call("POST", path, data=data))[0] == 200
    assert set(call.workspace.resources(body["id"])) == {"t"}
    assert (await call("GET", f"{prefix}/resource/catalog"))[1]["count"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"type":"custom"}',
        b'{"type":"custom","name":""}',
        b'{"type":"custom","name":"a","credentials":1}',
    ],
)
async def test_a_create_that_lacks_something_is_refused(call: Caller, body: bytes) -> None:
    status, answer, _ = await call("POST", "/integration/integrations/", data=body)
    assert status == 400
    assert answer["detail"]
    assert (await call("GET", "/integration/integrations"))[1]["results"] == []


async def test_the_list_of_integrations_has_pages_that_lead_on(call: Caller) -> None:
    made = [call.workspace.create_integration(f"integration {n}") for n in range(5)]
    status, page, _ = await call("GET", "/integration/integrations", params={"page_size": "2"})
    seen = []
    while True:
        assert status == 200
        seen += [entry["id"] for entry in page["results"]]
        if page["links"]["next"] is None:
            break
        assert page["links"]["next"].startswith(call.workspace.url)
        status, page, _ = await call("GET", page["links"]["next"].removeprefix(call.workspace.url))
    assert seen == made
    assert page["total_pages"] == 3
    assert page["count"] == 5


async def test_an_import_holds_exactly_what_was_sent(call: Caller) -> None:
    id_ = call.workspace.create_integration("a")
    sent = [resource("t", schema="s", database="d", unknown_field=[1]), resource("c", entity_type="column", is_pk=True)]
    edges = [
        lineage({"type": "tables_from_query", "sql": "select 1"}, internal("t")),
        lineage(internal("t"), internal("c")),
    ]
    assert (await call.upload(id_, jsonl(*sent), jsonl(*edges, edges[0])))[0] == 200
    assert list(call.workspace.resources(id_).values()) == sent
    assert call.workspace.lineage(id_) == edges
    (sync,) = call.workspace.syncs(id_)
    assert (sync.added, sync.changed, sync.removed) == ({"t", "c"}, frozenset(), frozenset())
    assert (sync.resource_lines, sync.lineage_lines, sync.lineage_added, sync.lineage_removed) == (2, 3, 2, 0)


async def test_the_last_of_two_records_with_one_id_counts(call: Caller) -> None:
    id_ = call.workspace.create_integration("a")
    await call.upload(id_, jsonl(resource("t", description="first"), resource("t", description="last")))
    assert call.workspace.resources(id_)["t"]["description"] == "last"
    assert call.workspace.syncs(id_)[0].resource_lines == 2


GOOD = jsonl(resource("good"))
EDGE = jsonl(lineage(internal("a"), internal("b")))
BAD = {
    "no JSON": (b"{oops}\n", b"", "resources_file", 1, "not JSON"),
    "a second line without JSON": (GOOD + b"nope", b"", "resources_file", 2, "not JSON"),
    "an empty line": (GOOD + b"\n" + GOOD, b"", "resources_file", 2, "not JSON"),
    "no UTF-8": (b'{"entity_type":"t","databuilder_id":"\xff"}', b"", "resources_file", 1, "not JSON"),
    "no object": (b"[1]\n", b"", "resources_file", 1, "object"),
    "no id": (jsonl({"entity_type": "table"}), b"", "resources_file", 1, "databuilder_id"),
    "an empty id": (jsonl(resource("")), b"", "resources_file", 1, "databuilder_id"),
    "a wrong type": (jsonl(resource("t", sort_order="many")), b"", "resources_file", 1, "sort_order"),
    "no date": (
        GOOD * 6 + jsonl(resource("t", external_updated_at="soon")),
        b"",
        "resources_file",
        7,
        "external_updated",
    ),
    "lineage without an end": (b"", jsonl({"from_identifier": internal("a")}), "lineages_file", 1, "to_identifier"),
    "an end of no known type": (b"", EDGE + jsonl(lineage({"type": "x"}, internal("b"))), "lineages_file", 2, "from_"),
    "a query as target": (
        GOOD,
        EDGE + jsonl(lineage(internal("a"), {"type": "tables_from_query", "sql": "select 1"})),
        "lineages_file",
        2,
        "tables_from_query",
    ),
    "an empty id in lineage": (b"", jsonl(lineage(internal("a"), internal(""))), "lineages_file", 1, "to_identifier"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_wrong_line_is_named_and_nothing_is_taken(call: Caller, case: str) -> None:
    resources, lineages, file, line, reason = BAD[case]
    id_ = call.workspace.create_integration("a")
    assert (await call.upload(id_, jsonl(resource("held")), EDGE))[0] == 200
    status, body = await call.upload(id_, resources, lineages)
    assert status == 400
    assert (body["file"], body["line"]) == (file, line)
    assert reason in body["reason"]
    content = (resources if file == "resources_file" else lineages).split(b"\n")[line - 1]
    assert body["content"] == content.decode("utf-8", "replace")
    assert set(call.workspace.resources(id_)) == {"held"}
    assert len(call.workspace.lineage(id_)) == 1
    assert len(call.workspace.syncs(id_)) == 1


async def test_a_long_wrong_line_is_clipped(call: Caller) -> None:
    status, body = await call.upload(call.workspace.create_integration("a"), b"x" * 1_000_000)
    assert status == 400
    assert len(body["content"]) < 300


@pytest.mark.parametrize("missing", ["resources_file", "lineages_file"])
async def test_both_files_are_required(call: Caller, missing: str) -> None:
    id_ = call.workspace.create_integration("a")
    data = form(**{name: b"" for name in ("resources_file", "lineages_file") if name != missing})
    status, body, _ = await call("POST", f"/integration/integrations/{id_}/import_jsonl_metadata/", data=data)
    assert status == 400
    assert missing in body["detail"]
    assert call.workspace.syncs(id_) == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
        (b"no part", "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="resources_file"\r\n\r\n', "multipart/form-data; boundary=b"),
        (
            b'--b\r\nContent-Disposition: form-data; name="mine"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
        ),
        (
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
        ),
    ],
)
async def test_a_body_that_is_no_such_form_is_refused(call: Caller, body: bytes, content_type: str) -> None:
    id_ = call.workspace.create_integration("a")
    path = f"/integration/integrations/{id_}/import_jsonl_metadata/"
    status, answer, _ = await call("POST", path, data=body, headers={**AUTH, "Content-Type": content_type})
    assert status == 400
    assert answer["detail"]
    assert call.workspace.syncs(id_) == []


async def test_field_names_are_a_setting(session: aiohttp.ClientSession) -> None:
    async with FakeWorkspace(api_key=KEY, resources_field="r", lineages_field="l") as workspace:
        call = Caller(workspace, session)
        id_ = workspace.create_integration("a")
        path = f"/integration/integrations/{id_}/import_jsonl_metadata/"
        assert (await call("POST", path, data=form(r=GOOD, l=b"")))[0] == 200
        assert (await call("POST", path, data=form(resources_file=GOOD, lineages_file=b"")))[0] == 400


async def test_an_unknown_integration_or_path_or_method_is_told_as_json(call: Caller) -> None:
    assert (await call.upload("00000000-0000-0000-0000-000000000000"))[0] == 404
    status, body, _ = await call("GET", "/integration/nothing")
    assert (status, body) == (404, {"detail": "Not Found"})
    status, body, headers = await call("DELETE", "/integration/integrations/")
    assert (status, body) == (405, {"detail": "Method Not Allowed"})
    assert "GET" in headers["Allow"]


async def test_with_staling_what_a_sync_leaves_out_is_removed(call: Caller) -> None:
    id_ = call.workspace.create_integration("a")
    other = call.workspace.create_integration("other")
    await call.upload(other, jsonl(resource("x")))
    await call.upload(id_, jsonl(resource("a"), resource("b"), resource("c")), EDGE)
    new_edge = lineage(internal("b"), internal("d"))
    await call.upload(id_, jsonl(resource("b", title="new"), resource("c"), resource("d")), jsonl(new_edge))
    assert set(call.workspace.resources(id_)) == {"b", "c", "d"}
    assert call.workspace.lineage(id_) == [new_edge]
    sync = call.workspace.syncs(id_)[1]
    assert (sync.added, sync.changed, sync.removed) == ({"d"}, {"b"}, {"a"})
    assert (sync.lineage_added, sync.lineage_removed) == (1, 1)
    await call.upload(id_)
    assert call.workspace.resources(id_) == {}
    assert call.workspace.lineage(id_) == []
    assert set(call.workspace.resources(other)) == {"x"}


async def test_without_staling_a_sync_removes_nothing(session: aiohttp.ClientSession) -> None:
    async with FakeWorkspace(api_key=KEY, staling=False) as workspace:
        call = Caller(workspace, session)
        id_ = workspace.create_integration("a")
        await call.upload(id_, jsonl(resource("a"), resource("b")), EDGE)
        new_edge = lineage(internal("b"), internal("d"))
        await call.upload(id_, jsonl(resource("b", title="new"), resource("d")), jsonl(new_edge))
        assert set(workspace.resources(id_)) == {"a", "b", "d"}
        assert workspace.resources(id_)["b"]["title"] == "new"
        assert len(workspace.lineage(id_)) == 2
        sync = workspace.syncs(id_)[1]
        assert (sync.added, sync.changed, sync.removed, sync.lineage_removed) == ({"d"}, {"b"}, frozenset(), 0)


async def test_empty_values_do_not_overwrite_what_is_held(call: Caller) -> None:
    id_ = call.workspace.create_integration("a")
    first = resource("t", description="kept", owners=["a@b.c"], is_pk=True, sort_order=3)
    await call.upload(id_, jsonl(first))
    await call.upload(id_, jsonl(resource("t", title="", description=None, owners=[], is_pk=True, sort_order=None)))
    assert call.workspace.resources(id_)["t"] == first
    assert call.workspace.syncs(id_)[1].changed == frozenset()
    await call.upload(id_, jsonl(resource("t", is_pk=False, sort_order=0)))
    assert call.workspace.resources(id_)["t"] == {**first, "is_pk": False, "sort_order": 0}
    assert call.workspace.syncs(id_)[2].changed == {"t"}


@pytest.mark.parametrize("retry_after", [False, True])
async def test_thirty_calls_a_minute_change_something_then_429(
    session: aiohttp.ClientSession, retry_after: bool
) -> None:
    clock = Clock()
    async with FakeWorkspace(api_key=KEY, clock=clock, retry_after=retry_after) as workspace:
        call = Caller(workspace, session)
        id_ = workspace.create_integration("a")
        for n in range(30):
            clock.now += 1
            assert (await call.upload(id_, jsonl(resource(f"r{n}"))))[0] == 200
        clock.now += 10.5
        status, body, headers = await call("POST", "/integration/integrations/", json={"type": "custom", "name": "b"})
        assert status == 429
        assert "30 calls" in body["detail"]
        # The first call was 39.5 s ago.
        assert headers.get("Retry-After") == ("21" if retry_after else None)
        assert set(workspace.resources(id_)) == {"r29"}
        assert (await call("GET", "/integration/integrations"))[1]["count"] == 1
        clock.now += 20.4
        assert (await call.upload(id_))[0] == 429
        clock.now += 0.2
        assert (await call.upload(id_))[0] == 200
        assert (await call.upload(id_))[0] == 429


async def test_a_post_without_its_trailing_slash_is_redirected(call: Caller) -> None:
    id_ = call.workspace.create_integration("a")
    path = f"/api/v1/integration/integrations/{id_}/import_jsonl_metadata"
    status, _, headers = await call("POST", path, data=form(resources_file=GOOD, lineages_file=b""))
    assert (status, headers["Location"]) == (301, f"{path}/")
    assert call.workspace.syncs(id_) == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_cap_is_refused(session: aiohttp.ClientSession, chunked: bool) -> None:
    async with FakeWorkspace(api_key=KEY, max_body=500_000) as workspace:
        call = Caller(workspace, session)
        id_ = workspace.create_integration("a")
        path = f"/integration/integrations/{id_}/import_jsonl_metadata/"
        size = 5_000
        small, large = (jsonl(*(resource(f"r{n}") for n in range(count))) for count in (size, 10 * size))
        for content, expected in ((small, 200), (large, 413)):
            data = form(resources_file=content, lineages_file=b"")
            status, body, _ = await call("POST", path, data=data, chunked=chunked or None)
            assert status == expected
        assert "500000" in body["detail"]
        assert len(workspace.resources(id_)) == size


async def test_a_connection_cut_in_the_middle_changes_nothing(call: Caller) -> None:
    id_ = call.workspace.create_integration("a")
    await call.upload(id_, jsonl(resource("held")))
    host, port = call.workspace.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /integration/integrations/{id_}/import_jsonl_metadata/ HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: 100000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="resources_file"; filename="r"\r\n\r\n'.encode()
        + jsonl(resource("new"))
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    # Later requests are served, and see the state from before.
    assert (await call("GET", "/resource/catalog"))[1]["results"][0]["databuilder_id"] == "held"
    assert len(call.workspace.syncs(id_)) == 1


async def test_the_catalog_is_filtered_and_paged(call: Caller) -> None:
    id_, other = call.workspace.create_integration("a"), call.workspace.create_integration("b")
    tables = [resource(f"t{n}", parent_databuilder_id="s") for n in range(7)]
    columns = [resource(f"c{n}", entity_type="column", parent_databuilder_id="t0") for n in range(3)]
    await call.upload(id_, jsonl(*tables, *columns))
    await call.upload(other, jsonl(resource("elsewhere")))

    async def ask(**wanted: str) -> list[str]:
        path, query = "/api/v1/resource/catalog", {"filter": json.dumps(wanted), "page_size": "2"}
        status, page, _ = await call("GET", path, params=query)
        seen = []
        while True:
            assert status == 200
            seen += [entry["databuilder_id"] for entry in page["results"]]
            if page["links"]["next"] is None:
                assert page["count"] == len(seen)
                assert page["total_pages"] == max(1, -(-len(seen) // 2))
                return seen
            status, page, _ = await call("GET", page["links"]["next"].removeprefix(call.workspace.url))

    assert await ask(integration_id=id_, type="table") == [f"t{n}" for n in range(7)]
    assert await ask(integration_id=id_, parent_id="t0") == ["c0", "c1", "c2"]
    assert await ask(type="table", integration_id=other) == ["elsewhere"]
    assert await ask(integration_id="none") == []
    assert len(await ask()) == 11
    for query in (
        {"filter": "{"},
        {"filter": "[]"},
        {"filter": '{"colour":"red"}'},
        {"filter": '{"type":1}'},
        {"page": "x"},
    ):
        assert (await call("GET", "/resource/catalog", params=query))[0] == 400
    for query in ({"page": "0"}, {"page": "99"}, {"page_size": "0"}):
        assert (await call("GET", "/resource/catalog", params=query))[0] == 404


async def test_the_catalog_shows_ten_thousand_at_most(call: Caller) -> None:
    id_ = call.workspace.create_integration("a")
    await call.upload(id_, jsonl(*(resource(f"r{n}") for n in range(10_001))))
    _, page, _ = await call("GET", "/resource/catalog", params={"page_size": "1000", "page": "10"})
    assert (page["total_pages"], page["count"], page["links"]["next"]) == (10, 10_001, None)
    assert len(page["results"]) == 1000


def test_what_does_not_exist_cannot_be_asked() -> None:
    with pytest.raises(KeyError):
        FakeWorkspace(api_key=KEY).resources("nothing")


async def test_it_ends_once_and_still_knows_what_it_held(call: Caller) -> None:
    id_ = call.workspace.create_integration("a")
    await call.upload(id_, GOOD)
    await call.workspace.aclose()
    await call.workspace.aclose()
    with pytest.raises(aiohttp.ClientConnectorError):
        await call("GET", "/healthcheck")
    assert set(call.workspace.resources(id_)) == {"good"}


@given(st.lists(st.text(min_size=1)), st.lists(st.integers(1, 60)), st.booleans())
def test_lines_are_the_same_however_a_file_arrives(ids: list[str], cuts: list[int], newline: bool) -> None:
    records = [resource(id_, title=id_) for id_ in ids]
    content = jsonl(*records) if newline else jsonl(*records)[:-1]
    file = ResourcesFile("r")
    for cut in cuts:
        file.feed(content[:cut])
        content = content[cut:]
    file.feed(content)
    file.finish()
    assert file.lines == len(ids)
    assert {id_: json.loads(line) for id_, line in file.resources.items()} == {r["databuilder_id"]: r for r in records}


def test_a_file_without_newlines_is_not_gathered_without_end() -> None:
    file = LineageFile("l")
    for _ in range(MAX_LINE // 2**20):
        file.feed(b"x" * 2**20)
    with pytest.raises(RejectedLineError, match=f"line 1: longer than {MAX_LINE} bytes"):
        file.feed(b"x")


@pytest.mark.parametrize("make", [ResourcesFile, LineageFile])
def test_a_line_nested_deeper_than_can_be_written_again_is_refused(make: Callable[[str], CheckedFile]) -> None:
    def line(deep: int) -> bytes:
        ends = {
            name: {"type": "internal_resource", "databuilder_id": "a"} for name in ("from_identifier", "to_identifier")
        }
        record = {**resource("a"), **ends, "more": None}
        return json.dumps(record).replace("null}", "[" * deep + "]" * deep + "}").encode() + b"\n"

    make("f").feed(line(200))
    with pytest.raises(RejectedLineError, match="line 1: nested more than 254 deep"):
        make("f").feed(line(400))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
async def test_a_process_of_its_own_takes_a_large_upload_in_little_memory(session: aiohttp.ClientSession) -> None:
    def peak(pid: int) -> int:
        """The most memory that a process has held, in bytes."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    line = jsonl(resource("t", description="x" * 20_000))
    repeats = 5_000  # 100 MB, of which one record remains
    size = repeats * len(line)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(0, repeats, 50):
            yield line * 50

    command = [COMMAND, "dev", "--json", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "SECODA_API_KEY": KEY}) as process:  # noqa: ASYNC220 # returns at once
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            workspace = FakeWorkspace(api_key=KEY)
            workspace.url = ready["url"]
            call = Caller(workspace, session)
            id_ = ready["integration_id"]
            assert (await call.upload(id_, GOOD, EDGE))[0] == 200
            before = peak(process.pid)
            data = aiohttp.FormData()
            data.add_field("resources_file", body(), filename="r.jsonl")
            data.add_field("lineages_file", b"", filename="l.jsonl")
            path = f"/integration/integrations/{id_}/import_jsonl_metadata/"
            status, answer, _ = await call("POST", path, data=data)
            assert (status, answer["resources"]) == (200, repeats)
            assert peak(process.pid) - before < 24 * 2**20 < size
            _, page, _ = await call("GET", "/resource/catalog")
            assert [entry["databuilder_id"] for entry in page["results"]] == ["t"]
        finally:
            process.terminate()
    assert process.returncode == 0


def test_a_snapshot_of_a_catalog_stays_as_it_was() -> None:
    catalog = Catalog("dev", "custom")

    def sync(title: str) -> None:
        line = json.dumps(resource("a", title=title)).encode()
        catalog.apply({"a": line}, {}, staling=True, resource_lines=1, lineage_lines=0)

    sync("old")
    moment = catalog.snapshot()
    sync("new")
    assert [held.resource("a") for held in (moment, catalog)] == [resource("a", title=of) for of in ("old", "new")]
    assert [len(held.syncs) for held in (moment, catalog)] == [1, 2]
