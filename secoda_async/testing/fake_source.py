"""A source that a test makes up: routes with answers, in memory or on a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from secoda_async.errors import TransportError, UnroutedError
from secoda_async.network.message import Request, Response, Transport
from secoda_async.pagination.pagers import Pager
from secoda_async.testing.listing import Listing
from secoda_async.testing.route import Handler, Route, as_answer

_MOST_SHOWN: Final = 20
_FRAMING: Final = frozenset({"content-length", "content-encoding", "transfer-encoding"})
"""Headers that the server sets itself."""


class FakeSource(Transport):
    """The source of a test: what each request gets is said beforehand, by method and path.

    Usage::

        source = FakeSource()
        source.get("/jobs", json=[{"id": 1}, {"id": 2}])
        source.get("/jobs/{number}", lambda request, number: {"name": f"job {number}"})
        source.get("/owners", status=503, headers={"Retry-After": "1"}).then(json=[])
        source.listing("/tables", rows, Cursor("cursor", next="next_cursor"), size=2)
        records = await run_extract(Jobs(credentials={}, transport=source))
        assert [str(call) for call in source.calls] == [...]

    In a path ``{name}`` is one segment, and a last ``**`` any rest. ``"/jobs?state=new"`` is for requests with that
    parameter, ``"https://api.x.com/jobs"`` for that host; a pattern without one is for every host. Of several routes
    that match the one that says more counts, and of equal ones the last.

    A route is given a handler, called with the `Request` and the named segments, or the fields of an `Answer`. What a
    handler gives (it may be async) is an `Answer`, or is sent as JSON; it may raise a `TransportError` to give none.
    A request without a route raises UnroutedError, which names the routes there are.
    """

    def __init__(self) -> None:
        self.calls: list[Request] = []
        """What was asked, in order, each attempt by itself."""
        self.unrouted: list[Request] = []
        """What was asked and has no route."""
        self._routes: list[Route] = []

    def route(self, method: str, path: str, handler: Handler | None = None, **answer: Any) -> Route:
        """Say what requests of a method (``"*"``: any) get. Raises ConfigurationError for a pattern that is none."""
        made = Route(method, path, as_answer(handler, answer))
        self._routes.insert(0, made)
        self._routes.sort(key=lambda route: route.rank)  # stable: the last one first
        return made

    def get(self, path: str, handler: Handler | None = None, **answer: Any) -> Route:
        """`route` for GET: ``source.get("/jobs", json=[])``."""
        return self.route("GET", path, handler, **answer)

    def post(self, path: str, handler: Handler | None = None, **answer: Any) -> Route:
        """`route` for POST."""
        return self.route("POST", path, handler, **answer)

    def put(self, path: str, handler: Handler | None = None, **answer: Any) -> Route:
        """`route` for PUT."""
        return self.route("PUT", path, handler, **answer)

    def patch(self, path: str, handler: Handler | None = None, **answer: Any) -> Route:
        """`route` for PATCH."""
        return self.route("PATCH", path, handler, **answer)

    def delete(self, path: str, handler: Handler | None = None, **answer: Any) -> Route:
        """`route` for DELETE."""
        return self.route("DELETE", path, handler, **answer)

    def listing(self, path: str, items: Sequence[Any], pager: Pager, *, at: str = "items", size: int = 100) -> Route:
        """A listing of many pages, as the server gives it that ``pager`` is for; see `Listing`."""
        return self.route(pager.method, path, Listing(items, pager, at=at, size=size))

    def fresh(self) -> FakeSource:
        """The same routes, as if nothing had been asked. (What a handler remembers by itself, it still does.)"""
        made = FakeSource()
        made._routes = [route.fresh() for route in self._routes]
        return made

    def assert_all_asked(self) -> None:
        """Raise AssertionError where a route was never asked, or a request had none."""
        __tracebackhide__ = True
        faults = [f"{route} was never asked" for route in self._routes if not route.calls]
        faults += [f"{request} has no route" for request in self.unrouted]
        if faults:
            raise AssertionError("; ".join(faults))

    @override
    async def send(self, request: Request) -> Response:
        if request.body is not None and not isinstance(request.body, bytes):
            request = request._replace(body=b"".join([piece async for piece in request.body.open()]))
        self.calls.append(request)
        await asyncio.sleep(0)  # as on a network, other tasks have their turn
        for route in self._routes:
            if (parts := route.match(request)) is not None:
                return await route.answer(request, parts)
        self.unrouted.append(request)
        raise UnroutedError(self._unrouted(request), request=request)

    @override
    async def aclose(self) -> None:
        """Nothing is held."""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve the same on 127.0.0.1: ``async with source.serve() as url``.

        For what asks by itself, or a test of time-outs. A request without a route is answered 501, which is not
        repeated; a `TransportError` of a handler closes the connection.
        """
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _serve(self, asked: web.Request) -> web.StreamResponse:
        request = Request(asked.method, URL(str(asked.url)), asked.headers, await asked.read() or None)
        try:
            response = await self.send(request)
        except UnroutedError as error:
            return web.json_response({"error": str(error)}, status=501)
        except TransportError:
            if asked.transport is not None:
                asked.transport.close()
            return web.Response()
        headers = CIMultiDict((name, value) for name, value in response.headers.items() if name.lower() not in _FRAMING)
        return web.Response(body=response.content, status=response.status_code, headers=headers)

    def _unrouted(self, request: Request) -> str:
        routes = sorted(map(str, self._routes))
        shown = ", ".join(routes[:_MOST_SHOWN]) or "no route at all"
        more = f" and {len(routes) - _MOST_SHOWN} more" if len(routes) > _MOST_SHOWN else ""
        add = f'source.route("{request.method}", "{request.url.path}", json=…)'
        return f"{request} has no route in this FakeSource, which has {shown}{more}; add {add}"
