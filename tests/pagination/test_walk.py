"""The walk: what is asked, when, and what becomes of a listing that does not add up or is left."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import anyio
import orjson
import pytest
from typing_extensions import override

from secoda_async import (
    Ask,
    BearerAuth,
    ConfigurationError,
    Cursor,
    DecodeError,
    GraphQLCursor,
    InvalidRequestError,
    LinkHeader,
    NextURL,
    Offset,
    OriginError,
    Page,
    PageNumber,
    Pager,
    PaginationError,
    Request,
    Response,
    RetryPolicy,
    SinglePage,
    StatusError,
)
from secoda_async.testing.virtual_time import run_virtually
from tests.pagination.source import API, BASE, Source, answer, items_of, walking

Reply = Callable[[Request], Response]


def always(body: Any, **headers: str) -> Reply:
    return lambda request: answer(request, body, **headers)


def in_turn(*bodies: Any) -> Reply:
    left = [*bodies]
    return lambda request: answer(request, left.pop(0))


async def refused(reply: Reply, *args: Any, **options: Any) -> str:
    """The message of the PaginationError, which is a loss of its own."""
    async with walking(Source(reply)) as w:
        with pytest.raises(PaginationError) as caught:
            await w.all("/x", *args, **options)
        assert [loss.message for loss in w.findings.losses] == [str(caught.value)]
        assert w.findings.losses[0].request
    return str(caught.value)


# What is asked


async def test_the_callers_parameters_stay_on_every_page() -> None:
    source = Source(API(count=7, kind="page", declares=False))
    async with walking(source) as w:
        assert await w.all("/x?kept=1", PageNumber(size_param="per", size=3), params={"also": "2"}) == items_of(7)
    kept = {"kept": "1", "also": "2", "per": "3"}
    assert source.queries == [{**kept, "page": str(number)} for number in (1, 2, 3, 4)]


async def test_a_next_url_is_asked_as_it_is() -> None:
    source = Source(in_turn({"items": [1], "next": "/x?a=%2F&b=%2B+%20"}, {"items": [2], "next": None}))
    async with walking(source) as w:
        assert await w.all("/x", NextURL("next"), items="items", params={"only": "first"}) == [1, 2]
    assert [str(request.url) for request in source.asked] == [f"{BASE}/x?only=first", f"{BASE}/x?a=%2F&b=%2B+%20"]


async def test_numbers_and_tokens_go_into_the_body_where_they_belong_there() -> None:
    source = Source(in_turn({"items": [1], "next": "c"}, {"items": [2], "next": None}))
    pager = Cursor("page.after", next="next", place="json")
    async with walking(source) as w:
        assert await w.all("/x", pager, items="items", json={"filter": "f", "page": {"size": 1}}) == [1, 2]
    assert [request.method for request in source.asked] == ["POST", "POST"]
    assert [orjson.loads(request.body or b"") for request in source.asked] == [
        {"filter": "f", "page": {"size": 1}},
        {"filter": "f", "page": {"size": 1, "after": "c"}},
    ]


async def test_a_token_may_be_in_a_header() -> None:
    def reply(request: Request) -> Response:
        at = int(request.url.query.get("cursor", "0"))
        return answer(request, [at], **({"X_Next": str(at + 1)} if at < 2 else {}))

    async with walking(Source(reply)) as w:
        assert await w.all("/x", Cursor("cursor", next="header:X-Next")) == [0, 1, 2]


async def test_a_page_is_asked_again_after_a_failure_whatever_its_method() -> None:
    failed: set[bytes] = set()
    api = API(count=7, kind="graphql")

    def reply(request: Request) -> Response:
        body = bytes(request.body)  # type: ignore[arg-type]
        if body not in failed:
            failed.add(body)
            return answer(request, {}, 502)
        return api(request)

    async with walking(Source(reply), retry=RetryPolicy(attempts=2, backoff=0.001)) as w:
        assert await w.all("/x", GraphQLCursor("data.items"), json={"query": "…"}) == items_of(7)


async def test_a_pager_of_ones_own_needs_one_method() -> None:
    class Week(Pager):
        @override
        def after(self, page: Page) -> Ask | None:
            week = page.find("week")
            return Ask(params={"week": week + 1}, at=week + 1) if week < 3 else None

    def reply(request: Request) -> Response:
        week = int(request.url.query.get("week", "1"))
        return answer(request, {"week": week, "jobs": [{"id": week}]})

    async with walking(Source(reply)) as w:
        assert await w.all("/x", Week()) == [{"id": 1}, {"id": 2}, {"id": 3}]


async def test_a_pager_that_fails_is_a_loss() -> None:
    class Broken(Pager):
        @override
        def after(self, page: Page) -> Ask | None:
            raise KeyError("s3cr3t")

    async with walking(Source(always([1]))) as w:
        with pytest.raises(KeyError):
            await w.all("/x", Broken())
        assert [loss.message for loss in w.findings.losses] == ["KeyError: '[redacted]'"]


# How many at once


async def test_pages_are_asked_at_once_and_never_further_ahead_than_the_concurrency() -> None:
    source = Source(API(count=60, kind="pages", size=3), latency=lambda: 0.001)
    async with walking(source) as w:
        listing = w.walks.paginate("/x", PageNumber(pages="pages"), concurrency=5)
        assert await anext(listing) == {"id": 0}
        for _ in range(20):
            await asyncio.sleep(0.002)
        assert len(source.asked) == 6, "the reader's page and five more"
        assert [item["id"] async for item in listing] == [*range(1, 60)]
    assert len(source.asked) == 20
    assert source.most_at_once <= 5


async def test_a_listing_that_tells_no_total_is_asked_one_page_ahead_of_its_reader() -> None:
    source = Source(API(count=30, kind="cursor", declares=False))
    async with walking(source) as w, w.walks.paginate("/x", Cursor("after", next="next_cursor")) as listing:
        assert await anext(listing) == {"id": 0}
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(source.asked) == 2


def test_parallel_pages_take_the_time_of_their_rounds() -> None:
    async def walk(pager: Pager) -> float:
        source = Source(API(count=60, kind="offset", size=3), latency=lambda: 1.0)
        started = asyncio.get_running_loop().time()
        async with walking(source, concurrency=10) as w:
            assert await w.all("/x", pager) == items_of(60)
        return asyncio.get_running_loop().time() - started

    assert run_virtually(walk(Offset(limit=3, total="total"))) == pytest.approx(3, abs=0.1)  # 1, then 19 by tens
    assert run_virtually(walk(Offset(limit=3))) == pytest.approx(22, abs=0.1)  # 20, an empty one, one to be sure


async def test_two_readers_share_a_listing_and_lose_nothing() -> None:
    source = Source(API(count=50, kind="page", size=2), latency=lambda: 0.001)
    found: list[int] = []
    async with walking(source) as w:
        listing = w.walks.paginate("/x", PageNumber())

        async def read() -> None:
            async for item in listing:
                found.append(item["id"])
                await asyncio.sleep(0)

        await asyncio.gather(read(), read(), read())
    assert sorted(found) == [*range(50)]


async def test_for_each_takes_a_listing() -> None:
    found: list[int] = []

    async def worker(item: dict[str, int]) -> None:
        found.append(item["id"])

    async with walking(Source(API(count=20, kind="page"))) as w:
        await w.workers.for_each(w.walks.paginate("/x", PageNumber(total="total")), worker)
    assert sorted(found) == [*range(20)]


# Pages that a server cuts as it likes


async def test_the_stride_follows_what_came_where_the_server_caps_the_limit() -> None:
    for total in ("total", None):
        source = Source(API(count=20, kind="offset", size=100, cap=7))
        async with walking(source) as w:
            assert await w.all("/x", Offset(limit=100, total=total)) == items_of(20)
        assert [query["offset"] for query in source.queries][:3] == ["0", "7", "14"]


async def test_what_comes_short_is_asked_for_again_from_where_it_ended() -> None:
    def reply(request: Request) -> Response:
        start, limit = int(request.url.query["offset"]), int(request.url.query["limit"])
        most = 4 if start == 0 else 3  # a server that cuts by bytes, say
        return answer(request, {"items": items_of(20)[start : start + min(limit, most)], "total": 20})

    source = Source(reply)
    async with walking(source) as w:
        assert await w.all("/x", Offset(limit=10, total="total")) == items_of(20)
    assert {(query["offset"], query["limit"]) for query in source.queries} >= {("4", "4"), ("7", "1"), ("8", "4")}


async def test_a_short_page_in_the_middle_ends_nothing() -> None:
    pages = [[1, 2, 3], [4], [5, 6, 7], [8], []]
    async with walking(Source(in_turn(*pages))) as w:
        assert await w.all("/x", PageNumber()) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_the_end_of_a_listing_without_totals_is_looked_at_twice_only_after_a_full_page() -> None:
    for count, asked in ((0, 1), (3, 3), (4, 3), (6, 4)):
        source = Source(API(count=count, kind="page", declares=False))
        async with walking(source) as w:
            assert await w.all("/x", PageNumber()) == items_of(count)
        assert len(source.asked) == asked


async def test_no_content_is_an_empty_page() -> None:
    def reply(request: Request) -> Response:
        return answer(request, [1], 200) if request.url.query["page"] == "1" else answer(request, None, 204)

    async with walking(Source(reply)) as w:
        assert await w.all("/x", PageNumber()) == [1]


async def test_a_total_may_be_null_or_on_the_first_page_only() -> None:
    first_only = in_turn({"items": [1, 2], "total": 3}, {"items": [3]})
    unknown = in_turn({"items": [1, 2], "total": None}, {"items": [3], "total": None}, {"items": []})
    for reply in (first_only, unknown):
        async with walking(Source(reply)) as w:
            assert await w.all("/x", PageNumber(total="total"), items="items") == [1, 2, 3]


async def test_a_flag_ends_a_listing_of_numbers() -> None:
    for pager in (PageNumber(more="more"), Offset(more="more")):
        source = Source(in_turn({"items": [1], "more": True}, {"items": [2], "more": False}))
        async with walking(source) as w:
            assert await w.all("/x", pager, items="items") == [1, 2]


async def test_a_path_that_a_page_had_may_be_absent_on_the_last() -> None:
    for pager in (Cursor("t", next="meta.next"), NextURL("meta.next")):
        async with walking(Source(in_turn({"items": [1], "meta": {"next": "/2"}}, {"items": [2], "meta": {}}))) as w:
            assert await w.all("/x", pager, items="items") == [1, 2]
    async with walking(Source(in_turn({"items": [1]}))) as w:
        assert await w.all("/x", Cursor("t", next="next", absent_at_end=True), items="items") == [1]


# What does not add up


@pytest.mark.parametrize(
    ("reply", "pager", "said"),
    [
        (always([1, 2]), PageNumber(), "page 2.: it holds the same items as a page before.*page=2"),
        (always([1, 2]), Offset(limit=2), r"the same items as a page before.*offset=2, limit=2"),
        (always({"items": [1], "next": "c"}), Cursor("c", next="next"), "same items as a page before"),
        (in_turn({"items": [1], "next": "/x"}), NextURL("next"), "was asked for before: the listing runs in a circle"),
        (in_turn({"items": [1], "next": "a"}, {"items": [2], "next": "a"}), Cursor("c", next="next"), "in a circle"),
        (
            in_turn({"items": [1, 2], "n": 9}),
            NextURL("next", absent_at_end=True, total="n"),
            "ends after 2 items, of 9 that it declares",
        ),
        (in_turn({"items": [1, 2], "n": 1}), SinglePage(total="n"), "2 items have come, more than the 1"),
        (in_turn({"items": [1, 2], "n": 3}), SinglePage(total="n"), "ends after 2 items, of 3 that it declares"),
        (in_turn({"items": [], "n": 3}), PageNumber(total="n"), "ends after 0 items, of 3"),
        (in_turn({"items": [], "n": 3}), PageNumber(pages="n"), "it is empty, and n declares 3 pages"),
        (
            in_turn({"items": [1, 2], "n": 4}, {"items": [3, 4], "n": 5}),
            PageNumber(total="n"),
            "n changed from 4 to 5 while the listing was read",
        ),
        (
            in_turn({"items": [1], "n": 2}, {"items": [], "n": 2}),
            PageNumber(total="n"),
            "it is empty, in the middle of 2 declared items; 1 items came before it",
        ),
        (in_turn([1], [], [2]), PageNumber(), "it has items although the page before had none"),
        (in_turn([1], [], [2]), Offset(limit=1), "it has items although the page before had none"),
        (
            in_turn({"items": [1], "more": True, "next": None}),
            Cursor("c", next="next", more="more"),
            "more says that there is more, and next holds no token",
        ),
        (in_turn({"items": [1], "more": True}), Cursor("c", next="next", more="more"), "next holds no token"),
        (
            in_turn({"items": [1], "more": True}, {"items": [], "more": True}),
            PageNumber(more="more"),
            "more says that there is more, and the page is empty",
        ),
    ],
)
async def test_a_listing_that_does_not_add_up_is_an_error_that_says_how_to_bear_it(
    reply: Reply, pager: Pager, said: str
) -> None:
    message = await refused(reply, pager)
    assert re.search(said, message)
    assert message.endswith('Where the API is known to do so, pass drift="report"')


@pytest.mark.parametrize(
    ("body", "pager", "items", "said"),
    [
        ({"items": [1], "meta": {"a": 1}}, NextURL("meta.next"), "items", "meta has no 'next'; it has a"),
        ({"items": [1], "meta": 5}, NextURL("meta.next"), "items", "meta is a number and has no 'next'"),
        ({"items": [1]}, Cursor("c", next="next"), "items", "the body has no 'next'; it has items"),
        ({"items": [1]}, PageNumber(total="total"), "items", "the body has no 'total'; it has items"),
        ({"items": [1]}, Cursor("c", next="header:X-Next"), "items", "the answer has no header 'X-Next'"),
        (
            {"items": [1], "total": "many"},
            PageNumber(total="total"),
            "items",
            "total is a string, 'many', where a count",
        ),
        ({"items": [1], "total": -1}, PageNumber(total="total"), "items", "total is a number, -1, where a count"),
        ({"items": [1], "next": 5}, NextURL("next"), "items", "next is a number, where the URL of the next page"),
        ({"items": [1], "next": {}}, Cursor("c", next="next"), "items", "next is an object, where the token"),
        ({"items": [1], "more": "yes"}, PageNumber(more="more"), "items", "more is a string, where true or false"),
        ({"items": {"a": 1}}, PageNumber(), "items", "items is an object, where a list of items was expected"),
        (
            {"error": "gone"},
            PageNumber(),
            None,
            'no list of objects is in the body, which has error; say where with items="…"',
        ),
        ({"a": [{}], "b": [{}]}, PageNumber(), None, "any of a, b may hold the items"),
        (
            {"data": [{}]},
            None,
            None,
            "no pagination is recognised in a body with data, with 1 items and no Link header",
        ),
        ("text", PageNumber(), None, "the body is a string"),
        ({"items": [1], "next": "file:///etc/passwd"}, NextURL("next"), "items", "only http and https are followed"),
        ({"items": [1], "next": "http://[::1/"}, NextURL("next"), "items", "which is no URL"),
    ],
)
async def test_a_page_that_is_not_what_it_should_be_is_an_error_that_names_what_is_there(
    body: Any, pager: Pager | None, items: str | None, said: str
) -> None:
    message = await refused(always(body), pager, items=items)
    assert said in message
    assert message.startswith(f"GET {BASE}/x")


async def test_null_for_an_empty_list_is_borne_where_the_caller_says_so() -> None:
    assert "items is null" in await refused(always({"items": None}), PageNumber(), items="items")
    async with walking(Source(always({"items": None}))) as w:
        assert await w.all("/x", PageNumber(), items="items", drift="report") == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"errors": [{"message": "rate limited"}]}, "the answer holds errors: rate limited"),
        ({"errors": [{"message": "partly"}], "data": {"t": {"nodes": [{}]}}}, "the answer holds errors: partly"),
        ({"data": {"t": None}}, "data.t is null, where a connection was expected"),
        ({"data": {}}, "data has no 't'; it has no keys at all"),
        ({"data": {"t": {"totalCount": 1}}}, "neither a list of nodes nor one of edges"),
        ({"data": {"t": {"edges": [{"cursor": "c"}]}}}, "something without a node"),
        ({"data": {"t": {"nodes": [{}]}}}, "data.t has no 'pageInfo.hasNextPage'; it has nodes"),
        (
            {"data": {"t": {"nodes": [{}], "pageInfo": {"hasNextPage": True, "endCursor": None}}}},
            "hasNextPage says that there is more, and data.t.pageInfo.endCursor is null",
        ),
    ],
)
async def test_a_graphql_answer_that_is_no_page_is_an_error(body: Any, said: str) -> None:
    async with walking(Source(always(body))) as w:
        with pytest.raises(PaginationError) as caught:
            await w.all("/x", GraphQLCursor("data.t"), json={"query": "…"})
        assert said in str(caught.value)
        assert w.findings.loss_count == 1


async def test_the_edges_of_a_graphql_connection_are_its_nodes() -> None:
    source = Source(
        in_turn(
            {"data": {"t": {"edges": [{"node": 1}], "pageInfo": {"hasNextPage": True, "endCursor": "c"}}}},
            {"data": {"t": {"edges": [{"node": 2}], "pageInfo": {"hasNextPage": False, "endCursor": None}}}},
        )
    )
    async with walking(source) as w:
        body = {"query": "…", "variables": {"size": 1}}
        assert await w.all("/x", GraphQLCursor("data.t", variable="from"), json=body) == [1, 2]
    assert orjson.loads(source.asked[1].body or b"")["variables"] == {"size": 1, "from": "c"}  # type: ignore[arg-type]


async def test_a_listing_of_more_pages_than_allowed_is_an_error_and_not_an_end() -> None:
    for pager in (PageNumber(), PageNumber(total="total"), None):
        api = API(count=9, kind="page" if pager else "next")
        async with walking(Source(api)) as w:
            with pytest.raises(PaginationError, match="there are more pages than max_pages=2"):
                await w.all("/x", pager, max_pages=2)
            assert w.findings.loss_count == 1
        async with walking(Source(api)) as w:
            assert await w.all("/x", pager, max_pages=2, drift="report") == items_of(6)
            assert w.findings.loss_count == 0


# Where the caller says that the API lies


async def test_a_lie_that_the_caller_knows_of_is_a_finding() -> None:
    last_again = lambda request: answer(request, items_of(6)[3:] if request.url.query["page"] != "1" else items_of(3))  # noqa: E731
    async with walking(Source(last_again)) as w:
        assert await w.all("/x", PageNumber(), drift="report") == items_of(6)
    [finding] = w.findings.list()
    assert (finding.code, finding.subject, w.findings.loss_count) == ("pagination-drift", f"GET {BASE}/x", 0)
    assert "it holds the same items as a page before" in finding.message


async def test_a_total_that_grows_is_read_on_to_the_end() -> None:
    def reply(request: Request) -> Response:
        number = int(request.url.query["page"])
        return answer(request, {"items": items_of(8)[number * 2 - 2 : number * 2], "total": 4 if number == 1 else 8})

    async with walking(Source(reply)) as w:
        assert await w.all("/x", PageNumber(total="total"), items="items", drift="report") == items_of(8)
    assert [finding.code for finding in w.findings.list()] == ["pagination-drift"]


async def test_an_absurd_total_does_not_keep_a_lenient_walk_busy() -> None:
    source = Source(API(count=5, kind="page"))
    source.reply = lambda request: answer(
        request, {"data": items_of(5)[(int(request.url.query["page"]) - 1) * 3 :][:3], "total": 10**15}
    )
    async with walking(source) as w:
        assert await w.all("/x", PageNumber(total="total"), drift="report") == items_of(5)
    assert len(source.asked) < 12


# What is lost


async def test_a_page_that_is_refused_is_a_loss_even_where_it_is_caught() -> None:
    def reply(request: Request) -> Response:
        return answer(request, [1]) if request.url.query["page"] == "1" else answer(request, {"why": "no"}, 403)

    async with walking(Source(reply)) as w:
        with pytest.raises(StatusError, match="page=2 answered 403"):
            await w.all("/x", PageNumber())
        assert w.findings.loss_count == 1
    async with walking(Source(reply)) as w:
        with pytest.raises(StatusError):
            await w.all("/x", PageNumber(), optional=True)
        assert (w.findings.loss_count, [finding.code for finding in w.findings.list()]) == (
            0,
            ["optional-request-failed"],
        )


async def test_a_listing_that_fails_is_one_loss_whatever_failed() -> None:
    async with walking(Source(lambda request: Response(request, 200, content=b"<html>"))) as w:
        with pytest.raises(DecodeError):
            await w.all("/x", PageNumber())
        assert w.findings.loss_count == 1
    async with walking(Source(lambda request: answer(request, {}, 500))) as w:
        with pytest.raises(StatusError):
            await w.all("/x", PageNumber())
        assert w.findings.loss_count == 1


async def test_an_error_ends_a_listing_whose_pages_are_asked_at_once_and_is_raised_as_itself() -> None:
    api = API(count=100, kind="pages")

    def reply(request: Request) -> Response:
        return answer(request, {}, 404) if request.url.query.get("page") == "7" else api(request)

    source = Source(reply, latency=lambda: 0.001)
    async with walking(source) as w:
        listing = w.walks.paginate("/x", PageNumber(pages="pages"))
        found: list[Any] = []

        async def read() -> None:
            async for item in listing:
                found.append(item)  # noqa: PERF401 # kept where the next one fails

        with pytest.raises(StatusError, match="page=7 answered 404"):
            await read()
        assert found == items_of(len(found)), "what was given before is in order"
        with pytest.raises(StopAsyncIteration):
            await anext(listing)
    assert len(source.asked) < 15


async def test_a_listing_left_early_is_a_loss_that_says_how_to_leave_it() -> None:
    async with walking(Source(API(count=9, kind="page"))) as w:
        listing = w.walks.paginate("/x?token=abc", PageNumber())
        assert await anext(listing) == {"id": 0}
        never = w.walks.paginate("/y")
        (left, _), (unread, _) = await w.workers.aclose()
        del never
    assert left == (
        f"paginate(GET {BASE}/x?token=[redacted]) was left after 1 items; read it to its end, or close it with "
        "`async with self.paginate(...)` or `await items.aclose()` where the rest is not wanted"
    )
    assert unread == f"paginate(GET {BASE}/y) was never iterated, so nothing was asked; use `async for` or for_each"


@pytest.mark.parametrize("how", ["aclose", "async with"])
async def test_a_listing_closed_on_purpose_is_no_loss_nor_are_its_requests(how: str) -> None:
    hang = asyncio.Event()
    api = API(count=90, kind="pages")

    class Slow(Source):
        @override
        async def send(self, request: Request) -> Response:
            if request.url.query.get("page") != "1":
                await hang.wait()
            return await super().send(request)

    async with walking(Slow(api)) as w:
        listing = w.walks.paginate("/x", PageNumber(pages="pages"))
        if how == "aclose":
            assert await anext(listing) == {"id": 0}
            await listing.aclose()
            await listing.aclose()
        else:
            async with listing:
                assert await anext(listing) == {"id": 0}
        with pytest.raises(StopAsyncIteration):
            await anext(listing)
        w.findings.lose_cancelled()
        assert await w.workers.aclose() == []
    assert w.findings.loss_count == 0


async def test_a_reader_that_is_cancelled_is_cancelled_and_nothing_else() -> None:
    async with walking(Source(API(count=9, kind="page"), latency=lambda: 60.0)) as w:
        listing = w.walks.paginate("/x", PageNumber())
        with anyio.move_on_after(0.01) as scope:
            await anext(listing)
        assert scope.cancelled_caught
        await asyncio.sleep(0)
        await listing.aclose()


async def test_a_host_that_is_not_allowed_is_not_asked_for_a_page() -> None:
    source = Source(always({"items": [1], "next": "http://evil.example/x"}))
    async with walking(source, allowed_hosts=["api.example"]) as w:
        with pytest.raises(OriginError, match=r"evil\.example/x was not sent"):
            await w.all("/x", NextURL("next"))
        assert w.findings.loss_count == 1
    assert len(source.asked) == 1


async def test_another_origin_gets_no_credentials_and_no_header_of_the_caller_for_good() -> None:
    other = "http://b.example/2"
    source = Source(
        in_turn(
            {"items": [1], "next": "/1"},
            {"items": [2], "next": other},
            {"items": [3], "next": f"{BASE}/3"},
            {"items": [4], "next": None},
        )
    )
    headers = {"token": "t", "Cookie": "c=1", "Accept": "application/json"}
    async with walking(source) as w:
        assert await w.all("/x", NextURL("next"), headers=headers, auth=BearerAuth("s3cr3t")) == [1, 2, 3, 4]
    seen = [dict(request.headers) for request in source.asked]
    assert seen[0] == seen[1] == {**headers, "Authorization": "Bearer s3cr3t"}
    assert seen[2] == seen[3] == {"Accept": "application/json"}


async def test_a_body_never_goes_to_another_origin() -> None:
    source = Source(always({"items": [1], "next": "http://b.example/2"}))
    async with walking(source) as w:
        with pytest.raises(PaginationError, match=r"http://b\.example, another origin, with a body"):
            await w.all("/x", NextURL("next"), json={"q": 1})
    assert len(source.asked) == 1


async def test_a_page_refused_on_another_origin_says_that_credentials_stayed_behind() -> None:
    def reply(request: Request) -> Response:
        if request.url.host == "b.example":
            return answer(request, {}, 401)
        return answer(request, {"items": [1], "next": "http://b.example/2"})

    async with walking(Source(reply)) as w:
        with pytest.raises(StatusError) as caught:
            await w.all("/x", NextURL("next"), auth=BearerAuth("s3cr3t"))
    assert caught.value.__notes__ == [
        "the page is on another origin than the first one, so no credentials were sent along"
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pager": "page"}, "pager must be a Pager"),
        ({"drift": "ignore"}, 'drift must be "error" or "report"'),
        ({"max_pages": 0}, "max_pages must be a whole number"),
        ({"concurrency": 0}, "concurrency must be"),
        ({"auth": 5}, "auth must be"),
    ],
)
async def test_what_cannot_be_meant_is_refused_at_the_call(options: Any, said: str) -> None:
    async with walking(Source(always([]))) as w:
        with pytest.raises(ConfigurationError, match=said):
            w.walks.paginate("/x", **options)
    with pytest.raises(ConfigurationError, match="size"):
        PageNumber(size=5)
    with pytest.raises(ConfigurationError, match="place"):
        Cursor("c", next="n", place="header")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="limit"):
        Offset(limit=0)


@pytest.mark.parametrize("body", [{"data": {"a": 1}}, {"json": [1]}])
async def test_a_token_has_no_place_in_a_body_that_is_no_object(body: Any) -> None:
    async with walking(Source(always({"items": [1], "next": "c"}))) as w:
        with pytest.raises(ConfigurationError, match="give one with json="):
            await w.all("/x", Cursor("c", next="next", place="json"), **body)
        assert w.findings.loss_count == 1


async def test_a_url_that_cannot_be_asked_is_a_loss() -> None:
    async with walking(Source(always([]))) as w:
        with pytest.raises(InvalidRequestError):
            w.walks.paginate("file:///x", LinkHeader())
        assert w.findings.loss_count == 1
