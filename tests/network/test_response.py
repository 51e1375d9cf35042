"""A response reads as httpx's does, and says what is wrong with a body that is not what it was read as."""

import contextlib
import json
import traceback
from dataclasses import dataclass
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any, Literal

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import BaseModel
from yarl import URL

from secoda_async.errors import DecodeError, RequestError, ResponseError, StatusError
from secoda_async.network.message import Request, Response, status_error

REQUEST = Request("GET", URL("http://api.example/x?y=1"))
statuses = st.integers(100, 599)


def answer(
    status: int = 200, content: bytes = b"", headers: list[tuple[str, str]] | dict[str, str] | None = None, **more: Any
) -> Response:
    return Response(REQUEST, status, headers=CIMultiDictProxy(CIMultiDict(headers or {})), content=content, **more)


def of_httpx(status: int = 200, content: bytes = b"", headers: list[tuple[str, str]] | None = None) -> httpx.Response:
    return httpx.Response(status, content=content, headers=headers, request=httpx.Request("GET", "http://api.example"))


@given(statuses)
def test_statuses_are_judged_as_httpx_judges_them(status: int) -> None:
    ours, theirs = answer(status), of_httpx(status)
    for name in ("is_success", "is_redirect", "is_client_error", "is_server_error", "is_error"):
        assert getattr(ours, name) is getattr(theirs, name)
    try:
        theirs.raise_for_status()
    except httpx.HTTPStatusError:
        with pytest.raises(StatusError):
            ours.raise_for_status()
    else:
        assert ours.raise_for_status() is ours


@pytest.mark.parametrize(
    "status", sorted({*map(int, HTTPStatus)} & {*map(int, httpx.codes)} - {413, 414, 416, 418, 422})
)
def test_reasons_are_those_of_httpx(status: int) -> None:
    """But for 418, and those that later versions of Python name anew."""
    assert answer(status).reason_phrase == of_httpx(status).reason_phrase


@pytest.mark.parametrize("status", [0, 99, 299, 599, 999])
def test_an_unknown_status_has_no_reason_and_an_error_all_the_same(status: int) -> None:
    assert answer(status).reason_phrase == ""
    assert str(status_error(answer(status))) == f"GET http://api.example/x?y=1 answered {status}"


CHARSETS = [
    "utf-8",
    "UTF-8",
    "latin-1",
    "ISO-8859-1",
    "windows-1252",
    "shift_jis",
    "gb2312",
    "ascii",
    "koi8-r",
]


@given(st.binary(), st.sampled_from(CHARSETS), st.sampled_from(["", '"']))
def test_text_is_that_of_httpx(content: bytes, charset: str, quote: str) -> None:
    headers = [("Content-Type", f"text/plain; charset={quote}{charset}{quote}")]
    assert answer(content=content, headers=headers).text == of_httpx(content=content, headers=headers).text


@given(st.binary())
def test_text_without_a_charset_is_utf_8_as_with_httpx(content: bytes) -> None:
    for headers in ([], [("Content-Type", "text/html")], [("Content-Type", "text/html; charset=no-such")]):
        assert answer(content=content, headers=headers).text == of_httpx(content=content, headers=headers).text


@given(content=st.binary(), charset=st.text(max_size=20), kind=st.sampled_from(["text/plain", "application/json"]))
@example(content=b"\xff\\x", charset="hex", kind="text/plain")
@example(content=b"\xff\\x", charset="idna", kind="application/json")
@example(content=b"\xff\\x", charset="undefined", kind="text/plain")
@example(content=b"xn--\xff", charset="punycode", kind="text/plain")
@example(content=b"\\N{x}", charset="unicode_escape", kind="text/plain")
@example(content=b"\\u12", charset="raw_unicode_escape", kind="text/plain")
@example(content=b"+\xff-", charset="utf-7", kind="text/plain")
@example(content=b"x", charset="rot13", kind="application/json")
@example(content=b"x", charset="zlib", kind="application/json")
def test_whatever_the_charset_a_body_has_text_and_an_error_a_message(content: bytes, charset: str, kind: str) -> None:
    response = answer(500, content, {"Content-Type": f"{kind}; charset={charset}"})
    assert isinstance(response.text, str)
    assert "answered 500" in str(status_error(response))
    with contextlib.suppress(DecodeError):
        response.json()


