"""A source whose answers take more or less time, by a seed, with listings of different lengths, and some errors.

Paths begin with ``/<latency in ms>``, the mean of what an answer takes, from half of it to one and a half:

- ``/item/<n>`` is an item, and ``/flaky/<n>`` one that is a 500 in one of twenty attempts;
- ``/list-<most>/<n>?page=<p>`` is a page of `ROWS` rows of the n-th listing, which has `pages_of` of them, and tells
  the number of the next; the first is what comes without ``page``.

Prints one line, ``{"port": …}``, once it serves.
"""

from __future__ import annotations

import random
from typing import ClassVar, Final

import orjson
import uvloop
from typing_extensions import override

from benchmarks.runners.bare_protocol import BareProtocol, serve

ROWS: Final = 4
_ERRORS: Final = 0.05


def pages_of(listing: int, most: int) -> int:
    """From 1 to the most, in no order."""
    return 1 + (listing * 7919) % most


class Varied(BareProtocol):
    """Answers each request after its own latency."""

    chance: ClassVar = random.Random(7)

    @override
    def asked(self, target: bytes) -> None:
        _, latency, kind, *rest = target.decode().split("/")
        status, body = 200, b"{}"
        if kind == "flaky" and self.chance.random() < _ERRORS:
            status, body = 500, b""
        elif kind.startswith("list-"):
            name, _, page = rest[0].partition("?page=")
            body = _page(int(name), int(page or 1), int(kind.removeprefix("list-")))
        head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        seconds = int(latency) / 1000 * self.chance.uniform(0.5, 1.5)
        self.loop.call_later(seconds, self.transport.write, head.encode() + body)


def _page(listing: int, page: int, most: int) -> bytes:
    rows = [f"{listing}-{page}-{row}" for row in range(ROWS)]
    return orjson.dumps({"items": rows, "next": page + 1 if page < pages_of(listing, most) else None})


if __name__ == "__main__":
    uvloop.run(serve(Varied))
