"""Cookies are kept only where that is asked for, and go back to the very origin that set them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async import Settings
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.network.cookies import Jar
from secoda_async.redact import Redactor
from tests.network.raw_server import Exchange, RawServer, raw_server

HTTP = URL("http://api.example/a/b?c=d")
HTTPS = URL("https://api.example/a/b?c=d")


@pytest.mark.parametrize(
    ("line", "url", "sent"),
    [
        ("a=1", "http://api.example/a/x", "a=1"),
        ("a=1", "http://api.example/other", None),
        ("a=1; Path=/", "http://api.example/other", "a=1"),
        ("a=1; path=/a/b", "http://api.example/a/bc", None),
        ("a=1; path=/a/b", "http://api.example/a/b/c", "a=1"),
        ("a=1; path=relative", "http://api.example/a/x", "a=1"),
        ("a=1; Path=/; HttpOnly; SameSite=Lax", "http://api.example/", "a=1"),
        ('a="x y=z"; Path=/', "http://api.example/", 'a="x y=z"'),
        ("a=; Path=/", "http://api.example/", "a="),
        ("a=1; Path=/; Domain=api.example", "http://api.example/", "a=1"),
        ("a=1; Path=/; Domain=.API.example", "http://api.example/", "a=1"),
        ("a=1; Path=/; Domain=", "http://api.example/", "a=1"),
        ("a=1; Path=/; Domain=example", "http://api.example/", None),
        ("a=1; Path=/; Domain=other.example", "http://api.example/", None),
        ("a=1; Path=/; Secure", "http://api.example/", None),
        ("a=1; Path=/; Max-Age=10", "http://api.example/", "a=1"),
        ("a=1; Path=/; Max-Age=0", "http://api.example/", None),
        ("a=1; Path=/; Max-Age=-5", "http://api.example/", None),
        ("a=1; Path=/; Max-Age=soon", "http://api.example/", "a=1"),
        ("a=1; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT", "http://api.example/", None),
        ("a=1; Path=/; Expires=Wed, 21-Oct-2015 07:28:00 GMT", "http://api.example/", None),
        ("a=1; Path=/; Expires=Wed, 21 Oct 2199 07:28:00 GMT", "http://api.example/", "a=1"),
        ("a=1; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Max-Age=10", "http://api.example/", "a=1"),
        ("a=1; Path=/; Expires=never", "http://api.example/", "a=1"),
        ("no pair", "http://api.example/a/x", None),
        ("=1", "http://api.example/a/x", None),
        ("", "http://api.example/a/x", None),
        ("a=1\x00", "http://api.example/a/x", None),
        ("a=" + "x" * 5000, "http://api.example/a/x", None),
    ],
)
def test_what_is_kept_and_for_which_path(line: str, url: str, sent: str | None) -> None:
    jar = Jar()
    jar.take(HTTP, line)
    assert jar.header(URL(url)) == sent


def test_a_secure_cookie_is_taken_over_https() -> None:
    jar = Jar()
    jar.take(HTTPS, "a=1; Secure; Path=/")
    assert jar.header(HTTPS) == "a=1"


def test_cookies_end_at_their_time_are_replaced_by_name_and_path_and_sent_longest_path_first() -> None:
    now = [100.0]
    jar = Jar(lambda: now[0])
    for line in ("a=1; Path=/", "a=2; Path=/a", "b=3; Path=/; Max-Age=10", "a=4; Path=/"):
        jar.take(HTTP, line)
    assert jar.header(HTTP) == "a=2; b=3; a=4"
    now[0] = 111.0
    assert jar.header(HTTP) == "a=2; a=4"
    jar.take(HTTP, "a=; Path=/a; Max-Age=0")
    assert jar.header(HTTP) == "a=4"


def test_a_cookie_of_the_caller_wins() -> None:
    jar = Jar()
    jar.take(HTTP, "a=1")
    jar.take(HTTP, "b=2")
    assert jar.header(HTTP, "a=own; c=3") == "a=own; c=3; b=2"


def test_a_server_that_sets_without_end_fills_a_bounded_jar() -> None:
    jar = Jar()
    for number in range(1000):
        jar.take(HTTP, f"c{number}={number}")
    header = jar.header(HTTP)
    assert header is not None
    assert header.count("=") == 200
    assert "c999=999" in header


@given(st.text())
def test_no_line_raises_and_nothing_ends_a_header(line: str) -> None:
    jar = Jar()
    jar.take(HTTP, line)
    header = jar.header(HTTP) or ""
    assert not set(header) & set("\r\n\0")


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[tuple[Client, Redactor]]:
    redact = Redactor()
    chosen = Settings(**{"retry": None} | settings)
    async with Client(chosen, traffic=Traffic(), findings=Findings(), redact=redact) as made:
        yield made, redact


async def sign_in(exchange: Exchange) -> None:
    cookies = "Set-Cookie: session=s3cr3t-value; Path=/\r\nSet-Cookie: other=1; Domain=example.com\r\n"
    if exchange.target.startswith("/away"):
        location = exchange.target.removeprefix("/away?")
        cookies += f"Location: {location}\r\n"
    status = "302 Found" if "Location" in cookies else "200 OK"
    await exchange.reply(f"HTTP/1.1 {status}\r\n{cookies}Content-Length: 0\r\n\r\n".encode())


def sent(server: RawServer) -> list[list[str]]:
    return [exchange.header("Cookie") for exchange in server.exchanges]


async def test_cookies_are_sent_back_to_their_origin_alone_redirects_included() -> None:
    async with raw_server(sign_in) as server, raw_server(sign_in) as other, client(cookies=True) as (http, redact):
        await http.request("GET", f"{server.url}/sign-in")
        await http.request("GET", f"{other.url}/another-port")
        await http.request("GET", server.url.replace("127.0.0.1", "localhost"))
        await http.request("GET", f"{server.url}/away?{other.url}/x", follow_redirects=True)
        await http.request("GET", f"{server.url}/own", headers={"Cookie": "mine=1"})
        assert sent(server) == [[], [], ["session=s3cr3t-value"], ["mine=1; session=s3cr3t-value"]]
        assert sent(other) == [[], ["session=s3cr3t-value"]], "its own"
        assert "s3cr3t-value" not in redact("the session was s3cr3t-value")


async def test_cookies_are_forgotten_by_default_and_by_the_next_run() -> None:
    async with raw_server(sign_in) as server:
        for cookies, expected in ((False, []), (True, ["session=s3cr3t-value"])):
            server.exchanges.clear()
            async with client(cookies=cookies) as (http, _):
                await http.request("GET", server.url)
                await http.request("GET", server.url)
            assert sent(server) == [[], expected]
