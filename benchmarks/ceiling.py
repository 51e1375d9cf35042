"""How many requests a second a server answers when nobody holds it back: bare connections, no latency."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import uvloop
from typing_extensions import override

_PATIENCE: Final = 60.0  # seconds: a server that hangs must not hang the benchmark


class _Asker(asyncio.Protocol):
    """Asks for one thing after another on one connection."""

    def __init__(self, request: bytes, times: int) -> None:
        self._request = request
        self._left = times
        self._due = 0  # bytes of the answer that are still to come
        self.done = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what a TCP loop gives
        self._transport = transport
        transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        if not self._due:
            head, _, _ = data.partition(b"\r\n\r\n")  # a head of this server comes in one piece
            if not head.startswith(b"HTTP/1.1 200 "):
                self.done.set_exception(ConnectionError(f"the server answered {head[:60]!r}"))
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self._due = len(head) + 4 + length
        self._due -= len(data)
        if self._due == 0:
            self._left -= 1
            if self._left:
                self._transport.write(self._request)
            else:
                self._transport.close()
                self.done.set_result(None)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


async def _ask(port: int, path: str, connections: int, times: int) -> float:
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    started = time.perf_counter()
    pairs = [
        await loop.create_connection(lambda: _Asker(request, times), "127.0.0.1", port) for _ in range(connections)
    ]
    async with asyncio.timeout(_PATIENCE):
        await asyncio.gather(*(asker.done for _, asker in pairs))
    return connections * times / (time.perf_counter() - started)


def requests_per_second(port: int, path: str, *, connections: int = 100, times: int = 200) -> float:
    """Answers a second over ``connections`` connections, each asking ``times`` times."""
    return uvloop.run(_ask(port, path, connections, times))
