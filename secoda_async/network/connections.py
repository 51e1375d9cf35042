"""Kept connections, each for one request and its answer at a time: aiohttp's connector and parser without its session.

For a request a session makes some thirty objects that redirects, cookies, traces and uploads need, of which the layers
above have their own: the same exchange through it takes four times the processor time.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections import deque
from functools import partial
from typing import Final, NamedTuple

import aiohttp
from aiohttp import http_exceptions
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace
from typing_extensions import override
from yarl import URL

MAX_HEADER: Final = 64 * 2**10
"""Bytes of a status line and of a header field."""
BUFFER: Final = 2**18
"""Bytes of a body that wait for their reader before the server is made to wait."""
_PROMPT: Final = 8  # an answer waits for its reader at most one such part of the time that it took to come
_IDLE: Final = 15.0  # seconds, after which many servers close a connection: then it is not used again


class Head(NamedTuple):
    """An answer whose head has come."""

    message: RawResponseMessage
    body: StreamReader


class KeptProtocol(ResponseHandler):
    """One connection's end: a request goes out by `ask`, until `end` says that its answer has been read.

    Between those aiohttp's session may use it, too.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._answered: asyncio.Future[Head] | None = None
        self._own_parser: HttpResponseParser | None = None
        self.heard = -math.inf
        """When anything came, or else when it was asked."""
        self.gap: float | None = None
        """Seconds for which nothing may come."""
        self._asked_at = 0.0
        self._came_at = 0.0

    def ask(self, request: bytes, gap: float | None, now: float, *, has_body: bool) -> asyncio.Future[Head]:
        """Send a request; await what this gives. ``has_body``: its answer may have one, as that to a HEAD has not.

        Raises what ended the connection where it is gone.
        """
        transport = self.transport
        if transport is None:  # it was lost right after it was made
            raise self._exception or aiohttp.ServerDisconnectedError()
        parser = self._own_parser
        if parser is None or not has_body:
            parser = HttpResponseParser(
                self,
                self._loop,
                BUFFER,
                payload_exception=aiohttp.ClientPayloadError,
                response_with_body=has_body,
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=MAX_HEADER,
                max_field_size=MAX_HEADER,
            )
            if has_body:
                self._own_parser = parser
        self._parser = parser
        self._payload = None
        self.gap = gap
        self.heard = now
        self._asked_at = time.perf_counter()  # the loop's own clock stands still for as long as a round of it takes
        answered: asyncio.Future[Head] = self._loop.create_future()
        self._answered = answered
        transport.write(request)
        return answered

    def end(self) -> bool:
        """The answer has been read. Whether the connection may be used again."""
        body = self._payload
        self._answered = self._payload = self._parser = None
        return body is not None and body.is_eof() and self.is_free

    def was_overdue(self) -> bool:
        """Whether the answer, which is being taken, has come some while ago: the event loop has no time for more."""
        return _PROMPT * (time.perf_counter() - self._came_at) > self._came_at - self._asked_at

    @property
    def is_free(self) -> bool:
        """Whether it is open, and nothing came on it that nobody asked for: that would be taken for the next answer."""
        transport = self.transport
        return transport is not None and not self._should_close and not self._tail and not transport.is_closing()

    def give_up(self) -> None:
        """Nothing came for too long."""
        self._fail(aiohttp.SocketTimeoutError())

    @override
    def data_received(self, data: bytes) -> None:
        answered = self._answered
        if answered is None:  # what nobody asked for, or an answer to aiohttp's session
            super().data_received(data)
            return
        self.heard = self._loop.time()
        assert self._parser is not None
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except Exception as exc:  # noqa: BLE001 # whatever the parser finds, of what it is given by a stranger
            # Another one in its place: the parser's own holds what came, cookies and all.
            self._fail(http_exceptions.HttpProcessingError(message=getattr(exc, "message", "")))
            return
        for message, body in messages:
            if self._payload is not None:
                self._should_close = True  # a second answer to one request
            elif message.code >= 200 or message.code == 101:
                self._should_close = message.should_close or upgraded
                self._payload = body
                if not answered.done():
                    self._came_at = time.perf_counter()
                    answered.set_result(Head(message, body))

    @override
    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:  # else there is nothing to resume, which takes as long to find out as to parse a head
            super().resume_reading(resume_parser)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)  # which ends a body that has no other end, and fails one that is cut off
        answered, self._own_parser = self._answered, None
        if answered is not None and not answered.done():
            answered.set_exception(self._exception or aiohttp.ServerDisconnectedError())

    def _fail(self, error: Exception) -> None:
        self._should_close = True
        if self.transport is not None:
            self.transport.close()
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
        elif self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(error)


