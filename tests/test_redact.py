"""Nothing secret leaves: not in a log, an error, a report or a file, whichever way a text writes it."""

import base64
import html
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import pytest
from aiohttp import web
from hypothesis import assume, example, given
from hypothesis import strategies as st
from typing_extensions import override
from yarl import URL

from secoda_async.errors import RequestError
from secoda_async.integration import SecodaIntegration
from secoda_async.redact import CUT, MASK, Redactor, SafeLogger, looks_secret
from secoda_async.settings import Input, RetryPolicy
from secoda_async.sinks.jsonl import JSONLSink
from tests.server import serve

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40).filter(
    lambda secret: len(secret.strip()) >= 4 and secret not in MASK and not set(secret) & set("[]")
)


def in_base64(encode: Callable[[bytes], bytes]) -> Callable[[str], str]:
    return lambda secret: encode(secret.encode()).decode()


WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": lambda secret: secret,
    "quoted": lambda secret: quote(secret, safe=""),
    "quoted as a path": quote,
    "quoted as a form": quote_plus,
    "quoted in lower case": lambda secret: quote(secret, safe="").lower() if secret.lower() == secret else secret,
    "quoted twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "quoted by yarl in a query": lambda secret: str(URL("http://x/").with_query({"x": secret})),
    "quoted by yarl in a path": lambda secret: str(URL("http://x/") / secret.replace("/", "") / "x"),
    "json": lambda secret: json.dumps({"x": secret}),
    "json in utf-8": lambda secret: json.dumps({"x": secret}, ensure_ascii=False),
    "json in a repr": lambda secret: repr(json.dumps({"x": secret})),
    "repr": repr,
    "ascii": ascii,
    "html": html.escape,
    "json in html": lambda secret: html.escape(json.dumps({"x": secret})),
    "json in a query": lambda secret: quote_plus(json.dumps({"x": secret})),
    "on one line": lambda secret: " ".join(secret.split()),
}
ENCODED = {"base64": base64.b64encode, "base64 for URLs": base64.urlsafe_b64encode}


@pytest.mark.parametrize("way", WRITTEN)
@given(secret=secrets, before=text, after=text)
@example(secret="pä@ss w", before="", after="")
@example(secret="pa\"ss\\wo'rd", before="{", after="}")
@example(secret="-----BEGIN\nMII+/=\n-----END\n", before="", after="")
def test_a_secret_survives_in_no_text_however_it_is_written(way: str, secret: str, before: str, after: str) -> None:
    if way == "quoted by yarl in a path":
        assume("/" not in secret and secret.strip() not in (".", ".."))
    written = WRITTEN[way](secret)
    masked = Redactor([secret])(before + written + after)
    assert MASK in masked
    assert secret not in masked
    core = written.strip("'\"{}")
    assume(len(core) >= 4 and core not in MASK)
    assert core not in masked


@pytest.mark.parametrize("way", ENCODED)
@given(secret=secrets, user=st.text(max_size=8), before=text, after=text)
def test_a_secret_survives_in_no_base64_wherever_it_stands_in_it(
    way: str, secret: str, user: str, before: str, after: str
) -> None:
    encode = ENCODED[way]
    redact = Redactor([secret])
    for inner in (secret, f"{user}:{secret}", f"{user}:{secret}:{user}"):
        whole = encode(inner.encode("utf-8", "surrogatepass")).decode()
        for written in (whole, quote(whole, safe="")):
            masked = redact(f"{before} {written} {after}")
            assert MASK in masked
            assert written not in masked
            # What is left holds at most the edges: no three characters of four can be read out of it.
            left = max((len(part) for part in masked[len(before) + 1 :].split(MASK)), default=0)
            assert whole.rstrip("=") not in masked
            assert left <= len(before) + len(after) + 3 * (len(user) * 4 + 8)


@given(secret=secrets.filter(lambda secret: len(secret) > 4), before=text, data=st.data())
def test_half_a_secret_survives_no_cut(secret: str, before: str, data: st.DataObject) -> None:
    part = secret[: data.draw(st.integers(4, len(secret) - 1))]
    assume(part not in MASK)
    masked = Redactor([secret])(f"{before}{part}{CUT}'. Check that")
    assert part not in masked.partition(CUT)[0].removeprefix(before) or part in before
    assert masked.endswith(f"{MASK}{CUT}'. Check that")


