"""Requests through an egress server: what it is told, what comes back, and where its token goes."""

import asyncio
import base64
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import httpx
import pytest
from aiohttp import web
from typing_extensions import override
from yarl import URL

from secoda_async import (
    AddressError,
    BasicAuth,
    BearerAuth,
    BrokenExchangeError,
    ConfigurationError,
    ConnectError,
    DecodeError,
    EgressError,
    EgressTransport,
    InvalidRequestError,
    JSONLSink,
    Layer,
    RateLimit,
    Request,
    RequestError,
    Response,
    RetryPolicy,
    SecodaIntegration,
)
from tests.integrations import MemorySink, integration, table
from tests.network.raw_server import Exchange, raw_server
from tests.peer import Peer
from tests.server import serve

TOKEN = "the-egress-t0ken/+="


class Relay:
    """An egress server as secodadk's strategy expects it, and the source behind it; remembers what it was posted."""

    def __init__(self) -> None:
        self.url = ""
        self.source = ""
        self.posted: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.arrived: list[tuple[str, str, dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.answer: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.error: str | None = None

    async def relay(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(f"{request.method} {request.path}")
        self.authorizations.append(request.headers.get("Authorization"))
        told = await request.json()
        self.posted.append(told)
        if self.error is not None:
            return web.Response(status=502, headers={"Egress-Error": "1"}, text=self.error)
        # As httpx, which the documented fields are those of.
        async with httpx.AsyncClient() as client:
            reply = await client.request(
                told["method"],
                told["url"],
                params=told["params"] or None,
                headers=told["headers"],
                data=told["data"],
                json=told["json"],
                follow_redirects=told["follow_redirects"],
            )
        headers = {name: value for name, value in reply.headers.items() if name.lower() not in _OF_THE_HOP}
        return web.Response(status=reply.status_code, headers=headers, body=reply.content)

    async def serve_source(self, request: web.Request) -> web.StreamResponse:
        self.arrived.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        status, headers, body = self.answer.get(request.path, (200, {"Content-Type": "application/json"}, b'{"a": 1}'))
        return web.Response(status=status, headers=headers, body=body)


_OF_THE_HOP = {"content-length", "content-encoding", "transfer-encoding", "connection", "date", "server"}


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    async with serve(made.serve_source) as made.source, serve(made.relay) as made.url:
        yield made


async def ask(relay: Relay, verb: str, url: str, settings: dict[str, Any] | None = None, **options: Any) -> Response:
    """The answer to one request of a run through the relay."""
    replies: list[Response] = []

    async def extract(self: SecodaIntegration) -> None:
        replies.append(await getattr(self, verb)(url, **options))

    transport = EgressTransport(relay.url, TOKEN)
    await integration(extract, transport=transport, **(settings or {})).run(MemorySink())
    return replies[0]


async def test_a_request_is_posted_and_the_answer_is_the_targets(relay: Relay) -> None:
    relay.answer["/x"] = (404, {"X-Of": "the target"}, b"gone")
    reply = await ask(relay, "http_get", f"{relay.source}/x?a=%2Fb&a=2", params={"c": "ä b"}, headers={"X-Own": "1"})
    assert (reply.status_code, reply.text, reply.headers["x-of"]) == (404, "gone", "the target")
    assert reply.url == f"{relay.source}/x?a=%2Fb&a=2&c=%C3%A4+b"
    assert relay.paths == ["POST /egress/request/"]
    assert relay.authorizations == [f"Bearer {TOKEN}"]
    assert relay.posted == [
        {
            "method": "GET",
            "url": reply.url,
            "params": None,
            "headers": {"X-Own": "1"},
            "data": None,
            "json": None,
            "follow_redirects": False,
            "verify": True,
        }
    ]
    [(method, path, _, body)] = relay.arrived
    assert (method, path, body) == ("GET", "/x?a=%2Fb&a=2&c=%C3%A4+b", b"")


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("http_get", "/x", {}),
    ("http_get", "/x", {"params": {"a": "1", "b": ["x", "y"], "c": "ä &="}}),
    ("http_get", "/x?q=1", {"headers": {"Accept": "text/csv", "X-Own": "v"}}),
    ("http_get", "/x", {"auth": ["user", "pässword"]}),
    ("http_get", "/x", {"verify": False}),
    ("http_post", "/x", {"json": {"a": [1, 2.5, None, True], "ü": {"n": 2**53}}}),
    ("http_post", "/x", {"json": []}),
    ("http_post", "/x", {"data": {"a": "1", "b": "x y&", "c": ["1", "2"]}}),
    ("http_post", "/x", {"data": {"a": ""}}),
    ("http_post", "/x", {}),
    ("http_put", "/x", {"json": {"a": 1}, "headers": {"Content-Type": "application/vnd.api+json"}}),
    ("http_patch", "/x", {"json": "text", "params": {"p": "1"}}),
    ("http_delete", "/x", {}),
]


async def test_the_real_secodadk_posts_the_same(relay: Relay) -> None:
    ours = []
    for verb, path, options in CALLS:
        given = {**options, "auth": BasicAuth(*options["auth"])} if "auth" in options else options
        await ask(relay, verb, f"{relay.source}{path}", **given)
        ours.append((relay.posted.pop(), relay.arrived.pop(), relay.authorizations.pop(), relay.paths.pop()))
    with Peer("egress.py") as peer:
        for (verb, path, options), (posted, arrived, authorization, where) in zip(CALLS, ours, strict=True):
            question = {"verb": verb, "url": f"{relay.source}{path}", "options": options}
            told = await anyio.to_thread.run_sync(
                peer.ask, {"server": relay.url, "token": TOKEN, **question}, abandon_on_cancel=True
            )
            assert told == {"status": 200, "text": '{"a": 1}'}
            theirs = relay.posted.pop()
            assert canonical(posted) == canonical(theirs)
            assert request_of(arrived) == request_of(relay.arrived.pop())
            assert authorization == relay.authorizations.pop()
            assert where == relay.paths.pop()


def canonical(posted: dict[str, Any]) -> dict[str, Any]:
    """What is posted, with the query at one place: httpx puts ``params`` there."""
    parts = urlsplit(posted["url"])
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += parse_qsl(urlencode(posted["params"] or {}, doseq=True), keep_blank_values=True)
    return {**posted, "url": parts._replace(query="").geturl(), "params": query}


def request_of(arrived: tuple[str, str, dict[str, str], bytes]) -> tuple[Any, ...]:
    method, path, headers, body = arrived
    query = parse_qsl(urlsplit(path).query, keep_blank_values=True)
    return method, urlsplit(path).path, query, {name.lower(): value for name, value in headers.items()}, body


async def test_redirects_are_followed_here_so_credentials_stay_with_their_origin(relay: Relay) -> None:
    elsewhere: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        elsewhere.append(request)
        return web.json_response({"of": "the other"})

    async with serve(answer) as other:
        relay.answer["/from"] = (302, {"Location": f"{other}/to"}, b"")
        reply = await ask(
            relay, "http_get", f"{relay.source}/from", auth=BearerAuth("of-the-source"), follow_redirects=True
        )
    assert reply.json() == {"of": "the other"}
    assert reply.url == f"{other}/to"
    assert [told["follow_redirects"] for told in relay.posted] == [False, False]
    assert relay.posted[0]["headers"]["Authorization"] == "Bearer of-the-source"
    assert "Authorization" not in elsewhere[0].headers


async def test_the_callers_headers_and_the_targets_never_see_the_token(relay: Relay) -> None:
    headers = {"X-Own": "1"}
    await ask(relay, "http_get", f"{relay.source}/x", headers=headers, auth=("user", "pass"))
    assert headers == {"X-Own": "1"}
    [(_, path, arrived, _)] = relay.arrived
    assert arrived["Authorization"] == f"Basic {base64.b64encode(b'user:pass').decode()}"
    assert TOKEN not in f"{path}{arrived}{relay.posted}"


async def test_an_egress_error_is_a_transport_error_that_says_why_and_tells_no_credential(
    relay: Relay, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    relay.error = f"cannot resolve the target; {TOKEN} s3cr3t-of-the-run " + "x" * 5_000

    async def extract(self: SecodaIntegration) -> None:
        await self.http_get(f"{relay.source}/x?api_key=s3cr3t-of-the-run")

    made = integration(
        extract,
        credentials={"key": "s3cr3t-of-the-run"},
        transport=EgressTransport(relay.url, TOKEN),
        retry=RetryPolicy(attempts=2, backoff=0.001),
        record=tmp_path / "recording",
    )
    caplog.set_level("DEBUG")
    with pytest.raises(
        EgressError, match=r"GET \S+/x\S+ failed: the egress server could not relay it: cannot"
    ) as caught:
        await made.run(JSONLSink(tmp_path / "out"))
    assert len(str(caught.value)) < 1000
    assert caught.value.request.url.path == "/x"
    assert made.report is not None
    assert made.report.source.retries == {"EgressError": 1}
    told = f"{caught.value}{made.report.model_dump_json()}{caplog.text}"
    for folder in (tmp_path,):
        told += "".join(path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file())
    assert TOKEN not in told
    assert "s3cr3t" not in told


async def fail_from(transport: EgressTransport, url: str) -> RequestError:
    """The error of a run's only request."""

    async def extract(self: SecodaIntegration) -> None:
        await self.http_get(url)

    with pytest.raises(RequestError) as caught:
        await integration(extract, transport=transport, retry=None).run(MemorySink())
    return caught.value


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (None, ConnectError),
        (b"", BrokenExchangeError),
        (b"SMTP, actually\r\n\r\n", BrokenExchangeError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok", BrokenExchangeError),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: rot13\r\nContent-Length: 2\r\n\r\nok", DecodeError),
    ],
)
async def test_an_egress_server_that_is_away_or_talks_nonsense_is_an_error_of_the_request(
    answer: bytes | None, kind: type[RequestError]
) -> None:
    async def reply(exchange: Exchange) -> None:
        await exchange.reply(answer or b"")
        exchange.writer.close()

    async with raw_server(reply) as server:
        error = await fail_from(
            EgressTransport(server.url if answer is not None else "http://127.0.0.1:1", TOKEN),
            "http://source.example/x",
        )
    assert type(error) is kind
    assert str(error).startswith("GET http://source.example/x failed at the egress server: ")
    assert error.request.url == URL("http://source.example/x")
    shown = "".join(traceback.format_exception(error))
    assert TOKEN not in f"{shown}{error}{dict(error.request.headers)}"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("http_post", {"data": b"\x00\x01"}, "a body that is neither JSON nor a form"),
    ("http_post", {"data": b"{", "headers": {"Content-Type": "application/json"}}, "called JSON and is none"),
    ("http_post", {"data": b"<x/>", "headers": {"Content-Type": "text/xml"}}, "neither JSON nor a form"),
    ("http_post", {"data": b"null", "headers": {"Content-Type": "application/json"}}, "neither JSON nor a form"),
    ("http_post", {"data": "a=1&b=2&a=3"}, "neither JSON nor a form"),
    ("http_post", {"data": "no pairs"}, "neither JSON nor a form"),
    ("http_get", {"verify": "ca.pem"}, "verify=PATH"),
    ("http_get", {"headers": {"X": "\ud800"}}, "it as JSON"),
]


