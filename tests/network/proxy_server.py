"""A proxy that forwards: absolute request lines for http, CONNECT for https."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class ProxyServer:
    """Usage: ``async with proxy_server() as proxy: Settings(proxy=proxy.url)``."""

    port: int = 0
    password: str = ""
    heads: list[str] = field(default_factory=list)
    """Of each request that came, as it came."""

    @property
    def url(self) -> str:
        user = f"user:{self.password}@" if self.password else ""
        return f"http://{user}127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [head.split("\r\n", 1)[0] for head in self.heads]


@asynccontextmanager
async def proxy_server(*, password: str = "") -> AsyncIterator[ProxyServer]:
    """Ask for the password of ``user`` where there is one."""
    proxy = ProxyServer(password=password)
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        proxy.heads.append(head)
        expected = base64.b64encode(f"user:{password}".encode()).decode()
        if password and f"Proxy-Authorization: Basic {expected}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        method, target, _ = head.split(" ", 2)
        where = urlsplit(f"//{target}" if method == "CONNECT" else target)
        try:
            there, back = await asyncio.open_connection(where.hostname, where.port)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        writers.append(back)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            lines = [line for line in head.split("\r\n") if not line.startswith("Proxy-Authorization")]
            lines[0] = f"{method} {where.path or '/'} HTTP/1.1"
            back.write("\r\n".join(lines).encode())
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(2**16):
                sink.write(data)
                await sink.drain()
        sink.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)
