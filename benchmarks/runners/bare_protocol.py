"""HTTP with as little as possible around it: a server that costs so little that it is never what limits a crawl."""

from __future__ import annotations

import abc
import asyncio
import os

from typing_extensions import override


class BareProtocol(asyncio.Protocol, abc.ABC):
    """Finds the requests in what comes; one that has a body is beyond it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._received = b""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what a TCP loop gives
        self.transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            self.asked(request.split(b" ", 2)[1])

    @abc.abstractmethod
    def asked(self, target: bytes) -> None:
        """Answer a request for this path and query, now or later, into ``transport``."""


async def serve(protocol: type[BareProtocol]) -> None:
    """Serve until the process ends. Prints ``{"port": ..., "pid": ...}`` once it does."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, backlog=4096)
    print(f'{{"port": {server.sockets[0].getsockname()[1]}, "pid": {os.getpid()}}}', flush=True)
    await server.serve_forever()