@pytest.mark.parametrize(("verb", "options", "message"), REFUSED)
async def test_what_the_server_cannot_be_told_is_refused_before_it_is_sent(
    verb: str, options: dict[str, Any], message: str, relay: Relay
) -> None:
    with pytest.raises(InvalidRequestError, match=f"an egress server cannot be told .*{message}"):
        await ask(relay, verb, f"{relay.source}/x", **options)
    assert relay.paths == []


async def test_a_stream_is_refused_before_it_is_sent(relay: Relay) -> None:
    async def extract(self: SecodaIntegration) -> None:
        async with self.http_stream("GET", f"{relay.source}/x"):
            pass

    with pytest.raises(InvalidRequestError, match="a streamed answer"):
        await integration(extract, transport=EgressTransport(relay.url, TOKEN)).run(MemorySink())

    class Pieces:
        length = 3

        async def open(self) -> AsyncIterator[bytes]:
            yield b"abc"

    transport = EgressTransport(relay.url, TOKEN)
    with pytest.raises(InvalidRequestError, match="neither JSON nor a form"):
        await transport.send(Request("POST", URL(f"{relay.source}/x"), body=Pieces()))
    with pytest.raises(AddressError, match="such addresses are always refused"):
        await transport.send(Request("GET", URL("http://169.254.169.254/latest")))
    await transport.aclose()
    assert relay.paths == []


