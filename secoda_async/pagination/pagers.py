"""How a listing goes on: given one page, what to ask for the next. Pure; the walk does the asking."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from typing_extensions import override

from secoda_async.errors import ConfigurationError
from secoda_async.pagination.page import Ask, Page, ask
from secoda_async.pagination.paths import kind_of

Place = Literal["query", "json"]


class Pager(abc.ABC):
    """A kind of pagination. Subclass it for one that is not here: ``after`` is all that must be written.

    A pager holds no state of a walk, so one may serve many walks at once.
    """

    method: ClassVar[str] = "GET"
    """Of a listing whose call gives no body and no method."""
    total: str | None = None
    """Path of the number of items in all, which is what must come; None: not declared."""

    def start(self) -> Ask:
        """What to ask for the first page."""
        return Ask()

    @abc.abstractmethod
    def after(self, page: Page) -> Ask | None:
        """What to ask after a page; None: it was the last. Raises PaginationError, see `Page`."""

    def rest(self, page: Page) -> Iterator[Ask] | None:
        """What to ask after the first page, where it tells all that follows; those are asked at once."""
        return None

    def missing(self, page: Page) -> Ask | None:
        """What to ask where a page that `rest` named came short."""
        return None

    def items(self, page: Page) -> list[Any] | None:
        """The items of a page where the kind of pagination says where they are."""
        return None


@dataclass(frozen=True, slots=True)
class SinglePage(Pager):
    """The first page is all there is: ``self.paginate(url, SinglePage())``."""

    _: KW_ONLY
    total: str | None = None
    """Path of the number of items in all, which must have come."""

    @override
    def after(self, page: Page) -> Ask | None:
        return None


@dataclass(frozen=True, slots=True)
class LinkHeader(Pager):
    """The ``Link`` header names the next page (RFC 8288); a page without ``rel="next"`` is the last.

    Usage: ``self.paginate("/repos", LinkHeader())``.
    """

    _: KW_ONLY
    total: str | None = None
    """Path of the number of items in all, which must have come."""

    @override
    def after(self, page: Page) -> Ask | None:
        url = next_link(page)
        return None if url is None else Ask(url=url)


def next_link(page: Page) -> str | None:
    """The target of ``rel="next"``, which may be one of several relations of a link."""
    for link in page.response.links.values():
        if "next" in link.get("rel", "").lower().split():
            return link["url"]
    return None


def relations(page: Page) -> set[str]:
    """Every relation that the ``Link`` header names."""
    return {name for link in page.response.links.values() for name in link.get("rel", "").lower().split()}


@dataclass(frozen=True, slots=True)
class NextURL(Pager):
    """The body holds the URL of the next page; null or an empty text is the end.

    Usage: ``self.paginate("/tables", NextURL("links.next"))``. An absent path is an error, unless a page before had it
    or ``absent_at_end`` says that the API leaves it out on the last page.
    """

    path: str
    """Where the URL is, or an object whose ``href`` it is."""
    _: KW_ONLY
    absent_at_end: bool = False
    """Whether the path is absent on the last page, which then may be the first."""
    total: str | None = None
    """Path of the number of items in all, which must have come."""

    @override
    def after(self, page: Page) -> Ask | None:
        if _is_left_out(page, self.path, absent_at_end=self.absent_at_end):
            return None
        value = page.find(self.path)
        if isinstance(value, dict):
            value = value.get("href")
        if value is None or value in ("", False):
            return None
        if not isinstance(value, str):
            raise page.error(f"{self.path} is {kind_of(value)}, where the URL of the next page was expected")
        return Ask(url=value)


@dataclass(frozen=True, slots=True)
class Cursor(Pager):
    """The answer holds a token that asks for the next page; null or an empty text is the end.

    Usage: ``self.paginate("/tables", Cursor("cursor", next="meta.next_cursor"))``. An absent path is an error, unless a
    page before had it or ``absent_at_end`` says that the API leaves it out on the last page.
    """

    param: str
    """The parameter that takes the token; with ``place="json"`` its dotted path in the body."""
    _: KW_ONLY
    next: str
    """Where the token is: a dotted path of the body, or ``header:NAME``."""
    more: str | None = None
    """Path that says whether there is more; the token is read only where it is true."""
    absent_at_end: bool = False
    """Whether the token's path is absent on the last page, which then may be the first."""
    total: str | None = None
    """Path of the number of items in all, which must have come."""
    place: Place = "query"
    """Where the token goes."""

    def __post_init__(self) -> None:
        _require_place(self.place)

    @override
    def after(self, page: Page) -> Ask | None:
        if self.more is not None:
            if not page.flag(self.more):
                return None
        elif _is_left_out(page, self.next, absent_at_end=self.absent_at_end):
            return None
        token = page.find(self.next) if self.more is None or page.has(self.next) else None
        if isinstance(token, list | dict) or token is True:
            raise page.error(f"{self.next} is {kind_of(token)}, where the token of the next page was expected")
        if token is None or token in ("", False):
            if self.more is not None:
                page.drift(f"{self.more} says that there is more, and {self.next} holds no token to ask for it")
            return None
        return ask(self.place, {self.param: token})


