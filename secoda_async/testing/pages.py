"""Finds the pages of listings among what was asked, and makes others of them, as a server in trouble would."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from yarl import URL

from secoda_async.network.message import Response
from secoda_async.pagination.items import NoItemsError, guess_items
from secoda_async.pagination.paths import MissingPathError, find, with_value
from secoda_async.testing.exchanges import Exchange, Key, with_content

PAGE_FAULTS: Final = ("a repeated page", "a missing page", "a short page", "an empty page", "a page without its items")
_REPEATED, _MISSING, _SHORT, _EMPTY, _ITEMLESS = PAGE_FAULTS
# Names of parameters and fields, in lower case and without what joins their words.
_PARAMS: Final = re.compile(
    "p|page(number|index|token|cursor|after)?|offset|skip|start(at|after|index|ingafter|token)?|after(key)?"
    "|(next)?cursor|(next|continuation)?token|continue|scrollid"
)
"""What chooses a page."""
_DATE: Final = re.compile(r"\d{4}-\d\d")
"""How what chooses a span of time begins: the next one is no page of the same listing."""
_TOTALS: Final = re.compile("x?total(count|items|results|records|entries|elements)?|odatacount")
"""What tells how many items there are in all."""
_MORE: Final = re.compile(
    "has(more|next|nextpage)|more|next(url|page|pageurl|link|href|uri|cursor|token|pagetoken)?|odatanextlink|after"
    "|endcursor|continue|continuationtoken|(num|total)?pages|pagecount"
)
"""What tells that there is more."""


class Swap(NamedTuple):
    """Pages of a server in trouble: what that is called, at which page, and the answers that differ from the usual."""

    name: str
    page: Exchange
    answers: Mapping[Key, Response]


def swaps(exchanges: Sequence[Exchange], page_params: Collection[str] = ()) -> Iterator[Swap]:
    """Every trouble with pages that a client can notice, from what was answered without any.

    ``page_params`` are parameters that choose a page, besides those whose name tells.
    """
    for pages in _listings(exchanges, frozenset(map(_plain, page_params))):
        for number in range(1, len(pages)):
            yield from _troubles(pages, number)


def _troubles(pages: list[Exchange], number: int) -> Iterator[Swap]:
    page, before = pages[number], pages[number - 1]
    if page.response.content != before.response.content:
        yield Swap(_REPEATED, page, {Key.of(page.request): before.response})
    lost = Response(page.request, 404)
    yield Swap(_MISSING, page, {Key.of(page.request): lost})
    # The page before is the one that lacks something: more pages follow it.
    path = _items(before.response)
    if path is None or _items(page.response) != path:
        return
    items, following = _at(before.response, path), _at(page.response, path)
    if len(items) > 1:
        half = len(items) // 2
        yield Swap(_SHORT, before, _split(before, page, path, items[:half], items[half:] + following))
    if items and following and (_tells(before.response, path, _MORE) or _tells(before.response, path, _TOTALS)):
        yield Swap(_EMPTY, before, _split(before, page, path, [], items + following))
    if items and following and _tells(before.response, path, _TOTALS):
        emptied = {Key.of(before.request): _with_items(before.response, path, [])}
        yield Swap(_ITEMLESS, before, emptied)


def _split(before: Exchange, page: Exchange, path: str, first: list[Any], second: list[Any]) -> dict[Key, Response]:
    return {
        Key.of(before.request): _with_items(before.response, path, first),
        Key.of(page.request): _with_items(page.response, path, second),
    }


def _listings(exchanges: Sequence[Exchange], params: Collection[str]) -> list[list[Exchange]]:
    """What was asked, by what differs in no more than the page; each page once, in the order in which it was asked."""
    found: dict[object, dict[Key, Exchange]] = {}
    ended: set[object] = set()
    for exchange in exchanges:
        request = exchange.request
        without = _without_page(request.url, request.body if isinstance(request.body, bytes) else b"", params)
        listing = (request.method, *without)
        if exchange.response.status_code == 200:
            found.setdefault(listing, {})[Key.of(request)] = exchange
        else:
            ended.add(listing)  # so a status may be how it says that there is no more
    return [[*pages.values()] for listing, pages in found.items() if len(pages) > 1 and listing not in ended]


def _without_page(url: URL, body: bytes, params: Collection[str]) -> tuple[str, bytes]:
    query = [(name, value) for name, value in url.query.items() if not _chooses(name, value, params)]
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        given = None
    if isinstance(given, dict):
        body = orjson.dumps(_pruned(given, params), option=orjson.OPT_SORT_KEYS)
    return str(url.with_query(sorted(query))), body


def _pruned(value: Any, params: Collection[str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _pruned(inner, params) for name, inner in value.items() if not _chooses(name, inner, params)}


def _chooses(name: str, value: object, params: Collection[str]) -> bool:
    plain = _plain(name)
    is_date = isinstance(value, str) and _DATE.match(value)
    return plain in params or (not is_date and _PARAMS.fullmatch(plain) is not None)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def _items(response: Response) -> str | None:
    """The path of the items; None: it is not clear. In a GraphQL connection they lie beside ``pageInfo``."""
    try:
        body = orjson.loads(response.content)
        return _connection(body) or guess_items(body)
    except (orjson.JSONDecodeError, NoItemsError):
        return None


def _connection(body: Any, at: str = "") -> str | None:
    if not isinstance(body, dict):
        return None
    for name in ("nodes", "edges"):
        if "pageInfo" in body and isinstance(body.get(name), list):
            return f"{at}{name}"
    found = [path for name, inner in body.items() if (path := _connection(inner, f"{at}{name}."))]
    return found[0] if len(found) == 1 else None


def _at(response: Response, path: str) -> list[Any]:
    body = orjson.loads(response.content)
    try:
        found = find(body, path) if path else body
    except MissingPathError:
        return []
    return found if isinstance(found, list) else []


def _with_items(response: Response, path: str, items: list[Any]) -> Response:
    body = orjson.loads(response.content)
    return with_content(response, orjson.dumps(with_value(body, path, items) if path else items))


def _tells(response: Response, path: str, names: re.Pattern[str]) -> bool:
    """Whether the answer says, besides its items, how much there is or that there is more."""
    if any(names.fullmatch(_plain(name)) for name in response.headers):
        return True
    if names is _MORE and "next" in response.links:
        return True
    body = orjson.loads(response.content)
    return isinstance(body, dict) and _says(with_value(body, path, []), names)


def _says(value: Any, names: re.Pattern[str]) -> bool:
    if not isinstance(value, dict):
        return False
    return any(
        _says(inner, names) if isinstance(inner, dict) else bool(inner) and names.fullmatch(_plain(name)) is not None
        for name, inner in value.items()
    )