@given(st.lists(secrets, min_size=2, max_size=5), text)
def test_several_secrets_survive_in_no_text_not_even_as_part_of_one_another(given: list[str], between: str) -> None:
    given += [given[0] + given[1], given[0][:4]]
    assume(all(each.strip() and each not in MASK for each in given))
    masked = Redactor(given)(between.join(given))
    assert MASK in masked
    assert max(given, key=len) not in masked


@given(st.text(), st.lists(st.text()))
def test_any_text_and_any_secrets_can_be_redacted(anything: str, some: list[str]) -> None:
    assert isinstance(Redactor(some)(anything), str)


@given(st.text(st.characters(codec="ascii", exclude_characters="?&;=@/\\%"), max_size=60))
def test_a_text_without_secrets_is_left_as_it_is(innocent: str) -> None:
    assume("basic" not in innocent.lower() and "bearer" not in innocent.lower())
    assert Redactor()(innocent) == innocent
    assert Redactor(["s3cr3t-Value"])(innocent) == innocent


@pytest.mark.parametrize(
    "innocent",
    [
        "GET https://api.example/v1/tables?page=2&size=100&q=a+b&author=bob&authority=x answered 404 Not Found",
        "see mail@example.com, or https://example.com/@name",
        "the Bearer is unknown",
        "wait 5 s; attempts=3",
        "",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(innocent: str) -> None:
    assert Redactor(["5", "x1"])(innocent) == innocent


@pytest.mark.parametrize("short", ["a", "42", "abc", "é"])
def test_a_short_value_is_masked_only_as_the_whole_value_of_a_parameter(short: str) -> None:
    redact = Redactor([short])
    innocent = f"GET http://x.example/{short}tables/{short}?q={quote(short)}1&{quote(short)}=1 gave {short}"
    assert redact(innocent) == innocent
    assert redact(f"http://x.example/?q={quote(short)}&r=1") == f"http://x.example/?q={MASK}&r=1"
    assert redact(f"http://x.example/?p=1&q={short} failed") == f"http://x.example/?p=1&q={MASK} failed"


@pytest.mark.parametrize(
    "name",
    [
        *("token", "access_token", "api_key", "apikey", "api-key", "X-Api-Key", "key", "sig", "signature", "code"),
        *(
            "password",
            "passwd",
            "pwd",
            "client_secret",
            "auth",
            "authorization",
            "oauth_token",
            "session",
            "credential",
        ),
    ],
)
def test_the_value_of_a_secret_looking_parameter_is_masked(name: str) -> None:
    assert looks_secret(name)
    escaped = rf"http://x.example/a?b=1\u0026{name}=hidden\u0026c=2"
    urls = (f"http://x.example/a?{name}=hidden&b=1#frag", f"http://x.example/a?b=1&{name}=hidden")
    for url in (*urls, escaped, repr(escaped)):
        masked = Redactor()(f"GET {url} failed")
        assert "hidden" not in masked
        assert "b=1" in masked
        assert f"{name}={MASK}" in masked


@pytest.mark.parametrize(
    "name", ["page", "author", "author_id", "authority", "keyword", "sort_key", "encode", "assignee"]
)
def test_an_innocent_parameter_is_not(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize("userinfo", ["user:pass", "user", ":pass", "user:p@ss", "user:p%40ss", "u:p:q"])
def test_userinfo_is_masked(userinfo: str) -> None:
    assert Redactor()(f"GET https://{userinfo}@x.example/a@b?c=d") == f"GET https://{MASK}@x.example/a@b?c=d"


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_authorization_headers_are_masked(scheme: str) -> None:
    masked = Redactor()(f"{{'Authorization': '{scheme} dXNlcjpwYXNz+/=', 'Accept': '*/*'}}")
    assert masked == f"{{'Authorization': '{scheme} {MASK}', 'Accept': '*/*'}}"


SERVICE_ACCOUNT = {
    "type": "service_account",
    "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg+kqhki/G9w==\n-----END PRIVATE KEY-----\n",
    "token_uri": "https://oauth2.example/token",
    "client": {"ids": ["client-1234", 567890], "active": True, "note": None},
}


@pytest.mark.parametrize(
    "given", [SERVICE_ACCOUNT, json.dumps(SERVICE_ACCOUNT), json.dumps(SERVICE_ACCOUNT, indent=2).encode()]
)
@pytest.mark.parametrize("inputs", [None, {"account": Input()}, {"other": Input()}])
def test_what_stands_inside_a_credential_is_secret_too(given: object, inputs: dict[str, Input] | None) -> None:
    redact = Redactor.of({"account": given}, inputs)
    key = str(SERVICE_ACCOUNT["private_key"])
    for written in (
        key,
        json.dumps(key),
        repr(json.dumps(key)),
        " ".join(key.split()),
        quote(key),
        "client-1234",
        "567890",
    ):
        masked = redact(f"said: {written}!")
        assert "MIIEvQ" not in masked
        assert written not in masked
    if inputs is None:
        assert redact("POST https://oauth2.example/token failed") == "POST https://oauth2.example/token failed"


def test_of_a_url_only_userinfo_and_query_are_secret() -> None:
    url = "https://us%40er:pass%2Fword@api.example/v1?k=va%2Blue&n=plain"
    redact = Redactor.of({"base_url": url})
    assert redact("GET https://api.example/v1/tables") == "GET https://api.example/v1/tables"
    for secret in ("us%40er", "us@er", "pass%2Fword", "pass/word", "va%2Blue", "va+lue", "plain"):
        assert redact(f"it said {secret}") == f"it said {MASK}"


def test_inputs_say_what_is_secret() -> None:
    credentials = {"base_url": "https://api.example/v1", "account": "acme-account", "token": "s3cr3t-t0ken"}
    inputs = {"account": Input(secret=False), "token": Input()}
    shown = "GET https://api.example/v1/accounts/acme-account?x=s3cr3t-t0ken"
    assert Redactor.of(credentials, inputs)(shown) == shown.replace("s3cr3t-t0ken", MASK)
    secret_url = Redactor.of(credentials, {"base_url": Input()})
    assert "api.example" not in secret_url(shown)


def test_an_error_is_redacted_with_its_notes() -> None:
    error = RequestError("s3cr3t in the message", request=None)  # type: ignore[arg-type]  # of no account here
    error.add_note("s3cr3t in a note")
    error.redact(Redactor(["s3cr3t"]))
    assert "s3cr3t" not in "".join(traceback.format_exception(error))
    assert error.args == (f"{MASK} in the message",)


def test_a_log_is_redacted_at_every_level_and_formatted_only_where_it_is_on(caplog: pytest.LogCaptureFixture) -> None:
    class Costly:
        asked = 0

        @override
        def __str__(self) -> str:
            Costly.asked += 1
            return "s3cr3t"

    log = SafeLogger(Redactor(["s3cr3t"]))
    with caplog.at_level(logging.INFO, "secoda_async"):
        log.debug("%s", Costly())
    assert Costly.asked == 0
    with caplog.at_level(logging.DEBUG, "secoda_async"):
        for tell in (log.debug, log.info):
            tell("%s and s3cr3t, %d", Costly(), 5)
    assert [record.getMessage() for record in caplog.records] == [f"{MASK} and {MASK}, 5"] * 2
    assert {record.funcName for record in caplog.records} == {
        test_a_log_is_redacted_at_every_level_and_formatted_only_where_it_is_on.__name__
    }


SECRET = "pä$s w\"o'rd/42+\\x&y=z%"


class Leaky(SecodaIntegration):
    """Puts its secret wherever a request can hold it, and fails."""

    retry = RetryPolicy(attempts=2, backoff=0.001)
    where = "query"

    @override
    async def extract(self) -> None:
        secret = self.credentials["password"]
        match self.where:
            case "url":
                await self.http_get(f"/x/{secret}/y")
            case "valid url":
                await self.http_get(f"/x/{quote(secret, safe='')}/y?q={quote_plus(secret)}")
            case "query":
                await self.http_get("/x", params={"q": secret, "page": 1})
            case "header":
                header = base64.b64encode(secret.encode()).decode()
                await self.http_get(
                    "/x", headers={"X-Custom": header, "X-Quoted": quote(secret)}, auth=("user", secret)
                )
            case "bad header":
                await self.http_get("/x", headers={"X-Custom": f"{secret}\r\nX: y"})
            case "form":
                await self.http_post("/x", data={"q": secret}, idempotent=True)
            case "json":
                await self.http_post("/x", json={"user": {"password": secret}}, idempotent=True)
            case "bad json":
                await self.http_post("/x", json={"password": {secret}})
            case "decode":
                (await self.http_post("/html", json={"password": secret})).json()
            case "status":
                (await self.http_post("/refused", json={"password": secret})).raise_for_status()
            case "break":
                await self.http_get("/break", params={"q": secret})
            case "garbage":
                await self.http_get("/garbage", params={"q": secret})
            case "redirect":
                await self.http_get("/redirect", params={"q": secret}, follow_redirects=True)
            case "swallowed":
                try:
                    await self.http_get("/x", params={"q": secret})
                except RequestError:
                    return
            case "in flight":
                import asyncio

                self.task = asyncio.ensure_future(self.http_get("/silent", params={"q": secret}))
                await asyncio.sleep(0.05)
            case _:
                raise AssertionError(self.where)


PLACES = [
    *("url", "valid url", "query", "header", "bad header", "form", "json", "bad json", "decode", "status", "break"),
    *("garbage", "redirect", "swallowed", "in flight"),
]


async def echo(request: web.Request) -> web.StreamResponse:
    """Fails, and shows in its answer all that it was sent."""
    import asyncio

    body = await request.text()
    headers = {name: value for name, value in request.headers.items() if name.startswith(("X-", "Auth"))}
    shown = json.dumps({"url": str(request.rel_url), "headers": headers, "body": body}, ensure_ascii=False)
    match request.path:
        case "/html":
            return web.Response(text=f"<p>{html.escape(body)}</p>{body}", content_type="text/html")
        case "/refused":
            return web.Response(text=shown, status=422, content_type="application/json")
        case "/redirect":
            raise web.HTTPFound(f"ftp://elsewhere.example/?{urlencode({'q': SECRET})}")
        case "/silent":
            await asyncio.sleep(30)
        case "/break" | "/garbage":
            assert request.transport is not None
            if request.path == "/garbage":
                request.transport.write(f"HTTP/9 {shown}\r\n\r\n".encode())
            request.transport.close()
    return web.Response(text=shown, status=500, content_type="application/json")


@pytest.mark.parametrize("where", PLACES)
async def test_a_secret_of_a_failing_run_is_in_no_log_error_report_or_file(
    where: str, caplog: pytest.LogCaptureFixture, tmp_path: Path, state_dir: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("secoda_async", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    async with serve(echo) as url:
        integration = Leaky(credentials={"base_url": url, "password": SECRET})
        integration.where = where
        with pytest.raises(Exception) as caught:  # noqa: PT011  # any: what it shows is looked at below
            await integration.run(JSONLSink(tmp_path / "out"))
    assert integration.report is not None
    shown = [
        *(f"{record.getMessage()} {record.exc_text}" for record in caplog.records),
        *map(str, (caught.value, caught.value.args, getattr(caught.value, "__notes__", []))),
        repr(caught.value),
        "".join(traceback.format_exception(caught.value)),
        integration.report.model_dump_json(),
        repr(integration.report),
    ]
    files = [path for folder in (tmp_path / "out", state_dir) for path in folder.rglob("*") if path.is_file()]
    assert files
    shown += [path.read_bytes().decode(errors="replace") for path in files]
    assert integration.report.error
    telling = Redactor([SECRET])
    for each in shown:
        # The redactor knows every way to write it (held to that above), so what it leaves alone holds no secret.
        assert telling(each) == each
        assert "o'rd" not in each
        assert "rd/42" not in each
