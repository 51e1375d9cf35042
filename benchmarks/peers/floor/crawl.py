"""The floor: no HTTP client at all. Bytes are written by hand, and ``Content-Length`` is found by hand, on uvloop.

What remains is what nobody can leave out: the loop, the sockets, the JSON, pydantic's models and the lines.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop
from lines import Lines
from mapping import Mapping
from measure import Plan, measure
from models import DeclaredLineage, InternalResource, Resource

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)
Job = tuple[str, Callable[[Any], None]]


class Crawl:
    """What is still to be asked for, and the connections that ask."""

    def __init__(self, plan: Plan, resources: Lines, lineage: Lines) -> None:
        parts = urlsplit(plan.url)
        self.host, self.port, self.path = parts.hostname, parts.port, parts.path
        self.end = f" HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n"
        self._concurrency = plan.concurrency
        self._resources = resources
        self._lineage = lineage
        self.jobs: deque[Job] = deque([("/databases", self._databases)])
        self.idle: list[Connection] = []
        self._connections = 0
        self.reading = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.call_later = loop.call_later
        self.done = loop.create_future()
        async with asyncio.TaskGroup() as self._group:
            self.set_to_work()
            await self.done
        for connection in self.idle:
            connection.transport.close()

    def set_to_work(self) -> None:
        """Idle connections first, then new ones."""
        while self.jobs and self.idle:
            self.idle.pop().ask(self.jobs.popleft())
        for _ in range(min(len(self.jobs), self._concurrency - self._connections)):
            self._connections += 1
            self._group.create_task(self._connect(self.jobs.popleft()))

    async def _connect(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), self.host, self.port)
        connection.ask(job)

    def read_later(self, then: Callable[[Any], None], received: bytes, body: int) -> None:
        self.reading -= 1
        then(orjson.loads(memoryview(received)[body:]))
        self._end_if_done()

    def rest(self, connection: Connection) -> None:
        self.idle.append(connection)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if len(self.idle) == self._connections and not self.reading and not self.done.done():
            self.done.set_result(None)

    def _databases(self, body: Any) -> None:
        self._resources.write(map(MAPPING.of_database, body["databases"]))
        for database in body["databases"]:
            self._list(database["id"], 1)
        self.set_to_work()

    def _list(self, database: int, page: int) -> None:
        def listed(body: Any) -> None:
            if body["next_page"]:
                self._list(database, body["next_page"])
            self.jobs.extend((f"/tables/{table['id']}", self._table) for table in body["tables"])
            self.set_to_work()

        self.jobs.append((f"/databases/{database}/tables?page={page}", listed))

    def _table(self, body: Any) -> None:
        resources, lineage = MAPPING.of_table(body)
        self._resources.write(resources)
        self._lineage.write(lineage)


class Connection(asyncio.Protocol):
    """One request after another."""

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._received = b""
        self._whole = 0  # bytes of the answer, its head included; 0: the head has not come yet

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def ask(self, job: Job) -> None:
        path, self._then = job
        self.transport.write(f"GET {self._crawl.path}{path}{self._crawl.end}".encode())

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        if not self._whole:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                return
            if not received.startswith(b"HTTP/1.1 200 "):
                self._fail(OSError(f"the source answered {received[:60]!r}"))
                return
            at = received.find(b"Content-Length: ", 0, head) + 16
            self._body = head + 4
            self._whole = self._body + int(received[at : received.find(b"\r\n", at)])
        if len(received) < self._whole:
            return
        self._received, self._whole = b"", 0
        crawl, then = self._crawl, self._then
        if crawl.jobs:
            # uvloop sends at the end of a turn what was written in it, so answers that came together are read a little
            # later: the questions of all their connections travel meanwhile.
            crawl.reading += 1
            self.ask(crawl.jobs.popleft())
            crawl.call_later(0.001, crawl.read_later, then, received, self._body)
        else:
            then(orjson.loads(memoryview(received)[self._body :]))
            if crawl.jobs:
                self.ask(crawl.jobs.popleft())
            else:
                crawl.rest(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or OSError("the source closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self._crawl.done.done():
            self._crawl.done.set_exception(error)


def main(plan: Plan) -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    with Lines(plan.resources) as resources, Lines(plan.lineage) as lineage:
        uvloop.run(Crawl(plan, resources, lineage).run())


if __name__ == "__main__":
    measure(main, "uvloop", "orjson")
