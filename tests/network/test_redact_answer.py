"""What of an answer may be written to disk."""

import gzip
import json
import random
from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from secoda_async.network.message import Request, Response
from secoda_async.network.redact_answer import AnswerRedactor, Clean, StreamRedactor
from secoda_async.redact import MASK, Redactor
from tests.effort import examples

KNOWN = "kn0wn-s3cr&t"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def clean(
    content: bytes | str = b"", headers: dict[str, str] | None = None, url: str = "http://x/a", method: str = "GET"
) -> Clean:
    given_headers = CIMultiDictProxy(CIMultiDict(headers or {}))
    request = Request(method, URL(url))
    body = content.encode() if isinstance(content, str) else content
    return AnswerRedactor(Redactor([KNOWN])).clean(request, Response(request, 200, headers=given_headers, content=body))


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"access_token": "abc", "n": 1}),
        json.dumps([{"x": {"clientSecret": "abc"}}]),
        '{"password" : "abc"}',
        '{"apiKey":"abc"}\n{"b":1}',
        '{"tokens": ["abc", "abc"]}',
        '{"credentials": {"user": "abc", "n": 5}}',
        '{"secret": "a\\"bc"}',
        '{"secret":"abc","big":123456789012345678901234567890,"nan":NaN}',
        "oauth_token=abc&scope=all",
        '{"self": "http://x/y?api_key=abc&b=1"}',
        '{"file": "http://x/y?X-Amz-Signature=abc&b=1"}',
        r'{"self": "http://x/y?b=1\u0026api_key=abc\u0026c=2"}',
        '{"next": "http://x/y?access_token=abc&page=2"}',
        '{"self": "http://x/y?token=abc", "next": "http://x/y?token=p2"}',
        f'{{"next": "http://x/y?token={JWT}"}}',
        "<session><sessionId>abc</sessionId></session>",
        '<credentials token="abc" site="x"/>',
        "<soap:auth><ns:access-token x='1'>abc</ns:access-token></soap:auth>",
        f'{{"x": "{JWT}"}}',
        '{"dsn": "postgres://user:abc@host/db"}',
        f'{{"curl": "-H Bearer {"abc" * 9}"}}',
        f'{{"who": "{KNOWN}"}}',
        f"<p>{quote(KNOWN, safe='')}</p>",
        f'{{"who": "{b64encode(KNOWN.encode()).decode()}"}}',
    ],
)
def test_a_credential_in_a_text_is_masked_and_the_answer_marked(body: str) -> None:
    made = clean(body)
    assert made.secret
    assert made.content is not None
    text = made.content.decode()
    for secret in ("abc", "kn0wn", JWT[-20:], b64encode(KNOWN.encode()).decode()[:12]):
        assert secret not in text
    assert MASK in text
    if body.startswith("{") and "NaN" not in body and "\n" not in body:
        json.loads(text)


@pytest.mark.parametrize(
    "body",
    [
        '{"key": "PROJ-1", "code": "DE", "author": "me", "session": 4, "next": "http://x/?page_token=abc"}',
        '{"nextPageToken": "abc", "next_cursor": "x"}',
        '{"next": "http://x/y?a=1&token=abcdefghijklmnopqrstuvwxyz&b=1", "data": [{"name": "token"}]}',
        r'{"links": {"next": {"rel": "n", "href" : "http:\/\/x\/y?a=1\u0026token=p2"}}}',
        '{"@odata.nextLink": "http://x/y?token=p2"}',
        '{"next_page_url": "http://x/y?token=p2", "paging": {"next": "?token=p2"}}',
        '{"tokens_used": 5, "token": null, "has_password": false, "token_type": "bearer", "secret": ""}',
        '{"name": "token", "type": "text", "description": "uses Basic authentication, or a Bearer token"}',
        '{"self": "http://x/issue?key=P-1&code=5", "git": "git@github.com:a/b"}',
        '{"signature": "f(x int) -> int"}',
        "<columns><column name='password'/></columns>",
        "ünïcode \ud7ff",
    ],
)
def test_what_is_data_is_left_as_it_is(body: str) -> None:
    assert clean(body) == Clean([], body.encode(), secret=False)


