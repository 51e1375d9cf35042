"""A listing behind an API of any kind, and a client that walks it: no sockets, so time may be virtual."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import orjson
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from secoda_async import RetryPolicy, Settings
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.network.message import Request, Response, Transport
from secoda_async.pagination.walk import Walks
from secoda_async.redact import Redactor
from secoda_async.workers import Workers, gave_up

BASE = "http://api.example"


def answer(request: Request, body: Any, status: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = b"" if status == 204 else orjson.dumps(body)
    return Response(
        request,
        status,
        headers=CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json", **named})),
        content=content,
    )


@dataclass
class Source(Transport):
    """Answers each request by a function, after ``latency()`` seconds, and remembers what it was asked."""

    reply: Callable[[Request], Response]
    latency: Callable[[], float] = lambda: 0.0
    asked: list[Request] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @override
    async def send(self, request: Request) -> Response:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.latency())
            return self.reply(request)
        finally:
            self.at_once -= 1

    @override
    async def aclose(self) -> None:
        return

    @property
    def queries(self) -> list[dict[str, str]]:
        return [dict(request.url.query) for request in self.asked]


@dataclass
class Walked:
    """The walks of one run, with what was counted."""

    walks: Walks
    findings: Findings
    workers: Workers

    async def all(self, *args: Any, **options: Any) -> list[Any]:
        return [item async for item in self.walks.paginate(*args, **options)]


@asynccontextmanager
async def walking(source: Transport, **settings: Any) -> AsyncIterator[Walked]:
    """Usage: ``async with walking(Source(reply)) as w: items = await w.all("/tables", PageNumber())``."""
    findings, redact = Findings(), Redactor(["s3cr3t"])
    made = Settings(**{"base_url": BASE, "retry": RetryPolicy(attempts=1), "concurrency": 4} | settings)
    client = Client(made, traffic=Traffic(), findings=findings, redact=redact, transport=source, gave_up=gave_up)
    raised: BaseException | None = None
    async with client, anyio.create_task_group() as group:
        workers = Workers(group, made.concurrency)
        try:
            yield Walked(Walks(workers, client, findings, redact), findings, workers)
        except Exception as exc:
            raised = exc
        finally:
            workers.stop()
    if raised is not None:  # as itself, not in a group
        raise raised


def items_of(count: int) -> list[dict[str, int]]:
    return [{"id": n} for n in range(count)]


@dataclass(kw_only=True)
class API:
    """``count`` items behind one kind of pagination, with a fault where one is named.

    ``cap`` is the most that the server gives on a page, whatever is asked for. ``broken`` is the page (from 0 on, in
    the order of the listing) at which the fault shows.
    """

    count: int
    kind: str
    size: int = 3
    cap: int = 100
    declares: bool = True
    fault: str = ""
    broken: int = -1
    dice: random.Random = field(default_factory=lambda: random.Random(0))

    @property
    def page_size(self) -> int:
        return min(self.size, self.cap)

    @property
    def pages(self) -> int:
        return -(-self.count // self.page_size)

    def __call__(self, request: Request) -> Response:
        query = request.url.query
        size = self.page_size
        match self.kind:
            case "page" | "pages":
                number = int(query.get("page", "1")) - 1
                start = number * size
            case "offset":
                start = int(query.get("offset", "0"))
                size = min(int(query.get("limit", size)), self.cap)
                number = start // self.page_size
            case "graphql":
                start = int((orjson.loads(request.body or b"{}").get("variables") or {}).get("after") or 0)
                number = start // size
            case _:
                start = int(query.get("after", "0"))
                number = start // size
        return self.page(request, number, start, size)

    def page(self, request: Request, number: int, start: int, size: int) -> Response:
        at, total = start, self.count
        items = items_of(self.count)
        if self.fault == "ignored" and number > 0:
            at = 0
        if self.fault == "repeated" and number == self.broken:
            at = start - self.page_size
        shown: Sequence[Any] = items[at : at + size]
        if self.fault == "dropped" and number == self.broken:
            shown = []
        if self.fault == "short" and number == self.broken:
            shown = shown[:-1]
        if self.fault == "total" and number == self.broken:
            total += self.dice.choice([-1, 1, 5])
        following = start + size if start + size < self.count else None
        if self.fault == "loop" and following is not None and number == self.broken:
            following = max(0, start - size)
        body: dict[str, Any] = {"data": shown}
        if self.declares:
            body["total"] = total
        headers = {}
        match self.kind:
            case "pages":
                body["pages"] = self.pages
            case "cursor":
                body["next_cursor"] = None if following is None else str(following)
            case "more":
                body["has_more"] = following is not None
                if following is not None and not (self.fault == "cursorless" and number == self.broken):
                    body["next_cursor"] = str(following)
            case "next":
                body["next"] = None if following is None else f"{BASE}/items?after={following}"
            case "link":
                if following is not None:
                    headers["Link"] = f'</items?after={following}>; rel="next"'
            case "graphql":
                info = {"hasNextPage": following is not None, "endCursor": str(following)}
                body = {"data": {"items": {"nodes": shown, "pageInfo": info, "total": total}}}
        return answer(request, body, **headers)
