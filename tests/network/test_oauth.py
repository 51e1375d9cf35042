"""Tokens that end in the middle of a crawl, against real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from secoda_async import (
    APIKeyAuth,
    Auth,
    AuthError,
    BasicAuth,
    BearerAuth,
    ConfigurationError,
    CredentialError,
    NextURL,
    OAuth2ClientCredentials,
    ReplayTransport,
    SecodaIntegration,
)
from secoda_async.report import Status
from tests.integrations import MemorySink, table
from tests.server import serve

SECRET = "the-client's-s3cr3t"


class Server:
    """An API and its token endpoint. A token is good for so many requests, and for ``life`` seconds, it says."""

    def __init__(self, *, good_for: int = 10**6, life: float | None = None, refuses: bool = False) -> None:
        self.good_for = good_for
        self.life = life
        self.refuses = refuses
        self.given = 0
        self.left = 0
        self.statuses: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/token":
            return await self.give(request)
        await asyncio.sleep(0.002)
        good = self.left > 0 and request.headers.get("Authorization") == f"Bearer access-token-{self.given}"
        self.left -= good
        self.statuses.append(200 if good else 401)
        return web.json_response({"path": request.path}, status=self.statuses[-1])

    async def give(self, request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers or request.headers["Authorization"].startswith("Basic ")
        await asyncio.sleep(0.01)
        if self.refuses:
            return web.json_response({"error": "invalid_client", "error_description": f"not {SECRET}"}, status=401)
        self.given += 1
        self.left = self.good_for
        token = {"access_token": f"access-token-{self.given}", "token_type": "bearer"}
        return web.json_response(token if self.life is None else {**token, "expires_in": self.life})


@asynccontextmanager
async def crawling(server: Server, requests: int, *, at_once: int = 200) -> AsyncIterator[SecodaIntegration]:
    async with serve(server.answer) as url:

        class Crawl(SecodaIntegration):
            base_url = url
            concurrency = 50

            def default_auth(self) -> Auth:
                return OAuth2ClientCredentials(f"{url}/token", "id", self.credentials["secret"])

            async def extract(self) -> None:
                async def get(number: int) -> None:
                    reply = await self.http_get(f"/{number}")
                    assert reply.raise_for_status().json() == {"path": f"/{number}"}

                await self.for_each(range(requests), get, concurrency=at_once)

        yield Crawl(credentials={"secret": SECRET})


async def test_a_token_that_ends_in_the_middle_of_a_crawl_is_renewed_once() -> None:
    server = Server(good_for=120)
    async with crawling(server, 200) as made:
        report = await made.run(MemorySink())
    assert report.status is Status.COMPLETE
    assert server.given == 2
    assert server.statuses.count(200) == 200
    assert report.source.retries == {"401": server.statuses.count(401)}


async def test_a_storm_of_refusals_is_one_renewal() -> None:
    server = Server(good_for=0)
    async with crawling(server, 100) as made:
        with pytest.raises(Exception, match="answered 401"):
            await made.run(MemorySink())
    assert server.given == 2, "the first token, and one more when all were refused"


async def test_a_token_that_says_when_it_ends_is_renewed_before_it_is_refused() -> None:
    server = Server(life=0.05)
    async with crawling(server, 200, at_once=2) as made:
        report = await made.run(MemorySink())
    assert report.status is Status.COMPLETE
    assert server.given > 2
    # Whoever was in flight when the next token came may have been refused, and was sent again.
    assert server.statuses.count(200) == 200


async def test_a_renewal_that_fails_names_the_token_url_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server = Server(refuses=True)
    async with crawling(server, 20) as made:
        with pytest.raises(AuthError, match=r"POST http://127.*/token gave no token but 401.*invalid_client") as caught:
            await made.run(MemorySink())
    assert SECRET not in f"{caught.value} {caught.value.__notes__} {made.report} {caplog.text}"
    assert made.report is not None
    assert made.report.loss_count > 0
    assert server.statuses == [], "nothing was asked without a token"


async def test_no_credentials_of_any_kind_go_to_another_server() -> None:
    seen: list[web.Request] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"items": [2], "next": None})

    async def source(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.json_response({"access_token": "access-token-1"})
        assert "geheim" in f"{request.headers} {request.url}" or "access-token-1" in request.headers["Authorization"]
        if request.path == "/redirected":
            return web.Response(status=307, headers={"Location": f"{other}/stolen"})
        return web.json_response({"items": [1], "next": f"{other}/stolen"})

    kinds: list[Any] = [
        BasicAuth("geheim", "geheim"),
        BearerAuth("geheim"),
        APIKeyAuth("geheim"),
        APIKeyAuth("geheim", query="api_key"),
        ("geheim", "geheim"),
    ]
    async with serve(elsewhere) as other, serve(source) as url:
        kinds.append(OAuth2ClientCredentials(f"{url}/token", "geheim", "geheim"))

        class Crawl(SecodaIntegration):
            base_url = url
            kind: Any = None

            def default_auth(self) -> Auth:
                return self.kind

            async def extract(self) -> None:
                headers = {"X-Own": "geheim"}
                for options in ({}, {"auth": self.kind}):
                    await self.http_get("/redirected", follow_redirects=True, headers=headers, **options)
                    found = [item async for item in self.paginate("/list", NextURL("next"), headers=headers, **options)]
                    assert found == [1, 2]

        for kind in kinds:
            made = Crawl(credentials={})
            made.kind = kind
            report = await made.run(MemorySink())
            assert report.status is Status.COMPLETE
    assert len(seen) == 4 * len(kinds)
    for request in seen:
        told = f"{request.headers} {request.url}"
        assert "geheim" not in told
        assert "access-token" not in told
        assert "Authorization" not in request.headers


async def test_a_recording_of_a_crawl_with_tokens_is_replayed_without_any(tmp_path: Path) -> None:
    server = Server(good_for=15)
    async with serve(server.answer) as url:

        class Crawl(SecodaIntegration):
            base_url = url

            def default_auth(self) -> Auth:
                return OAuth2ClientCredentials(f"{url}/token", "id", SECRET)

            async def extract(self) -> None:
                async for page in self.map(range(30), self.get):
                    await self.declare_resource(table(page))

            async def get(self, number: int) -> str:
                return (await self.http_get(f"/{number}")).raise_for_status().json()["path"]

        recorded = MemorySink()
        await Crawl(credentials={}, record=tmp_path / "recording").run(recorded)
        asked = (server.given, len(server.statuses))
        replayed = MemorySink()
        await Crawl(credentials={}, transport=ReplayTransport(tmp_path / "recording")).run(replayed)
    assert (server.given, len(server.statuses)) == asked, "nothing was asked again"
    assert {kind: sorted(lines) for kind, lines in replayed.lines.items()} == {
        kind: sorted(lines) for kind, lines in recorded.lines.items()
    }
    held = (tmp_path / "recording").read_bytes()
    assert b"access-token" not in held
    assert SECRET.encode() not in held


async def test_default_credentials_are_asked_for_when_a_run_starts() -> None:
    class Crawl(SecodaIntegration):
        base_url = "http://127.0.0.1:9"

        def default_auth(self) -> Any:
            return (self.credentials["user"], self.credentials["password"])

        async def extract(self) -> None:
            raise AssertionError("it must not come to this")

    with pytest.raises(CredentialError, match="'user' is missing"):
        await Crawl(credentials={}).run(MemorySink())
    with pytest.raises(ConfigurationError, match="default_auth needs a base_url"):
        await Crawl(credentials={"user": "u", "password": "p"}, base_url="").run(MemorySink())
