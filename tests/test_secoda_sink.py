"""A complete run is one sync; anything else is one clear error and no sync."""

import asyncio
import email.policy
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async import (
    ConfigurationError,
    DeclaredLineage,
    IncompleteRunError,
    InternalResource,
    Request,
    Resource,
    Response,
    RetryPolicy,
    SecodaIntegration,
    SecodaSink,
    StatusError,
    TablesFromSQLQuery,
    UploadError,
)
from secoda_async.dataset import Dataset
from secoda_async.network.retry import decide
from secoda_async.sinks.multipart import PIECE, MultipartFiles, Part
from secoda_async.testing import FakeWorkspace
from tests.network.proxy_server import proxy_server
from tests.server import serve

KEY = "s3cret-key-of-the-workspace"
ID = "4f0c"

RESOURCES = [
    Resource(entity_type="table", databuilder_id="t", title="Tä\nble", schema="s", database="d", owners=["a@b.c"]),
    Resource(entity_type="column", databuilder_id="t.c", parent_databuilder_id="t", title="c", is_pk=True, type="int"),
]
LINEAGE = [
    DeclaredLineage(
        from_identifier=TablesFromSQLQuery(sql="select 1"), to_identifier=InternalResource(databuilder_id="t")
    )
]


class Source(SecodaIntegration):
    """Declares the records above, after ``before``; a workspace without a catalog is no reason to send nothing."""

    first_sync = True

    def __init__(self, before: Callable[["Source"], Awaitable[None]] | None = None, **settings: Any) -> None:
        super().__init__(credentials={}, **settings)
        self.before = before
        self.extracted = 0

    async def extract(self) -> None:
        self.extracted += 1
        for resource in RESOURCES:
            await self.declare_resource(resource)
        for lineage in LINEAGE:
            await self.declare_lineage(lineage)
        if self.before is not None:
            await self.before(self)


class Impatient(SecodaSink):
    """Repeats as the sink does, and waits milliseconds where it waits seconds."""

    def __init__(self, base_url: str, **options: Any) -> None:
        policy = RetryPolicy(attempts=3, backoff=0.001, unspecified_wait=0.001)
        super().__init__(**{"api_key": KEY, "integration_id": ID, "base_url": base_url, "retry": policy, **options})


class Answers:
    """A workspace that answers an upload as it is told, and keeps what was sent."""

    def __init__(self, *uploads: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        self._uploads = list(uploads)
        self.bodies: list[bytes] = []
        self.requests: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/resource/catalog"):
            return web.Response(status=404)
        self.requests.append(f"{request.method} {request.path}")
        if request.method == "GET":
            return web.json_response({"results": [], "links": {"next": None}})
        # The last answer stays.
        answer = self._uploads.pop(0) if len(self._uploads) > 1 else self._uploads[0]
        return await answer(request)

    def after_reading(self, status: int, text: str = "", **headers: str) -> "Answers":
        """One upload more: read all of it, then answer."""

        async def answer(request: web.Request) -> web.StreamResponse:
            self.bodies.append(await request.read())
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, text=text, headers=named)

        self._uploads.append(answer)
        return self


def sent(records: list[Any]) -> list[dict[str, Any]]:
    return [record.model_dump(mode="json") for record in records]


async def refused(base_url: str, source: Source | None = None, **options: Any) -> UploadError:
    """The one error of a run whose upload is not taken."""
    source = source or Source()
    with pytest.raises(UploadError) as caught:
        await source.run(Impatient(base_url, **options))
    error = caught.value
    assert KEY not in "".join([str(error), repr(error), *getattr(error, "__notes__", [])])
    assert source.report is not None
    assert source.report.status == "failed"
    assert source.report.error == str(error)
    assert KEY not in source.report.model_dump_json()
    assert source.report.loss_count == 0  # the extraction was complete; its delivery was not
    assert "\n" not in str(error)
    return error


@pytest.mark.parametrize("base", ["", "/", "/api", "/api/v1", "/api/v1/"])
async def test_a_complete_run_is_exactly_one_sync_with_exactly_its_records(base: str) -> None:
    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("source")
        sink = SecodaSink(api_key=KEY, integration_id=id_, base_url=workspace.url + base)
        report = await Source().run(sink)
        assert list(workspace.resources(id_).values()) == sent(RESOURCES)
        assert workspace.lineage(id_) == sent(LINEAGE)
        (sync,) = workspace.syncs(id_)
        assert (sync.resource_lines, sync.lineage_lines) == (len(RESOURCES), len(LINEAGE))
        assert report.status == "complete"
        assert report.upload.statuses == {200: 4}, "the integrations, what it holds in two questions, and the upload"
        assert report.source.requests == 0