VALUE = {"name": "Größe €", "n": [1, 2.5, None, True]}


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        (json.dumps(VALUE).encode(), None),
        (json.dumps(VALUE, ensure_ascii=False).encode(), None),
        (json.dumps(VALUE, ensure_ascii=False).encode("utf-8-sig"), None),
        (json.dumps(VALUE, ensure_ascii=False).encode("utf-8-sig"), "utf-8"),
        (json.dumps(VALUE, ensure_ascii=False).encode("utf-16"), None),
        (json.dumps(VALUE, ensure_ascii=False).encode("utf-16-le"), "utf-16-le"),
        (json.dumps(VALUE, ensure_ascii=False).encode("utf-16-be"), "UTF-16BE"),
        (json.dumps(VALUE, ensure_ascii=False).encode("utf-32"), None),
        (json.dumps(VALUE, ensure_ascii=False).encode("iso8859-15"), "iso-8859-15"),
        (b"\n " + json.dumps(VALUE).encode() + b"\r\n", None),
    ],
)
def test_json_is_read_in_its_charset_with_or_without_a_byte_order_mark(content: bytes, charset: str | None) -> None:
    kind = "application/json" if charset is None else f"application/json; charset={charset}"
    assert answer(content=content, headers={"Content-Type": kind}).json() == VALUE


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(), st.lists))
def test_json_is_what_was_written(value: Any) -> None:
    try:
        content = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert answer(content=content).json() == value


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"", "application/json", "empty body"),
        (
            b"<!DOCTYPE html>\n<title>Sign in</title>",
            "text/html",
            "body starts '<!DOCTYPE html> <title>Sign in</title>'",
        ),
        (b'{"a": ', "application/json", "body starts '{\"a\":'"),
        (b"\xff\xfe\xfa", "application/json", "body starts"),
        (b"\x80\x81", "application/json; charset=latin-1", "body starts"),
        (b"x" * 10_000, "text/plain", "x" * 300 + "…'"),
    ],
)
def test_a_body_that_is_no_json_is_an_error_that_shows_it(content: bytes, kind: str, says: str) -> None:
    told: list[ResponseError] = []
    response = answer(200, content, {"Content-Type": kind})
    response.on_error = told.append
    with pytest.raises(DecodeError) as caught:
        response.json()
    message = str(caught.value)
    assert message.startswith("GET http://api.example/x?y=1 answered 200 with a body that is not JSON (")
    assert f"Content-Type {kind}" in message
    assert says in message
    assert "\n" not in message
    assert len(message) < 1000
    assert told == [caught.value]
    assert caught.value.response is response
    assert isinstance(caught.value, ValueError), "as secodadk's, which json's own error is"


def test_a_body_without_content_type_is_said_to_have_none() -> None:
    with pytest.raises(DecodeError, match="Content-Type absent"):
        answer(content=b"x").json()


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("application/json", True), ("application/problem+json", True), ("text/plain", True), ("text/html", False)],
)
def test_a_status_error_shows_the_start_of_what_explains_it_on_one_line(kind: str, shown: bool) -> None:
    told: list[ResponseError] = []
    response = answer(422, b'{\n  "detail": "bad filter"\n}' + b" " * 400, {"Content-Type": kind})
    response.on_error = told.append
    with pytest.raises(StatusError) as caught:
        response.raise_for_status()
    message = str(caught.value)
    assert message.startswith("GET http://api.example/x?y=1 answered 422 Unprocessable")
    assert ('{ "detail": "bad filter" }' in message) is shown
    assert "\n" not in message
    assert told == [caught.value]
    assert caught.value.request is REQUEST


@dataclass
class Point:
    x: int
    y: float = 0.0


class Table(BaseModel):
    name: str
    rows: int
    points: list[Point] = []