class OriginPool:
    """The kept connections to one origin, under one way to check who it is."""

    def __init__(self, url: URL, tls: bool | ssl.SSLContext, connector: Connector) -> None:
        self.host = url.host_port_subcomponent or ""
        """As the header Host names it."""
        self._connector = connector
        self._free: deque[Connection] = deque()
        self._is_closed = False
        # All that a connector wants to know of a request is where it goes.
        self._asker = aiohttp.ClientRequest("GET", url.origin(), loop=asyncio.get_running_loop(), ssl=tls)

    def take(self, now: float) -> Connection | None:
        """The connection that was used last, where there is one that may be used again."""
        free = self._free
        while free:
            connection = free.pop()
            protocol = protocol_of(connection)
            if protocol.is_free and now - protocol.heard < _IDLE:
                return connection
            connection.close()
        return None

    async def open(self, times: aiohttp.ClientTimeout) -> Connection:
        """Another connection. Raises what aiohttp's connector does."""
        try:
            return await self._connector.connect(self._asker, [], times)
        except TimeoutError as exc:
            raise aiohttp.ConnectionTimeoutError from exc

    def keep(self, connection: Connection, now: float) -> None:
        """Keep a connection that may be used again, and no other for too long."""
        free = self._free
        if self._is_closed:
            connection.close()
            return
        free.append(connection)
        if now - protocol_of(free[0]).heard >= _IDLE:
            free.popleft().close()

    def close(self) -> None:
        """Close what is kept, and keep nothing more."""
        self._is_closed = True
        while self._free:
            self._free.pop().close()


class Connections:
    """Every kept connection of a transport, and one timer for all that something has to come on."""

    def __init__(self, connector: Connector, *, most_pools: int = 1000) -> None:
        self._connector = connector
        self._most_pools = most_pools
        self._loop = asyncio.get_running_loop()
        self._pools: dict[tuple[str, str | None, int | None, bool | ssl.SSLContext], OriginPool] = {}
        self._asked: dict[KeptProtocol, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = math.inf

    def to(self, url: URL, tls: bool | ssl.SSLContext) -> OriginPool:
        """The pool of the origin of a URL."""
        key = (url.scheme, url.raw_host, url.port, tls)
        pool = self._pools.get(key)
        if pool is None:
            if len(self._pools) >= self._most_pools:
                self._close_pools()
            pool = self._pools[key] = OriginPool(url, tls, self._connector)
        return pool

    def ask(self, connection: Connection, request: bytes, gap: float | None, *, has_body: bool) -> asyncio.Future[Head]:
        """Send a request, and see to it that something comes every ``gap`` seconds, until `end`."""
        protocol = protocol_of(connection)
        now = self._loop.time()
        if gap is not None:
            self._asked[protocol] = None
            if now + gap < self._look_at:
                self._look_in(gap, now)
        return protocol.ask(request, gap, now, has_body=has_body)

    def end(self, connection: Connection) -> bool:
        """The answer has been read. Whether the connection may be used again; else it is closed."""
        protocol = protocol_of(connection)
        self._asked.pop(protocol, None)
        if protocol.end():
            return True
        connection.close()
        return False

    def drop(self, connection: Connection) -> None:
        """The answer is not wanted, or cannot be had: the connection can be used for no other."""
        self._asked.pop(protocol_of(connection), None)
        connection.close()

    def close(self) -> None:
        """Close what is kept."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close_pools()

    def _close_pools(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _look_in(self, seconds: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look_at = now + seconds
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Give up those on which nothing came for too long, and come back when the next may be."""
        self._timer = None
        self._look_at = math.inf
        now = self._loop.time()
        soonest = math.inf
        for protocol in [*self._asked]:
            assert protocol.gap is not None
            left = protocol.heard + protocol.gap - now
            if left <= 0:
                del self._asked[protocol]
                protocol.give_up()
            else:
                soonest = min(soonest, left)
        if soonest < math.inf:
            self._look_in(soonest, now)


class Connector(aiohttp.TCPConnector):
    """Makes the connections, as a `KeptProtocol` each.

    It uses no kept one on which something came that nobody asked for: it would be taken for the next answer.
    """

    def __init__(self, resolver: AbstractResolver) -> None:
        super().__init__(limit=0, resolver=resolver)
        self._factory = partial(_new_protocol, asyncio.get_running_loop())

    @override
    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        return None


def _new_protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return KeptProtocol(loop)


def protocol_of(connection: Connection) -> KeptProtocol:
    """The connection's own end."""
    protocol = connection.protocol
    assert isinstance(protocol, KeptProtocol)
    return protocol
