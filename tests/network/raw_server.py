"""A server that speaks to a socket as it likes: what a proper HTTP server would never do, and what was really sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Exchange:
    """One request as it came, and the way back."""

    head: bytes
    body: bytes
    number: int
    writer: asyncio.StreamWriter
    server: "RawServer"

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def header(self, name: str) -> list[str]:
        lines = self.head.decode().split("\r\n")[1:]
        return [
            value.strip() for key, _, value in (line.partition(":") for line in lines) if key.lower() == name.lower()
        ]

    async def reply(self, data: bytes = OK) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close so that the peer sees a reset, not an end."""
        self.writer.transport.abort()


@dataclass
class RawServer:
    """Usage: ``async with raw_server(answer) as server: client.request("GET", server.url)``."""

    url: str = ""
    connections: int = 0
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        return [exchange.target for exchange in self.exchanges]


Answer = Callable[[Exchange], Awaitable[None]]


async def answer_ok(exchange: Exchange) -> None:
    await exchange.reply()


@asynccontextmanager
async def raw_server(answer: Answer = answer_ok, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve whatever ``answer`` writes; a connection is closed once ``answer`` closes it."""
    server = RawServer()
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writers.append(writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(head, b"", len(server.exchanges), writer, server)
                for length in exchange.header("Content-Length"):
                    exchange.body = await reader.readexactly(int(length))
                server.exchanges.append(exchange)
                await answer(exchange)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    server.url = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)
