"""What is sent says what the request says, and nothing else: aiohttp's own server parser reads it back."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from secoda_async.network.head import Heads
from secoda_async.network.message import NO_HEADERS, Request

HEADS = Heads({"User-Agent": "test", "Accept": "*/*"})
NAMES = st.text("abcdefghijklmnopqrstuvwxyzABC-0123456789", min_size=1, max_size=12).map(lambda name: f"X-{name}")
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=30)


def read_back(data: bytes):
    """Method, target, headers as pairs, and body."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, max_field_size=2**16)
        [(message, payload)], _, rest = parser.feed_data(data)
        assert rest == b""
        body = payload.read_nowait() if payload.is_eof() else None
        return message.method, message.path, list(message.headers.items()), body
    finally:
        loop.close()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.one_of(st.none(), st.binary(max_size=200)))
def test_a_head_says_what_the_request_says(pairs, body):
    request = Request("POST", URL("http://x.com/a/b?q=1"), CIMultiDict(pairs), body)
    data = HEADS.of(request, "x.com")
    assert data is not None
    method, path, headers, sent = read_back(data)
    assert (method, path, sent) == ("POST", "/a/b?q=1", body or b"")
    own = [(name, value) for name, value in headers if name.startswith("X-")]
    assert own == [(name, value) for name, value in pairs]
    assert dict(headers)["Host"] == "x.com"
    assert dict(headers)["Content-Length"] == str(len(body or b""))


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_header_ends_a_line(name, value):
    request = Request("GET", URL("http://x.com/"), CIMultiDict({f"X-{name}": value}))
    try:
        data = HEADS.of(request, "x.com")
    except ValueError:  # a control character, or half a surrogate pair
        return
    assert data is not None
    assert (
        data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n") == 6
    )  # its own four lines, one more and the end


@pytest.mark.parametrize("target", ["/a\r\nX-Injected: 1", "/a\nb", "/\x00"])
def test_no_url_ends_a_line(target):
    with pytest.raises(ValueError, match="the method or the URL"):
        HEADS.of(Request("GET", URL.build(scheme="http", host="x.com", path=target, encoded=True)), "x.com")


def test_no_method_ends_a_line():
    with pytest.raises(ValueError, match="the method or the URL"):
        HEADS.of(Request("GET / HTTP/1.1\r\nX: 1\r\n", URL("http://x.com/")), "x.com")


def test_a_header_of_the_request_takes_the_place_of_the_default():
    data = HEADS.of(Request("GET", URL("http://x.com/"), CIMultiDict({"user-agent": "mine"})), "x.com")
    assert data is not None
    assert [value for name, value in read_back(data)[2] if name.lower() == "user-agent"] == ["mine"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_has_no_body_by_its_nature_says_no_length(method):
    data = HEADS.of(Request(method, URL("http://x.com/")), "x.com")
    assert data is not None
    assert b"Content-Length" not in data


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_missing_body_has_a_length_of_0_and_no_type(method):
    data = HEADS.of(Request(method, URL("http://x.com/")), "x.com")
    assert data is not None
    assert b"Content-Length: 0\r\n" in data
    assert b"Content-Type" not in data


def test_a_body_without_a_type_is_bytes():
    data = HEADS.of(Request("POST", URL("http://x.com/"), NO_HEADERS, b"{}"), "x.com")
    assert data is not None
    assert b"Content-Type: application/octet-stream\r\n" in data
    typed = HEADS.of(Request("POST", URL("http://x.com/"), CIMultiDict({"content-type": "a/b"}), b"{}"), "x.com")
    assert typed is not None
    assert b"octet-stream" not in typed


@pytest.mark.parametrize("name", ["Transfer-Encoding", "content-length", "Expect", "Connection", "HOST", "Upgrade"])
def test_who_says_how_the_exchange_goes_is_no_plain_request(name):
    assert HEADS.of(Request("GET", URL("http://x.com/"), CIMultiDict({name: "1"})), "x.com") is None


def test_a_large_body_is_no_plain_request():
    assert HEADS.of(Request("POST", URL("http://x.com/"), NO_HEADERS, bytes(2**17)), "x.com") is None
