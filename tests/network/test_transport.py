"""Real sockets and real faults: each gives its own error, and the same client still works afterwards."""

import asyncio
import gzip
import inspect
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import client_exceptions, http_exceptions, web
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import (
    BrokenExchangeError,
    CertificateError,
    ConfigurationError,
    ConnectError,
    DecodeError,
    InvalidRequestError,
    RequestError,
    RequestTimeoutError,
    StatusError,
)
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.network.message import Options, Request
from secoda_async.network.transport import _TRANSLATION, AiohttpTransport
from secoda_async.redact import Redactor
from secoda_async.settings import RetryPolicy, Settings, Timeout
from tests.network.raw_server import OK, Exchange, raw_server
from tests.server import serve

SOON = Timeout(connect=5, read=0.2, total=5)


@asynccontextmanager
async def client(*, traffic: Traffic | None = None, **settings: Any) -> AsyncIterator[Client]:
    chosen = Settings(**{"retry": None} | settings)
    made = Client(chosen, traffic=traffic or Traffic(), findings=Findings(), redact=Redactor())
    async with made:
        yield made


@asynccontextmanager
async def transport(**options: Any) -> AsyncIterator[AiohttpTransport]:
    given: dict[str, Any] = {"timeout": Timeout(), "verify": True, "max_body": 2**20, "traffic": Traffic()}
    made = AiohttpTransport(**given | options, user_agent="test")
    try:
        yield made
    finally:
        await made.aclose()


def reply(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


async def test_a_port_that_nobody_listens_on() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        async with client() as http:
            with pytest.raises(ConnectError, match=r"failed: cannot connect .*refused.*; check the URL") as caught:
                await http.request("GET", url)
    assert str(caught.value).startswith(f"GET {url} failed: ")


async def test_a_name_that_nobody_knows() -> None:
    async with client() as http:
        with pytest.raises(ConnectError, match="the host name cannot be resolved; check the URL and the network"):
            await http.request("GET", "http://nobody.invalid/x")


async def test_a_connection_that_is_not_answered_in_time_never_sent() -> None:
    """A TLS handshake that nobody answers stands for it: connecting includes TLS."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with client() as http:
        with pytest.raises(ConnectError, match=r"no connection within 0\.2 s"):
            await http.request("GET", url, timeout=Timeout(connect=0.2))
    server.close()


async def test_a_certificate_is_checked_unless_told_otherwise(tls: ssl.SSLContext, ca_file: str) -> None:
    async with raw_server(tls=tls) as server, client() as http:
        with pytest.raises(CertificateError) as caught:
            await http.request("GET", server.url)
        message = str(caught.value)
        assert re.search(r"certificate is not trusted \(.*certificate.*\); give verify=\"path/to/ca.pem\"", message)
        assert "not permitted" not in message, "OpenSSL's numbers are not the system's"
        assert server.exchanges == []
        assert (await http.request("GET", server.url, verify=False)).text == "ok"
        assert (await http.request("GET", server.url, verify=ca_file)).text == "ok"
        with pytest.raises(CertificateError):  # a connection that was not checked is not used by one that must be
            await http.request("GET", server.url)


async def test_verify_may_be_set_for_all_requests(tls: ssl.SSLContext, ca_file: str) -> None:
    async with raw_server(tls=tls) as server:
        for verify in (False, ca_file):
            async with client(verify=verify) as http:
                assert (await http.request("GET", server.url)).text == "ok"


async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, ca_file: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    async with raw_server(tls=context) as server, client(verify=ca_file) as http:
        with pytest.raises(CertificateError, match=r"127\.0\.0\.1"):
            await http.request("GET", server.url)


async def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("none.pem", "empty.pem"):
        path = str(tmp_path / name)
        async with raw_server() as server, client() as http, client(verify=path) as checking:
            with pytest.raises(ConfigurationError, match=f"verify=.*{name}.*cannot be read"):
                await http.request("GET", server.url, verify=path)
            with pytest.raises(ConfigurationError, match=f"verify=.*{name}.*cannot be read"):
                await checking.request("GET", server.url)


async def test_plain_http_on_an_https_port_is_said_to_be_no_tls() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async with serve(handle) as url, client() as http:
        with pytest.raises(ConnectError, match=r"no TLS connection \(.*\); check that the port speaks https") as caught:
            await http.request("GET", url.replace("http://", "https://"))
        assert not isinstance(caught.value, CertificateError)
        assert "not permitted" not in str(caught.value)
        assert (await http.request("GET", url)).text == "ok"


async def test_a_body_of_just_the_cap_is_taken_and_counted_decoded() -> None:
    body = gzip.compress(b"x" * 1000)
    traffic = Traffic()

    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(body, "Content-Encoding: gzip", f"Content-Length: {len(body)}"))

    async with raw_server(answer) as server, client(max_body=1000, traffic=traffic) as http:
        assert (await http.request("GET", server.url)).content == b"x" * 1000
    assert traffic.bytes_received == 1000
    assert traffic.statuses == {200: 1}


async def test_a_large_compressed_body_under_the_cap_arrives_whole() -> None:
    body = gzip.compress(b"0123456789" * 4_000_000)

    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(body, "Content-Encoding: gzip", f"Content-Length: {len(body)}"))

    async with raw_server(answer) as server, client() as http:
        assert len((await http.request("GET", server.url)).content) == 40_000_000


async def test_connections_are_kept_and_used_again() -> None:
    async with raw_server() as server, client() as http:
        for _ in range(5):
            await http.request("GET", server.url)
        assert server.connections == 1
        await asyncio.gather(*(http.request("GET", server.url) for _ in range(8)))
        assert server.connections <= 8


async def test_a_kept_connection_that_the_server_closed_is_not_used_again() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply()
        exchange.writer.close()

    traffic = Traffic()
    async with raw_server(answer) as server, client(traffic=traffic, retry=RetryPolicy(backoff=0.001)) as http:
        for _ in range(3):
            assert (await http.request("GET", server.url)).text == "ok"
            await asyncio.sleep(0.02)
        assert len(server.exchanges) == 3


async def test_a_kept_connection_that_is_closed_on_use_is_not_mended_by_aiohttp_itself() -> None:
    """Its repeat would pass no rate limit."""

    async def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.reset()
        else:
            await exchange.reply()

    traffic = Traffic()
    async with raw_server(answer) as server, client(traffic=traffic) as http:
        await http.request("GET", server.url)
        with pytest.raises(BrokenExchangeError):
            await http.request("GET", server.url)
        assert traffic.attempts == len(server.exchanges) == 2


class Source:
    """A body that is read while it is sent."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.opened = 0

    @property
    def length(self) -> int:
        return sum(map(len, self._pieces))

    async def open(self) -> AsyncIterator[bytes]:
        self.opened += 1
        for piece in self._pieces:
            yield piece


async def test_a_body_source_is_sent_with_its_length_and_opened_anew_for_each_attempt() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(b"", "Content-Length: 0", status="503 Busy") if exchange.number < 2 else OK)

    source = Source(b"abc" * 50_000, b"def", b"ghi")
    async with raw_server(answer) as server, client(retry=RetryPolicy(backoff=0.001)) as http:
        await http.request("POST", server.url, body=source, idempotent=True)
    assert source.opened == 3
    for exchange in server.exchanges:
        assert exchange.body == b"abc" * 50_000 + b"defghi"
        assert exchange.header("Content-Length") == [str(source.length)]
        assert exchange.header("Transfer-Encoding") == []


