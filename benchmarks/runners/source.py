"""The source API of the crawl: a bare protocol that costs little, so that it is never what limits a crawl.

``/<latency in ms>/tables?count=N`` lists N tables, ``/<latency in ms>/tables/<n>`` is one with its columns, and
``…/schemas/<n>`` and ``…/schemas/<n>/gzip`` are three with theirs, about 4 KB. Prints one line, ``{"port": …}``, once
it serves.
"""

from __future__ import annotations

import gzip
from typing import ClassVar

import orjson
import uvloop
from typing_extensions import override

from benchmarks.runners.bare_protocol import BareProtocol, serve

COLUMNS = 20


def table(n: int) -> dict[str, object]:
    """What the API says of one table; each but the first is made from the one before."""
    return {
        "id": n,
        "name": f"orders_{n}",
        "description": f"Orders of region {n}, one row an order: äöü €",
        "updated_at": "2024-05-01T10:20:30.123456Z",
        "columns": [
            {"name": f"column_{i}", "type": "integer" if i % 3 else "text", "primary_key": i == 0}
            for i in range(COLUMNS)
        ],
        "made_from": n - 1 if n else None,
    }


class Source(BareProtocol):
    """Answers every request after its latency, from bodies that are built once."""

    answers: ClassVar[dict[bytes, tuple[float, bytes]]] = {}

    @override
    def asked(self, target: bytes) -> None:
        latency, answer = self._answer(target)
        if latency:
            self.loop.call_later(latency, self.transport.write, answer)
        else:
            self.transport.write(answer)

    def _answer(self, target: bytes) -> tuple[float, bytes]:
        found = self.answers.get(target)
        if found is None:
            found = self.answers[target] = _build(target.decode())
        return found


def _build(target: str) -> tuple[float, bytes]:
    _, latency, *rest = target.split("/")
    coding = ""
    match rest:
        case [listing] if listing.startswith("tables?count="):
            body: object = {"tables": [{"id": n} for n in range(int(listing.partition("=")[2]))]}
        case ["tables", n]:
            body = table(int(n))
        case ["schemas", n, *codings]:
            body = [table(3 * int(n) + i) for i in range(3)]
            coding = "".join(codings)
        case _:
            return 0.0, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    content = orjson.dumps(body)
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if coding:
        content = gzip.compress(content)
        head += f"Content-Encoding: {coding}\r\n"
    return int(latency) / 1000, f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


if __name__ == "__main__":
    uvloop.run(serve(Source))