@dataclass(frozen=True, slots=True)
class PageNumber(Pager):
    """Pages are numbered: ``self.paginate("/tables", PageNumber(total="meta.total"))``.

    Where the first answer tells ``pages`` or ``total``, the rest is asked at once, ``concurrency`` pages at a time.
    Else pages are asked one by one, until one is empty. (A short page is no end: a server may cap what was asked for,
    or leave out what the caller may not see.)
    """

    param: str = "page"
    """The parameter that takes the number; with ``place="json"`` its dotted path in the body."""
    _: KW_ONLY
    first: int = 1
    """Number of the first page."""
    size_param: str | None = None
    """The parameter that takes the size of a page."""
    size: int | None = None
    """Items on a page to ask for; None: what the server gives."""
    total: str | None = None
    """Path of the number of items in all."""
    pages: str | None = None
    """Path of the number of pages in all."""
    more: str | None = None
    """Path that says whether there is more."""
    place: Place = "query"
    """Where the parameters go."""

    def __post_init__(self) -> None:
        _require_place(self.place)
        if (self.size is None) is not (self.size_param is None):
            raise ConfigurationError("PageNumber: give size and size_param together, or neither")
        _require_count("PageNumber: size", self.size, least=1)
        _require_count("PageNumber: first", self.first, least=0)

    @override
    def start(self) -> Ask:
        return self._ask(self.first)

    @override
    def after(self, page: Page) -> Ask | None:
        following = self._ask(page.ask.at + 1)
        if self.more is not None:
            return following if _has_more(page, self.more) else None
        return following if _may_go_on(page) else None

    @override
    def rest(self, page: Page) -> Iterator[Ask] | None:
        pages = None if self.pages is None else page.count(self.pages)
        if pages is None:
            total = None if self.total is None else page.count(self.total)
            if total is None:
                return None
            # By what came, since a server may give fewer than it was asked for.
            pages = math.ceil(total / len(page.items)) if page.items else 0
            return (self._ask(self.first + n) for n in range(1, pages))
        if pages > 1 and not page.items:
            page.drift(f"it is empty, and {self.pages} declares {pages} pages")
        return (self._ask(self.first + n, expected=n < pages - 1) for n in range(1, pages))

    def _ask(self, number: int, *, expected: int = 0) -> Ask:
        values = {self.param: number}
        if self.size_param is not None and self.size is not None:
            values[self.size_param] = self.size
        return ask(self.place, values, at=number, expected=expected)


