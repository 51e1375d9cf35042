"""What is recognised without a pager, and what is refused because it is not."""

from typing import Any

import orjson
import pytest
from yarl import URL

from secoda_async import (
    Cursor,
    LinkHeader,
    NextURL,
    Offset,
    Page,
    PageNumber,
    Pager,
    PaginationError,
    Request,
    SinglePage,
)
from secoda_async.pagination.guess import guess_pager
from secoda_async.pagination.items import NoItemsError, guess_items
from secoda_async.pagination.page import Ask
from tests.pagination.source import BASE, Source, answer, items_of, walking

TWO = [{"id": 1}, {"id": 2}]


def page(body: Any, items: list[Any] = TWO, **headers: str) -> Page:
    response = answer(Request("GET", URL(f"{BASE}/x")), body, **headers)
    return Page(number=1, ask=Ask(), response=response, body=orjson.loads(response.content), items=items)


GOES_ON: list[tuple[dict[str, Any], Pager]] = [
    ({"next": f"{BASE}/x?page=2"}, NextURL("next")),
    ({"next": "/x?page=2", "previous": None, "count": 5}, NextURL("next", total="count")),
    ({"links": {"next": "/x?page=2"}, "meta": {"total": 9}}, NextURL("links.next", total="meta.total")),
    ({"links": {"next": {"href": "/x?page=2"}}}, NextURL("links.next")),
    ({"_links": {"next": {"href": "?page=2"}}}, NextURL("_links.next")),
    ({"@odata.nextLink": f"{BASE}/x?$skip=2", "@odata.count": 4}, NextURL("@odata.nextLink", total="@odata.count")),
    ({"paging": {"next": "https://graph.example/x?after=2", "cursors": {"after": "c"}}}, NextURL("paging.next")),
    ({"nextLink": f"{BASE}/y"}, NextURL("nextLink")),
    (
        {"next_page_url": f"{BASE}/y", "current_page": 1, "last_page": 2, "total": 3},
        NextURL("next_page_url", total="total"),
    ),
    ({"next_cursor": "c"}, Cursor("cursor", next="next_cursor")),
    ({"next_cursor": "c", "has_more": True}, Cursor("cursor", next="next_cursor", more="has_more")),
    ({"nextPageToken": "t"}, Cursor("pageToken", next="nextPageToken")),
    ({"meta": {"next_cursor": "c"}}, Cursor("cursor", next="meta.next_cursor")),
    ({"meta": {"pagination": {"next_cursor": "c"}}}, Cursor("cursor", next="meta.pagination.next_cursor")),
    ({"response_metadata": {"next_cursor": "c"}}, Cursor("cursor", next="response_metadata.next_cursor")),
    ({"paging": {"next": {"after": "7", "link": "?after=7"}}}, Cursor("after", next="paging.next.after")),
    ({"metadata": {"continue": "c"}}, Cursor("continue", next="metadata.continue")),
    ({"next_page": 2}, Cursor("page", next="next_page")),
    (
        {"object": "list", "next_cursor": "c", "has_more": True},
        Cursor("start_cursor", next="next_cursor", more="has_more"),
    ),
    ({"page": 1, "total_pages": 3}, PageNumber("page", pages="total_pages")),
    ({"total_pages": 3, "total": 6}, PageNumber("page", pages="total_pages", total="total")),
    ({"page": 1, "per_page": 2, "total": 6}, PageNumber("page", total="total")),
    ({"meta": {"current_page": 1, "last_page": 3}}, PageNumber("page", pages="meta.last_page")),
    (
        {"number": 0, "totalPages": 2, "totalElements": 3, "last": False},
        PageNumber("page", first=0, pages="totalPages", total="totalElements"),
    ),
    (
        {"page": {"number": 0, "totalPages": 2, "totalElements": 3}},
        PageNumber("page", first=0, pages="page.totalPages", total="page.totalElements"),
    ),
    ({"page": 1, "page_size": 2}, PageNumber("page")),
    ({"page": 1, "hasMore": True}, PageNumber("page", more="hasMore")),
    ({"offset": 0, "limit": 2, "total": 6}, Offset("offset", limit_param="limit", limit=2, total="total")),
    ({"offset": 0, "limit": 2, "count": 6}, Offset("offset", limit_param="limit", limit=2, total="count")),
    ({"offset": 0, "limit": 2, "count": 2}, Offset("offset", limit_param="limit", limit=2)),
    ({"startAt": 0, "maxResults": 2, "total": 3}, Offset("startAt", limit_param="maxResults", limit=2, total="total")),
]