async def test_a_line_that_is_declared_twice_is_uploaded_once() -> None:
    async def twice(source: Source) -> None:
        for _ in range(2):
            await source.declare_resource(Resource(entity_type="table", databuilder_id="again"))

    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("source")
        await Source(twice).run(Impatient(workspace.url, integration_id=id_))
        [sync] = workspace.syncs(id_)
        assert sync.resource_lines == len(workspace.resources(id_))
        assert "again" in workspace.resources(id_)


async def test_a_second_run_replaces_what_the_first_brought() -> None:
    async def more(source: Source) -> None:
        await source.declare_resource(Resource(entity_type="table", databuilder_id="only-at-first"))

    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("source")
        sink = SecodaSink(api_key=KEY, integration_id=id_, base_url=workspace.url)
        await Source(more).run(sink)
        await Source().run(sink)
        assert [sync.removed for sync in workspace.syncs(id_)] == [frozenset(), {"only-at-first"}]
        assert set(workspace.resources(id_)) == {"t", "t.c"}


async def test_a_run_of_many_batches_is_one_sync() -> None:
    ids = {f"table.{n}" for n in range(3000)}

    async def many(source: Source) -> None:
        for id_ in ids:
            await source.declare_resource(Resource(entity_type="table", databuilder_id=id_, description="d" * 500))

    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("source")
        source = Source(many, batch_bytes=4096)
        await source.run(SecodaSink(api_key=KEY, integration_id=id_, base_url=workspace.url))
        (sync,) = workspace.syncs(id_)
        assert sync.added == ids | {"t", "t.c"}
        assert sync.resource_lines == len(ids) + 2


async def test_a_run_without_records_still_sends_both_files() -> None:
    class Empty(SecodaIntegration):
        async def extract(self) -> None:
            return

    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("source")
        await Empty(credentials={}, allow_empty=True).run(
            SecodaSink(api_key=KEY, integration_id=id_, base_url=workspace.url)
        )
        (sync,) = workspace.syncs(id_)
        assert (sync.resource_lines, sync.lineage_lines) == (0, 0)


async def test_field_names_are_a_setting() -> None:
    async with FakeWorkspace(api_key=KEY, resources_field="r", lineages_field="l") as workspace:
        id_ = workspace.create_integration("source")
        await Source().run(Impatient(workspace.url, integration_id=id_, resources_field="r", lineages_field="l"))
        assert set(workspace.resources(id_)) == {"t", "t.c"}
        error = await refused(workspace.url, integration_id=id_)
        assert (error.status, error.ambiguous) == (400, False)
        assert "resources_file" in str(error)
        assert len(workspace.syncs(id_)) == 1


async def test_a_wrong_key_is_told_before_extract_is_called() -> None:
    async with FakeWorkspace(api_key="another") as workspace:
        id_ = workspace.create_integration("source")
        source = Source()
        error = await refused(workspace.url, source, integration_id=id_)
        assert (error.status, error.ambiguous) == (401, False)
        assert "API key" in str(error)
        assert source.extracted == 0
        assert workspace.syncs(id_) == []


async def test_no_server_is_told_before_extract_is_called() -> None:
    async with FakeWorkspace(api_key=KEY) as workspace:
        url = workspace.url
    source = Source()
    error = await refused(url, source)
    assert (error.status, error.ambiguous) == (None, False)
    assert url in str(error)
    assert source.extracted == 0


async def test_a_server_that_is_gone_at_the_upload_was_sent_nothing() -> None:
    async with FakeWorkspace(api_key=KEY) as workspace:

        async def leave(_: Source) -> None:
            await workspace.aclose()

        id_ = workspace.create_integration("source")
        error = await refused(workspace.url, Source(leave), integration_id=id_)
        assert (error.status, error.ambiguous) == (None, False)
        assert "nothing was sent" in str(error)
        assert workspace.syncs(id_) == []


