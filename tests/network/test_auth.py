"""Credentials: what is sent, where it is sent to, and who renews it."""

import asyncio
import base64
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx
import orjson
import pytest
from anyio.abc import TaskGroup
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from secoda_async import (
    APIKeyAuth,
    Auth,
    AuthError,
    BasicAuth,
    BearerAuth,
    BrokenExchangeError,
    ConfigurationError,
    OAuth2ClientCredentials,
    OAuth2RefreshToken,
    RateLimit,
    RenewableAuth,
    Request,
    Response,
    RetryPolicy,
    Settings,
    StatusError,
    Transport,
)
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.auth import Send, as_auth
from secoda_async.network.client import Client
from secoda_async.redact import Redactor

BASE = "http://api.example/v1"
TOKEN_URL = "http://auth.example/token"
OTHER = "http://other.example/x"


class Api(Transport):
    """An API that knows one token, and the server that gives it."""

    def __init__(self, **token: Any) -> None:
        """``token`` is what its token has besides."""
        self.token = token
        self.asked: list[Request] = []
        self.tokens: list[Request] = []
        self.valid = ""
        self.hold: asyncio.Event | None = None
        self.held = asyncio.Event()
        self.status = 200
        self.refuses = False

    @override
    async def send(self, request: Request) -> Response:
        await asyncio.sleep(0)
        if str(request.url).startswith(TOKEN_URL):
            return await self._give(request)
        self.asked.append(request)
        if self.refuses or request.headers.get("Authorization") != f"Bearer {self.valid}":
            return answer(request, {"error": "no"}, 401)
        return answer(request, {"ok": True})

    async def _give(self, request: Request) -> Response:
        self.tokens.append(request)
        number = len(self.tokens)
        if self.hold is not None:
            self.held.set()
            await self.hold.wait()
        self.valid = f"access-{number}"
        return answer(request, {"access_token": self.valid, "token_type": "Bearer", **self.token}, self.status)

    @override
    async def aclose(self) -> None:
        return


def answer(request: Request, body: Any, status: int = 200) -> Response:
    headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))
    return Response(request, status, headers=headers, content=body if isinstance(body, bytes) else orjson.dumps(body))


class Echo(Transport):
    """Answers everything, and remembers what it was sent."""

    def __init__(self, fail: str = "", redirects: dict[str, str] | None = None) -> None:
        self.asked: list[Request] = []
        self.fail = fail
        self.redirects = redirects or {}

    @override
    async def send(self, request: Request) -> Response:
        self.asked.append(request)
        if self.fail:
            raise BrokenExchangeError(f"{request} failed: {self.fail}", request=request)
        if target := self.redirects.get(str(request.url.with_query(None))):
            return Response(request, 307, headers=CIMultiDictProxy(CIMultiDict({"Location": target})))
        return answer(request, {})

    @override
    async def aclose(self) -> None:
        return


class Made:
    """A client, with what it counts into."""

    def __init__(
        self, transport: Transport, group: TaskGroup | None = None, *, auth: Any = None, **settings: Any
    ) -> None:
        self.traffic, self.findings, self.redact = Traffic(), Findings(), Redactor()
        self.client = Client(
            Settings(**{"base_url": BASE, "retry": RetryPolicy(attempts=1)} | settings),
            traffic=self.traffic,
            findings=self.findings,
            redact=self.redact,
            transport=transport,
            auth=auth,
        )
        if group is not None:
            self.client.renew_in(group.start_soon)

    async def get(self, url: str = "/x", **options: Any) -> Response:
        return await self.client.request("GET", url, **options)


def credentials(**options: Any) -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(TOKEN_URL, "the-id", "the-secret", **options)


# What is sent


@pytest.mark.parametrize(
    ("auth", "headers", "url"),
    [
        (BasicAuth("u", "p"), {"Authorization": "Basic dTpw"}, f"{BASE}/x?a=1"),
        (BearerAuth("t"), {"Authorization": "Bearer t"}, f"{BASE}/x?a=1"),
        (APIKeyAuth("k"), {"X-API-Key": "k"}, f"{BASE}/x?a=1"),
        (APIKeyAuth("k", header="token"), {"token": "k"}, f"{BASE}/x?a=1"),
        (APIKeyAuth("k&=/", query="api_key"), {}, f"{BASE}/x?a=1&api_key=k%26%3D%2F"),
        (None, {}, f"{BASE}/x?a=1"),
    ],
)
async def test_credentials_are_set_on_what_is_sent_and_on_nothing_else(auth: Any, headers: Any, url: str) -> None:
    echo = Echo()
    made = Made(echo)
    reply = await made.get("/x?a=1", auth=auth)
    assert (dict(echo.asked[0].headers), str(echo.asked[0].url)) == (headers, url)
    assert (dict(reply.request.headers), reply.url) == ({}, f"{BASE}/x?a=1"), "an answer tells no credentials"


