"""A journal from memory: it answers as `ReplayTransport` does, and says what it holds."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async import ConfigurationError, ReplayTransport, Request, RequestError, SecodaIntegration, StreamedResponse
from secoda_async.bench.recording import PreloadedReplay, Recording
from secoda_async.network.message import NO_HEADERS
from secoda_async.redact import Redactor
from tests.integrations import MemorySink, integration
from tests.server import serve

PATHS = ("/a", "/a?token=one", "/a?token=two", "/b?key=1", "/b?key=2", "/login", "/large", "/missing")
ASKED = ("/a", "/b?key=1", "/a", "/login", "/a?token=one", "/a?token=two", "/b?key=2", "/large", "/a")


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A recording of `ASKED`, and the URL of the source that there is no more."""
    folder = tmp_path_factory.mktemp("recording")
    counts: dict[str, int] = {}

    async def answer(request: web.Request) -> web.Response:
        count = counts[request.path_qs] = counts.get(request.path_qs, 0) + 1
        if request.path == "/login":
            return web.json_response({"password": "geheim-geheim"})
        if request.path == "/large":
            return web.Response(body=b"x" * 700_000)
        return web.json_response({"asked": request.path_qs.replace("token=", "t="), "count": count})

    async def extract(self: SecodaIntegration) -> None:
        for path in ASKED:
            if path == "/large":
                async with self.http_stream("GET", path) as reply:
                    async for _ in reply.aiter_bytes():
                        pass
            else:
                await self.http_get(path)

    async def record() -> str:
        async with serve(answer) as url:
            await integration(
                extract, base_url=url, record=folder / "journal", state_dir=folder / "state", concurrency=1
            ).run(MemorySink())
            return url

    return folder / "journal", anyio.run(record)


async def answers(transport: ReplayTransport, url: str, paths: list[str]) -> list[Any]:
    found: list[Any] = []
    for path in paths:
        request = Request("GET", URL(f"{url}{path}"), NO_HEADERS, stream=path == "/large")
        try:
            seq = await transport.find(request, Redactor())
            reply = await transport.send(request._replace(recorded=seq))
            if isinstance(reply, StreamedResponse):
                found.append((seq, b"".join([piece async for piece in reply.aiter_bytes()])))
            else:
                found.append((seq, reply.status_code, dict(reply.headers), reply.content, reply.elapsed))
        except RequestError as error:
            found.append((type(error), str(error)))
    await transport.aclose()
    return found


@pytest.mark.parametrize("most", [2**20, 0], ids=["from memory", "from the file"])
def test_it_answers_as_a_replay_from_the_file_does(most: int, journal: tuple[Path, str]) -> None:
    path, url = journal

    @given(st.lists(st.sampled_from(PATHS), max_size=8))
    def same(paths: list[str]) -> None:
        preloaded = PreloadedReplay(path, most=most)
        assert preloaded.is_whole == bool(most)

        async def both() -> None:
            assert await answers(preloaded, url, paths) == await answers(ReplayTransport(path), url, paths)

        anyio.run(both)

    same()


def test_what_is_over_the_cap_stays_in_the_file(journal: tuple[Path, str]) -> None:
    path, url = journal
    preloaded = PreloadedReplay(path, most=100)
    assert 0 < preloaded.held < 2000
    assert not preloaded.is_whole
    found = anyio.run(answers, preloaded, url, ["/a", "/large"])
    assert found[1][1] == b"x" * 700_000
    assert preloaded.given == 2
    assert preloaded.busy > 0


def test_it_knows_what_each_answer_took(journal: tuple[Path, str]) -> None:
    path, url = journal
    preloaded = PreloadedReplay(path)
    request = Request("GET", URL(f"{url}/a"))
    assert preloaded.elapsed(request) == 0.0
    assert 0 < preloaded.elapsed(request._replace(recorded=1)) < 5


def test_a_recording_tells_what_was_asked_of_whom(journal: tuple[Path, str]) -> None:
    path, url = journal
    found = Recording.of(path, "Made")
    host = f"127.0.0.1:{URL(url).port}"
    assert found.requests == len(ASKED)
    assert found.seconds > 0
    assert [found.under(key) for key in (host, "127.0.0.1", "*", f"GET {host}/a", "POST *", "api.x.com")] == [
        9,
        9,
        9,
        5,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("delete from entries", "holds no answer at all"),
        ("update entries set data = x'00' where seq = 2", "entry 2 of .* is damaged"),
        ("pragma user_version = 99", "is a journal of format 99, and this version of secoda_async reads format 1"),
        ("pragma application_id = 1", "is no journal of secoda_async"),
        ("update meta set value = 'Other' where name = 'integration'", "is a journal of Other, not of Made"),
    ],
)
def test_a_journal_that_is_of_no_use_is_an_error_that_says_why(
    spoil: str, told: str, journal: tuple[Path, str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(journal[0].read_bytes())
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(spoil)
    with pytest.raises(ConfigurationError, match=told):
        Recording.of(copy, "Made")


def test_a_damaged_answer_ends_the_preloading_too(journal: tuple[Path, str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(journal[0].read_bytes())
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("update entries set data = x'00' where seq = 2")
    with pytest.raises(ConfigurationError, match=r"entry 2 of .* is damaged.*; record it again"):
        PreloadedReplay(copy)
