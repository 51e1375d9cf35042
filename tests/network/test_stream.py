"""A streamed answer is read while it arrives, in bounded memory, and is a loss where it breaks off."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from typing_extensions import override

from secoda_async import (
    BodyTooLargeError,
    BrokenExchangeError,
    ConfigurationError,
    DecodeError,
    IncompleteRunError,
    InvalidRequestError,
    RequestError,
    RequestTimeoutError,
    Response,
    RetryPolicy,
    RunError,
    Settings,
    StatusError,
    StreamedResponse,
    Timeout,
    Transport,
)
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.network.message import Request
from secoda_async.redact import Redactor
from tests.integrations import MemorySink, integration
from tests.network.raw_server import Exchange, RawServer, raw_server
from tests.server import serve

JSON = b'{"count": 3, "data": {"tables": [{"id": 1}, {"id": 2}, {"id": 3}]}}'


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Made:
    """A client of one server, with what it counts into."""

    def __init__(self, server: RawServer, transport: Transport | None = None, **settings: Any) -> None:
        self.server = server
        self.traffic, self.findings = Traffic(), Findings()
        self.client = Client(
            Settings(**{"base_url": server.url, "retry": RetryPolicy(backoff=0.001)} | settings),
            traffic=self.traffic,
            findings=self.findings,
            redact=Redactor(["s3cr3t"]),
            transport=transport,
        )

    @property
    def losses(self) -> list[str]:
        self.findings.lose_cancelled()
        return [loss.message for loss in self.findings.losses]


@asynccontextmanager
async def made(written: bytes | Callable[[Exchange], Awaitable[None]], **settings: Any) -> AsyncIterator[Made]:
    """The server writes this to ``/stream`` and then closes, and is well otherwise."""

    async def respond(exchange: Exchange) -> None:
        if not exchange.target.startswith("/stream"):
            await exchange.reply()
        elif isinstance(written, bytes):
            await exchange.reply(written)
            exchange.writer.close()
        else:
            await written(exchange)

    async with raw_server(respond) as server:
        one = Made(server, **settings)
        async with one.client:
            yield one
            assert list(one.client.in_flight) == []
            assert one.traffic.in_flight == 0
            assert (await one.client.request("GET", "/good")).text == "ok", "the same client still works"


async def test_bytes_lines_ndjson_and_items() -> None:
    lines = b'{"id": 1}\r\n\n{"id": 2}'
    async with made(answer(lines)) as one:
        async with one.client.stream("GET", "/stream") as reply:
            assert (reply.status_code, reply.headers["Content-Length"]) == (200, str(len(lines)))
            assert b"".join([piece async for piece in reply.aiter_bytes()]) == lines
        async with one.client.stream("GET", "/stream") as reply:
            assert [line async for line in reply.aiter_lines()] == ['{"id": 1}', "", '{"id": 2}']
        async with one.client.stream("GET", "/stream") as reply:
            assert [row async for row in reply.aiter_ndjson()] == [{"id": 1}, {"id": 2}]
        assert one.losses == []
    async with made(answer(JSON)) as one:
        for path in ("data.tables", ["data", "tables"]):
            async with one.client.stream("GET", "/stream") as reply:
                assert [row["id"] async for row in reply.aiter_items(path)] == [1, 2, 3]
        async with one.client.stream("GET", "/stream") as reply:
            assert dict([pair async for pair in reply.aiter_items()]) == orjson.loads(JSON)
        assert one.losses == []


@pytest.mark.parametrize("coding", ["gzip", None])
async def test_the_body_is_decoded_and_counted(coding: str | None) -> None:
    body = gzip.compress(JSON) if coding else JSON
    async with made(answer(body, *([f"Content-Encoding: {coding}"] if coding else []))) as one:
        async with one.client.stream("GET", "/stream") as reply:
            assert b"".join([piece async for piece in reply.aiter_bytes()]) == JSON
        assert one.traffic.bytes_received == len(JSON)
        assert one.traffic.statuses == {200: 1}
        assert (one.traffic.requests, one.traffic.attempts) == (1, 1)


async def test_lines_are_text_in_the_charset_of_the_answer() -> None:
    body = "Größe\n€".encode("iso-8859-15")
    async with made(answer(body, "Content-Type: text/csv; charset=iso-8859-15")) as one:
        assert await read(one, "aiter_lines") == ["Größe", "€"]


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_large_document_takes_little_memory(coding: str) -> None:
    row = b'{"id": 1, "text": "' + b"x" * 4000 + b'"},'
    rows = row * 16
    count = 64 * 2**20 // len(rows) + 1
    compressor = gzip.zlib.compressobj(level=1, wbits=31)  # type: ignore[attr-defined]

    def pieces() -> Any:
        yield b"["
        yield from (rows for _ in range(count))
        yield b"{}]"

    async def stream(exchange: Exchange) -> None:
        await exchange.reply(f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n".encode())
        for piece in pieces():
            data = compressor.compress(piece) if coding == "gzip" else piece
            if data:
                await exchange.reply(data)
        if coding == "gzip":
            await exchange.reply(compressor.flush())
        exchange.writer.close()

    async with made(stream, timeout=None) as one:
        tracemalloc.start()
        try:
            async with one.client.stream("GET", "/stream") as reply:
                seen = 0
                async for item in reply.aiter_items():
                    seen += 1 if item else 0
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert seen == 16 * count
        assert one.traffic.bytes_received >= 64 * 2**20
        assert peak < 8 * 2**20


async def test_a_status_that_is_not_2xx_has_its_body_read_and_is_never_data() -> None:
    body = b'{"detail": "no such table"}'
    async with made(answer(body, "Content-Type: application/json", status="404 Not Found")) as one:
        async with one.client.stream("GET", "/stream") as reply:
            assert (reply.status_code, reply.json(), reply.content) == (404, {"detail": "no such table"}, body)
            assert "no such table" in reply.text
            with pytest.raises(StatusError, match=r"answered 404 Not Found: .*no such table"):
                reply.raise_for_status()
            for iterate in (reply.aiter_bytes, reply.aiter_lines, reply.aiter_ndjson, reply.aiter_items):
                with pytest.raises(StatusError, match="answered 404"):
                    iterate()
        assert one.losses == [], "a status that was returned is the caller's to judge"


async def test_retries_end_at_the_head() -> None:
    async def stream(exchange: Exchange) -> None:
        if exchange.number == 0:
            await exchange.reply(answer(b"", status="503 Busy"))
        else:
            await exchange.reply(answer(b"half", length=8))
            exchange.writer.close()

    async with made(stream) as one:
        with pytest.raises(BrokenExchangeError):
            await read(one)
        assert len(one.server.exchanges) == 2


async def read(one: Made, how: str = "aiter_bytes", **options: Any) -> list[Any]:
    async with one.client.stream("GET", "/stream?q=s3cr3t", **options) as reply:
        return [part async for part in getattr(reply, how)()]


BROKEN: dict[str, tuple[bytes, str, type[RequestError], str]] = {
    # name: what is written before the end, how it is read, which error, what it says
    "short of its length": (answer(b"half", length=8), "aiter_bytes", BrokenExchangeError, "the exchange broke off"),
    "chunks without end": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "aiter_lines", BrokenExchangeError, "the exchange broke off",
    ),
    "gzip that is cut off": (
        answer(gzip.compress(JSON)[:-3], "Content-Encoding: gzip"),
        "aiter_bytes", BrokenExchangeError, "the body is cut off within its gzip",
    ),
    "no gzip": (
        answer(JSON, "Content-Encoding: gzip"), "aiter_bytes", BrokenExchangeError, "the body is no gzip",
    ),
    "unknown coding": (
        answer(JSON, "Content-Encoding: br"), "aiter_bytes", DecodeError, "Content-Encoding is 'br'",
    ),
    "a document that ends too early": (
        answer(b"[1, 2", "Content-Type: text/html"), "aiter_items", DecodeError,
        "answered 200 with a body that cannot be read as JSON items: it ends too early (Content-Type text/html)",
    ),
    "a line that is no JSON": (
        answer(b"1\nx\n"), "aiter_ndjson", DecodeError,
        "with a body that cannot be read as NDJSON: line 2 is no JSON",
    ),
    "a line over the cap": (
        answer(b"x" * 2000), "aiter_lines", BodyTooLargeError,
        "failed: line 1 is over 1000 bytes; raise max_body if that is meant",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("optional", [False, True])
async def test_a_body_that_breaks_off_is_an_error_and_a_loss_though_it_is_caught(name: str, optional: bool) -> None:
    written, how, kind, says = BROKEN[name]
    async with made(written, max_body=1000) as one:
        with pytest.raises(kind) as caught:
            await read(one, how, optional=optional)
        message = str(caught.value)
        assert says in message
        assert message.startswith(f"GET {one.server.url}/stream?q=[redacted] ")
        assert len(one.server.exchanges) == 1
        assert one.losses == ([] if optional else [message])
        assert [finding.message for finding in one.findings.list()] == ([message] if optional else [])


async def test_what_came_before_the_break_is_given_and_the_error_comes_again() -> None:
    async with made(answer(b"1\n2\nx\n4\n")) as one:
        async with one.client.stream("GET", "/stream") as reply:
            rows = reply.aiter_ndjson()
            assert [await anext(rows), await anext(rows)] == [1, 2]
            for _ in range(2):
                with pytest.raises(DecodeError, match="line 3"):
                    await anext(rows)
        assert len(one.losses) == 1


async def slowly(exchange: Exchange) -> None:
    """More than anybody reads."""
    await exchange.reply(b'HTTP/1.1 200 OK\r\n\r\n1\n"fail"\n')
    while True:
        await exchange.reply(b"1\n" * 1000)
        await asyncio.sleep(0.001)


async def test_leaving_early_on_purpose_is_no_loss_and_closes_the_connection() -> None:
    async def first(one: Made) -> Any:
        async with one.client.stream("GET", "/stream") as reply:
            async for row in reply.aiter_ndjson():
                return row
        return None

    async def generated(one: Made) -> AsyncIterator[Any]:
        async with one.client.stream("GET", "/stream") as reply:
            async for row in reply.aiter_ndjson():
                yield row

    async with made(slowly) as one:
        assert await first(one) == 1
        rows = generated(one)
        assert await anext(rows) == 1
        await rows.aclose()  # type: ignore[attr-defined]
        async with one.client.stream("GET", "/stream"):
            pass
        assert one.losses == []
        await asyncio.sleep(0.02)
        assert all(exchange.writer.is_closing() for exchange in one.server.exchanges)


async def test_a_block_that_is_left_by_an_exception_before_the_end_is_cut_off() -> None:
    async def fail(one: Made) -> None:
        async with one.client.stream("GET", "/stream") as reply:
            async for row in reply.aiter_ndjson():
                if row == "fail":
                    raise KeyError("own")
            raise KeyError("after the end")

    async with made(slowly) as one:
        with pytest.raises(KeyError):
            await fail(one)
        assert one.losses == [f"GET {one.server.url}/stream was cut off (KeyError)"]
    async with made(answer(b"1")) as one:
        with pytest.raises(KeyError):
            await fail(one)
        assert one.losses == []


async def test_a_stream_that_is_cancelled_is_cut_off_and_its_slot_is_free() -> None:
    async with made(slowly, concurrency=1) as one:
        task = asyncio.ensure_future(read(one))
        await asyncio.sleep(0.05)
        assert len(list(one.client.in_flight)) == one.traffic.in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert one.losses == [f"GET {one.server.url}/stream?q=[redacted] was cut off (CancelledError)"]


async def test_slot_and_flight_last_until_the_stream_is_left() -> None:
    async with made(answer(b"1\n"), concurrency=1) as one:
        async with one.client.stream("GET", "/stream") as reply:
            assert [row async for row in reply.aiter_ndjson()] == [1]
            other = asyncio.ensure_future(one.client.request("GET", "/good"))
            await asyncio.sleep(0.02)
            assert len(one.server.exchanges) == 1, "the slot is taken"
            assert one.traffic.in_flight == 2
        assert (await other).text == "ok"


async def export(request: web.Request) -> web.StreamResponse:
    return web.Response(text="".join(f"{n}\n" for n in range(20)))


async def one_by_one(self: Any, path: object) -> None:
    async with self.http_stream("GET", f"/{path}") as reply:
        async for line in reply.aiter_lines():
            await self.http_get(f"/{path}/{line}")


async def by_for_each(self: Any, path: object) -> None:
    async def one(line: str) -> None:
        await self.for_each([line], lambda line: self.http_get(f"/{path}/{line}"))

    async with self.http_stream("GET", f"/{path}") as reply:
        await self.for_each(reply.aiter_lines(), one)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("read", [one_by_one, by_for_each])
async def test_where_each_slot_is_a_stream_whose_reader_waits_for_another_it_is_an_error_at_once(
    slots: int, read: Any
) -> None:
    async def extract(self: Any) -> None:
        await self.for_each(range(slots), lambda path: read(self, path))

    async with serve(export) as url:
        with pytest.raises(ConfigurationError, match=f"concurrency={slots}, and each of these slots"):
            await integration(extract, base_url=url, concurrency=slots).run(MemorySink())
        for enough in (slots + 1, None):
            report = await integration(extract, base_url=url, concurrency=enough).run(MemorySink())
            assert report.source.requests == slots * 21


async def test_a_request_beside_a_stream_waits_for_its_slot() -> None:
    async def extract(self: Any) -> None:
        async with asyncio.TaskGroup() as group, self.http_stream("GET", "/export") as reply:
            async for line in reply.aiter_lines():
                group.create_task(self.http_get(f"/{line}"))
                await asyncio.sleep(0.001)

    async with serve(export) as url:
        report = await integration(extract, base_url=url, concurrency=1).run(MemorySink())
    assert report.source.requests == 21


async def test_a_stream_that_is_never_entered_is_a_request_that_was_never_awaited() -> None:
    async def extract(self: Any) -> None:
        self.http_stream("GET", "/stream")

    async with made(b"") as one:
        one.client.stream("GET", "/stream")
        assert one.client.never_awaited == 1
        with pytest.raises(IncompleteRunError, match=r"1 http_.* calls were never awaited"):
            await integration(extract, base_url=one.server.url).run(MemorySink())


async def test_a_stream_that_is_never_left_is_in_flight_at_the_end() -> None:
    async def extract(self: Any) -> None:
        kept.append(self.http_stream("GET", "/stream"))
        await kept[0].__aenter__()

    kept: list[Any] = []
    async with made(slowly) as one:
        with pytest.raises(IncompleteRunError, match="/stream was still in flight when extract"):
            await integration(extract, base_url=one.server.url).run(MemorySink())
        await kept[0].__aexit__(None, None, None)


async def test_a_whole_run_reads_a_stream_and_its_break_fails_the_run_though_it_is_caught() -> None:
    async def extract(self: Any) -> None:
        async with self.http_stream("POST", "/stream", json={"a": 1}, headers={"X-Own": "1"}) as reply:
            try:
                rows.extend([row["id"] async for row in reply.aiter_items("data.tables")])
            except RequestError:
                rows.append("caught")

    rows: list[Any] = []
    async with made(answer(JSON)) as one:
        report = await integration(extract, base_url=one.server.url).run(MemorySink())
        assert (rows, report.loss_count) == ([1, 2, 3], 0)
        (exchange,) = one.server.exchanges
        assert (exchange.body, exchange.header("X-Own")) == (b'{"a":1}', ["1"])
    rows.clear()
    async with made(answer(JSON[:-1])) as one:
        with pytest.raises(IncompleteRunError, match="cannot be read as JSON items: it ends too early"):
            await integration(extract, base_url=one.server.url).run(MemorySink())
        assert rows == ["caught"]


async def test_time_outs_hold_within_the_body_and_for_the_whole() -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.reply(answer(b"half", length=8))
        await asyncio.sleep(5)

    async with made(silent) as one:
        with pytest.raises(RequestTimeoutError, match=r"nothing was received for 0\.1 s"):
            await read(one, timeout=Timeout(read=0.1))
        with pytest.raises(RequestTimeoutError, match=r"not finished after 0\.1 s"):
            await read(one, timeout=Timeout(total=0.1))
        assert len(one.losses) == 2


async def test_the_body_is_read_once_and_only_while_the_answer_is_open() -> None:
    async with made(answer(b"1\n")) as one:
        async with one.client.stream("GET", "/stream") as reply:
            for access in (lambda: reply.content, lambda: reply.text, reply.json):
                with pytest.raises(RunError, match="the body of a streamed answer is read with aiter_bytes"):
                    access()
            rows = reply.aiter_lines()
            with pytest.raises(RunError, match="can be read only once"):
                reply.aiter_bytes()
        with pytest.raises(RunError, match="the answer is closed; read it inside of"):
            await anext(rows)
        await reply.aclose()


async def test_a_redirect_is_followed_to_the_stream() -> None:
    async def stream(exchange: Exchange) -> None:
        if exchange.target == "/stream":
            await exchange.reply(answer(b"", "Location: /stream/there", status="302 Found"))
        else:
            await exchange.reply(answer(b"1\n2"))

    async with made(stream) as one, one.client.stream("GET", "/stream", follow_redirects=True) as reply:
        assert reply.url == f"{one.server.url}/stream/there"
        assert [row async for row in reply.aiter_ndjson()] == [1, 2]


async def test_a_request_that_cannot_be_sent_is_a_loss_of_a_stream_too() -> None:
    async with made(b"") as one:
        with pytest.raises(InvalidRequestError):
            async with one.client.stream("GET", "ftp://x"):
                pass
        assert len(one.losses) == 1


@pytest.mark.parametrize("body", [b"1\n2", b""])
async def test_a_transport_that_knows_no_streams_serves_them_all_the_same(body: bytes) -> None:
    class Plain(Transport):
        @override
        async def send(self, request: Request) -> Response:
            response = Response(request, 200, content=body)
            response.recorded = 7
            return response

        @override
        async def aclose(self) -> None:
            return

    async with raw_server() as server:
        one = Made(server, transport=Plain())
        async with one.client.stream("GET", "/stream") as reply:
            assert isinstance(reply, StreamedResponse)
            assert reply.recorded == 7, "or a journal would not know whose answer it was that cannot be read"
            assert [row async for row in reply.aiter_ndjson()] == orjson.loads(b"[%s]" % body.replace(b"\n", b","))


async def test_other_requests_get_their_turn_while_a_body_comes_fast() -> None:
    async with made(answer(b"[" + b"1," * 2_000_000 + b"1]")) as one:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.ensure_future(count())
        async with one.client.stream("GET", "/stream") as reply:
            assert len([item async for item in reply.aiter_items()]) == 2_000_001
        counter.cancel()
        assert turns > 10