@pytest.mark.parametrize(
    "settings",
    [{"verify": "ca.pem"}, {"refuse_private": True}, {"cert": "mine.pem", "base_url": "https://source.example"}],
)
async def test_a_setting_that_cannot_hold_is_refused_before_the_run(settings: dict[str, Any], relay: Relay) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        await ask(relay, "http_get", f"{relay.source}/x", settings)
    assert relay.paths == []


@pytest.mark.parametrize("url", ["", "egress.example", "ftp://x", "http://", "http://x/?a=1", None, 5, b"http://x"])
def test_a_url_that_is_none_is_a_plain_error(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="url must be a string"):
        EgressTransport(url, TOKEN)


@pytest.mark.parametrize("token", ["", " ", "a\nb", "ä", None, 5])
def test_a_token_that_is_none_is_a_plain_error_that_does_not_show_it(token: Any) -> None:
    with pytest.raises(ConfigurationError, match="printable ASCII") as caught:
        EgressTransport("http://x", token)
    assert repr(token) not in str(caught.value)


def test_it_is_made_outside_of_a_loop_and_serves_run_after_run(tmp_path: Path) -> None:
    made_outside: list[EgressTransport] = []

    async def one(number: int) -> None:
        relay = Relay()
        async with serve(relay.serve_source) as relay.source, serve(relay.relay) as relay.url:
            if not made_outside:
                made_outside.append(await anyio.to_thread.run_sync(EgressTransport, relay.url, TOKEN))
            transport = made_outside[0]
            transport._server = EgressTransport(relay.url, TOKEN)._server

            async def extract(self: SecodaIntegration) -> None:
                await self.declare_resource(table((await self.http_get(f"{relay.source}/x")).json()["a"]))

            for _ in range(2):
                report = await integration(extract, transport=transport).run(MemorySink())
                assert report.source.attempts == 1
                assert report.source.statuses == {200: 1}
                assert report.source.bytes_received == 8

    for number in range(2):
        asyncio.run(one(number))


