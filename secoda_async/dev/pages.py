"""The pages of a local workspace, as an application that its server mounts."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import anyio.to_thread
import orjson
from aiohttp import web
from yarl import URL

from secoda_async.dev.holdings import Holdings, Node, ancestors
from secoda_async.dev.neighbourhood import Neighbourhood, neighbourhood
from secoda_async.page.lineage_end import RESOURCE, LineageEnd
from secoda_async.page.templating import environment, json_data, part, plotly, show_lines, show_name
from secoda_async.printable import printable
from secoda_async.testing.catalog import Catalog, Sync
from secoda_async.testing.workspace import DOCUMENTED, GUESSED
from secoda_async.version import __version__

PREFIX: Final = "/ui"
_log: Final = logging.getLogger("secoda_async")
_PACKAGE: Final = "secoda_async.dev"
_SHARED: Final = "secoda_async.page"
_PER_PAGE: Final = 200
_LONGEST_VALUE: Final = 20_000  # characters of a field
_HEADERS: Final = {
    # What draws sets styles of its own, which can load nothing.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_ASSETS: Final[Mapping[str, tuple[str, Callable[[], str]]]] = {
    "page.css": ("text/css", partial(part, _SHARED, "page.css")),
    "workspace.css": ("text/css", partial(part, _PACKAGE, "workspace.css")),
    "charts.js": ("text/javascript", partial(part, _SHARED, "charts.js")),
    "tables.js": ("text/javascript", partial(part, _SHARED, "tables.js")),
    "workspace.js": ("text/javascript", partial(part, _PACKAGE, "workspace.js")),
    "plotly.js": ("text/javascript", plotly),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Part(NamedTuple):
    """One page of a long list."""

    items: Sequence[Any]
    total: int
    number: int
    """Which page it is, from 1."""

    @property
    def left(self) -> int:
        """How many are on the pages after it."""
        return max(0, self.total - self.number * _PER_PAGE)

    @classmethod
    def of(cls, items: Sequence[Any], number: int) -> Part:
        """The items of this page."""
        return cls(items[(number - 1) * _PER_PAGE : number * _PER_PAGE], len(items), number)


class Looked(NamedTuple):
    """An integration at one moment, whatever arrives while its pages are made."""

    id: str
    catalog: Catalog
    """A snapshot."""
    held: Holdings
    """What the catalog holds."""

    @property
    def syncs(self) -> int:
        """How many there had been."""
        return len(self.catalog.syncs)

    def url(self, to: str = "", /, **query: object) -> str:
        """Where a page of it is."""
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return str(_at(self.id, to).with_query(given))

    def link(self, node: Node) -> str:
        """Where a node's page is."""
        kind, *names = node.key
        if kind == RESOURCE:
            return self.url("resource", id=names[0])
        return str(_at(self.id, "end").with_query([("kind", kind), *(("name", name) for name in names)]))


