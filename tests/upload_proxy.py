"""Stands between an upload and a workspace, and does to each upload what a bad network or server may do."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from yarl import URL

_BUFFER = 2**16  # small, so that what the workspace has not read is still with the client


@dataclass
class Upload:
    """One POST on its way: what came from the client, and both ways on."""

    head: bytes
    length: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    workspace: URL

    async def pass_on(self, share: float = 1.0) -> tuple[bytes, bytes]:
        """Give the workspace the first part of the body; all of it brings its answer, as head and body."""
        reader, writer = await asyncio.open_connection(self.workspace.host, self.workspace.port)
        try:
            writer.write(self.head)
            left = int(self.length * share)
            while left:
                piece = await self.reader.read(min(left, _BUFFER))
                writer.write(piece)
                await writer.drain()
                left -= len(piece)
            return await _answer(reader) if share == 1.0 else (b"", b"")
        finally:
            writer.transport.abort()

    async def swallow(self) -> None:
        """Read the body, and give it to nobody."""
        await self.reader.readexactly(self.length)

    async def reply(self, status: str, *headers: str, body: bytes = b"told by the proxy") -> None:
        head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode()
        self.writer.write(head + body)
        await self.writer.drain()

    def cut(self) -> None:
        """Close so that the client sees a reset."""
        self.writer.transport.abort()


Fault = Callable[[Upload], Awaitable[None]]


@dataclass
class UploadProxy:
    """Usage: ``async with upload_proxy(workspace.url, cut_at(0.5)) as proxy: SecodaSink(base_url=proxy.url, ...)``."""

    url: str = ""
    uploads: int = 0
    faults: list[Fault] = field(default_factory=list)


def cut_at(share: float) -> Fault:
    """The connection breaks when the workspace has this share of the body."""

    async def fault(upload: Upload) -> None:
        await upload.pass_on(share)
        upload.cut()

    return fault


def answered(status: str, *headers: str, taken: bool = False) -> Fault:
    """Answered in the workspace's stead; ``taken``: after it has taken the sync."""

    async def fault(upload: Upload) -> None:
        await (upload.pass_on() if taken else upload.swallow())
        await upload.reply(status, *headers)

    return fault


async def answered_at_once(upload: Upload) -> None:
    """Told that it is too large before it is read."""
    await upload.reply("413 Content Too Large", "Connection: close")
    upload.writer.close()


async def never_answered(upload: Upload) -> None:
    await upload.pass_on()
    await asyncio.Event().wait()


async def answer_cut_in_the_head(upload: Upload) -> None:
    head, _ = await upload.pass_on()
    upload.writer.write(head[: len(head) // 2])
    await upload.writer.drain()
    upload.writer.close()


async def answer_cut_in_the_body(upload: Upload) -> None:
    head, body = await upload.pass_on()
    upload.writer.write(head + body[:1])
    await upload.writer.drain()
    upload.writer.close()


async def passed_on(upload: Upload) -> None:
    head, body = await upload.pass_on()
    upload.writer.write(head + body)
    await upload.writer.drain()


@asynccontextmanager
async def upload_proxy(workspace: str, *faults: Fault) -> AsyncIterator[UploadProxy]:
    """The n-th upload meets the n-th fault; those after the last, and all that is no POST, pass."""
    proxy = UploadProxy(faults=list(faults))
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                upload = Upload(head, _length(head), reader, writer, URL(workspace))
                fault = passed_on
                if head.startswith(b"POST"):
                    proxy.uploads += 1
                    fault = proxy.faults.pop(0) if proxy.faults else passed_on
                await fault(upload)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(connected, sock=listening, limit=_BUFFER)
    proxy.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(_length(head))
