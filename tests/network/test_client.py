"""The door through which every request goes: what is sent, what comes back, and what counts as lost."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from secoda_async.counters import Traffic
from secoda_async.errors import (
    BrokenExchangeError,
    ConfigurationError,
    DecodeError,
    InvalidRequestError,
    RequestError,
    StatusError,
)
from secoda_async.findings import Findings
from secoda_async.integration import SecodaIntegration
from secoda_async.network.auth import BasicAuth, BearerAuth
from secoda_async.network.client import Client
from secoda_async.network.message import Request, Response, Transport
from secoda_async.redact import MASK, Redactor
from secoda_async.report import RunReport
from secoda_async.settings import RateLimit, RetryPolicy, Settings, Timeout
from secoda_async.sinks.jsonl import JSONLSink
from secoda_async.testing.virtual_time import run_virtually
from tests.network.fake_transport import FakeTransport
from tests.network.raw_server import RawServer, raw_server
from tests.server import serve

BASE = "http://api.example/v1"


def answering(status: int, content: bytes = b"", kind: str = "application/json") -> FakeTransport:
    headers = CIMultiDictProxy(CIMultiDict({"Content-Type": kind}))
    return FakeTransport(lambda request: Response(request, status, headers=headers, content=content))


def breaking() -> FakeTransport:
    return FakeTransport(lambda request: BrokenExchangeError(f"{request} failed: s3cr3t", request=request))


class Made:
    """A client with what it counts into."""

    def __init__(
        self, transport: Transport | None, *, auth: Any = None, gave_up: bool = False, **settings: Any
    ) -> None:
        self.traffic, self.findings = Traffic(), Findings()
        self.client = Client(
            Settings(**{"base_url": BASE, "retry": RetryPolicy(attempts=1)} | settings),
            traffic=self.traffic,
            findings=self.findings,
            redact=Redactor(["s3cr3t"]),
            transport=transport,
            auth=auth,
            gave_up=lambda: gave_up,
        )

    async def request(self, method: str, url: Any = "/x", **options: Any) -> Response:
        return await self.client.request(method, url, **options)


@asynccontextmanager
async def to_raw_server(**settings: Any) -> AsyncIterator[tuple[RawServer, Made]]:
    async with raw_server() as server:
        made = Made(None, **{"base_url": server.url} | settings)
        async with made.client:
            yield server, made


async def test_a_relative_url_is_appended_and_an_absolute_one_stands() -> None:
    fake = FakeTransport()
    made = Made(fake)
    for url in ("/tables", "tables", "http://other.example/x", httpx.URL("http://other.example/y")):
        await made.request("GET", url)
    assert [str(request.url) for request in fake.asked] == [
        f"{BASE}/tables",
        f"{BASE}/tables",
        "http://other.example/x",
        "http://other.example/y",
    ]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/a%2Fb//c", "/v1/a%2Fb//c"),
        ("/a%20b?q=a+b&r=%2B", "/v1/a%20b?q=a+b&r=%2B"),
        ("/a b/ä?q=ü", "/v1/a%20b/%C3%A4?q=%C3%BC"),
        ("/x'(y)*!$,;=:@", "/v1/x'(y)*!$,;=:@"),
    ],
)
async def test_the_request_line_is_what_was_written_and_what_cannot_be_sent_is_quoted(url: str, target: str) -> None:
    async with raw_server() as server:
        made = Made(None, base_url=f"{server.url}/v1")
        async with made.client:
            await made.request("GET", url)
            await made.request("GET", f"{server.url}/v1{url}")
        assert server.targets == [target, target]


@pytest.mark.parametrize(
    "injected", ["\r\nX-Injected: 1", " HTTP/1.1\r\nHost: x\r\n\r\nGET /y", "\nX-Injected: 1", "\0"]
)
async def test_nothing_in_url_or_params_ends_the_request_line(injected: str) -> None:
    async with to_raw_server() as (server, made):
        await made.request("GET", f"/x{injected}")
        await made.request("GET", f"/x?q={injected}")
        await made.request("GET", "/x", params={"q": injected})
        await made.request("GET", "/x", params=f"q={injected}")
        assert len(server.exchanges) == 4
        for exchange in server.exchanges:
            assert exchange.line.count(" ") == 2
            assert exchange.header("X-Injected") == []


async def test_params_are_added_to_the_query_of_the_url() -> None:
    fake = FakeTransport()
    await Made(fake).request("GET", "/x?a=%2F", params={"b": [1, True], "c": None})
    assert str(fake.asked[0].url) == f"{BASE}/x?a=%2F&b=1&b=true&c="


async def test_forms_and_json_are_sent_with_their_types() -> None:
    async with to_raw_server() as (server, made):
        await made.request("POST", data={"a": "x y"})
        await made.request("POST", json={"a": [1]})
        await made.request("POST", data=b"<x/>", headers={"content-type": "text/xml"})
        await made.request("POST", json={}, headers={"Content-Type": "application/vnd.api+json"})
        await made.request("POST")
    sent = [
        (exchange.body, exchange.header("Content-Type"), exchange.header("Content-Length"))
        for exchange in server.exchanges
    ]
    assert sent == [
        (b"a=x+y", ["application/x-www-form-urlencoded"], ["5"]),
        (b'{"a":[1]}', ["application/json"], ["9"]),
        (b"<x/>", ["text/xml"], ["4"]),
        (b"{}", ["application/vnd.api+json"], ["2"]),
        (b"", [], ["0"]),
    ]


async def test_the_callers_headers_are_sent_and_not_changed() -> None:
    headers = {"token": "t", "X-Thing": "1"}
    async with to_raw_server() as (server, made):
        await made.request("POST", json={}, headers=headers, auth=("user", "pass"))
    assert headers == {"token": "t", "X-Thing": "1"}
    assert server.exchanges[0].header("token") == ["t"]


BASIC = "Basic " + base64.b64encode("us€r:päss".encode()).decode()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("auth", [("us€r", "päss"), BasicAuth("us€r", "päss"), httpx.BasicAuth("us€r", "päss")])
async def test_every_verb_sends_auth_in_each_of_its_forms(method: str, auth: Any) -> None:
    """With secodadk, put drops it."""
    async with to_raw_server() as (server, made):
        await made.request(method, auth=auth)
        await made.request(method)
    assert [exchange.header("Authorization") for exchange in server.exchanges] == [[BASIC], []]


async def test_a_basic_auth_that_is_no_text_is_sent_as_it_is() -> None:
    async with to_raw_server() as (server, made):
        await made.request("GET", auth=httpx.BasicAuth(b"\xff", b"p:\xfe"))
    assert server.exchanges[0].header("Authorization") == ["Basic " + base64.b64encode(b"\xff:p:\xfe").decode()]


async def test_a_default_auth_is_used_unless_the_request_chooses() -> None:
    async with to_raw_server(auth=BearerAuth("default")) as (server, made):
        await made.request("GET")
        await made.request("GET", auth=BearerAuth("own"))
        await made.request("GET", auth=None)
    sent = [exchange.header("Authorization") for exchange in server.exchanges]
    assert sent == [["Bearer default"], ["Bearer own"], []]


@pytest.mark.parametrize(
    "auth", ["user:pass", 5, ("user",), ("a", "b", "c"), httpx.DigestAuth("user", "s3cr3t"), object()]
)
async def test_what_is_no_auth_is_refused_without_showing_it(auth: Any) -> None:
    made = Made(FakeTransport())
    with pytest.raises(ConfigurationError, match="auth must be an Auth such as BearerAuth") as caught:
        await made.request("GET", auth=auth)
    assert "pass" not in str(caught.value).removeprefix("auth must be BasicAuth(username, password)")
    assert made.findings.loss_count == 1


def test_no_auth_shows_its_secret() -> None:
    for auth in (BasicAuth("user", "s3cr3t"), BearerAuth("s3cr3t")):
        assert "s3cr3t" not in repr(auth)


BAD_REQUESTS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ("/x", {"data": {"a": 1}, "json": {}}, InvalidRequestError, "give data= or json=, not both"),
    ("/x", {"json": {1, 2}}, InvalidRequestError, "cannot be sent"),
    ("/x", {"data": 5}, InvalidRequestError, "expected a dictionary or pairs, not int"),
    ("/x", {"params": 5}, InvalidRequestError, "expected a dictionary or pairs, not int"),
    ("/x", {"headers": 5}, InvalidRequestError, "cannot be sent"),
    ("ftp://x.example/", {}, InvalidRequestError, "must start with http://"),
    ("http://x.example:port/", {}, InvalidRequestError, "cannot be sent"),
    (None, {}, InvalidRequestError, "a URL must be a string, not NoneType"),
    (b"/x", {}, InvalidRequestError, "a URL must be a string, not bytes"),
    ("/x", {"retry": 5}, ConfigurationError, "retry must be a RetryPolicy or None, not 5"),
    ("/x", {"timeout": "5"}, ConfigurationError, "timeout must be a Timeout, a number of seconds or None, not '5'"),
    ("/x", {"timeout": -1}, ConfigurationError, "Timeout: .* above 0"),
    ("/x", {"verify": None}, ConfigurationError, "verify must be True, False or the path of a CA file"),
    ("/x", {"verify": Path("ca.pem")}, ConfigurationError, "verify must be True, False or the path of a CA file"),
]


@pytest.mark.parametrize(("url", "options", "kind", "says"), BAD_REQUESTS)
async def test_a_request_that_cannot_be_sent_is_refused_and_is_a_loss(
    url: Any, options: dict[str, Any], kind: type[Exception], says: str
) -> None:
    fake = FakeTransport()
    made = Made(fake)
    with pytest.raises(kind, match=says):
        await made.request("POST", url, **options)
    assert fake.asked == []
    assert made.findings.loss_count == 1
    assert made.traffic.in_flight == 0


async def test_a_request_that_ends_in_an_error_is_a_loss_though_it_is_caught() -> None:
    made = Made(breaking())
    with pytest.raises(BrokenExchangeError) as caught:
        await made.request("GET", "/x?q=s3cr3t")
    assert str(caught.value) == f"GET {BASE}/x?q={MASK} failed: {MASK}"
    assert [loss.message for loss in made.findings.losses] == [str(caught.value)]
    assert made.findings.list() == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_status_that_remains_is_a_loss(status: int) -> None:
    made = Made(answering(status, b'{"detail": "s3cr3t"}'))
    with pytest.raises(StatusError) as caught:
        await made.request("GET")
    assert str(caught.value).endswith(f'{{"detail": "{MASK}"}}')
    assert made.findings.loss_count == 1


@pytest.mark.parametrize("transport", [breaking, lambda: answering(500)])
async def test_an_optional_request_that_fails_raises_and_is_a_finding(transport: Callable[[], FakeTransport]) -> None:
    made = Made(transport())
    with pytest.raises(RequestError) as caught:
        await made.request("GET", optional=True)
    assert made.findings.loss_count == 0
    (finding,) = made.findings.list()
    assert (finding.code, finding.message) == ("optional-request-failed", str(caught.value))


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_servers_failure_that_was_returned_and_raised_by_the_caller_is_a_loss(status: int) -> None:
    made = Made(answering(status))
    reply = await made.request("GET", retry=None)
    assert made.findings.loss_count == 0, "it may be expected"
    with pytest.raises(StatusError):
        reply.raise_for_status()
    assert made.findings.loss_count == 1
    optional = await made.request("GET", retry=None, optional=True)
    with pytest.raises(StatusError):
        optional.raise_for_status()
    assert made.findings.loss_count == 1


async def test_a_status_that_is_returned_is_the_callers_to_judge() -> None:
    made = Made(answering(404, b'{"detail": "s3cr3t"}'))
    reply = await made.request("GET")
    with pytest.raises(StatusError) as caught:
        reply.raise_for_status()
    assert "s3cr3t" not in str(caught.value)
    assert made.findings.loss_count == 0


@pytest.mark.parametrize("optional", [False, True])
async def test_a_body_that_is_no_json_is_a_loss_that_names_it(optional: bool) -> None:
    made = Made(answering(200, b"<html>s3cr3t" + b"x" * 5000, "text/html"))
    reply = await made.request("GET", "/x?q=s3cr3t", optional=optional)
    with pytest.raises(DecodeError) as caught:
        reply.json()
    message = str(caught.value)
    assert message.startswith(f"GET {BASE}/x?q={MASK} answered 200 with a body that is not JSON")
    assert "Content-Type text/html" in message
    assert f"body starts '<html>{MASK}xxx" in message
    assert len(message) < 1000
    found = [f.message for f in made.findings.list()] if optional else [loss.message for loss in made.findings.losses]
    assert found == [message]
    assert made.findings.loss_count == (0 if optional else 1)


async def test_a_secret_that_an_excerpt_cuts_in_half_is_masked_too() -> None:
    body = b"x" * 296 + b"s3cr3t" + b"y" * 100
    for status in (200, 422):
        reply = await Made(answering(status, body)).request("GET")
        with pytest.raises(RequestError) as caught:
            reply.json() if status == 200 else reply.raise_for_status()
        assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("gave_up", [False, True])
@pytest.mark.parametrize("optional", [False, True])
async def test_a_cancelled_request_is_a_loss_if_the_run_goes_on_unless_it_was_given_up_or_optional(
    gave_up: bool, optional: bool
) -> None:
    made = Made(FakeTransport(hold=asyncio.Event()), gave_up=gave_up)
    task = asyncio.ensure_future(made.request("GET", "/x?q=s3cr3t", optional=optional))
    await asyncio.sleep(0)
    assert made.traffic.in_flight == 1
    assert [str(request) for request in made.client.in_flight] == [f"GET {BASE}/x?q=s3cr3t"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made.traffic.in_flight == 0
    assert list(made.client.in_flight) == []
    made.findings.lose_cancelled()
    expected = [] if gave_up or optional else [f"GET {BASE}/x?q={MASK} was cut off (CancelledError)"]
    assert [loss.message for loss in made.findings.losses] == expected


async def test_a_transport_that_raises_what_it_should_not_loses_data_too() -> None:
    made = Made(FakeTransport(lambda _: KeyError("own")))
    with pytest.raises(KeyError):
        await made.request("GET")
    made.findings.lose_cancelled()
    assert [loss.message for loss in made.findings.losses] == [f"GET {BASE}/x was cut off (KeyError)"]


async def test_several_requests_at_once_share_the_slots_and_are_all_counted() -> None:
    hold = asyncio.Event()
    fake = FakeTransport(hold=hold)
    made = Made(fake, concurrency=3)
    tasks = [asyncio.ensure_future(made.request("GET", f"/{number}")) for number in range(10)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(fake.asked) == 3
    assert (made.traffic.in_flight, made.traffic.waiting) == (10, 7)
    assert len(list(made.client.in_flight)) == 10
    hold.set()
    replies = await asyncio.gather(*tasks)
    assert [reply.url for reply in replies] == [f"{BASE}/{number}" for number in range(10)]
    assert (made.traffic.in_flight, made.traffic.waiting, made.traffic.requests) == (0, 0, 10)


async def test_requests_and_attempts_are_counted_apart() -> None:
    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=503 if len(seen) < 3 else 200)

    seen: list[str] = []
    async with serve(answer) as url:
        made = Made(None, base_url=url, retry=RetryPolicy(backoff=0.001))
        async with made.client:
            await made.request("GET")
    assert (made.traffic.requests, made.traffic.attempts) == (1, 3)
    assert made.traffic.statuses == {503: 2, 200: 1}


def test_a_retry_and_a_redirect_pass_the_rate_limit_again() -> None:
    arrived: list[float] = []

    def answer(request: Request) -> Response:
        arrived.append(asyncio.get_running_loop().time())
        match len(arrived):
            case 1:
                return Response(request, 500)
            case 2:
                return Response(request, 302, headers=CIMultiDictProxy(CIMultiDict(Location="/y")))
        return Response(request, 200)

    async def scenario() -> str:
        made = Made(
            FakeTransport(answer), retry=RetryPolicy(backoff=0.001), rate_limits={"api.example": RateLimit(1, per=60)}
        )
        async with made.client:
            return (await made.request("GET", follow_redirects=True)).url

    assert run_virtually(scenario()) == "http://api.example/y"
    assert len(arrived) == 3
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(arrived))


async def test_a_requests_own_time_out_and_retries_reach_the_layers() -> None:
    fake = answering(500)
    made = Made(fake, retry=RetryPolicy(attempts=1))
    with pytest.raises(StatusError):
        await made.request("POST", retry=RetryPolicy(attempts=3, backoff=0.001), idempotent=True, timeout=3)
    assert len(fake.asked) == 3
    assert fake.asked[0].options.timeout == Timeout.of(3)
    assert (await made.request("GET", retry=None)).status_code == 500


async def test_closing_the_client_closes_the_transport() -> None:
    fake = FakeTransport()
    async with Made(fake).client as client:
        await client.request("GET", "/x")
    assert fake.closed == 1


async def test_limits_that_no_request_matched_are_known() -> None:
    made = Made(FakeTransport(), rate_limits={"api.example": RateLimit(9), "api.exmaple": RateLimit(9)})
    await made.request("GET")
    assert list(made.client.unmatched_limits) == ["api.exmaple"]


class Verbs(SecodaIntegration):
    """Calls every verb with secodadk's keywords."""

    replies: list[Response]

    @override
    async def extract(self) -> None:
        common: dict[str, Any] = {
            "params": {"p": 1},
            "headers": {"X-Own": "1"},
            "follow_redirects": False,
            "verify": True,
            "auth": httpx.BasicAuth("user", "pass"),
        }
        verbs = (self.http_post, self.http_put, self.http_patch, self.http_delete)
        self.replies = [
            await self.http_get("/x", **common),
            *[await verb("/x", json={"a": 1}, **common) for verb in verbs],
            *[await verb("/x", data={"a": 1}, **common) for verb in verbs],
        ]


async def test_every_verb_takes_the_keywords_of_secodadk(tmp_path: Path) -> None:
    async with raw_server() as server:
        integration = Verbs(credentials={"base_url": server.url})
        report = await integration.run(JSONLSink(tmp_path / "out"))
    assert isinstance(report, RunReport)
    assert [reply.text for reply in integration.replies] == ["ok"] * 9
    verbs = ["POST", "PUT", "PATCH", "DELETE"]
    assert [exchange.line for exchange in server.exchanges] == [
        f"{method} /x?p=1 HTTP/1.1" for method in ["GET", *verbs, *verbs]
    ]
    assert [exchange.body for exchange in server.exchanges] == [b"", *[b'{"a":1}'] * 4, *[b"a=1"] * 4]
    for exchange in server.exchanges:
        assert exchange.header("X-Own") == ["1"]
        assert exchange.header("Authorization") == ["Basic dXNlcjpwYXNz"]