class WorkspacePages:
    """Makes the pages of what a workspace holds.

    Usage::

        workspace.mount(PREFIX, WorkspacePages(workspace.catalogs, commands=lambda id_: [f"… {id_}"]).app())

    ``commands`` gives those that upload to an integration. Making it blocks, to read templates. Raises
    ConfigurationError where the extra ``page`` is not installed.
    """

    def __init__(self, catalogs: Mapping[str, Catalog], *, commands: Callable[[str], Sequence[str]]) -> None:
        self._catalogs = catalogs
        self._commands = commands
        self._looked: dict[str, Looked] = {}
        self._looking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._templates = environment(_PACKAGE)
        self._templates.filters.update(field=_field, json=json_data)

    def app(self) -> web.Application:
        """The pages, to be mounted at ``PREFIX``."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guarded(request, handler)

        app = web.Application(middlewares=[guarded])
        app.add_routes(
            [
                web.get("/", self._overview),
                web.get("/about", self._about),
                web.get("/-/{name}", self._asset),  # no id of an integration begins so
                web.get("/{integration}", self._to_catalog),
                web.get("/{integration}/", self._catalog),
                web.get("/{integration}/resource", self._resource),
                web.get("/{integration}/end", self._end),
                web.get("/{integration}/inside", self._inside),
                web.get("/{integration}/search", self._search),
                web.get("/{integration}/syncs", self._syncs),
                web.get("/{integration}/syncs/{number}", self._sync),
                web.get("/{integration}/count", self._count),
            ]
        )
        return app

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What holds for every page: errors are pages, and a browser is told what a page may not do."""
        try:
            response = await handler(request)
        except web.HTTPClientError as refusal:
            response = self._page("error.html.j2", None, status=refusal.status, message=refusal.reason)
        except web.HTTPRedirection as redirection:
            redirection.headers.update(_HEADERS)
            raise
        except Exception:  # noqa: BLE001 # a page that fails is told of as a page
            _log.exception("The page %s could not be made.", printable(request.path_qs))
            message = "This is a defect of secoda-async; the terminal that it runs in shows where."
            response = self._page("error.html.j2", None, status=500, message=message)
        response.headers.update({**_HEADERS, **response.headers})
        return response

    def _page(self, template: str, looked: Looked | None, *, status: int = 200, **context: Any) -> web.Response:
        text = self._templates.get_template(template).render(
            looked=looked,
            status=status,
            prefix=PREFIX,
            version=__version__,
            **context,
        )
        return web.Response(text=text, status=status, content_type="text/html")

    async def prepare(self, id_: str) -> None:
        """Look at an integration before anybody asks for a page of it."""
        await self._looked_at(id_, lineage=True)

    async def _look(self, request: web.Request, *, lineage: bool = False) -> Looked:
        """The integration that a path names, as it is now."""
        id_ = request.match_info["integration"]
        if id_ not in self._catalogs:
            raise web.HTTPNotFound(reason="The workspace has no such integration.")
        return await self._looked_at(id_, lineage=lineage)

    async def _looked_at(self, id_: str, *, lineage: bool) -> Looked:
        looking = self._looking[id_]
        if not self._is_current(id_):
            async with looking:  # once, however many pages are asked for meanwhile
                if not self._is_current(id_):
                    moment = self._catalogs[id_].snapshot()
                    held = await anyio.to_thread.run_sync(Holdings, moment.iter_resources())
                    self._looked[id_] = Looked(id_, moment, held)
        looked = self._looked[id_]
        if lineage and not looked.held.has_lineage:
            async with looking:
                if not looked.held.has_lineage:
                    await anyio.to_thread.run_sync(looked.held.add_lineage, looked.catalog.iter_lineage())
        return looked

    def _is_current(self, id_: str) -> bool:
        looked = self._looked.get(id_)
        return looked is not None and looked.syncs == len(self._catalogs[id_].syncs)

    async def _overview(self, _: web.Request) -> web.Response:
        if len(self._catalogs) == 1:
            (only,) = self._catalogs
            raise web.HTTPFound(str(_at(only, "")))
        return self._page("overview.html.j2", None, catalogs=self._catalogs, at=_at)

    async def _about(self, _: web.Request) -> web.Response:
        return self._page("about.html.j2", None, documented=DOCUMENTED, guessed=GUESSED)

    async def _asset(self, request: web.Request) -> web.Response:
        found = _ASSETS.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(reason="There is no such file.")
        type_, read = found
        # Its address holds the version, and the library is too large to be asked for with each page.
        text = await anyio.to_thread.run_sync(read)
        return web.Response(text=text, content_type=type_, headers={"Cache-Control": "max-age=3600"})

    async def _to_catalog(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(str(_at(request.match_info["integration"], "")))

    async def _catalog(self, request: web.Request) -> web.Response:
        looked = await self._look(request)
        roots = Part.of(looked.held.roots, _page_number(request))
        return self._page("catalog.html.j2", looked, roots=roots, commands=self._commands(looked.id))

    async def _resource(self, request: web.Request) -> web.Response:
        looked = await self._look(request, lineage=True)
        id_ = _given(request, "id")
        record = looked.catalog.resource(id_)
        node = looked.held.nodes.get((RESOURCE, id_))
        history = _history(looked.catalog.syncs, id_)
        if node is None and not history:
            raise web.HTTPNotFound(reason=f"The workspace has never held a resource {show_name(id_)}.")
        return self._page(
            "node.html.j2",
            looked,
            id=id_,
            node=node,
            record=record,
            history=history,
            ancestors=[] if node is None else ancestors(node),
            inside=None if node is None else Part.of(node.inside, _page_number(request)),
            **_lineage(looked, node),
        )

    async def _end(self, request: web.Request) -> web.Response:
        looked = await self._look(request, lineage=True)
        end = LineageEnd.at((_given(request, "kind"), *request.query.getall("name", [])))
        node = None if end is None or end.key[0] == RESOURCE else looked.held.nodes.get(end.key)
        if end is None or node is None:
            raise web.HTTPNotFound(reason="No lineage of the workspace has such an end.")
        return self._page(
            "node.html.j2",
            looked,
            id=node.id,
            node=node,
            record=end.fields,
            history=[],
            ancestors=[],
            inside=None,
            **_lineage(looked, node),
        )

    async def _inside(self, request: web.Request) -> web.Response:
        looked = await self._look(request)
        id_ = request.query.get("id")
        node = None if id_ is None else looked.held.nodes.get((RESOURCE, id_))
        if id_ is not None and node is None:
            raise web.HTTPNotFound(reason="The workspace holds no such resource.")
        nodes = looked.held.roots if node is None else node.inside
        return self._page("branch.html.j2", looked, node=node, branch=Part.of(nodes, _page_number(request)))

    async def _search(self, request: web.Request) -> web.Response:
        looked = await self._look(request)
        text, kind = request.query.get("q", "").strip(), request.query.get("type", "")
        found = looked.held.found(text, kind) if text or kind else []
        return self._page("search.html.j2", looked, text=text, kind=kind, found=Part.of(found, _page_number(request)))

    async def _syncs(self, request: web.Request) -> web.Response:
        looked = await self._look(request)
        numbered = [*enumerate(looked.catalog.syncs, 1)][::-1]
        return self._page("syncs.html.j2", looked, syncs=Part.of(numbered, _page_number(request)))

    async def _sync(self, request: web.Request) -> web.Response:
        looked = await self._look(request)
        given = request.match_info["number"]
        syncs = looked.catalog.syncs
        if not (given.isascii() and given.isdigit() and 0 < int(given[:9]) <= len(syncs)):
            raise web.HTTPNotFound(reason="There was no such sync.")
        number = int(given[:9])
        sync = syncs[number - 1]
        parts = {"added": sync.added, "changed": sync.changed, "staled": sync.removed}
        only = request.query.get("only", "")
        if only not in ("", *parts):
            raise web.HTTPBadRequest(reason=f"only must be one of {', '.join(parts)}.")
        shown = {
            name: Part.of(sorted(ids), _page_number(request) if name == only else 1)
            for name, ids in parts.items()
            if not only or name == only
        }
        return self._page("sync.html.j2", looked, number=number, sync=sync, only=only, shown=shown)

    async def _count(self, request: web.Request) -> web.Response:
        catalog = self._catalogs.get(request.match_info["integration"])
        if catalog is None:
            raise web.HTTPNotFound(reason="The workspace has no such integration.")
        return web.Response(
            body=orjson.dumps({"syncs": len(catalog.syncs)}),
            content_type="application/json",
        )


def _at(id_: str, page: str) -> URL:
    return URL(PREFIX) / id_ / page


def _given(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise web.HTTPBadRequest(reason=f"The address lacks {name}=…")
    return value


def _page_number(request: web.Request) -> int:
    given = request.query.get("page", "1")
    if not (given.isascii() and given.isdigit() and 0 < int(given[:9]) < 10**8):
        raise web.HTTPBadRequest(reason="page must be a whole number of 1 or more.")
    return int(given[:9])


def _history(syncs: Sequence[Sync], id_: str) -> list[tuple[int, Sync, str]]:
    """What each sync did to a resource, the latest first: the sync's number, the sync, and what."""
    found = []
    for number, sync in enumerate(syncs, 1):
        for what, ids in (("added", sync.added), ("changed", sync.changed), ("staled", sync.removed)):
            if id_ in ids:
                found.append((number, sync, what))
    return found[::-1]


def _lineage(looked: Looked, node: Node | None) -> dict[str, Any]:
    """What a page shows of a node's lineage, and what its drawing reads."""
    if node is None:
        return {"near": None, "drawing": None}
    near = neighbourhood(node)
    return {"near": near, "drawing": _drawing(looked, near)}


def _drawing(looked: Looked, near: Neighbourhood) -> dict[str, Any]:
    columns = [
        {
            "step": column.step,
            "count": column.total,
            "nodes": [
                {"name": show_name(node.name), "kind": show_name(node.kind), "of": looked.link(node)}
                for node in column.nodes
            ],
        }
        for column in near.columns
    ]
    return {"columns": columns, "edges": near.edges}


def _field(value: object) -> str:
    """A field's value as lines of text."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = "\n".join(value)
    else:
        text = orjson.dumps(value).decode()
    return show_lines(text, _LONGEST_VALUE)
