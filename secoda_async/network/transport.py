"""Speaks HTTP through aiohttp. Nothing of aiohttp leaves this file: its errors are translated here."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import cached_property
from typing import Any, Final

import aiohttp
from aiohttp import http_exceptions
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from secoda_async.counters import Traffic
from secoda_async.errors import (
    AddressError,
    BodyTooLargeError,
    BrokenExchangeError,
    CertificateError,
    ConnectError,
    DecodeError,
    InvalidRequestError,
    RequestError,
    RequestTimeoutError,
)
from secoda_async.network.addresses import AddressRules, Lookup
from secoda_async.network.connections import BUFFER, MAX_HEADER, Connections, Connector, OriginPool, protocol_of
from secoda_async.network.deadlines import Deadlines
from secoda_async.network.decode_body import (
    ACCEPTED,
    PIECE,
    CodingError,
    Decoder,
    UnknownCodingError,
    decoder_for,
)
from secoda_async.network.head import Heads
from secoda_async.network.message import Request, Response, Transport
from secoda_async.network.origin import Origin
from secoda_async.network.proxies import Proxies, Proxy
from secoda_async.network.stream import StreamedResponse
from secoda_async.network.tls import Cert, Contexts
from secoda_async.settings import UNSET, Timeout

# Most specific first: an aiohttp error is often several of these at once.
_TRANSLATION: Final[tuple[tuple[tuple[type[BaseException], ...], type[RequestError], str], ...]] = (
    ((aiohttp.ConnectionTimeoutError,), ConnectError, "no connection within {connect:g} s"),
    ((aiohttp.ServerTimeoutError,), RequestTimeoutError, "nothing was received for {read:g} s"),
    ((TimeoutError,), RequestTimeoutError, "not finished after {total:g} s"),
    (
        (aiohttp.ClientConnectorCertificateError, ssl.CertificateError),
        CertificateError,
        'the server\'s certificate is not trusted ({exc}); give verify="path/to/ca.pem" (--ca-file) if it is your own',
    ),
    ((aiohttp.ClientSSLError,), ConnectError, "no TLS connection ({exc}); check that the port speaks https"),
    (
        (aiohttp.ClientConnectorDNSError,),
        ConnectError,
        "the host name cannot be resolved; check the URL and the network",
    ),
    (
        (aiohttp.ClientProxyConnectionError,),
        ConnectError,
        "cannot connect to the proxy ({exc}); check proxy, or what trust_env finds",
    ),
    (
        (aiohttp.ClientHttpProxyError,),
        ConnectError,
        "the proxy makes no connection ({exc}); check proxy and its password",
    ),
    ((aiohttp.ClientConnectorError,), ConnectError, "cannot connect ({exc}); check the URL, and that the server runs"),
    ((aiohttp.InvalidURL,), InvalidRequestError, "not a valid URL"),
    (
        (aiohttp.ClientError, http_exceptions.HttpProcessingError, ConnectionError, EOFError),
        BrokenExchangeError,
        "the exchange broke off ({exc})",
    ),
    ((CodingError,), BrokenExchangeError, "the body {exc}"),
    ((ValueError, TypeError), InvalidRequestError, "cannot be sent ({exc})"),
)
_FAULTS: Final = (
    aiohttp.ClientError,
    http_exceptions.HttpProcessingError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
)
_MOST_HOSTS: Final = 10_000  # of which it is remembered that they pass
_BODY_TYPE: Final = ("Content-Type",)


class AiohttpTransport(Transport):
    """One pool of kept connections. Redirects are not followed, cookies are not kept, the pool never queues.

    Usage: inside a running event loop, ``transport = AiohttpTransport(timeout=Timeout(), verify=True, ...)``.

    ``lookup`` takes the place of the system's resolver. ``cert`` is shown to ``cert_origin`` alone. A 2xx to a request
    with ``stream`` is a StreamedResponse; every other body is read within ``send``, up to ``max_body`` bytes.
    ``send`` raises AddressError for an address that is refused, ConfigurationError where ``verify`` or ``cert`` names a
    file that cannot be read, DecodeError for a coding that cannot be undone, TransportError where the exchange fails.
    """

    def __init__(
        self,
        *,
        timeout: Timeout,
        verify: bool | str,
        max_body: int,
        traffic: Traffic,
        user_agent: str,
        refuse_private: bool = False,
        lookup: Lookup | None = None,
        cert: Cert | None = None,
        cert_origin: Origin | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        own = [proxy.url.host or "" for proxy in proxies.all] if proxies is not None else []
        self._addresses = AddressRules(refuse_private=refuse_private, exempt=own)
        self._proxies = proxies if own else None
        self._cert_origin = cert_origin
        self._passed: set[str] = set()  # hosts that are no address that is refused
        self._resolver = _Resolver(self._addresses, lookup)
        self._timeout = timeout
        self._aiohttp_timeout = _as_client_timeout(timeout, is_all=False)
        self._deadlines = Deadlines()
        self._max_body = max_body
        self._traffic = traffic
        self._contexts = Contexts(cert)
        self._verify = verify
        self._loop = asyncio.get_running_loop()
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": ACCEPTED, "Accept": "*/*"}
        self._heads = Heads(self._headers)

    @override
    def send(self, request: Request) -> Coroutine[Any, Any, Response]:
        options = request.options
        if request.url.raw_host not in self._passed:
            self._check_host(request)
        timeout, client_timeout = self._timeout, self._aiohttp_timeout
        if options.timeout is not UNSET or request.stream:
            timeout = timeout if options.timeout is UNSET else options.timeout
            client_timeout = _as_client_timeout(timeout, is_all=request.stream)
        return self._exchange(request, timeout, client_timeout)

    async def _exchange(self, request: Request, times: Timeout, client_timeout: aiohttp.ClientTimeout) -> Response:
        verify = self._verify if request.options.verify is UNSET else request.options.verify
        with_cert = self._cert_origin is not None and self._cert_origin.has(request.url)
        tls: bool | ssl.SSLContext
        if isinstance(verify, str) or with_cert:
            tls = await self._contexts.of(verify, with_cert=with_cert)
        else:
            tls = verify
        proxy = None if self._proxies is None else self._proxies.of(request.url)
        self._traffic.attempts += 1
        started = self._loop.time()
        attempt = None if request.stream else self._deadlines.begin(times.total)
        try:
            plain = None if proxy is not None or request.stream else self._plain(request, tls)
            if plain is None:
                return await self._open(request, proxy, tls, times, client_timeout, started=started)
            pool, head = plain
            connection = pool.take(started) or await pool.open(client_timeout)
            return await self._ask(request, pool, connection, head, gap=times.read, started=started)
        except RequestError:  # some are of the kinds below, too
            raise
        except asyncio.CancelledError:
            if attempt is None or not attempt.was_late():
                raise
            raise _translate(TimeoutError(), request, times) from None
        except _RefusedError as exc:
            raise _address_error(request, str(exc)) from None
        except _FAULTS as exc:
            raise _translate(exc, request, times) from _shown_cause(exc)
        finally:
            if attempt is not None:
                attempt.end()

    def _plain(self, request: Request, tls: bool | ssl.SSLContext) -> tuple[OriginPool, bytes] | None:
        """Where a request goes and what is sent there, where it is a plain one. Raises ValueError or TypeError."""
        if "@" in request.url.raw_authority:  # a credential, which aiohttp makes a header of
            return None
        pool = self._connections.to(request.url, tls)
        head = self._heads.of(request, pool.host)
        return None if head is None else (pool, head)

    async def _ask(
        self,
        request: Request,
        pool: OriginPool,
        connection: Connection,
        head: bytes,
        *,
        gap: float | None,
        started: float,
    ) -> Response:
        """The answer to a plain request."""
        try:
            asked = self._connections.ask(connection, head, gap, has_body=request.method != "HEAD")
            message, body = await asked
            self._traffic.overdue = protocol_of(connection).was_overdue()
            content = await self._read(request, message.code, message.headers, body)
        except BaseException:
            self._connections.drop(connection)
            raise
        now = self._loop.time()
        if self._connections.end(connection):
            pool.keep(connection, now)
        return self._answer(request, message.code, message.headers, content, now - started)

    async def _open(
        self,
        request: Request,
        proxy: Proxy | None,
        tls: bool | ssl.SSLContext,
        times: Timeout,
        client_timeout: aiohttp.ClientTimeout,
        *,
        started: float,
    ) -> Response:
        """The answer to any request, through a session."""
        headers, data = _opened(request, proxy)
        reply = await self._session.request(
            request.method,
            request.url,
            headers=headers,
            data=data,
            allow_redirects=False,
            timeout=client_timeout,
            ssl=tls,
            proxy=None if proxy is None else proxy.url,
            proxy_headers=None if proxy is None else proxy.headers,
            # Else aiohttp gives a POST without a body the type of one, which some servers refuse.
            skip_auto_headers=_BODY_TYPE if data is None and request.method != "GET" else None,
        )
        if request.stream and 200 <= reply.status < 300:
            return self._streamed(request, reply, times, self._loop.time() - started)
        try:
            content = await self._read(request, reply.status, reply.headers, reply.content)
        except BaseException:
            reply.close()
            raise
        await reply.release()
        return self._answer(request, reply.status, reply.headers, content, self._loop.time() - started)

    def _answer(
        self, request: Request, status: int, headers: CIMultiDictProxy[str], content: bytes, elapsed: float
    ) -> Response:
        """An answer that has been read, which is counted."""
        self._traffic.statuses[status] += 1
        self._traffic.bytes_received += len(content)
        return Response(request, status, headers=headers, content=content, elapsed=elapsed)

    @cached_property
    def _connector(self) -> Connector:
        """Made when it is needed: one that is never closed would be complained of."""
        return Connector(self._resolver)

    @cached_property
    def _connections(self) -> Connections:
        return Connections(self._connector)

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        """What proxies, streams and bodies that are read while they are sent go through."""
        session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            auto_decompress=False,  # aiohttp takes a gzip body that is cut off for a whole one
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            read_bufsize=BUFFER,
        )
        # aiohttp repeats a request by itself where a kept connection was closed; that would pass no rate limit.
        session._retry_connection = False
        return session

    @override
    async def aclose(self) -> None:
        self._deadlines.close()
        if "_connections" in self.__dict__:
            self._connections.close()
        if "_session" in self.__dict__:
            await self._session.close()
        if "_connector" in self.__dict__:
            await self._connector.close()
        await self._resolver.close()

    def _check_host(self, request: Request) -> None:
        """Refuse a host that is an address: it is connected to without the resolver."""
        host = request.url.raw_host or ""
        refusal = self._addresses.refusal(host)
        if refusal is not None:
            raise _address_error(request, refusal)
        if len(self._passed) >= _MOST_HOSTS:
            self._passed.clear()
        self._passed.add(host)

    async def _read(self, request: Request, status: int, headers: CIMultiDictProxy[str], stream: StreamReader) -> bytes:
        """The decoded body, read in pieces under a cap: a small gzip body can decode to half a gigabyte."""
        pieces: list[bytes] = []
        size = 0
        decoder = _decoder(request, status, headers)
        # Most bodies come in one piece with their head, and an await costs.
        while data := stream.read_nowait() if stream.is_eof() else await stream.readany():
            for piece in (data,) if decoder is None else decoder.feed(data):
                size += len(piece)
                if size > self._max_body:
                    raise BodyTooLargeError(
                        f"{request} failed: the body is over {self._max_body} bytes; raise max_body if that is meant",
                        request=request,
                    )
                pieces.append(piece)
                if decoder is not None and len(piece) == PIECE:
                    await asyncio.sleep(0)  # what was read at once may decode to a thousand pieces
        if decoder is not None:
            decoder.finish()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _streamed(
        self, request: Request, reply: aiohttp.ClientResponse, timeout: Timeout, elapsed: float
    ) -> StreamedResponse:
        try:
            body = _Body(request, reply, timeout, self._traffic)
        except BaseException:
            reply.close()
            raise
        self._traffic.statuses[reply.status] += 1
        return StreamedResponse(
            request, reply.status, headers=reply.headers, pieces=body, close=body.aclose, elapsed=elapsed
        )


class _RefusedError(Exception):
    """Carries a refusal through aiohttp, which translates every OSError of a resolver."""


class _Resolver(AbstractResolver):
    """Looks names up, and lets no address pass that is refused: aiohttp connects to what this gives."""

    def __init__(self, addresses: AddressRules, lookup: Lookup | None) -> None:
        self._addresses = addresses
        self._lookup = lookup
        self._default = aiohttp.DefaultResolver()

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if self._lookup is None:
            found = await self._default.resolve(host, port, family)
        else:
            found = [_found(host, address, port) for address in await self._lookup(host)]
        for one in found:
            refusal = self._addresses.refusal(host, one["host"])
            if refusal is not None:
                raise _RefusedError(refusal)
        return found

    @override
    async def close(self) -> None:
        await self._default.close()


def _found(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


def _address_error(request: Request, refusal: str) -> AddressError:
    return AddressError(f"{request} was not sent: {refusal}", request=request)


class _Body(AsyncIterator[bytes]):
    """A body that is read by the caller; its errors are translated, its bytes counted, decoded."""

    def __init__(self, request: Request, reply: aiohttp.ClientResponse, timeout: Timeout, traffic: Traffic) -> None:
        self._request = request
        self._reply = reply
        self._timeout = timeout
        self._traffic = traffic
        self._decoder = _decoder(request, reply.status, reply.headers)
        self._ready: Iterator[bytes] = iter(())

    @override
    async def __anext__(self) -> bytes:
        try:
            while True:
                for piece in self._ready:
                    self._traffic.bytes_received += len(piece)
                    return piece
                data = await self._reply.content.readany()
                if not data:
                    break
                self._ready = iter((data,)) if self._decoder is None else self._decoder.feed(data)
            if self._decoder is not None:
                self._decoder.finish()
        except _FAULTS as exc:
            raise _translate(exc, self._request, self._timeout) from _shown_cause(exc)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if self._reply.content.at_eof():
            await self._reply.release()
        else:
            self._reply.close()


def _decoder(request: Request, status: int, headers: CIMultiDictProxy[str]) -> Decoder | None:
    """What undoes the coding of the body. Raises DecodeError where nothing does."""
    coding = headers.get("Content-Encoding")
    if coding is None:
        return None
    try:
        return decoder_for(coding)
    except UnknownCodingError as exc:
        if not 200 <= status < 300:
            return None  # the status says more than the body
        response = Response(request, status, headers=headers)
        raise DecodeError(
            f"{request} answered {status} with a body whose Content-Encoding {exc}; "
            "ask for another with headers={'Accept-Encoding': 'gzip'} or 'identity'",
            response=response,
        ) from None


def _opened(
    request: Request, proxy: Proxy | None
) -> tuple[CIMultiDictProxy[str] | CIMultiDict[str], bytes | AsyncIterator[bytes] | None]:
    """Headers and body as they go out, where they are not those of the request."""
    body = request.body
    headers = CIMultiDict(request.headers)
    if proxy is not None and proxy.headers and request.url.scheme == "http":
        headers.update(proxy.headers)  # which the proxy takes out; of a tunnel's it sees none
    if body is None or isinstance(body, bytes):
        return headers, body
    headers["Content-Length"] = str(body.length)
    return headers, body.open()


def _as_client_timeout(timeout: Timeout, *, is_all: bool) -> aiohttp.ClientTimeout:
    """``is_all``: aiohttp counts the whole time, too, which goes on while the caller reads the body."""
    total = timeout.total if is_all else None
    return aiohttp.ClientTimeout(total=total, connect=timeout.connect, sock_read=timeout.read)


def _cause(exc: BaseException) -> str:
    """What went wrong, in the system's words where it has some: aiohttp's repeat host and port."""
    cause = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc
    if isinstance(cause, ssl.SSLError):  # its errno is OpenSSL's, not the system's
        return getattr(cause, "verify_message", None) or (cause.reason or str(cause)).replace("_", " ").lower()
    # What aiohttp's parser complains of; the text around it claims a status of 400 and repeats the URL.
    if isinstance(exc, aiohttp.ServerDisconnectedError) and not isinstance(exc.message, str):
        return "the connection was closed within the head"  # which the text would show, cookies and all
    fault = exc if isinstance(exc, http_exceptions.HttpProcessingError) else exc.__cause__
    if isinstance(fault, http_exceptions.HttpProcessingError):
        return " ".join(fault.message.split())
    if isinstance(exc, aiohttp.ClientResponseError):
        return exc.message
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
        return os.strerror(cause.errno)
    return str(exc) or type(exc).__name__


def _shown_cause(exc: BaseException) -> BaseException | None:
    # Of these the text names host and port at most; others repeat the URL, which a traceback would show.
    return exc if isinstance(exc, aiohttp.ClientConnectorError | TimeoutError) else None


def _translate(exc: BaseException, request: Request, timeout: Timeout) -> RequestError:
    for kinds, error, message in _TRANSLATION:
        if isinstance(exc, kinds):
            text = message.format(
                exc=_cause(exc),
                connect=timeout.connect or 0,
                read=timeout.read or 0,
                total=timeout.total or 0,
            )
            return error(f"{request} failed: {text}", request=request)
    return BrokenExchangeError(f"{request} failed: the exchange broke off ({exc!r})", request=request)