async def test_an_error_tells_no_credentials() -> None:
    made = Made(Echo(fail="the server said k3y-of-mine"))
    with pytest.raises(BrokenExchangeError) as caught:
        await made.get(auth=APIKeyAuth("k3y-of-mine", query="id"))
    assert str(caught.value) == f"GET {BASE}/x?id=[redacted] failed: the server said [redacted]"
    assert str(caught.value.request.url) == f"{BASE}/x"
    assert "k3y" not in str(made.findings.losses)


@pytest.mark.parametrize(
    "auth",
    [
        BasicAuth("u", "s3cr3t"),
        BasicAuth("s3cr3t", "x"),
        as_auth(httpx.BasicAuth("u", "s3cr3t")),
        BearerAuth("s3cr3t"),
        APIKeyAuth("s3cr3t"),
        OAuth2ClientCredentials("http://u:s3cr3t@auth.example/token?api_key=s3cr3t", "id", "s3cr3t"),
        OAuth2RefreshToken(TOKEN_URL, "s3cr3t", client_id="id", client_secret="s3cr3t"),
    ],
)
def test_a_repr_shows_no_secret(auth: Auth) -> None:
    assert "s3cr3t" not in repr(auth)
    assert "s3cr3t" in [*auth.secrets]


@pytest.mark.parametrize(
    "make",
    [
        lambda: APIKeyAuth("k", header="a", query="b"),
        lambda: OAuth2ClientCredentials("/token", "id", "secret"),
        lambda: OAuth2ClientCredentials("ftp://x/token", "id", "secret"),
        lambda: OAuth2ClientCredentials(TOKEN_URL, "id", ""),
        lambda: OAuth2ClientCredentials(TOKEN_URL, "id", "secret", auth_style="post"),  # type: ignore[arg-type]
        lambda: OAuth2RefreshToken(TOKEN_URL, ""),
    ],
)
def test_credentials_that_cannot_be_used_are_refused_when_they_are_made(make: Callable[[], Auth]) -> None:
    with pytest.raises(ConfigurationError):
        make()


# Where it is sent to


async def test_default_credentials_go_to_the_origin_of_the_base_url_alone() -> None:
    echo = Echo()
    made = Made(echo, auth=BearerAuth("t"))
    for url in ("/x", "http://API.example/y", "https://api.example/y", "http://api.example:81/y", OTHER):
        await made.get(url)
    await made.get("/x", auth=None)
    await made.get("/x", auth=BasicAuth("u", "p"))
    await made.get(OTHER, auth=BasicAuth("u", "p"))
    sent = [request.headers.get("Authorization", "").partition(" ")[0] for request in echo.asked]
    assert sent == ["Bearer", "Bearer", "", "", "", "", "Basic", "Basic"]


def test_default_credentials_need_an_origin() -> None:
    with pytest.raises(ConfigurationError, match="default_auth needs a base_url"):
        Made(Echo(), auth=BearerAuth("t"), base_url="")


@pytest.mark.parametrize(
    "auth", [BasicAuth("u", "p"), BearerAuth("t"), APIKeyAuth("k"), APIKeyAuth("k", query="key"), ("u", "p")]
)
@pytest.mark.parametrize("as_default", [True, False])
async def test_a_redirect_to_another_origin_carries_no_credentials_there_nor_back(auth: Any, as_default: bool) -> None:
    echo = Echo(redirects={f"{BASE}/x": "/v1/y", f"{BASE}/y": OTHER, OTHER: f"{BASE}/z"})
    if as_default:
        auth = BasicAuth(*auth) if isinstance(auth, tuple) else auth
        await Made(echo, auth=auth).get(follow_redirects=True)
    else:
        await Made(echo).get(auth=auth, follow_redirects=True)
    signed = [bool(request.headers) or "key" in request.url.query for request in echo.asked]
    assert signed == [True, True, False, False]
    assert [str(request.url.with_query(None)) for request in echo.asked] == [
        f"{BASE}/x",
        f"{BASE}/y",
        OTHER,
        f"{BASE}/z",
    ]