async def test_a_line_that_the_workspace_refuses_is_named(tmp_path: Path) -> None:
    lines = [*sent(RESOURCES), {"entity_type": "table", "databuilder_id": "", "title": "nameless"}]
    wrong = Dataset(tmp_path / "resources.jsonl", tmp_path / "lineage.jsonl")
    await anyio.Path(wrong.resources).write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    await anyio.Path(wrong.lineage).touch()
    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("source")
        with pytest.raises(UploadError) as caught:
            await Impatient(workspace.url, integration_id=id_).upload(wrong)
        error = caught.value
        assert (error.status, error.ambiguous) == (400, False)
        for part in ("resources_file", "line 3", "nameless", "mend the records"):
            assert part in str(error)
        assert workspace.syncs(id_) == []


async def test_an_unknown_integration_is_told() -> None:
    async with FakeWorkspace(api_key=KEY) as workspace:
        error = await refused(workspace.url, integration_id="00000000-0000")
        assert (error.status, error.ambiguous) == (404, False)
        assert "integration id" in str(error)


async def test_a_sync_over_the_workspaces_cap_is_told_while_it_is_still_being_sent() -> None:
    async def large(source: Source) -> None:
        await source.declare_resource(Resource(entity_type="t", databuilder_id="x", description="x" * 12_000_000))

    async with FakeWorkspace(api_key=KEY, max_body=1_000_000) as workspace:
        id_ = workspace.create_integration("source")
        error = await refused(workspace.url, Source(large), integration_id=id_)
        assert (error.status, error.ambiguous) == (413, False)
        assert "(of 11.4 MiB)" in str(error)
        assert "too large" in str(error)
        assert workspace.syncs(id_) == []


@pytest.mark.parametrize(
    ("status", "ambiguous", "said"),
    [
        (400, False, "mend the records"),
        (401, False, "check the API key"),
        (403, False, "may not import"),
        (404, False, "integration id"),
        (413, False, "too large"),
        (500, True, "may or may not have been taken"),
        (502, True, "may or may not have been taken"),
        (204, None, ""),
    ],
)
async def test_each_status_is_one_error_that_says_what_next(status: int, ambiguous: bool | None, said: str) -> None:
    answers = Answers().after_reading(status, text=f"no: you sent Bearer {KEY}" if status != 204 else "")
    async with serve(answers.handle) as url:
        if ambiguous is None:
            await Source().run(Impatient(url))
        else:
            error = await refused(url)
            assert (error.status, error.ambiguous) == (status, ambiguous)
            assert said in str(error)
            assert str(status) in str(error)
    assert len(answers.bodies) == 1, "what may have been taken is not sent again"


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "0"}])
async def test_a_429_is_repeated_with_the_whole_body_anew(headers: dict[str, str]) -> None:
    answers = Answers().after_reading(429, **headers).after_reading(429, **headers).after_reading(200)
    async with serve(answers.handle) as url:
        report = await Source().run(Impatient(url))
    assert len(answers.bodies) == 3
    assert len(set(answers.bodies)) == 1
    assert answers.bodies[0].count(b'"databuilder_id":"t.c"') == 1
    assert report.upload.retries == {"429": 2}
    assert report.status == "complete"


async def test_the_workspaces_certificate_is_checked_against_the_given_ca(tls: ssl.SSLContext, ca_file: str) -> None:
    answers = Answers().after_reading(200)
    async with serve(answers.handle, ssl_context=tls) as url:
        assert "certificate is not trusted" in str(await refused(url))
        await Source().run(Impatient(url, verify=ca_file))
    assert len(answers.bodies) == 1


async def test_the_password_of_a_proxy_is_not_shown() -> None:
    async with proxy_server(password="another") as proxy:
        url = proxy.url.replace("another", "s3cr3t-of-ours")
        error = await refused("http://127.0.0.1:9", proxy=url)
    assert "407" in str(error)
    assert "s3cr3t" not in str(error)


async def test_a_429_that_stays_is_told() -> None:
    answers = Answers().after_reading(429, text="busy")
    async with serve(answers.handle) as url:
        error = await refused(url)
    assert (error.status, error.ambiguous) == (429, False)
    assert "busy" in str(error)
    assert len(answers.bodies) == 3


async def test_a_429_that_asks_for_more_patience_than_there_is_ends_at_once() -> None:
    answers = Answers().after_reading(429, Retry_After="100000")
    async with serve(answers.handle) as url:
        error = await refused(url)
    assert (error.status, error.ambiguous) == (429, False)
    assert len(answers.bodies) == 1


