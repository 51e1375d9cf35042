"""What a caller writes is what is sent: URLs byte for byte, parameters and bodies as httpx would write them."""

import dataclasses
from collections import OrderedDict
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async.errors import ConfigurationError
from secoda_async.network.encode import BaseUrl, encode_form, encode_json, with_params

ALLOWED = "abcXYZ019-._~:/?@!$&'()*+,;=[]"
valid = st.lists(st.sampled_from([*ALLOWED, "%2F", "%20", "%c3%A4", "//", "..", "."]), max_size=20).map("".join)


@pytest.mark.parametrize("base", ["https://x.example/api", "https://x.example/api/", "https://x.example/api//"])
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/tables", "/api/tables"),
        ("tables", "/api/tables"),
        ("/tables/", "/api/tables/"),
        ("", "/api/"),
        ("/", "/api/"),
        ("?page=2", "/api/?page=2"),
        ("/a//b", "/api/a//b"),
        ("/a%2Fb?c=%2F&d=+%20", "/api/a%2Fb?c=%2F&d=+%20"),
        ("../x/./y", "/api/../x/./y"),
        ("/x?url=https://y.example/z", "/api/x?url=https://y.example/z"),
        ("/x#fragment", "/api/x"),
        ("/projects/a:search", "/api/projects/a:search"),
        ("/a b?c=ä", "/api/a%20b?c=%C3%A4"),
        ("/50%", "/api/50%25"),
        ('/x?q="a"<b>', "/api/x?q=%22a%22%3Cb%3E"),
    ],
)
def test_a_relative_url_is_appended_to_the_path_of_the_base(base: str, url: str, expected: str) -> None:
    assert str(BaseUrl(base).resolve(url)) == f"https://x.example{expected}"


@given(valid)
def test_relative_urls_are_joined_as_httpx_joins_them(url: str) -> None:
    if url.startswith("//") or ":" in url.partition("/")[0]:
        return  # what these mean is refused below
    try:
        theirs = httpx.Client(base_url="https://x.example/api")._merge_url(url)
    except httpx.InvalidURL:
        return
    ours = BaseUrl("https://x.example/api").resolve(url)
    # httpx quotes brackets and quotes, and resolves dots, though they may stand.
    if not set(url) & set("[]'") and not {".", ".."} & set(url.partition("?")[0].split("/")):
        assert str(ours).encode().rstrip(b"?") == (b"https://x.example" + theirs.raw_path).rstrip(b"?")


@given(valid)
def test_a_valid_absolute_url_stands_byte_for_byte(rest: str) -> None:
    url = f"https://Host.Example:8443/{rest}"
    expected = url.partition("#")[0]
    # An empty query is the same as none.
    assert str(BaseUrl("https://x.example/api").resolve(url)) == (
        expected.removesuffix("?") if expected.count("?") == 1 else expected
    )


@given(st.text())
def test_whatever_is_asked_for_is_a_url_or_a_value_error(url: str) -> None:
    for base in ("", "https://x.example/api"):
        try:
            target = BaseUrl(base).resolve(url)
        except ValueError:
            continue
        assert target.scheme in ("http", "https")
        assert target.raw_host
        assert str(target).isascii()
        assert not set(str(target)) & set(' "<>\\^`{}|\r\n\t\0')


@pytest.mark.parametrize(
    "url",
    ["ftp://x.example/", "file:///etc/passwd", "//x.example/y", "https://", "mailto:a@x.example", "http:/x", "x:y"],
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must start with http:// or https:// and name a host"):
        BaseUrl("https://x.example").resolve(url)


@pytest.mark.parametrize("url", ["http://x.example:port/", "http://x.example:99999/", "http://[::1/"])
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        BaseUrl("https://x.example").resolve(url)


def test_a_relative_url_without_a_base_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="a relative URL needs a base_url"):
        BaseUrl("").resolve("/x")