# Who renews it


async def test_a_token_is_asked_for_once_and_then_used() -> None:
    api = Api(expires_in=3600)
    made = Made(api, auth=credentials(scope=["read", "list"], audience="https://api", params={"resource": "r"}))
    await asyncio.gather(*(made.get() for _ in range(50)))
    await made.get()
    [asked] = api.tokens
    assert parse_qs(bytes(asked.body).decode()) == {  # type: ignore[arg-type]
        "grant_type": ["client_credentials"],
        "scope": ["read list"],
        "audience": ["https://api"],
        "resource": ["r"],
    }
    assert (asked.method, asked.headers["Content-Type"]) == ("POST", "application/x-www-form-urlencoded")
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"the-id:the-secret"
    assert len(api.asked) == 51
    assert made.redact("it was access-1 or the-secret") == "it was [redacted] or [redacted]"


@pytest.mark.parametrize(
    ("auth", "form", "header"),
    [
        (
            credentials(auth_style="body"),
            {"grant_type": "client_credentials", "client_id": "the-id", "client_secret": "the-secret"},
            None,
        ),
        (OAuth2RefreshToken(TOKEN_URL, "r"), {"grant_type": "refresh_token", "refresh_token": "r"}, None),
        (
            OAuth2RefreshToken(TOKEN_URL, "r", client_id="public", scope="read"),
            {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "public", "scope": "read"},
            None,
        ),
        (
            OAuth2RefreshToken(TOKEN_URL, "r", client_id="a b", client_secret="c:d"),
            {"grant_type": "refresh_token", "refresh_token": "r"},
            b"a+b:c%3Ad",
        ),
    ],
)
async def test_the_form_of_a_token_request(auth: Auth, form: dict[str, str], header: bytes | None) -> None:
    api = Api()
    await Made(api).get(auth=auth)
    [asked] = api.tokens
    assert {name: value for name, [value] in parse_qs(bytes(asked.body).decode()).items()} == form  # type: ignore[arg-type]
    given = asked.headers.get("Authorization")
    assert (given and base64.b64decode(given.removeprefix("Basic "))) == header


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("token", "still_good", "renewed"),
    [
        ({"expires_in": 3600}, 3539, 3541),
        ({"expires_in": "3600"}, 3539, 3541),
        ({"expires_in": 10}, 8, 9.5),
        ({}, 10**6, None),
        ({"expires_in": None}, 10**6, None),
        ({"expires_in": "soon"}, 10**6, None),
        ({"expires_in": -1}, 10**6, None),
        ({"expires_in": 0}, 10**6, None),
        ({"expires_in": True}, 10**6, None),
        ({"expires_in": []}, 10**6, None),
    ],
)
async def test_a_token_is_renewed_ahead_of_its_end(token: Any, still_good: float, renewed: float | None) -> None:
    api, clock = Api(**token), Clock()
    made = Made(api, auth=credentials(clock=clock))
    await made.get()
    clock.now = 1000 + still_good
    await made.get()
    assert len(api.tokens) == 1
    if renewed is not None:
        clock.now = 1000 + renewed
        await made.get()
        assert len(api.tokens) == 2
    assert [request.headers["Authorization"] for request in api.asked][:1] == ["Bearer access-1"]
    assert made.traffic.retries == {}, "no request was refused"


async def test_many_requests_that_are_refused_at_once_cause_one_renewal() -> None:
    api = Api()
    made = Made(api, auth=credentials(), concurrency=100)
    await made.get()
    api.valid = "revoked"
    replies = await asyncio.gather(*(made.get() for _ in range(100)))
    assert {reply.status_code for reply in replies} == {200}
    assert len(api.tokens) == 2
    assert made.traffic.retries == {"401": 100}
    assert made.findings.loss_count == 0


async def test_a_post_that_was_refused_is_sent_again_since_the_server_took_nothing_in() -> None:
    api = Api()
    made = Made(api, auth=credentials())
    await made.get()
    api.valid = "revoked"
    reply = await made.client.request("POST", "/x", json={"a": 1})
    assert (reply.status_code, [request.body for request in api.asked[1:]]) == (200, [b'{"a":1}'] * 2)