@dataclass(frozen=True, slots=True)
class Offset(Pager):
    """Pages are cut by offset and limit: ``self.paginate("/tables", Offset(limit=100, total="total"))``.

    Where the first answer tells ``total``, the rest is asked at once, ``concurrency`` pages at a time, and what comes
    short is asked for again from where it ended. Else pages are asked one by one, until one is empty. The offset
    moves by what came, so a server that caps the limit loses nothing.
    """

    param: str = "offset"
    """The parameter that takes the offset; with ``place="json"`` its dotted path in the body."""
    _: KW_ONLY
    limit_param: str | None = "limit"
    """The parameter that takes the limit; None: the server knows none."""
    limit: int = 100
    """Items on a page to ask for."""
    total: str | None = None
    """Path of the number of items in all."""
    more: str | None = None
    """Path that says whether there is more."""
    place: Place = "query"
    """Where the parameters go."""

    def __post_init__(self) -> None:
        _require_place(self.place)
        _require_count("Offset: limit", self.limit, least=1)

    @override
    def start(self) -> Ask:
        return self._ask(0, self.limit)

    @override
    def after(self, page: Page) -> Ask | None:
        came = len(page.items)
        # Past an empty page only one more look is taken, where a full one would begin.
        following = self._ask(page.ask.at + (came or page.before), self.limit)
        if self.more is not None:
            return following if _has_more(page, self.more) else None
        return following if _may_go_on(page) else None

    @override
    def rest(self, page: Page) -> Iterator[Ask] | None:
        total = None if self.total is None else page.count(self.total)
        if total is None:
            return None
        stride = len(page.items)
        if not stride:
            return iter(())
        return (
            self._ask(offset, stride, expected=min(stride, total - offset)) for offset in range(stride, total, stride)
        )

    @override
    def missing(self, page: Page) -> Ask | None:
        came, left = len(page.items), page.ask.expected - len(page.items)
        return self._ask(page.ask.at + came, left, expected=left) if came and left > 0 else None

    def _ask(self, offset: int, limit: int, *, expected: int = 0) -> Ask:
        values = {self.param: offset}
        if self.limit_param is not None:
            values[self.limit_param] = limit
        return ask(self.place, values, at=offset, expected=expected)


@dataclass(frozen=True, slots=True)
class GraphQLCursor(Pager):
    """A GraphQL connection (``nodes`` or ``edges``, and ``pageInfo { hasNextPage endCursor }``).

    Usage: ``self.paginate("/graphql", GraphQLCursor("data.tables"), json={"query": QUERY})``, where the query takes
    ``$after: String`` and gives it to the connection. An answer with ``errors`` is an error, whatever its status.
    """

    method: ClassVar[str] = "POST"

    connection: str
    """Path of the connection, from the body's root on."""
    _: KW_ONLY
    variable: str = "after"
    """The variable of the query that takes the cursor."""
    total: str | None = None
    """Path of the number of items in all, which must have come."""

    @override
    def after(self, page: Page) -> Ask | None:
        if not page.flag(f"{self.connection}.pageInfo.hasNextPage"):
            return None
        path = f"{self.connection}.pageInfo.endCursor"
        cursor = page.find(path)
        if not isinstance(cursor, str) or not cursor:
            page.drift(f"hasNextPage says that there is more, and {path} is {kind_of(cursor)}")
            return None
        return Ask(json={f"variables.{self.variable}": cursor})

    @override
    def items(self, page: Page) -> list[Any] | None:
        errors = page.body.get("errors") if isinstance(page.body, dict) else None
        if errors:
            first = errors[0] if isinstance(errors, list) else errors
            said = first.get("message") if isinstance(first, dict) else first
            raise page.error(f"the answer holds errors: {said!s:.300}")
        connection = page.find(self.connection)
        if not isinstance(connection, dict):
            raise page.error(f"{self.connection} is {kind_of(connection)}, where a connection was expected")
        if isinstance(nodes := connection.get("nodes"), list):
            return nodes
        if not isinstance(edges := connection.get("edges"), list):
            raise page.error(f"{self.connection} has neither a list of nodes nor one of edges; ask for either")
        if not all(isinstance(edge, dict) and "node" in edge for edge in edges):
            raise page.error(
                f"{self.connection}.edges holds something without a node; ask for edges {{ node {{ … }} }}"
            )
        return [edge["node"] for edge in edges]


def _is_left_out(page: Page, path: str, *, absent_at_end: bool) -> bool:
    # From the second page on the path was there before, so it is spelt right, and its absence means the end.
    return (absent_at_end or page.number > 1) and not page.has(path)


def _has_more(page: Page, path: str) -> bool:
    more = page.flag(path)
    if more and not page.items:
        page.drift(f"{path} says that there is more, and the page is empty")
        return page.before > 0
    return more


def _may_go_on(page: Page) -> bool:
    """Whether a page that says nothing of its end may be followed by another."""
    if page.items:
        if page.number > 1 and not page.before:
            page.drift("it has items although the page before had none")
        return True
    # After a page as full as any, an empty one may as well be a gap; one more look tells.
    return page.before > 0 and page.before >= page.largest


def _require_place(place: str) -> None:
    if place not in ("query", "json"):
        raise ConfigurationError(f'place must be "query" or "json", not {place!r}')


def _require_count(name: str, value: int | None, *, least: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise ConfigurationError(f"{name} must be a whole number of {least} or more, not {value!r}")
