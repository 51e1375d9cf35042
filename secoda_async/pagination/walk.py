"""Walks a listing: asks for its pages, one after another or many at once, and gives their items in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal, Protocol, Self

from anyio.abc import TaskGroup
from typing_extensions import Unpack, override

from secoda_async.errors import ConfigurationError
from secoda_async.findings import Findings
from secoda_async.network.asked import last_asked
from secoda_async.network.client import BodyOptions
from secoda_async.network.message import Request, Response, status_error
from secoda_async.network.origin import Origin
from secoda_async.pagination.drift import Audit
from secoda_async.pagination.guess import guess_pager
from secoda_async.pagination.in_order import in_order
from secoda_async.pagination.items import NoItemsError, guess_items
from secoda_async.pagination.page import Ask, Page
from secoda_async.pagination.pagers import Pager
from secoda_async.pagination.paths import kind_of
from secoda_async.progress import Loop, Place, current_tally
from secoda_async.redact import Redactor
from secoda_async.workers import Results, Workers

Drift = Literal["error", "report"]
_DRIFT: Final = "pagination-drift"
_NO_CONTENT: Final = 204


class Door(Protocol):
    """What a walk needs of the client."""

    def prepare(self, method: str, url: str, options: BodyOptions) -> Request:
        """The request that a call means. Raises RequestError or ConfigurationError."""

    def send(self, request: Request, *, optional: bool) -> Awaitable[Response]:
        """The answer to a request. Raises RequestError."""

    def lose(self, error: Exception, *, optional: bool) -> None:
        """Count what an error costs that the client does not know of."""


class Walks:
    """The listings of one run. Usage: ``async for table in walks.paginate("/tables"): ...``."""

    def __init__(
        self, workers: Workers, door: Door, findings: Findings, redact: Redactor, *, first_page_only: bool = False
    ) -> None:
        self._first_page_only = first_page_only
        self._workers = workers
        self._door = door
        self._findings = findings
        self._redact = redact

    def paginate(
        self,
        url: str,
        pager: Pager | None = None,
        *,
        items: str | None = None,
        method: str | None = None,
        drift: Drift = "error",
        max_pages: int | None = None,
        concurrency: int | None = None,
        **options: Unpack[BodyOptions],
    ) -> Walk:
        """The items of every page."""
        if pager is not None and not isinstance(pager, Pager):
            raise ConfigurationError(f"pager must be a Pager, such as PageNumber(), or None, not {pager!r}")
        if drift not in ("error", "report"):
            raise ConfigurationError(f'drift must be "error" or "report", not {drift!r}')
        if max_pages is not None and (not isinstance(max_pages, int) or max_pages < 1):
            raise ConfigurationError(f"max_pages must be a whole number of 1 or more, or None, not {max_pages!r}")
        has_body = options.get("json") is not None or options.get("data") is not None
        if method is None:
            method = "POST" if has_body else "GET" if pager is None else pager.method
        request = self._door.prepare(method, url, options)
        walk = Walk(
            self._workers.group,
            request._replace(options=request.options._replace(idempotent=True)),
            pager,
            items,
            door=self._door,
            report=partial(self._report, self._redact(str(request))) if drift == "report" else None,
            describe=self._redact,
            optional=options.get("optional", False),
            max_pages=max_pages,
            ahead=self._workers.crew(concurrency).least,
            first_page_only=self._first_page_only,
        )
        return self._workers.keep(walk)

    def _report(self, listing: str, message: str) -> None:
        self._findings.find(_DRIFT, listing, self._redact(message))


class Walk(Results[Page]):
    """The items of a listing, in its order: ``async for table in self.paginate("/tables"): ...``.

    Pages are asked at most ``concurrency`` ahead of their reader where the first answer tells how many there are, else
    one page ahead. To leave early, say so: ``async with self.paginate(...) as tables: ...`` or ``await
    tables.aclose()``. A listing that is left without it, or never iterated, is a loss of the run.
    """

    def __init__(
        self,
        group: TaskGroup,
        request: Request,
        pager: Pager | None,
        items: str | None,
        *,
        door: Door,
        report: Callable[[str], None] | None,
        describe: Callable[[str], str],
        optional: bool,
        max_pages: int | None,
        ahead: int,
        first_page_only: bool,
    ) -> None:
        super().__init__(group, ahead=0)
        self._first_page_only = first_page_only
        self._request = request
        self._pager = pager
        self._path = items
        self._door = door
        self._report = report
        self._describe = describe
        self._optional = optional
        self._max_pages = max_pages
        self._ahead = ahead
        self._audit = Audit()
        # Listings of one kind, whatever the ids in their paths: /tables/1/columns and /tables/2/columns.
        self._place = f"paginate {request.url.raw_path.count('/')} {items} {type(pager).__name__}"
        self._loop = Loop(Place(), self._expected_pages)
        self._outer = current_tally.get()  # where the listing was made, whoever reads it
        self._counted: list[Exception] = []
        self._items: deque[Any] = deque()
        self._last: Request | None = None
        self._yielded = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._items:  # kept here, so that two readers at once lose nothing
            page = await self.receive()
            self._items.extend(page.items)
            self._last = page.response.request
        self._yielded += 1
        last_asked.set(self._last)
        return self._items.popleft()

    @override
    def stop(self) -> None:
        super().stop()
        self._items.clear()

    @override
    def describe(self) -> str:
        call = f"paginate({self._describe(str(self._request))})"
        if not self.started:
            return f"{call} was never iterated, so nothing was asked; use `async for` or for_each"
        return (
            f"{call} was left after {self._yielded} items; read it to its end, or close it with "
            "`async with self.paginate(...)` or `await items.aclose()` where the rest is not wanted"
        )

    @property
    @override
    def expected(self) -> int | None:
        return self._audit.total

    @override
    async def _produce(self) -> None:
        current_tally.set(None)  # a page is a request, which is counted here
        if self._outer is not None:
            self._loop = self._outer.begin(self._place, self._expected_pages)
        try:
            await self._walk()
        except Exception as error:
            # Whatever it is, a pager of the user's own included: the listing was not read to its end.
            if not any(error is counted for counted in self._counted):
                self._door.lose(error, optional=self._optional)
            raise
        finally:
            self._loop.end()

    def _expected_pages(self) -> int | None:
        total, size = self._audit.total, self._audit.largest
        return None if total is None or not size else math.ceil(total / size)

    async def _walk(self) -> None:
        pager = self._pager
        page = await self._get(Ask() if pager is None else pager.start(), 1)
        if pager is None:
            pager = guess_pager(page, place="json" if self._request.method == "POST" else "query")
            page = replace(page, ask=pager.start())
        audit = self._audit
        audit.total_path = pager.total
        audit.is_new_request(_key(page.response.request))
        await self._take(page)
        if self._first_page_only:
            return
        if (rest := pager.rest(page)) is not None:
            page = await self._walk_many(pager, page, rest)
            if self._report is None or not audit.is_short:
                audit.end(page)
                return
        audit.end(await self._walk_on(pager, page))

    async def _walk_on(self, pager: Pager, page: Page) -> Page:
        """One page after another, each as the page before says. The last page."""
        while (ask := pager.after(page)) is not None:
            request = self._follow(ask, page)
            if not self._audit.is_new_request(_key(request)):
                page.drift(f"its next page, {request}, was asked for before: the listing runs in a circle")
                break
            if not self._may_ask(page, page.number + 1):
                break
            page = await self._get(ask, page.number + 1, request)
            if not await self._take(page):
                break
        return page

    async def _walk_many(self, pager: Pager, first: Page, rest: Iterator[Ask]) -> Page:
        """The pages that the first one tells of, many at a time. The last page."""
        last = first

        def asks() -> Iterator[tuple[int, Ask]]:
            for number, ask in enumerate(rest, start=2):
                if not self._may_ask(first, number):
                    return
                yield number, ask

        async def fetch(numbered: tuple[int, Ask]) -> list[Page]:
            number, ask = numbered
            pages = [await self._get(ask, number)]
            while (more := pager.missing(pages[-1])) is not None:
                pages.append(await self._get(more, number))
            return pages

        async def deliver(pages: list[Page]) -> bool:
            nonlocal last
            for page in pages:
                was_empty = not last.items
                last = replace(page, before=self._audit.before, largest=self._audit.largest)
                await self._take(last, planned=True)
                if was_empty and not page.items:
                    return False
            return True

        await in_order(asks(), fetch, deliver, ahead=self._ahead)
        return last

    def _follow(self, ask: Ask, page: Page) -> Request:
        try:
            return ask.of(self._request, page.response.request)
        except ValueError as exc:
            raise page.error(f"its next page is at {exc}") from None

    def _may_ask(self, page: Page, number: int) -> bool:
        if self._max_pages is None or number <= self._max_pages:
            return True
        page.drift(f"there are more pages than max_pages={self._max_pages}")
        return False

    async def _get(self, ask: Ask, number: int, request: Request | None = None) -> Page:
        if request is None:
            request = ask.of(self._request, self._request)
        response, body = await self._exchange(request)
        page = Page(
            number=number,
            ask=ask,
            response=response,
            body=body,
            items=(),
            before=self._audit.before,
            largest=self._audit.largest,
            report=self._report,
        )
        return page if page.body is None and not response.content else replace(page, items=self._items_of(page))

    async def _exchange(self, request: Request) -> tuple[Response, Any]:
        """The answer and its body. Raises StatusError where it is not 2xx."""
        try:
            response = await self._door.send(request, optional=self._optional)
            if response.is_success:
                return response, None if response.status_code == _NO_CONTENT else response.json()
        except Exception as error:
            self._counted.append(error)  # by the client
            raise
        refused = status_error(response)
        if Origin.of(response.request.url) != Origin.of(self._request.url):
            refused.add_note("the page is on another origin than the first one, so no credentials were sent along")
        raise refused

    def _items_of(self, page: Page) -> list[Any]:
        if self._path is None:
            if self._pager is not None and (items := self._pager.items(page)) is not None:
                return items
            try:
                self._path = guess_items(page.body)
            except NoItemsError as exc:
                raise page.error(str(exc)) from None
        value = page.find(self._path) if self._path else page.body
        if value is None:
            page.drift(f"{self._path or 'the body'} is null, where a list of items was expected")
            return []
        if not isinstance(value, list):
            raise page.error(f"{self._path or 'the body'} is {kind_of(value)}, where a list of items was expected")
        return value

    async def _take(self, page: Page, *, planned: bool = False) -> bool:
        """Check a page in its turn, and hand its items on. Whether they are new."""
        is_new = self._audit.take(page, planned=planned)
        url = page.response.request.url
        self._loop.end_page((url.raw_host, url.port))
        if is_new and page.items:
            await self._hand_on(page)
        return is_new


def _key(request: Request) -> tuple[str, object]:
    return str(request.url), request.body