async def test_where_the_new_token_is_refused_too_the_401_is_the_callers_to_judge() -> None:
    api = Api()
    made = Made(api, auth=credentials(), concurrency=100)
    await made.get()
    api.refuses = True
    replies = await asyncio.gather(*(made.get() for _ in range(20)))
    assert {reply.status_code for reply in replies} == {401}
    assert (len(api.tokens), len(api.asked)) == (2, 41)
    with pytest.raises(StatusError):
        replies[0].raise_for_status()
    assert made.findings.loss_count == 0


async def test_other_credentials_are_not_renewed() -> None:
    api = Api()
    reply = await Made(api).get(auth=BearerAuth("wrong"))
    assert (reply.status_code, len(api.asked), api.tokens) == (401, 1, [])


async def test_a_token_that_ended_in_the_queue_again_is_renewed_again() -> None:
    clock = Clock()

    class Slow(Api):
        """Takes half of a token's life to answer, so that whoever comes third is signed too late."""

        @override
        async def send(self, request: Request) -> Response:
            if not str(request.url).startswith(TOKEN_URL):
                if clock.now >= self.ends:
                    self.valid = "ended"
                clock.now += 5
            else:
                self.ends = clock.now + 10
            return await super().send(request)

        ends = 0.0

    made = Made(Slow(expires_in=10), auth=credentials(clock=clock), concurrency=1)
    replies = await asyncio.gather(*(made.get() for _ in range(5)))
    assert {reply.status_code for reply in replies} == {200}


async def test_a_request_is_signed_after_its_wait_for_the_limit() -> None:
    api = Api()
    made = Made(api, auth=credentials(), rate_limits={"api.example": RateLimit(1, per=0.05)})
    await made.get()
    queued = [asyncio.ensure_future(made.get()) for _ in range(2)]
    await asyncio.sleep(0)
    api.valid = "revoked"
    await asyncio.gather(*queued)
    assert [request.headers["Authorization"][-1] for request in api.asked] == ["1", "1", "2", "2"], (
        "the second in the queue left with the token that the first had renewed"
    )


# What goes wrong


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (
            {"error": "invalid_client", "error_description": "unknown the-secret"},
            401,
            "gave no token but 401 Unauthorized (invalid_client: unknown [redacted]); check client id, client secret",
        ),
        ({"error": "invalid_grant"}, 400, "400 Bad Request (invalid_grant); check client id"),
        ({"error": "odd"}, 200, "gave no token but 200 OK (odd)"),
        (b"<html>", 404, "404 Not Found; check token_url"),
        (b"<html>", 200, "gave no token but 200 OK; check token_url"),
        (["x"], 200, "gave no token but 200 OK; check token_url"),
        ({}, 302, "gave no token but 302 Found; check token_url"),
        ({}, 500, "answered 500 Internal Server Error"),
        ({"access_token": ""}, 200, "gave no access_token that can be sent; the answer has access_token"),
        ({"access_token": "a\r\nX: y"}, 200, "gave no access_token that can be sent"),
        ({"access_token": 5}, 200, "gave no access_token that can be sent"),
        ({"expires_in": 5}, 200, "gave no access_token that can be sent; the answer has expires_in"),
        ({"access_token": "t", "token_type": "mac"}, 200, "gave a token of the type 'mac', and only bearer is known"),
        ({"access_token": "t", "token_type": 5}, 200, "gave a token of the type 5"),
    ],
)
async def test_a_token_that_is_not_given_is_an_error_that_names_the_token_url(
    body: Any, status: int, said: str
) -> None:
    class Refusing(Api):
        @override
        async def _give(self, request: Request) -> Response:
            self.tokens.append(request)
            return answer(request, body, status)

    api = Refusing()
    made = Made(api, auth=credentials())
    results = await asyncio.gather(*(made.get() for _ in range(10)), return_exceptions=True)
    assert {type(result) for result in results} == {AuthError}
    message = str(results[0])
    assert message.startswith(f"GET {BASE}/x was not sent: its credentials could not be renewed: POST {TOKEN_URL}")
    assert said in message
    assert "the-secret" not in f"{results} {made.findings.losses}"
    assert (len(api.tokens), api.asked, made.findings.loss_count) == (1, [], 10)


