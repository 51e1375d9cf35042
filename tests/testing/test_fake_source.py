"""A made-up source answers by method and path, in memory and on a socket, and says what it was asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async import (
    BrokenExchangeError,
    ConfigurationError,
    Cursor,
    GraphQLCursor,
    LinkHeader,
    NextURL,
    Offset,
    PageNumber,
    Pager,
    Request,
    RetryPolicy,
    SinglePage,
    UnroutedError,
)
from secoda_async.pagination.page import Page
from secoda_async.testing import Answer, FakeSource, Listing, Records, Route, run_extract
from tests.integrations import integration, table

ROWS = [{"id": f"row {number}"} for number in range(7)]
BASE = "http://source.test"


@asynccontextmanager
async def in_memory(source: FakeSource) -> AsyncIterator[dict[str, Any]]:
    yield {"base_url": BASE, "transport": source}


@asynccontextmanager
async def on_a_socket(source: FakeSource) -> AsyncIterator[dict[str, Any]]:
    async with source.serve() as url:
        yield {"base_url": url}


both = pytest.mark.parametrize("given_by", [in_memory, on_a_socket])


async def ask(source: FakeSource, *asked: tuple[str, str], given_by: Any = in_memory, **options: Any) -> list[Any]:
    """Status and body of each request, one after another."""
    found: list[Any] = []

    async def extract(self: Any) -> None:
        for method, url in asked:
            reply = await self._extraction.client.request(method, url, **options)
            found.append((reply.status_code, reply.json() if reply.content else None))
        await self.declare_resource(table("one"))

    async with given_by(source) as settings:
        await run_extract(integration(extract, retry=RetryPolicy(backoff=0.001), **settings))
    return found


@both
async def test_routes_go_by_method_and_path(given_by: Any) -> None:
    source = FakeSource()
    source.get("/jobs", json=[1, 2])
    source.post("/jobs", status=201)
    source.put("/jobs/{key}", lambda request, key: {"id": key, "sent": orjson.loads(request.body)})
    source.patch("/jobs", text="no")
    source.delete("/jobs", content=b"{}", headers={"X-One": "1"})
    asked = [("GET", "/jobs"), ("POST", "/jobs"), ("PUT", "/jobs/a%20b"), ("DELETE", "/jobs")]
    assert await ask(source, *asked, given_by=given_by, json=[7]) == [
        (200, [1, 2]),
        (201, None),
        (200, {"id": "a b", "sent": [7]}),
        (200, {}),
    ]
    assert [(call.method, call.url.path) for call in source.calls] == [
        ("GET", "/jobs"),
        ("POST", "/jobs"),
        ("PUT", "/jobs/a b"),
        ("DELETE", "/jobs"),
    ]


async def test_the_route_that_says_more_counts_whatever_the_order() -> None:
    source = FakeSource()
    source.route("*", "/**", json="any")
    source.get("/jobs/new", json="new")
    source.get("/jobs/{id}", json="one")
    source.get("/jobs/{id}?full=1", json="full")
    source.get("http://source.test/{a}/{b}", json="host")
    source.get("http://elsewhere.test/jobs/{id}", json="elsewhere")
    asked = ["/jobs/new", "/jobs/3", "/jobs/3?full=1&x=2", "/", "/jobs/3/4", "http://elsewhere.test/jobs/3"]
    assert [body for _, body in await ask(source, *[("GET", url) for url in asked])] == [
        "host",
        "host",
        "host",
        "any",
        "any",
        "elsewhere",
    ]
    source = FakeSource()
    source.get("/jobs/new", json="new")
    source.get("/jobs/{id}", json="one")
    source.get("/jobs/{id}?full=1", json="full")
    source.get("/jobs/**", json="rest")
    assert [body for _, body in await ask(source, *[("GET", url) for url in asked[:3]], ("GET", "/jobs/a/b"))] == [
        "new",
        "one",
        "full",
        "rest",
    ]


@pytest.mark.parametrize("path", ["/a b/ü", "/a%20b/%C3%BC"])
async def test_a_path_may_be_written_with_escapes_or_without(path: str) -> None:
    source = FakeSource()
    source.get(path, json=1)
    assert await ask(source, ("GET", "/a b/ü"), ("GET", "/a%20b/%C3%BC")) == [(200, 1), (200, 1)]


async def test_of_equal_routes_the_last_counts_so_that_a_test_can_replace_one() -> None:
    source = FakeSource()
    source.get("/jobs", json="usual")
    source.get("/jobs", json="mine")
    assert await ask(source, ("GET", "/jobs")) == [(200, "mine")]


@both
async def test_answers_come_one_after_another_and_the_last_goes_on(given_by: Any) -> None:
    source = FakeSource()
    route = source.get("/jobs", status=503).then(status=429, headers={"Retry-After": "0"}).then(json=[1])
    assert await ask(source, ("GET", "/jobs"), ("GET", "/jobs"), given_by=given_by) == [(200, [1]), (200, [1])]
    assert len(route.calls) == 4


async def test_a_handler_may_be_async_and_give_an_answer_or_no_answer_at_all() -> None:
    source = FakeSource()

    async def job(request: Request, key: str) -> Any:
        if key == "2":
            return Answer(status=404, json={"no": key})
        return {"id": key}

    def broken(request: Request) -> Any:
        raise BrokenExchangeError("it broke", request=request)

    source.get("/jobs/{key}", job)
    source.get("/flaky", broken).then(json="well")
    asked = [("GET", "/jobs/1"), ("GET", "/jobs/2"), ("GET", "/flaky")]
    assert await ask(source, *asked) == [(200, {"id": "1"}), (404, {"no": "2"}), (200, "well")]


async def test_on_a_socket_a_transport_error_of_a_handler_closes_the_connection() -> None:
    def broken(request: Request) -> Any:
        raise BrokenExchangeError("it broke", request=request)

    source = FakeSource()
    source.get("/flaky", broken).then(json="well")
    assert await ask(source, ("GET", "/flaky"), given_by=on_a_socket) == [(200, "well")]
    assert len(source.calls) == 2


@both
async def test_a_request_without_a_route_names_it_and_the_routes_there_are(given_by: Any) -> None:
    source = FakeSource()
    source.get("/jobs", json=[])
    source.get("/jobs/{id}", json={})
    with pytest.raises(Exception, match=r"GET http.*/job\?x=1 has no route in this FakeSource") as caught:
        await ask(source, ("GET", "/job?x=1"), given_by=given_by)
    assert "which has GET /jobs, GET /jobs/{id}; add source.route(" in str(caught.value)
    assert isinstance(caught.value, UnroutedError) is (given_by is in_memory)
    assert len(source.calls) == 1
    with pytest.raises(AssertionError, match=r"GET /jobs was never asked; .*/job\?x=1 has no route"):
        source.assert_all_asked()


async def test_no_route_is_told_even_where_the_code_takes_any_failure() -> None:
    source = FakeSource()

    async def extract(self: Any) -> None:
        with pytest.raises(UnroutedError):
            await self.http_get("/x", optional=True)
        await self.declare_resource(table("one"))

    await run_extract(integration(extract, base_url=BASE, transport=source))
    with pytest.raises(AssertionError, match=r"GET http://source\.test/x has no route"):
        source.assert_all_asked()


async def test_routes_that_were_all_asked_are_no_error() -> None:
    source = FakeSource()
    source.get("/jobs", json=[])
    await ask(source, ("GET", "/jobs"))
    source.assert_all_asked()


async def test_a_fresh_one_begins_at_the_first_answer_and_has_no_calls() -> None:
    source = FakeSource()
    source.get("/jobs", status=404).then(json=[])
    assert await ask(source, ("GET", "/jobs")) == [(404, None)]
    again = source.fresh()
    assert again.calls == []
    assert await ask(again, ("GET", "/jobs"), ("GET", "/jobs")) == [(404, None), (200, [])]
    assert len(source.calls) == 1


PAGERS: list[tuple[Pager, dict[str, Any], str]] = [
    (PageNumber(), {}, "rows"),
    (PageNumber("seite", first=0, size_param="n", size=3, total="meta.total"), {}, "rows"),
    (PageNumber(pages="pages"), {}, "rows"),
    (PageNumber(more="more"), {}, "data.rows"),
    (PageNumber(place="json", more="more"), {"method": "POST", "json": {}, "idempotent": True}, "rows"),
    (Offset(limit=2), {}, "rows"),
    (Offset("skip", limit_param="top", limit=3, total="header:X-Total"), {}, ""),
    (Cursor("cursor", next="next"), {}, "rows"),
    (Cursor("cursor", next="header:X-Next", absent_at_end=True), {}, ""),
    (Cursor("cursor", next="next", more="more"), {}, "rows"),
    (NextURL("links.next"), {}, "rows"),
    (LinkHeader(), {}, ""),
    (LinkHeader(total="total"), {}, "rows"),
    (GraphQLCursor("data.tables", total="data.tables.totalCount"), {"json": {"query": "…"}}, ""),
    (SinglePage(total="total"), {}, "rows"),
]


@both
@pytest.mark.parametrize(("pager", "options", "at"), PAGERS, ids=lambda one: type(one).__name__)
async def test_a_listing_is_what_its_pager_asks_for(
    pager: Pager, options: dict[str, Any], at: str, given_by: Any
) -> None:
    source = FakeSource()
    source.route(options.get("method", pager.method), "/rows", Listing(ROWS, pager, at=at, size=2))
    graph = isinstance(pager, GraphQLCursor)

    async def extract(self: Any) -> None:
        async for row in self.paginate("/rows", pager, **({} if graph else {"items": at}), **options):
            await self.declare_resource(table(row["id"]))

    async with given_by(source) as settings:
        records: Records = await run_extract(integration(extract, **settings))
    assert sorted(records.by_id) == [row["id"] for row in ROWS]
    assert (len(source.calls) > 1) is not isinstance(pager, SinglePage)


async def test_a_listing_that_is_asked_for_no_page_answers_400() -> None:
    source = FakeSource()
    source.listing("/rows", ROWS, PageNumber(), size=2)
    [(status, body)] = await ask(source, ("GET", "/rows?page=two"))
    assert status == 400
    assert "two" in body["error"]


class OwnPager(Pager):
    """One that is not here."""

    def after(self, page: Page) -> None:
        return None


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: FakeSource().get("jobs"), "'jobs' is no pattern of a path"),
        (lambda: FakeSource().get("/{id}/{id}"), "has a name twice"),
        (lambda: FakeSource().get("/x", json=1, text="1"), "an answer has one body"),
        (lambda: FakeSource().get("/x", status=99), "status must be a number from 100 to 599, not 99"),
        (lambda: FakeSource().get("/x", json=object()), "json= cannot be written as JSON"),
        (lambda: FakeSource().get("/x", lambda request: 1, status=300), "give a handler, or status, not both"),
        (lambda: FakeSource().get("/x", [1]), r"a handler is called with the request; \[1\] is given with json="),
        (lambda: Listing([], OwnPager()), "there is no listing for a OwnPager"),
        (lambda: Listing([], PageNumber(), size=0), "size must be a number of items of 1 or more"),
        (lambda: Listing([], Cursor("c", next="next"), at=""), "next cannot be in a body that is a list"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_said(make: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


@given(st.lists(st.text(st.characters(exclude_characters="/%{}?*#", exclude_categories=["Cs", "Cc"]), min_size=1)))
def test_a_path_is_matched_by_itself_and_by_its_names(segments: list[str]) -> None:
    url = URL(BASE) / "/".join(["x", *segments])
    request = Request("GET", url)
    path = url.path
    assert Route("GET", path, Answer()).match(request) == {}
    assert Route("GET", url.raw_path, Answer()).match(request) == {}
    names = "".join(f"/{{name_{number}}}" for number in range(path.count("/")))
    found = Route("GET", names, Answer()).match(request)
    assert found is not None
    assert "/".join(["", *found.values()]) == path
    assert Route("GET", f"{path}/more", Answer()).match(request) is None