@pytest.mark.parametrize(("body", "pager"), GOES_ON, ids=[orjson.dumps(body).decode() for body, _ in GOES_ON])
def test_a_common_shape_is_recognised_where_it_goes_on(body: dict[str, Any], pager: Pager) -> None:
    assert guess_pager(page(body), place="query") == pager


ENDS: list[dict[str, Any]] = [
    {"next": None},
    {"next": "", "previous": "/x?page=1", "count": 2},
    {"links": {"next": None, "prev": None}},
    {"next_cursor": None},
    {"next_cursor": "", "has_more": False},
    {"response_metadata": {"next_cursor": ""}},
    {"has_more": False},
    {"isLast": True},
    {"@odata.context": f"{BASE}/$metadata"},
    {"page": 1, "total_pages": 1},
    {"page": 1, "per_page": 2, "total": 2},
    {"offset": 0, "limit": 10, "total": 2},
    *({name: 2} for name in ("total", "total_count", "totalCount", "total_results", "totalElements")),
    {"meta": {"total": 2}},
]


@pytest.mark.parametrize("body", ENDS, ids=[orjson.dumps(body).decode() for body in ENDS])
def test_a_common_shape_is_recognised_where_it_ends(body: dict[str, Any]) -> None:
    first = page(body)
    pager = guess_pager(first, place="query")
    assert pager.after(first) is None or [*(pager.rest(first) or [])] == []


UNRECOGNISED: list[tuple[Any, str]] = [
    ({}, "no keys at all"),
    ([], "a body that is a list"),
    ({"tables": [], "owner": "x"}, "a body with tables, owner"),
    ({"total": 7}, "total is 7"),
    ({"has_more": True}, "has_more is True"),
    ({"has_more": True, "next_cursor": None}, "has_more is True"),
    ({"next": None, "total": 7}, "total is 7"),
    ({"next": None, "isLast": False}, "isLast is False"),
    ({"next": "eyJ0b2tlbiI6MX0"}, "a body with next"),
    ({"page": 3}, "a body with page"),
    ({"offset": 100, "limit": 100}, "offset, limit"),
    # As many as are on the page: it may be the number of those alone.
    *(({name: 2}, name) for name in ("count", "size", "length", "limit", "per_page", "resultCount")),
    ({"meta": {"count": 2}}, "meta"),
    ({"page": {"size": 2, "count": 2}}, "page"),
    ({"count": 2, "page": {}}, "count is 2"),
]


@pytest.mark.parametrize(("body", "said"), UNRECOGNISED, ids=[orjson.dumps(body).decode() for body, _ in UNRECOGNISED])
def test_what_is_not_recognised_is_an_error_that_says_what_was_seen_and_what_to_do(body: Any, said: str) -> None:
    with pytest.raises(PaginationError, match=r"Name the pager: LinkHeader\(\), .* or SinglePage\(\)") as caught:
        guess_pager(page(body), place="query")
    assert said in str(caught.value)