def test_a_429_without_a_time_is_left_alone_for_a_minute() -> None:
    sink = SecodaSink(api_key=KEY, integration_id=ID)
    request = Request("POST", URL("https://api.secoda.co/"))
    policy = sink._settings.retry
    assert policy is not None
    assert decide(policy, request, Response(request, 429), attempt=1).wait == 60


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_told_and_never_followed(status: int) -> None:
    answers = Answers().after_reading(status, Location="/elsewhere/")
    async with serve(answers.handle) as url:
        error = await refused(url)
    assert (error.status, error.ambiguous) == (status, False)
    assert "/elsewhere/" in str(error)
    assert answers.requests == [
        "GET /integration/integrations",
        f"POST /integration/integrations/{ID}/import_jsonl_metadata/",
    ]


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_after_reading(request: web.Request) -> web.StreamResponse:
    await request.read()
    return await cut(request)


async def large(source: Source) -> None:
    await source.declare_resource(Resource(entity_type="t", databuilder_id="x", description="x" * 12_000_000))


async def test_a_connection_that_is_cut_after_the_body_leaves_the_syncs_fate_open() -> None:
    answers = Answers(cut_after_reading)
    async with serve(answers.handle) as url:
        error = await refused(url)
    assert (error.status, error.ambiguous) == (None, True)
    assert "may or may not have been taken" in str(error)
    assert len(answers.requests) == 2, "what may have been taken is not sent again"


async def test_a_body_that_did_not_get_out_whole_was_not_taken_and_is_sent_again() -> None:
    answers = Answers(cut).after_reading(200)
    async with serve(answers.handle) as url:
        report = await Source(large).run(Impatient(url))
    assert report.status == "complete"
    assert report.upload.retries == {"BrokenExchangeError": 1}
    [body] = answers.bodies
    assert body.count(b'"databuilder_id":"x"') == 1


async def test_a_body_that_never_gets_out_whole_was_surely_not_taken() -> None:
    answers = Answers(cut)
    async with serve(answers.handle) as url:
        error = await refused(url, Source(large))
    assert (error.status, error.ambiguous) == (None, False)
    assert "was not taken" in str(error)
    assert "3 times" in str(error)


async def test_what_listing_answers_is_no_verdict_on_importing() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=403 if request.method == "GET" else 200)

    async with serve(handler) as url:
        assert (await Source().run(Impatient(url))).status == "complete"


async def test_nothing_is_uploaded_when_extract_raises() -> None:
    async def fail(_: Source) -> None:
        raise ZeroDivisionError("in extract")

    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("source")
        with pytest.raises(ZeroDivisionError):
            await Source(fail).run(Impatient(workspace.url, integration_id=id_))
        assert workspace.syncs(id_) == []


@pytest.mark.parametrize("swallow", [True, False])
async def test_nothing_is_uploaded_when_a_request_fails_swallowed_or_not(swallow: bool) -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async def ask(source: Source) -> None:
        try:
            await source.http_get("/tables")
        except StatusError:
            if not swallow:
                raise

    async with FakeWorkspace(api_key=KEY) as workspace, serve(broken) as url:
        id_ = workspace.create_integration("source")
        source = Source(ask, base_url=url, retry=RetryPolicy(attempts=1))
        with pytest.raises(IncompleteRunError if swallow else StatusError):
            await source.run(Impatient(workspace.url, integration_id=id_))
        assert workspace.syncs(id_) == []


async def test_nothing_is_uploaded_when_the_run_is_cancelled() -> None:
    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("source")
        reached = asyncio.Event()

        async def hang(_: Source) -> None:
            reached.set()
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(Source(hang).run(Impatient(workspace.url, integration_id=id_)))
            await reached.wait()
            task.cancel()
        assert task.cancelled()
        assert workspace.syncs(id_) == []