def test_the_place_of_the_next_page_stands_in_a_link_header_too() -> None:
    made = clean(headers={"Link": '<http://x/a?token=p1>; rel="first", <http://x/a?token=p3>; title=x; rel="next"'})
    assert dict(made.headers) == {
        "Link": f'<http://x/a?token={MASK}>; rel="first", <http://x/a?token=p3>; title=x; rel="next"'
    }
    assert not clean(headers={"Link": '<http://x/a?token=p2>; rel="last next"'}).secret


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://x/a?token=a%20b/c", {}),
        ("http://x/a?session=a+b%2Fc", {}),
        ("http://x/a", {"X-Session": "a b/c"}),
        ("http://x/a", {"Authorization": "Bearer a b/c"}),
    ],
)
def test_a_token_that_was_sent_along_is_not_the_place_of_the_next_page(url: str, headers: dict[str, str]) -> None:
    request = Request("GET", URL(url, encoded=True), CIMultiDict(headers))
    response = Response(request, 200, content=b'{"next": "http://x/a?token=a%20b%2Fc&page=2"}')
    made = AnswerRedactor(Redactor()).clean(request, response)
    assert made == Clean([], f'{{"next": "http://x/a?token={MASK}&page=2"}}'.encode(), secret=True)


def test_headers_lose_their_credentials() -> None:
    made = clean(
        headers={
            "Set-Cookie": "sid=abcdefgh; Path=/; HttpOnly",
            "X-Auth-Token": "abcdefgh",
            "Location": "http://x/?access_token=abcdefgh&a=1",
            "X-Next-Page-Token": "p2",
            "X-RateLimit-Remaining-Tokens": "17",
            "WWW-Authenticate": 'Basic realm="x"',
            "ETag": f'"{KNOWN}"',
        }
    )
    assert made.secret
    assert dict(made.headers) == {
        "Set-Cookie": f"sid={MASK}; Path=/; HttpOnly",
        "X-Auth-Token": MASK,
        "Location": f"http://x/?access_token={MASK}&a=1",
        "X-Next-Page-Token": "p2",
        "X-RateLimit-Remaining-Tokens": "17",
        "WWW-Authenticate": 'Basic realm="x"',
        "ETag": f'"{MASK}"',
    }


def test_a_cookie_of_a_load_balancer_is_masked_and_no_reason_to_ask_again() -> None:
    made = clean("{}", headers={"Set-Cookie": "AWSALB=abcdefgh; Path=/"})
    assert made == Clean([("Set-Cookie", f"AWSALB={MASK}; Path=/")], b"{}", secret=False)


@pytest.mark.parametrize("path", ["/oauth/token", "/users/sign_in", "/login/", "/api/sessions", "/auth", "/login.json"])
def test_an_answer_to_a_sign_in_is_asked_for_again_and_a_bare_token_masked(path: str) -> None:
    assert clean("a-bare-token", url=f"http://x{path}", method="POST") == Clean([], MASK.encode(), secret=True)
    assert clean('{"ok": true}', url=f"http://x{path}", method="POST") == Clean([], b'{"ok": true}', secret=True)
    assert not clean('{"ok": true}', url=f"http://x{path}").secret


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "utf-8-sig", "utf-32-le"])
def test_a_text_in_another_charset_stays_in_it(charset: str) -> None:
    body = '{"ä": "ö", "token": "abc"}'.encode(charset)
    made = clean(body, headers={"Content-Type": f"application/json; charset={charset}"})
    assert made.content is not None
    assert made.content.decode(charset) == '{"ä": "ö", "token": "[redacted]"}'
    assert made.secret


