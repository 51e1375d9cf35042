"""A server with an endpoint for each fault that docs/what-happens-when.md tells of, and how each is asked."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from secoda_async.errors import BrokenExchangeError
from secoda_async.network.client import Client
from secoda_async.network.oauth import OAuth2ClientCredentials
from secoda_async.settings import Timeout
from tests.network.raw_server import Answer, Exchange, RawServer, raw_server

Ask = Callable[[Client, str], Awaitable[Any]]
SOON = Timeout(connect=5, read=0.2, total=5)


def reply(body: bytes = b"", *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    """An answer; without ``length`` its headers must say where it ends."""
    own = [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([f"HTTP/1.1 {status}", *own, *headers, "", ""]).encode() + body


def unsized(body: bytes, *headers: str) -> bytes:
    return reply(body, *headers, length=False)


def ask(method: str = "GET", read: str = "text", suffix: str = "", **options: Any) -> Ask:
    """Ask, with ``suffix`` at the end of the URL, and read an attribute of the answer or one of its aiter_*."""

    async def asked(client: Client, url: str) -> Any:
        if read.startswith("aiter"):
            async with client.stream(method, url, **options) as streamed:
                return [part async for part in getattr(streamed, read)()]
        answer = await client.request(method, url + suffix, **options)
        found = getattr(answer, read)
        return found() if callable(found) else found

    return asked


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    answer: Answer
    ask: Ask = field(default_factory=ask)
    settings: dict[str, Any] = field(default_factory=dict)


def writes(*parts: bytes, reset: bool = False, close: bool = False) -> Answer:
    """Write this, then keep the connection, close it, or reset it."""

    async def answer(exchange: Exchange) -> None:
        for part in parts:
            await exchange.reply(part)
            await asyncio.sleep(0.01)  # so that what was written arrives before the end
        if reset:
            exchange.reset()
        elif close:
            exchange.writer.close()

    return answer


def silent_after(start: bytes) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(start)
        await asyncio.sleep(2)

    return answer


def endless(start: bytes, piece: bytes, *, gap: float = 0.0) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(start)
        while not exchange.writer.is_closing():
            await exchange.reply(piece)
            await asyncio.sleep(gap)

    return answer


def first_then(first: Answer, then: Answer) -> Answer:
    """Something else from the second request on."""
    asked: dict[int, int] = {}

    async def answer(exchange: Exchange) -> None:
        server = id(exchange.server)
        asked[server] = asked.get(server, 0) + 1
        await (first if asked[server] == 1 else then)(exchange)

    return answer


def busy(*headers: str, status: str = "429 Too Many Requests") -> Answer:
    return first_then(writes(reply(b"", *headers, status=status)), writes(reply(b"done")))


def nothing_left(until: int) -> list[str]:
    return ["X-RateLimit-Remaining: 0", f"X-RateLimit-Reset: {until}"]


def redirects(location: str, status: str = "302 Found") -> Answer:
    """To ``location``, in which PORT is the server's own, and from there to what tells what came."""

    async def answer(exchange: Exchange) -> None:
        if exchange.target.endswith("/there"):
            told = {
                "method": exchange.line.split(" ")[0],
                "body": exchange.body.decode(),
                "token": exchange.header("token"),
                "type": exchange.header("Content-Type"),
            }
            await exchange.reply(reply(orjson.dumps(told)))
        else:
            port = exchange.server.url.rpartition(":")[2]
            await exchange.reply(reply(b"", f"Location: {location.replace('PORT', port)}", status=status))

    return answer


async def tell_target(exchange: Exchange) -> None:
    await exchange.reply(reply(orjson.dumps([exchange.target.partition("?")[2], exchange.header("X-Injected")])))


async def set_cookies(exchange: Exchange) -> None:
    lines = ["Set-Cookie: other=1; Domain=example.com; Path=/", "Set-Cookie: all=1; Domain=1; Path=/"]
    await exchange.reply(reply(orjson.dumps(exchange.header("Cookie")), *lines))