def test_a_body_is_parsed_as_a_model_a_dataclass_or_any_type() -> None:
    content = b'{"name": "t", "rows": 123456789012345678901234567890, "points": [{"x": 1, "y": 2.5}]}'
    table = answer(content=content).parse(Table)
    assert table == Table(name="t", rows=123456789012345678901234567890, points=[Point(1, 2.5)])
    assert answer(content=b'{"x": 1, "x": 2}').parse(Point) == Point(2), "the last counts, as in json()"
    assert answer(content=b'[{"x": 1}]').parse(list[Point]) == [Point(1)]
    assert answer(content=b'{"a": null}').parse(dict[str, int | None]) == {"a": None}
    assert answer(content=b'"NaN"').parse(str) == "NaN"
    assert answer(content=b'"2024-05-01"').parse(date) == date(2024, 5, 1)
    assert answer(content=b"5").parse(Literal[5]) == 5


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-16-le; x", "iso-8859-15"])
def test_a_body_is_parsed_in_its_charset(charset: str) -> None:
    content = '{"name": "Größe", "rows": 1}'.encode(charset.partition(";")[0])
    kind = "application/json" if charset == "utf-16" else f"application/json; charset={charset}"
    assert answer(content=content, headers={"Content-Type": kind}).parse(Table).name == "Größe"


@pytest.mark.parametrize(
    ("content", "model", "says"),
    [
        (b'{"name": "s3cr3t", "rows": "s3cr3t"}', Table, "does not fit Table: rows: Input should be a valid integer"),
        (b"[]", Table, "does not fit Table: the body: Input should be an object"),
        (b'[{}, {"x": "s3cr3t"}, {}, {}, {}]', list[Point], "(and 2 more)"),
        (b'[{"x": 1}, {}]', list[Point], r"does not fit list[tests.network.test_response.Point]: 1.x: Field required"),
        (
            b"[" * 300 + b"]" * 300,
            list[Any],
            "nested over 200 levels, the most that parse() reads; read it with json()",
        ),
        (b"", Table, "not JSON"),
        (b"<html>", Table, "a body that is not JSON (unexpected character"),
        (b"[NaN]", list[float], "not JSON"),
        (b"[Infinity]", list[float], "not JSON"),
        (b"[-Infinity]", list[float], "not JSON"),
        ("[NaN]".encode("utf-16"), list[float], "not JSON"),
        (b'"\\ud800"', str, "not JSON"),
        (b'"\xff"', str, "not JSON"),
        (b"9" * 5000, int, "not JSON"),
        (b"[" * 2000, Any, "it is nested over 1024 levels, the most that are read"),
    ],
)
def test_a_body_that_does_not_fit_is_an_error_that_shows_no_value(content: bytes, model: Any, says: str) -> None:
    told: list[RequestError] = []
    response = answer(content=content)
    response.on_error = told.append
    with pytest.raises(DecodeError) as caught:
        response.parse(model)
    message = str(caught.value)
    assert says in message
    assert message.startswith("GET http://api.example/x?y=1 answered 200 with a body that ")
    assert "s3cr3t" not in message
    assert told == [caught.value]
    shown = "".join(traceback.format_exception(caught.value))
    assert "s3cr3t" not in shown.replace(repr(content), "")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"18446744073709551616", float(2**64)),
        (b"1e-400", 0.0),
        ('"\u00df"'.encode("latin-1"), "ß"),
        (b"\xef\xbb\xbf[]", []),
        (b"null", None),
        (b"[" * 1024 + b"]" * 1024, ...),
    ],
)
def test_json_at_its_edges(content: bytes, value: Any) -> None:
    read = answer(content=content, headers={"Content-Type": "application/json; charset=latin-1"}).json()
    if value is not ...:
        assert read == value
        assert type(read) is type(value)


@pytest.mark.parametrize(
    "content", [b"", b" ", b"NaN", b"[Infinity]", b"1e400", b"9" * 400, b'"\\ud800"', b'"\xff"', b"[1] 2", b"[" * 2000]
)
def test_what_json_does_not_read_is_an_error_that_names_the_reason(content: bytes) -> None:
    with pytest.raises(DecodeError, match="not JSON") as caught:
        answer(content=content).json()
    assert ("nested over 1024 levels, the most that are read" in str(caught.value)) is (len(content) == 2000)


token = st.text("abcXYZ019-_", min_size=1, max_size=8)


@given(st.lists(st.tuples(token, st.lists(st.tuples(st.sampled_from(["rel", "title", "type"]), token), max_size=3))))
def test_well_formed_links_are_read_as_httpx_reads_them(given: list[tuple[str, list[tuple[str, str]]]]) -> None:
    lines = [f"<https://x.example/{url}>" + "".join(f'; {k}="{v}"' for k, v in dict(p).items()) for url, p in given]
    theirs = of_httpx(headers=[("Link", ", ".join(lines))] if lines else []).links
    assert answer(headers=[("Link", ", ".join(lines))] if lines else []).links == theirs
    assert answer(headers=[("Link", line) for line in lines]).links == theirs