async def test_limits_are_those_of_the_target_and_the_body_cap_holds(relay: Relay) -> None:
    key = relay.source.removeprefix("http://")
    reply = await ask(relay, "http_get", f"{relay.source}/x", {"rate_limits": {key: RateLimit(1000)}})
    assert reply.json() == {"a": 1}
    relay.answer["/big"] = (200, {}, b"x" * 5_000)
    with pytest.raises(RequestError, match="over 1000 bytes; raise max_body"):
        await ask(relay, "http_get", f"{relay.source}/big", {"max_body": 1_000})


class Around(Layer):
    """A layer of the user's own."""

    @override
    async def send(self, request: Request) -> Response:
        return await self._inner.send(request)


async def test_it_may_be_wrapped_and_a_run_through_it_may_be_continued(relay: Relay) -> None:
    def extracting(fail: bool) -> Any:
        async def extract(self: SecodaIntegration) -> None:
            await self.http_get(f"{relay.source}/1")
            if fail:
                raise RuntimeError("the end")
            await self.http_get(f"{relay.source}/2")

        return extract

    transport = Around(EgressTransport(relay.url, TOKEN))
    with pytest.raises(RuntimeError):
        await integration(extracting(True), transport=transport, resumable=True).run(MemorySink())
    report = await integration(extracting(False), transport=transport, resume="last").run(MemorySink())
    assert (report.source.attempts, report.source.served) == (1, 1)
    assert [path for _, path, _, _ in relay.arrived] == ["/1", "/2"]


async def test_one_that_is_in_use_serves_no_other_run_meanwhile(relay: Relay) -> None:
    transport = EgressTransport(relay.url, TOKEN)

    async def nothing(_: SecodaIntegration) -> None: ...

    async def extract(self: SecodaIntegration) -> None:
        await self.http_get(f"{relay.source}/1")
        with pytest.raises(ConfigurationError, match="is in use"):
            await integration(nothing, transport=transport).run(MemorySink())
        await self.http_get(f"{relay.source}/2")

    await integration(extract, transport=transport).run(MemorySink())