async def test_the_key_goes_with_every_call_and_stands_in_no_repr() -> None:
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        seen.append(request.headers.get("Authorization"))
        return web.json_response({})

    async with serve(handler) as url:
        sink = Impatient(url)
        await Source().run(sink)
        assert KEY not in repr(sink)
        assert KEY not in repr(vars(sink))
    assert seen == [f"Bearer {KEY}"] * 3


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": ""},
        {"integration_id": ""},
        {"integration_id": "a/b"},
        {"integration_id": "a b"},
        {"base_url": "api.secoda.co"},
        {"base_url": "ftp://api.secoda.co"},
        {"proxy": "socks5://127.0.0.1:1"},
        {"verify": ""},
        {"insecure": "no"},
        {"staling_is_off": "no"},
        {"staling_is_off": 1},
        {"batched": None},
    ],
)
def test_unusable_arguments_are_refused_at_once(arguments: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SecodaSink(**{"api_key": KEY, "integration_id": ID, **arguments})
    assert KEY not in str(caught.value)


async def read(body: MultipartFiles) -> bytes:
    return b"".join([piece async for piece in body.open()])


@given(contents=st.lists(st.binary(max_size=2000), min_size=1, max_size=3))
def test_a_body_is_as_long_as_it_says_and_holds_the_files(contents: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for n, content in enumerate(contents):
            path = Path(folder, f"file{n}.jsonl")
            path.write_bytes(content)
            files.append(Part(f"field{n}", path, len(content)))
        body = MultipartFiles(files)

        async def twice() -> tuple[bytes, bytes]:
            return await read(body), await read(body)

        first, second = asyncio.run(twice())
    assert len(first) == body.length
    assert first == second
    # The standard library's parser of mail knows the same format, and none of this project's code.
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode()
    message = BytesParser(policy=email.policy.HTTP).parsebytes(head + first)
    parts = list(message.iter_parts())
    assert [part.get_param("name", header="content-disposition") for part in parts] == [field for field, *_ in files]
    assert [part.get_filename() for part in parts] == [path.name for _, path, *_ in files]
    assert [part.get_payload(decode=True) for part in parts] == contents


async def test_a_file_that_has_grown_since_is_sent_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"counted|later")
    assert b"counted\r\n--" in await read(MultipartFiles([Part("field", path, 7)]))


async def test_a_file_that_is_short_ends_the_body(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"123")
    with pytest.raises(OSError, match="ended 4 bytes early"):
        await read(MultipartFiles([Part("field", path, 7)]))


async def test_a_body_comes_in_pieces_however_large_its_files_are(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * (3 * PIECE + 5))
    body = MultipartFiles([Part("field", path, 3 * PIECE + 5)])

    async def sizes() -> AsyncIterator[int]:
        async for piece in body.open():
            yield len(piece)

    assert max([size async for size in sizes()]) == PIECE


async def test_a_wrong_integration_id_is_told_before_extract_is_called() -> None:
    async with FakeWorkspace(api_key=KEY, page_size=2) as workspace:
        for n in range(5):
            workspace.create_integration(f"other {n}")
        source = Source()
        error = await refused(workspace.url, source, integration_id="4f0c")
        assert (error.status, error.ambiguous) == (404, False)
        assert "5 integrations" in str(error)
        assert "'4f0c'" in str(error)
        assert source.extracted == 0


@pytest.mark.parametrize(
    "page",
    [
        {"results": [{"id": "other"}], "links": {"next": "http://evil.example/"}},
        {"results": [{"id": "other"}]},
        {"results": [{"id": 5}], "links": {"next": None}},
        {"results": [{"name": "x"}], "links": {"next": None}},
        {"results": ["other"], "links": {"next": None}},
        {"results": None, "links": {"next": None}},
        {"results": [], "links": {"next": None}},
        [],
    ],
)
async def test_a_list_of_integrations_that_cannot_be_read_whole_says_nothing_of_an_id(page: object) -> None:
    uploads = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal uploads
        await request.read()
        uploads += request.method == "POST"
        return web.json_response(page)

    async with serve(handler) as url:
        assert (await Source().run(Impatient(url))).status == "complete"
    assert uploads == 1


async def test_what_the_workspace_says_of_a_400_is_told_by_field() -> None:
    answers = Answers().after_reading(400, text='{"resources_file": [{"line": 3, "title": ["is too long"]}]}')
    async with serve(answers.handle) as url:
        error = await refused(url)
    assert "resources_file[0].line: 3; resources_file[0].title: is too long" in str(error)


async def test_the_bytes_of_an_upload_are_counted_while_they_leave() -> None:
    answers = Answers(cut).after_reading(200)
    async with serve(answers.handle) as url:
        sink = Impatient(url)
        await Source(large).run(sink)
    [body] = answers.bodies
    assert sink._traffic.body_sent == sink._traffic.body_size == len(body)


async def test_progress_of_an_attempt_rises_to_the_length_and_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * (2 * PIECE))
    told: list[int] = []
    body = MultipartFiles([Part("field", path, 2 * PIECE)], told.append)
    await read(body)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, body.length)
    body.open()
    assert told[-1] == 0
    assert not body.given_out