@pytest.mark.parametrize(
    ("line", "links"),
    [
        ('<https://x.example/?page=2>; rel="next"', {"next": {"url": "https://x.example/?page=2", "rel": "next"}}),
        ("<a,b;c>; rel=next", {"next": {"url": "a,b;c", "rel": "next"}}),
        ('<a>; REL="next"', {"next": {"url": "a", "rel": "next"}}),
        ('<a>; title="x, y; z"; rel="next"', {"next": {"url": "a", "title": "x, y; z", "rel": "next"}}),
        ('<a>;rel="next",<b>;rel="last"', {"next": {"url": "a", "rel": "next"}, "last": {"url": "b", "rel": "last"}}),
        ('<a>; rel=""', {"a": {"url": "a", "rel": ""}}),
        ("<a>", {"a": {"url": "a"}}),
        ("", {}),
        ("nonsense", {}),
    ],
)
def test_links_are_read(line: str, links: dict[str, dict[str, str]]) -> None:
    assert answer(headers={"Link": line}).links == links


@given(st.text(), st.text())
@example("<" * 5000, "=" * 5000)
@example("<a>" + ";a=b" * 3000 + ";", "a=b; " * 3000)
@example("<a>" + "; " * 3000, '"' * 3000)
def test_no_header_makes_links_or_cookies_raise(link: str, cookie: str) -> None:
    response = answer(headers=[("Link", link), ("Link", cookie), ("Set-Cookie", cookie), ("Set-Cookie", link)])
    assert all("url" in found for found in response.links.values())
    assert all(isinstance(value, str) for value in response.cookies.values())


def test_cookies_are_those_that_the_answer_sets() -> None:
    lines = [
        "session=abc123; Path=/; HttpOnly; Secure; SameSite=Lax",
        'quoted="a b"; Expires=Wed, 21 Oct 2026 07:28:00 GMT',
        "bad name=x",
        "session=later",
    ]
    cookies = answer(headers=[("Set-Cookie", line) for line in lines]).cookies
    assert cookies["session"] == "later"
    assert cookies["quoted"] == "a b"
    assert "Path" not in cookies
    assert answer().cookies == {}


def test_headers_are_case_insensitive_and_a_repeated_one_keeps_every_value() -> None:
    headers = answer(headers=[("X-Thing", "1"), ("x-thing", "2")]).headers
    assert headers["X-THING"] == "1"
    assert "x-Thing" in headers
    assert isinstance(headers, CIMultiDictProxy)
    assert headers.getall("x-thing") == ["1", "2"]


def test_url_and_elapsed() -> None:
    assert answer().url == "http://api.example/x?y=1"
    assert answer(url=URL("http://b.example/z")).url == "http://b.example/z"
    assert answer(elapsed=1.5).elapsed == timedelta(seconds=1.5)


def test_neither_a_request_nor_a_response_shows_headers_or_body() -> None:
    request = Request("POST", URL("http://api.example/"), CIMultiDict({"token": "s3cr3t"}), b"s3cr3t")
    response = Response(request, 200, content=b"s3cr3t")
    for shown in (repr(request), str(request), f"{request}", repr(response), repr(status_error(response))):
        assert "s3cr3t" not in shown
    assert str(request) == "POST http://api.example/"
    assert repr(response) == "<Response [200 OK]>"


def test_the_repr_of_a_request_shows_no_value_that_its_name_calls_secret() -> None:
    request = Request("GET", URL("https://u:p4ss@x.example/y?api_key=k3y&page_token=2&q=1"))
    assert repr(request) == "<Request [GET https://[redacted]@x.example/y?api_key=[redacted]&page_token=2&q=1]>"


def test_a_redirect_that_is_not_followed_says_where_to_and_how() -> None:
    moved = answer(status=302, headers={"Location": "/there"})
    with pytest.raises(StatusError, match=r"answered 302 Found to '/there'; follow_redirects=True goes there$"):
        moved.raise_for_status()
    with pytest.raises(StatusError, match=r"answered 304 Not Modified$"):
        answer(status=304).raise_for_status()