def with_token(path: str, read: str = "text") -> Ask:
    """Ask with a token that the server gives at another path of it."""

    async def asked(client: Client, url: str) -> Any:
        auth = OAuth2ClientCredentials(url.rpartition("/")[0] + path, "id", "secret")
        return await ask(read=read, auth=auth)(client, url)

    return asked


def elsewhere(there: Ask) -> Ask:
    """Ask the server by another name."""

    async def asked(client: Client, url: str) -> Any:
        return await there(client, url.replace("127.0.0.1", "localhost"))

    return asked


async def after_five_failures(client: Client, url: str) -> Any:
    for _ in range(5):
        with suppress(BrokenExchangeError):
            await client.request("GET", url, optional=True)
    return await client.request("GET", url)


def twice(first: Ask, second: Ask) -> Ask:
    async def asked(client: Client, url: str) -> Any:
        await first(client, url)
        await asyncio.sleep(0.03)  # so that what comes in between has come
        return await second(client, url)

    return asked


def json(body: bytes, *headers: str, **options: Any) -> Fault:
    return Fault(writes(reply(body, *headers)), ask(read="json", **options))


def parse(body: bytes, model: Any) -> Fault:
    async def asked(client: Client, url: str) -> Any:
        return (await client.request("GET", url)).parse(model)

    return Fault(writes(reply(body)), asked)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = unsized(b"", "Transfer-Encoding: chunked")
BIG = b"x" * 50_000_000
CAPPED = {"max_body": 1_000_000}
FORGED = reply(b"forged")
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
EPOCH = 1792567680  # the same
FOLLOW: dict[str, Any] = {"follow_redirects": True, "headers": {"token": "t"}}
POST: dict[str, Any] = {"json": {"a": 1}, "idempotent": True, **FOLLOW}