async def test_a_body_source_that_fails_is_an_error_and_the_client_still_works() -> None:
    class Unreadable(Source):
        async def open(self) -> AsyncIterator[bytes]:
            yield b"ab"
            raise OSError("the disk is gone")

    async with raw_server() as server, client() as http:
        with pytest.raises(RequestError):
            await http.request("POST", server.url, body=Unreadable(b"abcdef"))
        assert (await http.request("GET", server.url)).text == "ok"


async def test_cookies_are_not_kept_between_requests() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(b"ok", "Content-Length: 2", "Set-Cookie: session=1; Path=/"))

    async with raw_server(answer) as server, client() as http:
        url = server.url.replace("127.0.0.1", "localhost")  # aiohttp keeps none for bare addresses
        assert (await http.request("GET", url)).cookies == {"session": "1"}
        await http.request("GET", url)
        assert [exchange.header("Cookie") for exchange in server.exchanges] == [[], []]
        await http.request("GET", url, headers={"Cookie": "own=1"})
        assert server.exchanges[2].header("Cookie") == ["own=1"]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server() as proxy, raw_server() as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with client() as http:
            await http.request("GET", server.url)
        assert (proxy.connections, server.connections) == (0, 1)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_the_transport_follows_no_redirect(status: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(b"", "Location: /elsewhere", "Content-Length: 0", status=status))

    async with raw_server(answer) as server, transport() as bare:
        request = Request("GET", URL(f"{server.url}/x"), options=Options(follow_redirects=True))
        response = await bare.send(request)
        assert response.status_code == int(status[:3])
        assert server.targets == ["/x"]