@pytest.mark.parametrize("secret", [KNOWN.encode(), KNOWN.encode("utf-16-le"), b64encode(KNOWN.encode())])
def test_a_binary_body_with_a_known_secret_is_not_kept(secret: bytes) -> None:
    noise = random.Random(5).randbytes(500) + b"\0"
    made = clean(noise + secret + noise)
    assert made.content is None
    assert made.secret
    assert clean(noise) == Clean([], noise, secret=False)


def test_what_a_source_gave_is_masked_from_then_on() -> None:
    redact = Redactor()
    answers = AnswerRedactor(redact)
    request = Request("POST", URL("http://x/login"))
    answers.clean(request, Response(request, 200, content=b'{"token": "sh0rt-one"}'))
    assert redact("GET /x/sh0rt-one/y") == f"GET /x/{MASK}/y"
    request = Request("GET", URL("http://x/y"))
    answers.clean(request, Response(request, 200, content=b'{"token": "orders", "api_key": "0123456789abcdef"}'))
    assert redact("orders 0123456789abcdef") == f"orders {MASK}"


def test_what_is_learned_is_bounded_and_the_newest_is_what_is_known() -> None:
    redact = Redactor(["s3cret-of-the-run"])
    for number in range(100, 180):
        redact.learn([f"t0ken-{number}-{number}"])
    redact.learn(["x" * 2**20, "short"])  # neither is any token
    told = redact("s3cret-of-the-run t0ken-179-179 t0ken-116-116 t0ken-115-115 t0ken-100-100 short")
    assert told == f"{MASK} {MASK} {MASK} t0ken-115-115 t0ken-100-100 short"


@pytest.mark.parametrize(
    "unit",
    [
        "-eyJ",
        "a.",
        "a://",
        "<a ",
        ' a="',
        '"token": [',
        '"token": "',
        '"a" ',
        "Bearer ",
        "?token=",
        "<token>",
        "{",
        "\\",
    ],
)
def test_a_hostile_body_takes_no_longer_than_its_length(unit: str) -> None:
    body = "token " + unit * (300_000 // len(unit)) + " @ ://  eyJ Bearer"  # a search a place would take hours
    assert clean(body).content is not None
    assert streamed([body.encode()])[0] is not None


def streamed(pieces: list[bytes], *, known: str = KNOWN) -> tuple[bytes | None, bool]:
    redactor = StreamRedactor(AnswerRedactor(Redactor([known])))
    out = b""
    for piece in pieces:
        text = redactor.feed(piece)
        if text is None:
            return None, redactor.secret
        out += text
    text = redactor.finish()
    return (None if text is None else out + text), redactor.secret


def cut(body: bytes, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    places = sorted(rng.randrange(len(body) + 1) for _ in range(rng.randrange(1, 9)))
    return [body[start:stop] for start, stop in zip([0, *places], [*places, len(body)], strict=True)]


@settings(max_examples=examples(100, fast=20))
@given(seed=st.integers(0, 10**6), filler=st.sampled_from([1, 200_000, 260_000, 700_000]))
def test_a_body_in_pieces_is_masked_as_one_that_came_whole(seed: int, filler: int) -> None:
    rng = random.Random(seed)
    rows = [{"id": n, "text": "ä" * rng.randrange(40)} for n in range(filler // 40)]
    rows.insert(rng.randrange(len(rows) + 1), {"id": -1, "token": "t0ken-of-a-row", "x": KNOWN})
    body = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    kept, secret = streamed(cut(body, seed))
    assert secret
    assert kept == body.replace(b"t0ken-of-a-row", MASK.encode()).replace(KNOWN.encode(), MASK.encode())


@settings(max_examples=examples(100, fast=20))
@given(seed=st.integers(0, 10**6), size=st.sampled_from([0, 5, 300_000, 900_000]))
def test_a_binary_body_in_pieces_is_kept_as_it_is_unless_it_holds_a_known_secret(seed: int, size: int) -> None:
    body = gzip.compress(random.Random(seed).randbytes(size))
    assert streamed(cut(body, seed)) == (body, False)
    place = seed % len(body)
    assert streamed(cut(body[:place] + b"\0\0" + KNOWN.encode() + body[place:], seed))[0] is None