FAULTS: dict[str, Fault] = {
    # The connection
    "the connection is closed without an answer": Fault(writes(close=True)),
    "the connection is reset without an answer": Fault(writes(b"", reset=True)),
    "a kept connection is reset when it is used again": Fault(
        first_then(writes(reply(b"first")), first_then(writes(reset=True), writes(reply(b"done")))), twice(ask(), ask())
    ),
    "nothing is answered": Fault(silent_after(b""), ask(timeout=SOON)),
    "the head stops in the middle": Fault(silent_after(b"HTTP/1.1 200 OK\r\nCont"), ask(timeout=SOON)),
    "the head ends in the middle": Fault(writes(b"HTTP/1.1 200 OK\r\nCont", close=True)),
    "the answer is no HTTP": Fault(writes(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    "a header of 1 MB": Fault(writes(reply(b"", f"X: {'x' * 2**20}"))),
    "100,000 headers": Fault(writes(reply(b"", *(f"X{n}: {n}" for n in range(100_000))))),
    # The body
    "the body is reset in the middle": Fault(writes(unsized(b"half", "Content-Length: 9"), reset=True)),
    "the body stops in the middle": Fault(silent_after(unsized(b"half", "Content-Length: 9")), ask(timeout=SOON)),
    "the body drips, a byte now and then": Fault(
        endless(unsized(b"", "Content-Length: 1000"), b"x", gap=0.05), ask(timeout=Timeout(read=0.2, total=0.3))
    ),
    "the body is shorter than its Content-Length": Fault(
        writes(unsized(b"half", "Content-Length: 9"), close=True)
    ),
    "the body is longer than its Content-Length": Fault(
        writes(unsized(b"done" + FORGED, "Content-Length: 4")), twice(ask(), ask())
    ),
    "a second answer comes that nobody asked for": Fault(
        first_then(writes(reply(b"first"), FORGED), writes(reply(b"done"))), twice(ask(), ask())
    ),
    "Content-Length is no number": Fault(writes(unsized(b"x", "Content-Length: many"))),
    "two lengths that differ": Fault(writes(unsized(b"xx", "Content-Length: 1", "Content-Length: 2"))),
    "chunks without an end": Fault(writes(CHUNKED + chunk(b"half"), close=True)),
    "a chunk without a length": Fault(writes(CHUNKED + b"zz\r\nx\r\n0\r\n\r\n")),
    "chunks that never end": Fault(endless(CHUNKED, chunk(b"x" * 2**16)), settings=CAPPED),
    "a body over the cap": Fault(writes(reply(BIG)), settings=CAPPED),
    "a gzip bomb": Fault(writes(reply(gzip.compress(BIG), "Content-Encoding: gzip")), settings=CAPPED),
    "a deflate bomb": Fault(writes(reply(zlib.compress(BIG), "Content-Encoding: deflate")), settings=CAPPED),
    "a gzip bomb in a gzip": Fault(
        writes(reply(gzip.compress(gzip.compress(BIG)), "Content-Encoding: gzip, gzip")), settings=CAPPED
    ),
    "gzip that is cut off": Fault(writes(reply(gzip.compress(b"data")[:-4], "Content-Encoding: gzip"))),
    "a body that is no gzip": Fault(writes(reply(b"nogzip", "Content-Encoding: gzip"))),
    "bytes after the end of the gzip": Fault(writes(reply(gzip.compress(b"x") + b"more", "Content-Encoding: gzip"))),
    "a Content-Encoding that is not known": Fault(writes(reply(b"??", "Content-Encoding: br"))),
    "an empty body with Content-Encoding": Fault(writes(reply(b"", "Content-Encoding: gzip"))),
    "204 with a body in the same packet": Fault(writes(reply(b"body", status="204 No Content"))),
    "204, and a body after it": Fault(
        writes(unsized(b"", "Content-Length: 4").replace(b"200 OK", b"204 No Content"), b"body"), twice(ask(), ask())
    ),
    "HEAD is answered with a body in the same packet": Fault(writes(reply(b"body")), ask("HEAD")),
    "HEAD is answered, and a body after it": Fault(
        writes(unsized(b"", "Content-Length: 4"), b"body"), twice(ask("HEAD"), ask("HEAD"))
    ),
    # Streams
    "a stream that breaks off": Fault(
        writes(unsized(b"half", "Content-Length: 9"), close=True), ask(read="aiter_bytes")
    ),
    "a streamed document that ends too early": Fault(writes(reply(b'[{"a": 1}, {"a"')), ask(read="aiter_items")),
    "a streamed line that is no JSON": Fault(writes(reply(b'{"a": 1}\n{"a"\n')), ask(read="aiter_ndjson")),
    "a streamed document of 100,000 levels": Fault(writes(reply(b"[" * 100_000)), ask(read="aiter_items")),
    "a stream is answered with 404": Fault(
        writes(reply(b"no such table", "Content-Type: text/plain", status="404 Not Found")), ask(read="aiter_lines")
    ),
    # JSON
    "an empty body where JSON is read": json(b""),
    "HTML where JSON is read": json(b"<html>Sign in</html>", "Content-Type: text/html"),
    "JSON of 100,000 levels": json(b"[" * 100_000 + b"]" * 100_000),
    "JSON with a byte-order mark": json(b'\xef\xbb\xbf{"a": 1}'),
    "JSON in UTF-16": json('{"a": "ü"}'.encode("utf-16")),
    "JSON in UTF-8 that says it is latin-1": json(
        '{"a": "ü"}'.encode(), "Content-Type: application/json; charset=latin-1"
    ),
    "JSON in latin-1 that says so": json(
        '{"a": "ü"}'.encode("latin-1"), "Content-Type: application/json; charset=latin-1"
    ),
    "JSON in latin-1 that says it is UTF-8": json(
        '{"a": "ü"}'.encode("latin-1"), "Content-Type: application/json; charset=utf-8"
    ),
    "bytes that are no UTF-8, read as text": Fault(writes(reply(b"a\xffb"))),
    "a name that an object has twice": json(b'{"a": 1, "a": 2}'),
    "NaN": json(b'{"a": NaN}'),
    "NaN, parsed as a model": parse(b'{"a": NaN}', dict[str, float]),
    "an integer of 2**64": json(b"18446744073709551616"),
    "an integer of 2**64, parsed as a model": parse(b"18446744073709551616", int),
    "a number beyond the floats": json(b"1e999"),
    "half a surrogate pair": json(b'"\\ud800"'),
    "a body that does not fit the model": parse(b'{"a": "many"}', dict[str, int]),
    # Statuses
    "404": Fault(writes(reply(b"", status="404 Not Found")), ask(read="status_code")),
    "503 for good": Fault(writes(reply(b"", status="503 Service Unavailable"))),
    "501": Fault(writes(reply(b"", status="501 Not Implemented"))),
    "503 for good to a POST": Fault(writes(reply(b"", status="503 Service Unavailable")), ask("POST")),
    "503 with Retry-After to a POST": Fault(busy("Retry-After: 0", status="503 Service Unavailable"), ask("POST")),
    "403": Fault(writes(reply(b"", status="403 Forbidden")), ask(read="status_code")),
    "429 with Retry-After: 0": Fault(busy("Retry-After: 0")),
    "429 with Retry-After: 1": Fault(busy("Retry-After: 1")),
    "429 with a date as Retry-After": Fault(busy(f"Date: {DATE}", f"Retry-After: {DATE}")),
    "429 with a Retry-After in the past": Fault(busy("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT")),
    "429 with a negative Retry-After": Fault(busy("Retry-After: -10")),
    "429 with a Retry-After that is neither": Fault(busy("Retry-After: soon")),
    "429 with two Retry-After": Fault(busy("Retry-After: 0", "Retry-After: 1000000")),
    "429 with Retry-After: 1000000000000": Fault(busy(f"Retry-After: {10**12}")),
    "429 with a Retry-After of 400 digits": Fault(busy(f"Retry-After: {'9' * 400}")),
    "429 with nothing left for a second": Fault(busy("RateLimit-Remaining: 0", "RateLimit-Reset: 1")),
    "429 with nothing left in a combined header": Fault(busy('RateLimit: "default";r=0;t=1')),
    "403 with nothing left for a second": Fault(busy(*nothing_left(1), status="403 Forbidden")),
    "403 with nothing left until a time since 1970": Fault(
        busy(f"Date: {DATE}", *nothing_left(EPOCH), status="403 Forbidden")
    ),
    "403 with nothing left until the year 5138": Fault(
        busy(f"Date: {DATE}", *nothing_left(99_999_999_999), status="403 Forbidden")
    ),
    "429 with nothing left until the year 5138": Fault(busy(f"Date: {DATE}", *nothing_left(99_999_999_999))),
    "200 with nothing left for a second": Fault(writes(reply(b"done", *nothing_left(1)))),
    "200 with nothing left until the year 5138": Fault(writes(reply(b"done", *nothing_left(99_999_999_999)))),
    "200 with a quota that makes no sense": Fault(
        writes(reply(b"done", "X-RateLimit-Remaining: -1", "X-RateLimit-Reset: soon", f"RateLimit: r={'9' * 30};t=-1"))
    ),
    # Credentials
    "401": Fault(writes(reply(b"", status="401 Unauthorized")), ask(read="status_code", auth=("user", "password"))),
    "401 to a token that can be renewed": Fault(
        first_then(writes(reply(b"", status="401 Unauthorized")), writes(reply(b"done"))), with_token("/token")
    ),
    "401 to the renewed token too": Fault(
        writes(reply(b"", status="401 Unauthorized")), with_token("/token", read="status_code")
    ),
    "a token that is not given": Fault(writes(reply(b"done")), with_token("/no-token")),
    # Redirects
    "a redirect that is not followed": Fault(redirects("/there"), ask(read="status_code")),
    "a redirect in a circle": Fault(redirects("?again"), ask(**FOLLOW)),
    "a redirect to another host": Fault(redirects("http://localhost:PORT/there"), ask(read="json", **FOLLOW)),
    "a redirect to a file": Fault(redirects("file:///etc/passwd"), ask(**FOLLOW)),
    "a redirect to a link-local address": Fault(redirects("http://169.254.169.254/latest"), ask(**FOLLOW)),
    "a redirect to what is no URL": Fault(redirects("http://[::1"), ask(**FOLLOW)),
    "303 after a POST": Fault(redirects("/there", "303 See Other"), ask("POST", "json", **POST)),
    "307 after a POST": Fault(redirects("/there", "307 Temporary"), ask("POST", "json", **POST)),
    "307 after a POST, to another host": Fault(
        redirects("http://localhost:PORT/there", "307 Temporary"), ask("POST", **POST)
    ),
    "a carriage return in Location": Fault(redirects("/there\rX-Injected: 1"), ask(**FOLLOW)),
    # What is refused
    "a host that is not allowed": Fault(
        writes(reply(b"done")), elsewhere(ask()), settings={"allowed_hosts": ["127.0.0.1"]}
    ),
    "a redirect to a host that is not allowed": Fault(
        redirects("http://localhost:PORT/there"), ask(**FOLLOW), settings={"allowed_hosts": ["127.0.0.1"]}
    ),
    "an endpoint that is not declared": Fault(
        writes(reply(b"done")), ask(suffix="/users"), settings={"endpoints": ["GET 127.0.0.1/{n}"]}
    ),
    "an endpoint that is not declared, where they are enforced": Fault(
        writes(reply(b"done")),
        ask(suffix="/users"),
        settings={"endpoints": ["GET 127.0.0.1/{n}"], "enforce_endpoints": True},
    ),
    "a redirect to an endpoint that is not declared, where they are enforced": Fault(
        redirects("/users/there"),
        ask(**FOLLOW),
        settings={"endpoints": ["GET 127.0.0.1/{n}"], "enforce_endpoints": True},
    ),
    "a host that left five requests without an answer": Fault(
        writes(close=True), elsewhere(after_five_failures), settings={"retry": None}
    ),
    # What is sent
    "a line end in the value of a header": Fault(tell_target, ask(headers={"X-Bad": "a\r\nX-Injected: 1"})),
    "a line end in the name of a header": Fault(tell_target, ask(headers={"X-Bad\r\nX-Injected": "1"})),
    "a zero byte in a header": Fault(tell_target, ask(headers={"X-Bad": "a\0b"})),
    "a header that is no text": Fault(tell_target, ask(headers={"X-Bad": 5})),
    "a line end in a URL": Fault(tell_target, ask(read="json", suffix="?q=\r\nX-Injected: 1")),
    "a line end in params": Fault(tell_target, ask(read="json", params="q=\r\nX-Injected: 1")),
    "cookies that are set for other hosts": Fault(
        set_cookies, twice(ask(), ask(read="json")), settings={"cookies": True}
    ),
}  # fmt: skip


@asynccontextmanager
async def fault_server(*, times: int | None = None) -> AsyncIterator[RawServer]:
    """Serve ``/<number of the fault>`` and what is below it; anything else is answered well.

    ``times`` is how often the fault is shown, before all is well; None is always.
    """
    faults = list(FAULTS.values())
    shown = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal shown
        number = exchange.target.split("?")[0].split("/")[1]
        if number == "there":
            await redirects("")(exchange)
        elif number == "token":
            await exchange.reply(reply(b'{"access_token": "t", "token_type": "bearer", "expires_in": 3600}'))
        elif number == "no-token":
            await exchange.reply(reply(b'{"error": "invalid_client"}', status="400 Bad Request"))
        elif number.isdigit() and (times is None or shown < times):
            shown += 1
            await faults[int(number)].answer(exchange)
        elif exchange.line.startswith("HEAD"):
            await exchange.reply(reply())
        else:
            await exchange.reply()

    async with raw_server(answer) as server:
        yield server
