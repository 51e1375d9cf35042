"""When two requests are equal to a journal."""

import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from secoda_async.network.auth import BasicAuth
from secoda_async.network.encode import FORM_TYPE, JSON_TYPE, encode_form, encode_json
from secoda_async.network.match_key import MatchKey, body_bytes, digest, match_key
from secoda_async.network.message import Options, Request
from secoda_async.redact import MASK, Redactor, looks_secret

KNOWN = Redactor(["kn0wn-s3cret", "s@les"])
SECRET_NAMES = ["token", "api_key", "apiKey", "password", "client_secret", "X-Amz-Signature", "key", "session", "sig"]
PLAIN_NAMES = ["page", "q", "nextPageToken", "page_token", "continuationToken", "cursor", "limit", "ünï"]

names = st.sampled_from(PLAIN_NAMES)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda text: MASK not in text)


def key(url: str, *, method: str = "GET", body: bytes | None = None, kind: str = "", **headers: str) -> MatchKey:
    request = Request(method, URL(url, encoded=True), CIMultiDict(headers | ({"Content-Type": kind} if kind else {})))
    return match_key(request, KNOWN, body)


@given(pairs=st.lists(st.tuples(names, values), unique_by=lambda pair: pair[0]), seed=st.integers())
def test_the_order_of_parameters_is_no_difference(pairs: list[tuple[str, str]], seed: int) -> None:
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    assert key(f"http://x/?{urlencode(pairs)}") == key(f"http://x/?{urlencode(shuffled)}")