async def test_a_token_without_a_type_is_taken_as_a_bearer() -> None:
    api = Api(token_type=None)
    assert (await Made(api, auth=credentials()).get()).status_code == 200


async def test_a_token_request_is_retried_and_gets_no_credentials_of_the_run() -> None:
    class Failing(Api):
        @override
        async def _give(self, request: Request) -> Response:
            if not self.tokens:
                self.tokens.append(request)
                return answer(request, {}, 503)
            return await super()._give(request)

    api = Failing()
    auth = credentials(auth_style="body")
    made = Made(api, auth=auth, retry=RetryPolicy(attempts=2, backoff=0.001), base_url="http://auth.example")
    api.valid = "access-2"
    assert (await made.get()).status_code == 200
    assert len(api.tokens) == 2
    assert all("Authorization" not in request.headers for request in api.tokens)


async def test_rotating_refresh_tokens_are_kept() -> None:
    class Rotating(Api):
        @override
        async def _give(self, request: Request) -> Response:
            given = parse_qs(bytes(request.body).decode())["refresh_token"]  # type: ignore[arg-type]
            if given != [f"refresh-{len(self.tokens)}"]:
                return answer(request, {"error": "invalid_grant"}, 400)
            self.token = {"refresh_token": f"refresh-{len(self.tokens) + 1}"}
            return await super()._give(request)

    api = Rotating()
    auth = OAuth2RefreshToken(TOKEN_URL, "refresh-0")
    async with anyio.create_task_group() as group:
        made = Made(api, group, auth=auth)
        for _ in range(4):
            assert (await made.get()).status_code == 200
            api.valid = "revoked"
        # The first who asks is cancelled in the middle of the exchange, and the token it used is good no more.
        api.hold = asyncio.Event()
        first = asyncio.ensure_future(made.get())
        others = [asyncio.ensure_future(made.get()) for _ in range(3)]
        await api.held.wait()
        first.cancel()
        await asyncio.wait([first])
        api.hold.set()
        assert {reply.status_code for reply in await asyncio.gather(*others)} == {200}
    assert (auth.refresh_token, len(api.tokens)) == ("refresh-5", 5)
    assert made.redact("refresh-3 refresh-5") == "[redacted] [redacted]"


async def test_whoever_waits_takes_over_where_the_first_was_cancelled() -> None:
    api = Api()
    api.hold = asyncio.Event()
    made = Made(api, auth=credentials())
    first = asyncio.ensure_future(made.get())
    others = [asyncio.ensure_future(made.get()) for _ in range(3)]
    await api.held.wait()
    first.cancel()
    await asyncio.wait([first])
    api.hold.set()
    assert {reply.status_code for reply in await asyncio.gather(*others)} == {200}
    assert len(api.tokens) == 2


async def test_a_renewal_that_nobody_waits_for_any_more_is_given_up() -> None:
    api = Api()
    api.hold = asyncio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            made = Made(api, group, auth=credentials())
            waiting = asyncio.ensure_future(made.get())
            await api.held.wait()
            made.client.stop()
            with pytest.raises(AuthError, match="the run is over"):
                await waiting


async def test_a_sign_in_of_ones_own_is_renewed_as_any_other() -> None:
    class Session(RenewableAuth):
        def __init__(self) -> None:
            self.token = ""

        @property
        @override
        def is_due(self) -> bool:
            return not self.token

        @property
        @override
        def secrets(self) -> Iterable[str]:
            return [self.token]

        @override
        async def renew(self, send: Send) -> None:
            reply = await send(Request("POST", made.client.prepare("POST", TOKEN_URL, {}).url))
            self.token = reply.raise_for_status().json()["access_token"]

        @override
        def sign(self, request: Request) -> Request:
            return BearerAuth(self.token).sign(request)

    api = Api()
    made = Made(api, auth=Session())
    await made.get()
    api.valid = "revoked"
    assert (await made.get()).status_code == 200
    assert len(api.tokens) == 2

    class Broken(Session):
        @override
        async def renew(self, send: Send) -> None:
            raise KeyError("token")

    with pytest.raises(AuthError, match="could not be renewed: KeyError: 'token'"):
        await Made(api, auth=Broken()).get()
