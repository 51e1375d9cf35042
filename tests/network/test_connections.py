"""Kept connections: what may be used again, what may not, and for how long silence is borne."""

import asyncio
import time

import aiohttp
import pytest
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import BrokenExchangeError, RequestTimeoutError
from secoda_async.network.connections import Connections, KeptProtocol
from secoda_async.network.message import Request
from secoda_async.settings import Timeout
from tests.network.raw_server import OK, Exchange, raw_server
from tests.network.test_transport import client, reply, transport


async def test_a_second_answer_in_the_same_packet_is_not_taken_for_that_of_the_next_request() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(b"mine", "Content-Length: 4") + reply(b"evil", "Content-Length: 4"))

    async with raw_server(answer) as server, client() as http:
        for number in range(1, 4):
            assert (await http.request("GET", server.url)).text == "mine"
            assert server.connections == number


async def test_what_comes_on_an_idle_connection_is_not_taken_for_the_next_answer() -> None:
    sent = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.reply()
        if exchange.number == 0:
            await exchange.reply(reply(b"evil", "Content-Length: 4"))
            sent.set()

    async with raw_server(answer) as server, client() as http:
        await http.request("GET", server.url)
        await sent.wait()
        await asyncio.sleep(0.02)
        assert (await http.request("GET", server.url)).text == "ok"
        assert server.connections == 2


async def test_interim_answers_are_passed_over() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(b"", status="103 Early Hints"))
        await exchange.reply(reply(b"", status="102 Processing") + OK)

    async with raw_server(answer) as server, client() as http:
        for _ in range(2):
            assert (await http.request("GET", server.url)).text == "ok"
        assert server.connections == 1


async def test_answers_of_every_framing_follow_one_another_on_one_connection() -> None:
    answers = [
        OK,
        reply(b"2\r\nok\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        reply(b"", status="204 No Content"),
        reply(b"", "Content-Length: 5", status="304 Not Modified"),
        reply(b"", "Content-Length: 0"),
        OK,
    ]

    async def answer(exchange: Exchange) -> None:
        for byte in answers[exchange.number]:  # one by one, so that every state of the parser is stopped at
            await exchange.reply(bytes([byte]))
            await asyncio.sleep(0)

    async with raw_server(answer) as server, client() as http:
        texts = [(await http.request("GET", server.url)).text for _ in answers]
        assert texts == ["ok", "ok", "", "", "", "ok"]
        assert server.connections == 1


async def test_the_answer_to_a_head_leaves_the_connection_usable() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(b"", "Content-Length: 2") if exchange.line.startswith("HEAD") else OK)

    async with raw_server(answer) as server, client() as http:
        assert (await http.request("HEAD", server.url)).content == b""
        assert (await http.request("GET", server.url)).text == "ok"
        assert (await http.request("HEAD", server.url)).content == b""
        assert server.connections == 1


async def test_a_body_that_lasts_until_the_connection_ends_is_whole() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(reply(b"first "))
        await asyncio.sleep(0.01)
        await exchange.reply(b"second")
        exchange.writer.close()

    async with raw_server(answer) as server, client() as http:
        assert (await http.request("GET", server.url)).text == "first second"


async def test_silence_before_the_head_and_within_the_body_is_borne_for_as_long_as_read_says() -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number:
            await exchange.reply(reply(b"a", "Content-Length: 2"))

    async with raw_server(answer) as server, client(timeout=Timeout(read=0.1, total=None)) as http:
        for _ in range(2):
            with pytest.raises(RequestTimeoutError, match=r"nothing was received for 0\.1 s"):
                await http.request("GET", server.url)


async def test_an_answer_that_trickles_in_is_no_silence() -> None:
    async def answer(exchange: Exchange) -> None:
        for byte in reply(b"okok", "Content-Length: 4"):
            await exchange.reply(bytes([byte]))
            await asyncio.sleep(0.01)

    async with raw_server(answer) as server, client(timeout=Timeout(read=0.2, total=None)) as http:
        assert (await http.request("GET", server.url)).text == "okok"


async def test_a_shorter_silence_than_that_of_the_others_is_heeded() -> None:
    async def answer(exchange: Exchange) -> None:
        await asyncio.sleep(0 if exchange.target == "/soon" else 0.3)
        if exchange.target != "/never":
            await exchange.reply()

    async with raw_server(answer) as server, client(timeout=Timeout(read=30, total=None)) as http:
        patient = asyncio.ensure_future(http.request("GET", f"{server.url}/late"))
        await asyncio.sleep(0.05)
        with pytest.raises(RequestTimeoutError, match=r"nothing was received for 0\.1 s"):
            await http.request("GET", f"{server.url}/never", timeout=Timeout(read=0.1, total=None))
        assert (await patient).text == "ok"


