"""`self.paginate` in a run, against a real server."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from secoda_async import IncompleteRunError, LinkHeader, NextURL, PageNumber, PaginationError, ReplayTransport, Request
from secoda_async.report import Status
from tests.integrations import MemorySink, integration, table
from tests.pagination.source import API, items_of
from tests.pagination.test_model import KINDS, QUERY, pager_of
from tests.server import Handler, serve


def serving(api: API) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        reply = api(Request(request.method, URL(str(request.url)), CIMultiDict(request.headers), body or None))
        content = reply.content.replace(b"http://api.example", str(request.url.origin()).encode())
        return web.Response(status=reply.status_code, headers=dict(reply.headers), body=content)

    return handle


@pytest.mark.parametrize("declares", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_listing_is_read_whole(kind: str, declares: bool) -> None:
    api = API(count=50, kind=kind, size=7, declares=declares)
    found: list[Any] = []

    async def extract(self: Any) -> None:
        options = {"json": QUERY} if kind == "graphql" else {}
        async for item in self.paginate("/items", pager_of(api), **options):
            found.append(item)
            await self.declare_resource(table(item["id"]))

    async with serve(serving(api)) as url:
        report = await integration(extract, base_url=url).run(MemorySink())
    assert found == items_of(50)
    assert (report.status, report.resources) == (Status.COMPLETE, {"table": 50})


@pytest.mark.parametrize("kind", ["pages", "next", "link"])
async def test_a_listing_is_recognised_and_read_whole(kind: str) -> None:
    async def extract(self: Any) -> None:
        assert [item async for item in self.paginate("/items", params={"kept": 1})] == items_of(20)

    async with serve(serving(API(count=20, kind=kind))) as url:
        report = await integration(extract, base_url=url).run(MemorySink())
    assert report.status is Status.COMPLETE


@pytest.mark.parametrize("kind", KINDS)
async def test_a_listing_that_was_recorded_is_replayed_whole(kind: str, tmp_path: Path) -> None:
    api = API(count=50, kind=kind, size=7)

    async def extract(self: Any) -> None:
        options = {"json": QUERY} if kind == "graphql" else {}
        assert [item async for item in self.paginate("/items", pager_of(api), **options)] == items_of(50)

    async with serve(serving(api)) as url:
        await integration(extract, base_url=url, record=tmp_path / "recording").run(MemorySink())
    made = integration(extract, base_url=url, transport=ReplayTransport(tmp_path / "recording"))
    assert (await made.run(MemorySink())).status is Status.COMPLETE


@pytest.mark.parametrize("length", [2, 40])
@pytest.mark.parametrize("where", ["url", "link"])
async def test_a_listing_whose_links_have_a_token_is_replayed_and_continued_whole(
    where: str, length: int, tmp_path: Path
) -> None:
    tokens = ["x" * length + str(n) for n in range(5)]
    asked: list[str] = []

    async def source(request: web.Request) -> web.Response:
        asked.append(str(request.rel_url))
        page = tokens.index(request.query["token"]) if "token" in request.query else 0
        following = f"{request.url.origin()}/items?token={tokens[page + 1]}" if page < 4 else None
        if where == "url":
            return web.json_response({"data": [{"id": page}], "next": following})
        links = {"Link": f'<{following}>; rel="next"'} if following else {}
        return web.json_response({"data": [{"id": page}]}, headers=links)

    async def extract(self: Any) -> None:
        pager = NextURL("next") if where == "url" else LinkHeader()
        assert [item["id"] async for item in self.paginate("/items", pager)] == [0, 1, 2, 3, 4]
        if not self.settings.resume and not self.settings.replay:
            raise RuntimeError("it dies after it has seen all")

    async with serve(source) as url:
        with pytest.raises(RuntimeError, match="it dies"):
            await integration(extract, base_url=url, resumable=True, record=tmp_path / "r").run(MemorySink())
        assert len(asked) == 5
        await integration(extract, base_url=url, resume="last").run(MemorySink())
        assert len(asked) == 5, "nothing is asked twice"
    await integration(extract, base_url=url, replay=tmp_path / "r").run(MemorySink())


async def test_a_listing_that_fails_is_a_loss_of_the_run_even_where_its_error_is_caught() -> None:
    async def extract(self: Any) -> None:
        with suppress(PaginationError):
            async for _ in self.paginate("/items", PageNumber(total="total")):
                pass

    async with serve(serving(API(count=20, kind="page", fault="dropped", broken=3))) as url:
        with pytest.raises(IncompleteRunError, match=r"page=4 \(page 4\): it is empty, in the middle of 20"):
            await integration(extract, base_url=url).run(MemorySink())


async def test_a_listing_left_early_is_a_loss_of_the_run() -> None:
    async def extract(self: Any) -> None:
        async for _ in self.paginate("/items", PageNumber(total="total")):
            break

    async with serve(serving(API(count=20, kind="page"))) as url:
        with pytest.raises(IncompleteRunError, match="was left after 1 items"):
            await integration(extract, base_url=url).run(MemorySink())


async def test_a_next_page_on_another_server_gets_no_credentials() -> None:
    seen: list[dict[str, str]] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.json_response({"data": [{"id": 2}], "next": None})

    async with serve(elsewhere) as other:

        async def source(request: web.Request) -> web.Response:
            assert request.headers["X-Api-Key"] == "geheim"
            return web.json_response({"data": [{"id": 1}], "next": f"{other}/2"})

        async def extract(self: Any) -> None:
            headers = {"X-Api-Key": "geheim", "Authorization": "Bearer geheim"}
            listing = self.paginate("/1", NextURL("next"), headers=headers, auth=("user", "geheim"))
            assert [item["id"] async for item in listing] == [1, 2]

        async with serve(source) as url:
            await integration(extract, base_url=url).run(MemorySink())
    assert len(seen) == 1
    assert not {"X-Api-Key", "Authorization"} & seen[0].keys()
    assert "geheim" not in str(seen)