@given(one=st.lists(st.tuples(names, values)), other=st.lists(st.tuples(names, values)))
def test_other_parameters_are_a_difference(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    same = sorted(one, key=lambda pair: urlencode({pair[0]: ""})) == sorted(
        other, key=lambda pair: urlencode({pair[0]: ""})
    )
    assert (key(f"http://x/?{urlencode(one)}") == key(f"http://x/?{urlencode(other)}")) is same


def test_the_order_of_a_parameters_own_values_is_a_difference() -> None:
    assert key("http://x/?a=1&a=2").loose != key("http://x/?a=2&a=1").loose


@given(name=st.sampled_from(SECRET_NAMES), one=values, other=values, rest=st.lists(st.tuples(names, values)))
def test_the_value_of_a_secret_parameter_is_none(name: str, one: str, other: str, rest: list[tuple[str, str]]) -> None:
    keys = [key(f"http://x/?{urlencode([*rest, (name, value)])}") for value in (one, other)]
    assert keys[0].loose == keys[1].loose
    assert keys[0].shown == keys[1].shown


@given(name=st.sampled_from(SECRET_NAMES), one=values, other=values)
@pytest.mark.parametrize("kind", [JSON_TYPE, FORM_TYPE])
def test_the_value_of_a_secret_field_is_none(kind: str, name: str, one: str, other: str) -> None:
    encode: Any = encode_json if kind == JSON_TYPE else encode_form
    keys = [key("http://x/", method="POST", body=encode({"a": "1", name: v}), kind=kind) for v in (one, other)]
    assert keys[0].loose == keys[1].loose
    assert keys[0].loose != key("http://x/", method="POST", body=encode({"a": "2", name: one}), kind=kind).loose


@given(value=values.filter(lambda value: value != ""), name=st.sampled_from(SECRET_NAMES))
def test_what_only_looks_like_a_secret_tells_requests_apart_where_that_matters(value: str, name: str) -> None:
    one, other = (key(f"http://x/?{urlencode({name: text})}") for text in (value, f"{value}x"))
    assert one.exact != other.exact
    known = key(f"http://x/?{urlencode({name: 'kn0wn-s3cret'})}")
    assert "kn0wn" not in known.exact
    assert known.exact == key(f"http://x/?{urlencode({name: MASK})}").exact


def test_a_value_that_only_holds_a_known_secret_is_no_credential() -> None:
    one, other = (key(f"http://x/?key={name}-kn0wn-s3cret") for name in ("orders", "users"))
    assert one.exact != other.exact
    assert "kn0wn" not in one.shown + one.loose


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    for url in ("http://x/kn0wn-s3cret/y", "http://x/?q=kn0wn-s3cret", "http://x/s%40les", "http://x/?q=s%40les"):
        made = key(url)
        assert "kn0wn" not in made.loose + made.shown
        assert "les" not in made.loose + made.shown
    assert (
        key("http://x/kn0wn-s3cret/y").loose
        == key(f"http://x/{MASK}/y").loose
        == key("http://x/%5Bredacted%5D/y").loose
    )
    assert key("http://x/kn0wn-s3cret/y").exact != key("http://x/s@les/y").exact
    body = encode_json({"user": {"name": "kn0wn-s3cret", "password": "other", "id": 5}})
    made = key("http://x/", method="POST", body=body)
    assert "kn0wn" not in made.loose
    assert "other" not in made.loose


def test_userinfo_credentials_and_headers_are_no_part_of_it() -> None:
    plain = key("http://x/a")
    assert key("http://user:pass@x/a") == plain
    assert key("http://x/a", Authorization="Bearer abc", Cookie="a=b", **{"User-Agent": "x"}) == plain
    signed = Request("GET", URL("http://x/a"), options=Options(auth=BasicAuth("user", "pass")))
    assert match_key(signed, KNOWN, None) == plain


def test_method_host_port_path_body_and_range_are() -> None:
    requests = [
        key("http://x/a"),
        key("https://x/a"),
        key("http://y/a"),
        key("http://x:81/a"),
        key("http://x/b"),
        key("http://x/a", method="POST"),
        key("http://x/a", method="POST", body=b"1"),
        key("http://x/a", method="POST", body=b"\xff\xfe"),
        key("http://x/a", method="POST", body=b'{"a":1}'),
        key("http://x/a", method="POST", body=b'{"a":2}'),
        key("http://x/a", Range="bytes=0-5"),
    ]
    assert len({made.exact for made in requests}) == len(requests)
    assert len({made.loose for made in requests[:-1]}) == len(requests) - 1
    assert key("http://x:80/a") == key("http://x/a")
    reordered = [key("http://x/a", method="POST", body=body) for body in (b'{"a":1,"b":[2]}', b'{"b": [2], "a": 1}')]
    assert reordered[0] == reordered[1]


class Pieces:
    length = 6

    async def open(self) -> AsyncIterator[bytes]:
        for piece in (b"abc", b"def"):
            yield piece


async def test_a_body_that_is_read_while_it_is_sent_counts_by_its_digest() -> None:
    request = Request("POST", URL("http://x/"), body=Pieces())
    body = await body_bytes(request)
    assert body is not None
    assert b"abc" not in body
    assert body == await body_bytes(request)
    assert await body_bytes(Request("POST", URL("http://x/"), body=b"abcdef")) == b"abcdef"


def test_a_digest_needs_the_salt() -> None:
    assert digest("x", b"a" * 16) == digest("x", b"a" * 16)
    assert digest("x", b"a" * 16) != digest("x", b"b" * 16)


@pytest.mark.parametrize(
    "name",
    ["nextPageToken", "next_page_token", "pageToken", "page_token", "page-token", "NextToken", "nextToken",
     "continuationToken", "continuation_token", "cursor_token", "cursorToken", "$skiptoken", "skipToken",
     "nextSyncToken", "resumptionToken", "prevPageToken", "deltaToken", "PAGE_TOKEN", "paginationToken"],
)  # fmt: skip
def test_a_page_token_is_no_secret(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["token", "access_token", "refreshToken", "id_token", "page_access_token", "csrf-token", "next_access_token",
     "page_token_secret", "x-auth-token", "apikey", "session_token", "cursor_password"],
)  # fmt: skip
def test_another_token_is(name: str) -> None:
    assert looks_secret(name)