async def test_no_request_is_sent_on_a_connection_that_has_been_idle_for_long() -> None:
    async with raw_server() as server, transport() as made:
        request = Request("GET", URL(server.url))
        await made.send(request)
        pool = made._connections.to(request.url, True)
        now = asyncio.get_running_loop().time()
        kept = pool.take(now + 14)
        assert kept is not None
        pool.keep(kept, now)
        assert pool.take(now + 15.1) is None
        await made.send(request)
        assert server.connections == 2


async def test_what_is_left_idle_is_closed_when_another_connection_is_kept() -> None:
    async with raw_server() as server, transport() as made:
        request = Request("GET", URL(server.url))
        await asyncio.gather(made.send(request), made.send(request))
        pool = made._connections.to(request.url, True)
        assert len(pool._free) == 2
        now = asyncio.get_running_loop().time()
        newest = pool.take(now)
        assert newest is not None
        pool.keep(newest, now + 20)
        assert len(pool._free) == 1


async def test_a_cut_off_head_shows_nothing_of_what_came() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(b"HTTP/1.1 200 OK\r\nSet-Cookie: s3cret\r\n")
        exchange.writer.close()

    async with raw_server(answer) as server, client() as http:
        with pytest.raises(BrokenExchangeError) as caught:
            await http.request("GET", server.url)
    shown = "".join(map(str, [caught.value, caught.value.__cause__]))
    assert "s3cret" not in shown


async def test_a_connection_to_one_place_is_never_used_for_another() -> None:
    traffic = Traffic()
    async with raw_server() as one, raw_server() as other, client(traffic=traffic) as http:
        for _ in range(3):
            await http.request("GET", one.url)
            await http.request("GET", other.url)
        assert len(one.exchanges) == len(other.exchanges) == 3
        assert one.connections == other.connections == 1
        assert traffic.attempts == 6


async def test_places_that_are_forgotten_give_their_connections_back() -> None:
    async with raw_server() as one, raw_server() as other, transport() as made:
        made.__dict__["_connections"] = Connections(made._connector, most_pools=1)
        for _ in range(3):
            for server in (one, other):
                assert (await made.send(Request("GET", URL(server.url)))).status_code == 200
        assert one.connections == other.connections == 3
        assert len(made._connector._acquired) == 1


async def test_a_request_in_flight_while_its_place_is_forgotten_gives_its_connection_back() -> None:
    asked, goes_on = asyncio.Event(), asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        asked.set()
        await goes_on.wait()
        await exchange.reply()

    async with raw_server(answer) as slow, raw_server() as other, transport() as made:
        made.__dict__["_connections"] = Connections(made._connector, most_pools=1)
        first = asyncio.ensure_future(made.send(Request("GET", URL(slow.url))))
        await asked.wait()
        await made.send(Request("GET", URL(other.url)))
        goes_on.set()
        assert (await first).status_code == 200
        assert len(made._connector._acquired) == 1


async def test_a_connection_that_is_lost_before_anything_was_asked_is_a_broken_exchange() -> None:
    line = KeptProtocol(asyncio.get_running_loop())
    line.connection_made(asyncio.Transport())
    line.connection_lost(None)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        line.ask(b"GET / HTTP/1.1", None, 0.0, has_body=True)


class _Sent(asyncio.Transport):
    def write(self, data: object) -> None:
        pass


@pytest.mark.parametrize(("coming", "waiting", "overdue"), [(0.0, 0.1, True), (0.1, 0.0, False)])
async def test_an_answer_is_overdue_where_the_event_loop_lets_it_wait(
    coming: float, waiting: float, overdue: bool
) -> None:
    line = KeptProtocol(asyncio.get_running_loop())
    line.connection_made(_Sent())
    answered = line.ask(b"GET / HTTP/1.1\r\n\r\n", None, 0.0, has_body=True)
    time.sleep(coming)  # noqa: ASYNC251 # nothing else is to run meanwhile
    line.data_received(reply(b"mine", "Content-Length: 4"))
    time.sleep(waiting)  # noqa: ASYNC251
    assert answered.done()
    assert line.was_overdue() is overdue