def test_a_link_header_is_recognised() -> None:
    assert guess_pager(page(TWO, Link='<?page=2>; rel="next"'), place="query") == LinkHeader()
    last = page(TWO, Link='<?page=1>; rel="first", <?page=1>; rel="prev"')
    assert guess_pager(last, place="query").after(last) is None
    total = page(TWO, Link='<?page=2>; rel="next"', X_Total_Count="3")
    assert guess_pager(total, place="query") == LinkHeader(total="header:X-Total-Count")
    assert guess_pager(page(TWO, X_Total_Count="2"), place="query") == SinglePage(total="header:X-Total-Count")


def test_a_token_goes_where_the_caller_put_the_rest() -> None:
    assert guess_pager(page({"next_cursor": "c"}), place="json") == Cursor("cursor", next="next_cursor", place="json")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        (TWO, ""),
        ({"data": TWO}, "data"),
        ({"data": [], "errors": []}, "data"),
        ({"data": TWO, "included": TWO}, "data"),
        ({"tables": TWO}, "tables"),
        ({"tables": [], "tags": ["a"]}, "tables"),
        ({"ids": ["a", "b"], "page": 1}, "ids"),
        ({"data": {"tables": TWO}}, "data.tables"),
        ({"_embedded": {"dashboards": TWO}, "_links": {}}, "_embedded.dashboards"),
        ({"result": {"items": TWO, "warnings": []}}, "result.items"),
    ],
)
def test_the_one_list_of_items_is_found(body: Any, path: str) -> None:
    assert guess_items(body) == path


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"tables": TWO, "views": TWO}, "any of tables, views"),
        ({"data": TWO, "items": TWO}, "any of data, items"),
        ({"tables": [], "views": []}, "any of tables, views"),
        ({"name": "x"}, "which has name"),
        ({"a": ["x"], "b": ["y"]}, "which has a, b"),
        ({}, "no keys at all"),
        ("text", "the body is a string"),
        (None, "the body is null"),
    ],
)
def test_where_the_items_are_in_doubt_the_candidates_are_named(body: Any, said: str) -> None:
    with pytest.raises(NoItemsError, match=said):
        guess_items(body)


SHAPES = ["link", "next", "cursor", "pages", "page", "offset", "more", "odata", "laravel"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 5, 6])
async def test_a_listing_of_a_common_shape_is_walked_without_a_pager(shape: str, count: int) -> None:
    everything = items_of(count)

    def reply(request: Request) -> Any:
        query = request.url.query
        assert query["kept"] == "1", "the caller's own parameters stay"
        number = int(query.get("page", query.get("cursor", query.get("pageToken", "1"))))
        start = int(query.get("offset", (number - 1) * 2))
        shown, rest = everything[start : start + 2], everything[start + 2 :]
        following = f"{BASE}/x?kept=1&page={number + 1}" if rest else None
        match shape:
            case "link":
                links = f'<{following}>; rel="next", <?page=1>; rel="first"' if following else '<?page=1>; rel="first"'
                return answer(request, shown, Link=links)
            case "next":
                return answer(request, {"results": shown, "next": following, "previous": None, "count": count})
            case "cursor":
                return answer(request, {"items": shown, "meta": {"next_cursor": str(number + 1) if rest else None}})
            case "pages":
                return answer(request, {"rows": shown, "page": number, "total_pages": -(-count // 2)})
            case "page":
                return answer(request, {"rows": shown, "meta": {"page": number, "per_page": 2, "total": count}})
            case "offset":
                return answer(request, {"data": shown, "offset": start, "limit": 2, "total": count})
            case "more":
                more = {"has_more": bool(rest), "next_cursor": str(number + 1)}
                return answer(request, {"data": shown, **more})
            case "odata":
                link = {"@odata.nextLink": following} if following else {}
                return answer(request, {"@odata.context": "$metadata", "value": shown, **link})
            case _:
                last = -(-count // 2)
                body = {"current_page": number, "last_page": last, "next_page_url": following, "total": count}
                return answer(request, {"data": shown, **body})

    async with walking(Source(reply)) as w:
        assert await w.all("/x", params={"kept": 1}) == everything
    assert w.findings.loss_count == 0
