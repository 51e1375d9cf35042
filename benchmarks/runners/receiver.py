"""Takes uploads as a workspace does, and only counts their bytes: how fast they come is not up to it.

It lists one integration, whose id is ``INTEGRATION``, and a catalog that is empty, and answers each POST once its whole
body is here. ``/received`` tells of the bodies, ``[[bytes, whether the last of them end a multipart body], …]``. Prints
one line, ``{"port": …}``, once it serves.
"""

from __future__ import annotations

import asyncio
import os
from typing import ClassVar, Final

import orjson
import uvloop
from typing_extensions import override

INTEGRATION: Final = "b0a7"
_ROOM: Final = 2**20
_END: Final = b"--\r\n"


class Receiver(asyncio.BufferedProtocol):
    """One request after the other; what comes of a body is read over what came before."""

    received: ClassVar[list[tuple[int, bool]]] = []

    def __init__(self) -> None:
        self._room = bytearray(_ROOM)
        self._head = bytearray()
        self._length = 0
        self._due = 0  # bytes of the body that are still to come

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what a TCP loop gives
        self._transport = transport

    @override
    def get_buffer(self, sizehint: int) -> bytearray:
        return self._room

    @override
    def buffer_updated(self, nbytes: int) -> None:
        if self._due:
            self._came(nbytes, nbytes)
            return
        self._head += self._room[:nbytes]
        head, end, body = bytes(self._head).partition(b"\r\n\r\n")
        if not end:
            return
        self._head.clear()
        method, target, _ = head.split(b" ", 2)
        if method == b"POST":
            self._length = self._due = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self._came(len(body), nbytes)
        else:
            self._answer(self._tell(target))

    def _came(self, size: int, last: int) -> None:
        """So many bytes of a body, which end at ``last`` in what was read."""
        self._due -= size
        if not self._due:
            self.received.append((self._length, self._room[:last].endswith(_END)))
            self._answer({"resources": 0, "lineages": 0})

    def _tell(self, target: bytes) -> object:
        if target == b"/received":
            return self.received
        found = [{"id": INTEGRATION, "name": "Uploads", "type": "custom"}] if b"/integrations" in target else []
        return {
            "links": {"next": None, "previous": None},
            "meta": {"page": 1, "page_size": 100},
            "count": len(found),
            "total_pages": 1,
            "results": found,
        }

    def _answer(self, content: object) -> None:
        body = orjson.dumps(content)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(f'{{"port": {server.sockets[0].getsockname()[1]}, "pid": {os.getpid()}}}', flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