async def test_what_is_sent_names_the_package_and_asks_for_compressed_answers() -> None:
    async with raw_server() as server, client() as http:
        await http.request("GET", server.url)
        await http.request("GET", server.url, headers={"User-Agent": "mine"})
    first, second = server.exchanges
    assert first.header("User-Agent")[0].startswith("secoda-async/")
    assert first.header("Accept-Encoding") == ["gzip, deflate"]
    assert second.header("User-Agent") == ["mine"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_answers_without_a_body_are_answers(method: str) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"X-Method": request.method})

    async with serve(handle) as url, client() as http:
        response = await http.request(method, url)
        assert (response.status_code, response.content, response.headers["x-method"]) == (204, b"", method)


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 None"), ("GET", "304 Same")])
async def test_a_coding_without_a_body_is_no_fault(method: str, status: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(b"", "Content-Encoding: gzip", "Content-Length: 0", status=status))

    async with raw_server(answer) as server, client() as http:
        assert (await http.request(method, server.url)).content == b""


async def test_a_coding_that_was_not_asked_for_is_named_and_not_repeated() -> None:
    async def answer(exchange: Exchange) -> None:
        status = "503 Busy" if exchange.target == "/busy" else "200 OK"
        await exchange.reply(reply(b"??", "Content-Encoding: br", "Content-Length: 2", status=status))

    async with raw_server(answer) as server, client(retry=RetryPolicy(attempts=2, backoff=0.001)) as http:
        with pytest.raises(DecodeError, match="answered 200 with a body whose Content-Encoding is 'br'; only gzip"):
            await http.request("GET", server.url)
        assert len(server.exchanges) == 1
        with pytest.raises(StatusError, match="answered 503"):
            await http.request("GET", f"{server.url}/busy")
        assert len(server.exchanges) == 3


async def test_the_caller_may_choose_the_coding() -> None:
    async with raw_server() as server, client() as http:
        await http.request("GET", server.url, headers={"accept-encoding": "identity"})
        assert server.exchanges[0].header("Accept-Encoding") == ["identity"]


async def test_a_cancelled_request_gives_its_connection_up_and_the_client_still_works() -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.target == "/slow":
            await exchange.reply(reply(b"half", "Content-Length: 9"))
            await asyncio.sleep(5)
        await exchange.reply()

    async with raw_server(answer) as server, client() as http:
        for _ in range(3):
            task = asyncio.ensure_future(http.request("GET", f"{server.url}/slow"))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await http.request("GET", server.url)).text == "ok"
        assert list(http.in_flight) == []


async def test_closing_twice_does_nothing() -> None:
    async with transport() as bare:
        await bare.aclose()
        await bare.aclose()


def translated(exc: BaseException) -> type[RequestError] | None:
    return next((error for kinds, error, _ in _TRANSLATION if isinstance(exc, kinds)), None)


CLIENT_ERRORS = [
    kind
    for module in (client_exceptions, http_exceptions)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__.startswith("aiohttp")
]
NOT_BROKEN: dict[str, type[RequestError]] = {
    "ConnectionTimeoutError": ConnectError,
    "ServerTimeoutError": RequestTimeoutError,
    "SocketTimeoutError": RequestTimeoutError,
    "ClientConnectorError": ConnectError,
    "ClientProxyConnectionError": ConnectError,
    "ClientHttpProxyError": ConnectError,
    "UnixClientConnectorError": ConnectError,
    "ClientConnectorDNSError": ConnectError,
    "ClientSSLError": ConnectError,
    "ClientConnectorSSLError": ConnectError,
    "ClientConnectorCertificateError": CertificateError,
    "InvalidURL": InvalidRequestError,
    "InvalidUrlClientError": InvalidRequestError,
    "InvalidUrlRedirectClientError": InvalidRequestError,
    "WSMessageTypeError": InvalidRequestError,
}


@pytest.mark.parametrize("kind", CLIENT_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_aiohttp_has_a_counterpart(kind: type[Exception]) -> None:
    expected = NOT_BROKEN.get(kind.__name__, BrokenExchangeError)
    assert translated(kind.__new__(kind)) is expected


def test_the_table_names_only_errors_that_exist() -> None:
    assert set(NOT_BROKEN) <= {kind.__name__ for kind in CLIENT_ERRORS}
    assert {aiohttp.ClientError, aiohttp.ServerDisconnectedError} <= set(CLIENT_ERRORS)


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb", "/a%20b", "/a+b?c=d+e", "//double//slashes//", "/a;b=c,d(e)*f!g'h$i&j@k:l", "/%7Euser/~user",
        "/?a=%2F&b=/&c=?&d=%3D", "/x?", "/%c3%a4", "/a/../b/./c", "/?[]=1", "/x?a&b=&=c",
    ],
)  # fmt: skip
async def test_a_valid_url_goes_out_byte_for_byte(target: str) -> None:
    async with raw_server() as server, client() as http:
        await http.request("GET", server.url + target)
        assert [target if target != "/x?" else "/x"] == server.targets
