"""A listing of many pages, as the server that a pager expects gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
from yarl import URL

from secoda_async.errors import ConfigurationError
from secoda_async.network.message import Request
from secoda_async.pagination.page import HEADER
from secoda_async.pagination.pagers import (
    Cursor,
    GraphQLCursor,
    LinkHeader,
    NextURL,
    Offset,
    PageNumber,
    Pager,
    Place,
    SinglePage,
)
from secoda_async.pagination.paths import MissingPathError, find, with_value
from secoda_async.testing.answer import Answer

_START: Final = "start"  # of a page behind a URL


class Listing:
    """A handler that answers with the items page by page, in the way that ``pager`` asks for.

    Usage: ``source.get("/tables", Listing(rows, Cursor("cursor", next="next"), size=2))``, or `FakeSource.listing`.

    The items are at the dotted path ``at`` of a body ("": they are the body). Raises ConfigurationError for a pager of
    one's own, which needs a handler of its own, and where something else should be in a body that is a list.
    """

    def __init__(self, items: Sequence[Any], pager: Pager, *, at: str = "items", size: int = 100) -> None:
        if not isinstance(pager, Cursor | GraphQLCursor | LinkHeader | NextURL | Offset | PageNumber | SinglePage):
            raise ConfigurationError(f"there is no listing for a {type(pager).__name__}; write a handler for it")
        if size < 1:
            raise ConfigurationError(f"size must be a number of items of 1 or more, not {size!r}")
        self._items = [*items]
        self._pager = pager
        self._at = pager.connection + ".nodes" if isinstance(pager, GraphQLCursor) else at
        self._size = len(self._items) if isinstance(pager, SinglePage) else size
        self(Request(pager.method, URL("http://listing/")))  # what it cannot answer is told here

    def __call__(self, request: Request) -> Answer:
        try:
            start, size = self._asked(request)
        except ValueError as exc:
            return Answer(status=400, json={"error": f"not the number of a page: {exc}"})
        page = self._items[start : start + size]
        following = start + size if start + size < len(self._items) else None
        body: Any = page if not self._at else with_value({}, self._at, page)
        headers: dict[str, str] = {}
        for path, value in self._told(request, following, size):
            if path.startswith(HEADER):
                if value is not None:
                    headers[path.removeprefix(HEADER)] = str(value)
            elif isinstance(body, list):
                raise ConfigurationError(f'{path} cannot be in a body that is a list; give at="items"')
            else:
                body = with_value(body, path, value)
        return Answer(json=body, headers=headers)

    def _asked(self, request: Request) -> tuple[int, int]:
        """Where the page begins, and how many items it has."""
        pager = self._pager
        match pager:
            case PageNumber():
                size = int(_value(request, pager.place, pager.size_param) or self._size)
                number = int(_value(request, pager.place, pager.param) or pager.first)
                return max(0, number - pager.first) * size, size
            case Offset():
                limit = int(_value(request, pager.place, pager.limit_param) or self._size)
                return int(_value(request, pager.place, pager.param) or 0), limit
            case Cursor():
                return int(_value(request, pager.place, pager.param) or 0), self._size
            case GraphQLCursor():
                return int(_value(request, "json", f"variables.{pager.variable}") or 0), self._size
            case _:
                return int(request.url.query.get(_START, 0)), self._size

    def _told(self, request: Request, following: int | None, size: int) -> list[tuple[str, Any]]:
        """What a page says besides its items, by path."""
        pager = self._pager
        told: list[tuple[str, Any]] = [] if pager.total is None else [(pager.total, len(self._items))]
        match pager:
            case PageNumber():
                if pager.pages is not None:
                    told.append((pager.pages, -(-len(self._items) // size)))
                if pager.more is not None:
                    told.append((pager.more, following is not None))
            case Offset():
                if pager.more is not None:
                    told.append((pager.more, following is not None))
            case Cursor():
                told.append((pager.next, None if following is None else str(following)))
                if pager.more is not None:
                    told.append((pager.more, following is not None))
            case GraphQLCursor():
                info = {
                    "hasNextPage": following is not None,
                    "endCursor": None if following is None else str(following),
                }
                told.append((f"{pager.connection}.pageInfo", info))
            case NextURL():
                told.append((pager.path, None if following is None else _url(request, following)))
            case LinkHeader() if following is not None:
                told.append((f"{HEADER}Link", f'<{_url(request, following)}>; rel="next"'))
        return told


def _url(request: Request, start: int) -> str:
    return str(request.url.update_query({_START: str(start)}))


def _value(request: Request, place: Place, name: str | None) -> Any:
    """The value of a parameter; None where there is none."""
    if name is None:
        return None
    if place == "query":
        return request.url.query.get(name)
    try:
        return find(orjson.loads(request.body), name) if isinstance(request.body, bytes) else None
    except (orjson.JSONDecodeError, MissingPathError):
        return None
