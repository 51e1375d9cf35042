"""A Secoda workspace for tests and demonstrations: a real HTTP server that behaves as the platform is documented to.

What it keeps to is said by ``DOCUMENTED``, and what it had to guess by ``GUESSED``.
"""

from __future__ import annotations

import hmac
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any, Final, Self

import orjson
from aiohttp import BodyPartReader, hdrs, web
from yarl import URL

from secoda_async.testing.catalog import Catalog, Sync
from secoda_async.testing.import_check import CheckedFile, LineageFile, RejectedLineError, ResourcesFile

CALLS_PER_MINUTE: Final = 30
CATALOG_CAP: Final = 10_000
_WINDOW: Final = 60.0
_PIECE: Final = 2**18
_MAX_PAGE: Final = 1000
_LONGEST_ADDRESS: Final = 2**21  # bytes, as browsers take it: ids and queries of any usual length stand in one
_PREFIXES: Final = ("", "/api", "/api/v1")
_FILTERS: Final = {"integration_id": "integration", "type": "entity_type", "parent_id": "parent_databuilder_id"}
_WRITING: Final = frozenset({hdrs.METH_PUT, hdrs.METH_PATCH, hdrs.METH_POST})

DOCUMENTED: Final = (
    "bearer authentication",
    "paths with and without /api/v1",
    "creating and listing custom integrations",
    "the two-file JSONL import: one request is one sync",
    "automatic staling: what a sync leaves out is removed, unless the workspace has it disabled",
    "empty values do not overwrite what is held",
    "30 calls a minute on PUT, PATCH and POST, then 429",
    "a redirect for a POST without its trailing slash",
    "the resource catalog with its filter, its pages and its cap of 10,000",
)
GUESSED: Final = (
    "the body of an error, and of a 200 to an import",
    "status 201 to a create",
    "an import is applied before it is answered (the platform answers first)",
    "400 for every breach of the models and for a missing file",
    "the last of two records with one id counts",
    "refused calls do not use up the allowance",
    "the names page and page_size",
    "the catalog's filter is one flat object, whose parent_id is the parent's databuilder_id",
    "the keys of a catalog entry beyond those of the record, and a count over the cap",
    "GET /healthcheck without a key",
)
_HOSTS: Final = frozenset({"127.0.0.1", "localhost"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _as_it_is(page: dict[str, Any]) -> dict[str, Any]:
    return page


class _Refusal(Exception):  # noqa: N818 # an answer rather than an error
    """Raised when a request is answered with an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        more: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.more = more or {}
        self.headers = headers


class FakeWorkspace:
    """A workspace on 127.0.0.1, alive inside ``async with``.

    Usage::

        async with FakeWorkspace(api_key="key") as w:
            integration_id = w.create_integration("Cluvio")
            await integration.run(SecodaSink(api_key="key", integration_id=integration_id, base_url=w.url))
            assert "dashboard.1" in w.resources(integration_id)

    An upload is checked while it arrives and never held as a whole; the catalog is held in memory.
    Asking for an integration that does not exist raises KeyError.
    """

    def __init__(
        self,
        *,
        api_key: str,
        staling: bool = True,
        resources_field: str = "resources_file",
        lineages_field: str = "lineages_file",
        retry_after: bool = False,
        max_body: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        port: int = 0,
        catalog_cap: int = CATALOG_CAP,
        page_size: int = 100,
        distort: Callable[[dict[str, Any]], Any] = _as_it_is,
        on_sync: Callable[[str, Sync], None] | None = None,
    ) -> None:
        """``staling`` off: a sync adds and changes, and removes nothing. ``retry_after``: whether a 429 says how long.

        ``max_body`` in bytes: a larger request is answered 413. ``clock`` gives the seconds by which calls a minute
        are counted. ``port`` 0 takes a free one. ``catalog_cap`` is the most that one query of the catalog lists, and
        ``page_size`` what a page holds where a request names no other size. ``distort`` makes of a page of the catalog
        what is answered instead: to test what becomes of a client where the platform is not as documented. ``on_sync``
        is told of each accepted import: the integration's id, and the sync.
        """
        self._authorization = f"Bearer {api_key}".encode()
        self._staling = staling
        self._resources_field = resources_field
        self._lineages_field = lineages_field
        self._retry_after = retry_after
        self._max_body = max_body
        self._clock = clock
        self._port = port
        self._catalog_cap = catalog_cap
        self._page_size = page_size
        self._distort = distort
        self._on_sync = on_sync
        self._calls: deque[float] = deque(maxlen=CALLS_PER_MINUTE)
        self._catalogs: dict[str, Catalog] = {}
        self.catalogs: Mapping[str, Catalog] = MappingProxyType(self._catalogs)
        """What it holds of each integration, by its id."""
        self._mounted: tuple[str, web.Application] | None = None
        self._closing = AsyncExitStack()
        self.url = ""
        """Base URL, without ``/api``; known once the workspace is entered."""

    async def __aenter__(self) -> Self:
        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guarded(request, handler)

        app = web.Application(middlewares=[guarded])
        for prefix in _PREFIXES:
            app.add_routes(
                [
                    web.get(f"{prefix}/healthcheck", self._health),
                    *_with_and_without_slash(web.get, f"{prefix}/integration/integrations", self._list),
                    web.post(f"{prefix}/integration/integrations/", self._create),
                    web.post(f"{prefix}/integration/integrations", _to_trailing_slash),
                    web.post(f"{prefix}/integration/integrations/{{id}}/import_jsonl_metadata/", self._import),
                    web.post(f"{prefix}/integration/integrations/{{id}}/import_jsonl_metadata", _to_trailing_slash),
                    *_with_and_without_slash(web.get, f"{prefix}/resource/catalog", self._catalog),
                ]
            )
        if self._mounted is not None:
            prefix, mounted = self._mounted
            for path in ("/", prefix):
                app.router.add_get(path, _to(f"{prefix}/"))
            app.add_subapp(prefix, mounted)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, max_line_size=_LONGEST_ADDRESS)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            self._closing = undo.pop_all()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop serving; what the workspace holds can still be asked. Calling it again does nothing."""
        await self._closing.aclose()

    def mount(self, prefix: str, app: web.Application) -> None:
        """Serve an application beside the API, without its key: ``mount("/ui", app)``, before it is entered.

        ``/`` leads there.
        """
        self._mounted = prefix, app

    def create_integration(self, name: str, *, integration_id: str | None = None) -> str:
        """A new custom integration's id; the given one, where it shall be known beforehand."""
        return self._add(name, "custom", integration_id)

    def resources(self, integration_id: str) -> dict[str, dict[str, Any]]:
        """What the workspace holds now: each resource as it was sent, by its ``databuilder_id``."""
        return self._catalogs[integration_id].resources()

    def lineage(self, integration_id: str) -> list[dict[str, Any]]:
        """The lineage the workspace holds now, without repeats."""
        return self._catalogs[integration_id].lineage()

    def syncs(self, integration_id: str) -> list[Sync]:
        """Every accepted import, in order."""
        return list(self._catalogs[integration_id].syncs)

    def _add(self, name: str, type_: str, integration_id: str | None = None) -> str:
        integration_id = integration_id or str(uuid.uuid4())
        self._catalogs[integration_id] = Catalog(name, type_)
        return integration_id

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What holds for every path: a key, the allowance, the cap, and errors as JSON."""
        try:
            _check_host(request)
            if self._mounted is not None and f"{request.path}/".startswith(("//", f"{self._mounted[0]}/")):
                return await handler(request)
            if not request.path.rstrip("/").endswith("/healthcheck"):
                self._check_key(request)
                self._check_allowance(request)
                self._check_size(request.content_length or 0)
            return await handler(request)
        except _Refusal as refusal:
            return _json({"detail": str(refusal), **refusal.more}, refusal.status, refusal.headers)
        except web.HTTPClientError as exc:  # aiohttp's own: no such path, no such method, too large
            return _json(
                {"detail": exc.reason}, exc.status, {k: exc.headers[k] for k in exc.headers.keys() & {"Allow"}}
            )

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._authorization):
            raise _Refusal(401, "Authentication credentials were not provided or are wrong.")

    def _check_allowance(self, request: web.Request) -> None:
        if request.method not in _WRITING:
            return
        now = self._clock()
        if len(self._calls) == CALLS_PER_MINUTE and now - self._calls[0] < _WINDOW:
            left = int(self._calls[0] + _WINDOW - now) + 1
            headers = {"Retry-After": str(left)} if self._retry_after else {}
            raise _Refusal(429, f"More than {CALLS_PER_MINUTE} calls a minute.", headers=headers)
        self._calls.append(now)

    def _check_size(self, size: int) -> None:
        if self._max_body is not None and size > self._max_body:
            raise _Refusal(413, f"The body is over {self._max_body} bytes.")

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"status": "OK"})

    async def _list(self, request: web.Request) -> web.Response:
        entries = [{"id": id_, "name": one.name, "type": one.type} for id_, one in self._catalogs.items()]
        return _json(_page(request, entries, len(entries), self._page_size))

    async def _create(self, request: web.Request) -> web.Response:
        try:
            asked = orjson.loads(await request.read())
        except orjson.JSONDecodeError as exc:
            raise _Refusal(400, f"The body is not JSON: {exc.msg}.") from None
        if not isinstance(asked, dict):
            raise _Refusal(400, "The body must be a JSON object.")
        for field in ("name", "type"):
            if not isinstance(asked.get(field), str) or not asked[field]:
                raise _Refusal(400, f"{field}: a text that is not empty is required.")
        if not isinstance(asked.get("credentials", {}), dict):
            raise _Refusal(400, "credentials: an object is required.")
        integration_id = self._add(asked["name"], asked["type"])
        return _json({"id": integration_id, "name": asked["name"], "type": asked["type"]}, 201)

    async def _import(self, request: web.Request) -> web.Response:
        catalog = self._catalogs.get(request.match_info["id"])
        if catalog is None:
            raise _Refusal(404, "No integration has this id.")
        resources, lineage = ResourcesFile(self._resources_field), LineageFile(self._lineages_field)
        await self._receive(request, (resources, lineage))
        sync = catalog.apply(
            resources.resources,
            lineage.lineage,
            staling=self._staling,
            resource_lines=resources.lines,
            lineage_lines=lineage.lines,
        )
        if self._on_sync is not None:
            self._on_sync(request.match_info["id"], sync)
        return _json({"resources": sync.resource_lines, "lineages": sync.lineage_lines})

    async def _receive(self, request: web.Request, files: Sequence[CheckedFile]) -> None:
        """Check the files of a multipart body while it arrives. Answers 400 where they are not as documented."""
        missing = {file.name: file for file in files}
        received = 0
        try:
            parts = await request.multipart()
            while (part := await parts.next()) is not None:
                file = missing.pop(part.name or "", None) if isinstance(part, BodyPartReader) else None
                if file is None or not isinstance(part, BodyPartReader):
                    name = getattr(part, "name", None)
                    raise _Refusal(400, f"{name}: no such field, or one that came twice.")
                while piece := await part.read_chunk(_PIECE):
                    received += len(piece)
                    self._check_size(received)  # a chunked body has no length to refuse beforehand
                    file.feed(piece)
                file.finish()
        except RejectedLineError as exc:
            more = {"file": exc.file, "line": exc.line, "reason": exc.reason, "content": exc.content}
            raise _Refusal(400, str(exc), more) from None
        except (ValueError, AssertionError) as exc:  # what aiohttp's reader raises for a malformed body
            raise _Refusal(400, f"The body is not multipart/form-data: {exc}.") from None
        if missing:
            raise _Refusal(400, f"{', '.join(missing)}: this file is required.")

    async def _catalog(self, request: web.Request) -> web.Response:
        wanted = _filter(request.query.get("filter", "{}"))
        entries = [entry for entry in self._entries() if wanted.items() <= _filterable(entry).items()]
        return _json(self._distort(_page(request, entries[: self._catalog_cap], len(entries), self._page_size)))

    def _entries(self) -> Iterator[dict[str, Any]]:
        for integration_id, catalog in self._catalogs.items():
            for record in catalog.resources().values():
                yield {**record, "integration": integration_id, "archived": False, "stale": False}


def _check_host(request: web.Request) -> None:
    """A page of another site that has its name resolved to this machine would otherwise read what is held here."""
    try:
        host = URL(f"http://{request.headers.get(hdrs.HOST, '')}").host
    except ValueError:
        host = None
    if host not in _HOSTS:
        raise _Refusal(421, "This workspace answers to 127.0.0.1 and localhost only.")


def _with_and_without_slash(verb: Callable[..., web.RouteDef], path: str, handler: Handler) -> list[web.RouteDef]:
    return [verb(path, handler), verb(f"{path}/", handler)]


async def _to_trailing_slash(request: web.Request) -> web.StreamResponse:
    """A client that follows this as a GET loses its body: the reason why an upload never follows a redirect."""
    raise web.HTTPMovedPermanently(f"{request.path}/")


def _to(path: str) -> Handler:
    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(path)

    return redirect


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, headers=headers, content_type="application/json")


def _filter(text: str) -> dict[str, str]:
    try:
        wanted = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise _Refusal(400, f"filter: not JSON: {exc.msg}.") from None
    if not isinstance(wanted, dict) or not wanted.keys() <= _FILTERS.keys():
        raise _Refusal(400, f"filter: an object with some of {', '.join(_FILTERS)} is expected.")
    if not all(isinstance(value, str) for value in wanted.values()):
        raise _Refusal(400, "filter: every value must be a text.")
    return wanted


def _filterable(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry.get(key) for name, key in _FILTERS.items()}


def _page(request: web.Request, entries: Sequence[Any], count: int, usual_size: int) -> dict[str, Any]:
    try:
        page, size = int(request.query.get("page", "1")), int(request.query.get("page_size", usual_size))
    except ValueError:
        raise _Refusal(400, "page and page_size must be whole numbers.") from None
    size = min(size, _MAX_PAGE)
    pages = max(1, -(-len(entries) // size)) if size > 0 else 0
    if not 1 <= page <= pages:
        raise _Refusal(404, "There is no such page.")

    def link(to: int) -> str | None:
        target = URL(str(request.url)).update_query(page=str(to))
        return str(target) if 1 <= to <= pages else None

    return {
        "links": {"next": link(page + 1), "previous": link(page - 1)},
        "meta": {"page": page, "page_size": size},
        "count": count,
        "total_pages": pages,
        "results": entries[(page - 1) * size : page * size],
    }