@pytest.mark.parametrize(
    "base",
    ["x.example", "/api", "ftp://x.example", "https://", "https://x?a=b", "https://x/#f", "http://[", "http://x:y"],
)
def test_a_base_that_is_none_is_refused_when_it_is_set(base: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url must"):
        BaseUrl(base)


@pytest.mark.parametrize("base", ["htps://user:s3cr3t@x.example", "https://x.example/?token=s3cr3t"])
def test_a_refused_base_does_not_show_its_password(base: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BaseUrl(base)
    assert "s3cr3t" not in str(caught.value)


PARAMS: list[tuple[object, str]] = [
    ({"a": 1, "b": 1.5}, "a=1&b=1.5"),
    ({"a": True, "b": False, "c": None}, "a=true&b=false&c="),
    ({"a": [1, "x", None]}, "a=1&a=x&a="),
    ({"a": (1, 2)}, "a=1&a=2"),
    ({"a": []}, ""),
    ([("a", 1), ("a", 2), ("b", "x")], "a=1&a=2&b=x"),
    ((("a", 1), ("b", 2)), "a=1&b=2"),
    (OrderedDict(z=1, a=2), "z=1&a=2"),
    ({"at": date(2024, 1, 2)}, "at=2024-01-02"),
    ({"at": datetime(2024, 1, 2, 3, 4)}, "at=2024-01-02+03%3A04%3A00"),  # noqa: DTZ001 # as a caller may write it
    ({"n": Decimal("1.50")}, "n=1.50"),
    ({"a b": "c&d=e/ä+"}, "a+b=c%26d%3De%2F%C3%A4%2B"),
    ({}, ""),
    ([], ""),
    ("", ""),
    ("a=b&c=%2F", "a=b&c=%2F"),
    ("a=b c", "a=b+c"),
    ("a=1\r\nX-Injected: y", "a=1%0D%0AX-Injected:+y"),
    ("a=#b", "a=%23b"),
]


@pytest.mark.parametrize(("params", "query"), PARAMS)
def test_parameters_are_written_as_httpx_writes_them(params: Any, query: str) -> None:
    assert with_params(URL("https://x.example:81/p"), params).raw_query_string == query
    if not isinstance(params, str) and not any(isinstance(v, Decimal | date) for v in dict(params).values()):
        theirs = httpx.URL("https://x.example/p", params=params).query.decode()
        assert parse_qsl(theirs, keep_blank_values=True) == parse_qsl(query, keep_blank_values=True)


@given(st.lists(st.tuples(st.text(), st.text())))
def test_any_parameters_arrive_as_they_were_given(pairs: list[tuple[str, str]]) -> None:
    try:
        url = with_params(URL("https://x.example/p"), pairs)
    except UnicodeEncodeError:  # a lone surrogate
        return
    assert parse_qsl(url.raw_query_string, keep_blank_values=True) == pairs


@pytest.mark.parametrize(
    ("url", "params", "expected"),
    [
        ("https://x.example/p?a=1", {"b": 2}, "a=1&b=2"),
        ("https://x.example/p?a=1&b=2&a=3", {"a": 9}, "b=2&a=9"),
        ("https://x.example/p?a%20b=1", {"a b": 2}, "a+b=2"),
        ("https://x.example/p?a=%2F&flag", {"b": 2}, "a=%2F&flag&b=2"),
        ("https://x.example/p?a=1", {}, "a=1"),
        ("https://x.example/p?a=1", "", "a=1"),
    ],
)
def test_parameters_are_added_to_the_query_and_replace_their_own_names(url: str, params: Any, expected: str) -> None:
    merged = with_params(URL(url, encoded=True), params)
    assert str(merged) == f"https://x.example/p?{expected}"


@pytest.mark.parametrize("params", [5, b"a=b", {1, 2}, object(), [1, 2], ["ab", "abc"]])
def test_what_are_no_parameters_is_refused(params: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        with_params(URL("https://x.example/"), params)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ({"a": "x y", "b": True, "c": None}, b"a=x+y&b=true&c="),
        ([("a", 1), ("a", 2)], b"a=1&a=2"),
        ({"a": ["1", "2"]}, b"a=1&a=2"),
        ("raw text ä", "raw text ä".encode()),
        (b"\0\xff", b"\0\xff"),
        ({}, b""),
    ],
)
def test_a_form_is_written_as_httpx_writes_it(data: Any, body: bytes) -> None:
    assert encode_form(data) == body
    if isinstance(data, dict):
        assert httpx.Request("POST", "http://x", data=data).read() == body


def test_json_is_written_and_what_has_no_json_form_is_refused() -> None:
    value = {"a": [1, 2.5, None, True, "ä"], 1: "number as a name"}
    assert orjson.loads(encode_json(value)) == {"a": [1, 2.5, None, True, "ä"], "1": "number as a name"}
    for refused in ({1, 2}, object(), "\udc80", Decimal(1), float):
        with pytest.raises(TypeError):
            encode_json(refused)


def test_dataclasses_and_dates_have_a_json_form() -> None:
    @dataclasses.dataclass
    class Filter:
        since: date

    assert encode_json(Filter(date(2024, 1, 2))) == b'{"since":"2024-01-02"}'
