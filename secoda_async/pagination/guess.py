"""Recognises the common kinds of pagination from the first answer.

A wrong guess of a parameter's name ends in an error, never in a short read: the same page comes twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from secoda_async.pagination.page import HEADER, Page, as_count, is_url
from secoda_async.pagination.pagers import (
    Cursor,
    LinkHeader,
    NextURL,
    Offset,
    PageNumber,
    Pager,
    Place,
    SinglePage,
    next_link,
    relations,
)
from secoda_async.pagination.paths import keys_of, kind_of

# The objects of a body in which a server may say something of its pages; the body itself is the first.
_HOUSES: Final = (
    "meta",
    "metadata",
    "_meta",
    "_metadata",
    "pagination",
    "paging",
    "page",
    "page_info",
    "pageInfo",
    "result_info",
    "response_metadata",
    "cursors",
    "links",
    "_links",
)
_NEXT_URLS: Final = (
    "next",
    "next_url",
    "nextUrl",
    "nextURL",
    "next_page_url",
    "nextPageUrl",
    "next_link",
    "nextLink",
    "next_href",
    "next_uri",
    "next_page",
    "nextPage",
    "@odata.nextLink",
)
# The token of the next page, and the parameter that takes it.
_CURSORS: Final = {
    "next_cursor": "cursor",
    "nextCursor": "cursor",
    "next_page_token": "page_token",
    "nextPageToken": "pageToken",
    "next_token": "next_token",
    "nextToken": "nextToken",
    "NextToken": "NextToken",
    "continuation_token": "continuation_token",
    "continuationToken": "continuationToken",
    "continue": "continue",
    "after": "after",
    "next_page": "page",
    "nextPage": "page",
}
_MORE: Final = ("has_more", "hasMore", "has_next", "hasNext", "has_next_page", "hasNextPage", "more")
_LAST: Final = ("is_last", "isLast", "isLastPage", "last")
_TOTALS: Final = (
    "total",
    "total_count",
    "totalCount",
    "total_items",
    "totalItems",
    "total_results",
    "totalResults",
    "total_records",
    "totalRecords",
    "total_entries",
    "total_elements",
    "totalElements",
    "@odata.count",
)
_HEADER_TOTALS: Final = ("X-Total-Count", "X-Total")
_PAGES: Final = (
    "total_pages",
    "totalPages",
    "page_count",
    "pageCount",
    "num_pages",
    "numPages",
    "last_page",
    "lastPage",
    "pages",
)
# The page's own number, and the parameter that takes one.
_NUMBERS: Final = {
    "page": "page",
    "current_page": "page",
    "currentPage": "page",
    "number": "page",
    "page_number": "page_number",
    "pageNumber": "pageNumber",
}
_SIZES: Final = ("per_page", "perPage", "page_size", "pageSize", "limit", "size")
# The page's own offset, and the parameters that may take the limit.
_OFFSETS: Final = {
    "offset": ("limit",),
    "skip": ("limit", "top", "take"),
    "start": ("limit", "rows", "count"),
    "startAt": ("maxResults",),
    "startIndex": ("itemsPerPage", "count"),
}


class _Guess(NamedTuple):
    pager: Pager
    goes_on: bool
    """Whether it names a next page; else it says that there is none."""


def guess_pager(page: Page, *, place: Place) -> Pager:
    """The pager of the listing whose first page this is. Raises PaginationError where none is recognised."""
    seen = _Seen(page)
    guesses = [*_guesses(page, seen, place)]
    for guess in guesses:
        if guess.goes_on:
            return guess.pager
    # All say that this is the last page; nothing else that is said may contradict it.
    says_more = seen.more or seen.last is False or (seen.total is not None and seen.total > seen.items)
    if guesses and not says_more:
        return guesses[0].pager
    raise page.error(_unrecognised(page, seen))


class _Seen:
    """What the first answer says of its pages, wherever it says it."""

    def __init__(self, page: Page) -> None:
        body = page.body if isinstance(page.body, Mapping) else {}
        self._houses = [("", body), *_houses(body)]
        self.page = page
        self.items = len(page.items)
        self.is_notion = body.get("object") == "list" and "next_cursor" in body
        self.more_path, self.more = self.one(_MORE, lambda value: value if isinstance(value, bool) else None)
        self.last_path, self.last = self.one(_LAST, lambda value: value if isinstance(value, bool) else None)
        self.total_path, self.total = self.one(_TOTALS, as_count)
        if self.total is None:
            for name in _HEADER_TOTALS:
                if (total := as_count(page.response.headers.get(name))) is not None:
                    self.total_path, self.total = f"{HEADER}{name}", total
        # The number of all items in some APIs, in others of those on the page.
        self.count = count = as_count(body.get("count"))
        means_all = count is not None and (count > self.items or {"next", "previous"} <= body.keys())
        if self.total is None and means_all:
            self.total_path, self.total = "count", count

    def all(self, names: Iterable[str]) -> Iterator[tuple[str, str, Any]]:
        """Path, name and value of each that is there."""
        for house, inside in self._houses:
            for name in names:
                if name in inside:
                    yield f"{house}{name}", name, inside[name]

    def one(self, names: Iterable[str], read: Any) -> tuple[str | None, Any]:
        """Path and value of the first that can be read."""
        for path, _, value in self.all(names):
            if (found := read(value)) is not None:
                return path, found
        return None, None


def _houses(body: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in _HOUSES:
        if isinstance(inside := body.get(name), Mapping):
            yield f"{prefix}{name}.", inside
            if not prefix:
                yield from _houses(inside, f"{name}.")
                if isinstance(following := inside.get("next"), Mapping):
                    yield f"{name}.next.", following


def _guesses(page: Page, seen: _Seen, place: Place) -> Iterator[_Guess]:
    # A total that the page alone already makes up is the page's own where more is to come.
    following_total = seen.total_path if seen.total is not None and seen.total > seen.items else None
    if next_link(page) is not None:
        yield _Guess(LinkHeader(total=following_total), goes_on=True)
    elif relations(page) & {"first", "last", "prev", "previous"}:
        yield _Guess(LinkHeader(total=seen.total_path), goes_on=False)
    for path, _, value in seen.all(_NEXT_URLS):
        url = value.get("href") if isinstance(value, Mapping) and "href" in value else value
        if isinstance(url, str) and is_url(url):
            yield _Guess(NextURL(path, total=following_total), goes_on=True)
        elif url is None or url == "":
            yield _Guess(NextURL(path, total=seen.total_path), goes_on=False)
    if isinstance(page.body, Mapping) and "@odata.context" in page.body:  # OData leaves the link out at the end
        yield _Guess(NextURL("@odata.nextLink", absent_at_end=True, total=seen.total_path), goes_on=False)
    for path, name, value in seen.all(_CURSORS):
        if path == "after":  # means anything where it does not stand among what is said of pages
            continue
        param = "start_cursor" if seen.is_notion else _CURSORS[name]
        if value is None or value == "" or seen.more is False:
            yield _Guess(SinglePage(total=seen.total_path), goes_on=False)
        elif isinstance(value, str | int) and not isinstance(value, bool) and not is_url(str(value)):
            yield _Guess(
                Cursor(param, next=path, more=seen.more_path, total=following_total, place=place), goes_on=True
            )
    yield from _counted(seen, place)
    if seen.more is False or seen.last is True or (seen.total is not None and seen.total == seen.items):
        yield _Guess(SinglePage(total=seen.total_path), goes_on=False)


def _counted(seen: _Seen, place: Place) -> Iterator[_Guess]:
    number_path, number = seen.one(_NUMBERS, as_count)
    pages_path, pages = seen.one(_PAGES, as_count)
    size_path, _ = seen.one(_SIZES, as_count)
    total, more = seen.total_path, seen.more_path
    if pages is not None or (number is not None and (total or more or size_path)):
        param = "page" if number_path is None else _NUMBERS[number_path.rpartition(".")[2]]
        first = 1 if number is None else number
        if seen.total is not None:
            goes_on = seen.total > seen.items
        else:
            goes_on = pages > 1 if pages is not None else seen.more is not False and seen.last is not True
        yield _Guess(
            PageNumber(param, first=first, total=total, pages=pages_path, more=more, place=place), goes_on=goes_on
        )
    for _, name, value in seen.all(_OFFSETS):
        for limit_param in _OFFSETS[name]:
            limit = as_count(next((found for _, _, found in seen.all([limit_param])), None))
            if as_count(value) == 0 and limit:
                goes_on = seen.total > seen.items if seen.total is not None else seen.more is not False
                yield _Guess(
                    Offset(name, limit_param=limit_param, limit=limit, total=total, more=more, place=place),
                    goes_on=goes_on,
                )


def _unrecognised(page: Page, seen: _Seen) -> str:
    body = page.body
    there = f"a body with {keys_of(body)}" if isinstance(body, Mapping) else f"a body that is {kind_of(body)}"
    told = ((seen.total_path, seen.total), (seen.more_path, seen.more), (seen.last_path, seen.last))
    hints = [f"{path} is {value!r}" for path, value in told if path]
    if seen.total is None and seen.count is not None:
        hints.append(f"count is {seen.count}, which may be those of this page alone")
    hint = f" ({', '.join(hints)})" if hints else ""
    link = "a Link header without rel=next" if relations(page) else "no Link header"
    return (
        f"no pagination is recognised in {there}{hint}, with {seen.items} items and {link}. "
        "Name the pager: LinkHeader(), NextURL(path), Cursor(param, next=path), "
        "PageNumber(), Offset(), GraphQLCursor(path), or SinglePage() where that is all"
    )
