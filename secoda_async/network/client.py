"""Builds the chain of layers once, and is the door through which every request of a run goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final, Self, TypedDict

import anyio
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import Unpack
from yarl import URL

from secoda_async.counters import Pace, Traffic
from secoda_async.errors import (
    ConfigurationError,
    InvalidRequestError,
    RequestError,
    SecodaAsyncError,
    StatusError,
)
from secoda_async.findings import Findings
from secoda_async.network.asked import last_asked
from secoda_async.network.auth import as_auth
from secoda_async.network.authorize import Authorize, Start
from secoda_async.network.breaker import Breaker
from secoda_async.network.budget import Budget
from secoda_async.network.control import Adaptive, Control, Fixed
from secoda_async.network.cookies import Cookies
from secoda_async.network.egress import EgressTransport
from secoda_async.network.encode import (
    FORM_TYPE,
    JSON_TYPE,
    BaseUrl,
    encode_form,
    encode_json,
    with_params,
)
from secoda_async.network.journal import Journal, Journals
from secoda_async.network.limit import Limit
from secoda_async.network.message import (
    NO_HEADERS,
    Auth,
    BodySource,
    Options,
    Request,
    Response,
    Transport,
    innermost,
)
from secoda_async.network.origin import Origin
from secoda_async.network.origins import Origins
from secoda_async.network.proxies import Proxies
from secoda_async.network.redirect import Redirect
from secoda_async.network.replay import InOrder, ReplayTransport
from secoda_async.network.retry import Retry
from secoda_async.network.sign import Sign
from secoda_async.network.stream import StreamedResponse
from secoda_async.network.transport import AiohttpTransport
from secoda_async.progress import current_tally
from secoda_async.redact import Redactor, SafeLogger
from secoda_async.settings import UNSET, RetryPolicy, Settings, Timeout, Unset
from secoda_async.version import __version__
from secoda_async.wording import counted


class RequestOptions(TypedDict, total=False):
    """The keywords of ``http_*``: those of ``secodadk``, and what a concurrent crawl needs besides."""

    params: Any
    """Added to the query: a dictionary (values may be lists), pairs, or an encoded string."""
    headers: Mapping[str, str] | None
    follow_redirects: bool
    """Follow redirects; credentials never go to another origin. Off by default, as in ``secodadk``."""
    verify: bool | str
    """Check certificates (default), do not, or check against the CA file at this path."""
    auth: Any
    """An `Auth` such as `BasicAuth`, a pair, an ``httpx.BasicAuth``; None: none, not even the integration's own."""
    timeout: Timeout | float | None
    """One attempt's time-out: a `Timeout`, seconds for the whole of it, or None for no limit."""
    retry: RetryPolicy | None
    """This request's retries; None: one attempt, whose status is returned whatever it is."""
    idempotent: bool
    """Whether a POST or PATCH may be sent twice; GET, HEAD, PUT, DELETE and OPTIONS always may."""
    weight: int
    """How many requests this one counts as, for APIs that charge some calls more; 1 by default."""
    optional: bool
    """Whether the run is complete without this data: a failure still raises, and is reported as a finding."""


class BodyOptions(RequestOptions, total=False):
    """The keywords of ``http_post``, ``http_put``, ``http_patch`` and ``http_delete``."""

    data: Any
    """A form: a dictionary, pairs, text or bytes."""
    json: Any
    """A JSON body."""


_CLOSING: Final = 1.0  # seconds a transport may take to close
_CHOICES: Final = frozenset({"timeout", "retry", "verify", "auth", "idempotent", "weight"})
NO_PACES: Final[Mapping[str, Pace]] = MappingProxyType({})


def _never() -> bool:
    return False


class Client:
    """One side's requests: redirect ▸ origins ▸ journal ▸ breaker ▸ retry ▸ authorize ▸ limit ▸ sign ▸ transport.

    Usage: ``async with Client(settings, ...) as client: reply = await client.request("GET", url)``.

    A request that ends in an exception is a loss of the run, whether or not its caller catches it, unless the call
    said ``optional=True``. ``auth`` is for requests to the origin of ``base_url`` that choose none themselves; no
    other origin gets it. ``known`` is what an earlier run found out about hosts.
    ``gave_up`` says whether a cancelled request was cancelled on purpose.
    Raises ConfigurationError where ``auth`` has no ``base_url`` to go to.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        traffic: Traffic,
        findings: Findings,
        redact: Redactor,
        transport: Transport | None = None,
        journals: Journals | None = None,
        auth: Auth | None = None,
        known: Mapping[str, Pace] = NO_PACES,
        gave_up: Callable[[], bool] = _never,
    ) -> None:
        self._base_url = BaseUrl(settings.base_url)
        self._auth = auth
        if auth is not None:
            if not settings.base_url:
                raise ConfigurationError("default_auth needs a base_url: its credentials go to that origin alone")
            redact.add(auth.secrets)
            self._origin = Origin.of(self._base_url.resolve("/"))
        # Of most requests: by whether they go to that origin, and whether they follow redirects.
        self._common = {
            (is_own, follow): Options(auth=auth if is_own else UNSET, follow_redirects=follow)
            for is_own in (False, True)
            for follow in (False, True)
        }
        self._traffic = traffic
        self._findings = findings
        self._redact = redact
        self._gave_up = gave_up
        self._max_body = settings.max_body
        self._concurrency = settings.concurrency
        self._known = known
        self._in_flight: dict[int, tuple[Request, float]] = {}
        self._reading: set[int] = set()  # those of them whose answer is being read by the caller
        self._loop = asyncio.get_running_loop()
        self._quiet_since = self._loop.time()
        self._called = traffic.requests
        log = SafeLogger(redact)
        retry = settings.retry
        proxies = Proxies(settings.proxy, trust_env=settings.trust_env)
        redact.add([secret for proxy in proxies.all for secret in proxy.secrets])
        if isinstance(settings.cert, tuple):
            redact.add(settings.cert[2:])
        inner = transport or AiohttpTransport(
            timeout=settings.timeout,
            verify=settings.verify,
            max_body=settings.max_body,
            traffic=traffic,
            user_agent=f"secoda-async/{__version__}",
            refuse_private=settings.refuse_private,
            cert=settings.cert,
            cert_origin=None if settings.cert is None else Origin.of(self._base_url.resolve("/")),
            proxies=proxies,
        )
        if settings.telemetry:
            inner = _traced(inner, redact)
        if settings.cookies:
            inner = Cookies(inner, redact)
        core = innermost(transport)
        if isinstance(core, EgressTransport):
            core.begin(settings, traffic=traffic, redact=redact, proxies=proxies)
        replay = core if isinstance(core, ReplayTransport) else None  # knows no credentials, and gives no tokens
        self._limit = Limit(
            Sign(inner) if replay is None else inner,
            settings.rate_limits,
            control=self._control,
            longest_pause=(retry or RetryPolicy()).max_wait,
            traffic=traffic,
            endpoints=settings.endpoints,
            is_secret=lambda text: redact.knows(text) or redact(text) != text,
        )
        # Tokens are asked for without credentials of their own, so below `authorize`.
        tokens = Retry(self._limit, retry, traffic, log)
        self._authorize = Authorize(self._limit, tokens.send, traffic=traffic, redact=redact)
        self._retry = Retry(self._authorize if replay is None else self._limit, retry, traffic, log)
        self._tokens = tokens
        below: Transport = Breaker(self._retry, log)
        self._journal: Journal | None = None
        if journals is not None:
            below = self._journal = Journal(below, journals, redact=redact, traffic=traffic)
        if replay is not None:
            below = InOrder(below, replay, redact=redact, traffic=traffic)
        origins = Origins(
            below,
            settings.allowed_hosts,
            settings.endpoints,
            enforced=settings.enforce_endpoints,
            undeclared=self._find_undeclared,
        )
        self._chain: Transport = Redirect(origins)
        if settings.max_requests is not None:
            self._chain = Budget(self._chain, settings.max_requests)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.move_on_after(_CLOSING, shield=True):  # a run that is cancelled closes its connections, too
            await self.aclose()

    def _control(self, host: str) -> Control:
        if self._concurrency is not None:
            return Fixed(self._concurrency)
        known = self._known.get(host, Pace())
        pace = self._traffic.paces[host] = Pace(known.slots, known.rate)
        return Adaptive(pace)

    def renew_in(self, start: Start) -> None:
        """Renew credentials in tasks that ``start`` starts: they outlive the requests that needed it first."""
        self._authorize.start = start

    def stop(self) -> None:
        """Give up what goes on besides requests, without waiting."""
        now = self._loop.time()
        if not self._in_flight:
            self._traffic.seconds_without += now - self._quiet_since
        self._quiet_since = now
        self._authorize.stop()

    async def aclose(self) -> None:
        """Close the pool. Calling it again does nothing."""
        await self._chain.aclose()

    @property
    def in_flight(self) -> Iterable[Request]:
        """The requests that have not ended."""
        return [request for request, _ in self._in_flight.values()]

    def waiting(self, now: float) -> Iterator[str]:
        """Each request that has not ended, and what it waits for; may be called in any thread."""
        if self._authorize.is_renewing:
            yield "credentials are being renewed"
        held: set[int] = set()
        for layer in (self._limit, self._retry, self._tokens):
            for request, what in layer.waiting(now):
                if request is not None:
                    held.add(id(request.url))
                    yield self._redact(f"{request} {what}")
        for key, (request, since) in [*self._in_flight.items()]:
            if id(request.url) not in held:
                what = "is being read by its caller" if key in self._reading else "has no answer yet"
                yield self._redact(f"{request} {what}, for {now - since:.0f} s")

    def held(self) -> list[str]:
        """What the requests that have not ended wait for now, by host and limit, the most first; in any thread.

        It costs as many steps as there are hosts and repeats that wait, not as there are requests.
        """
        now, counts = self._loop.time(), Counter[str]()
        for layer in (self._limit, self._retry, self._tokens):
            for count, what in layer.held(now):
                counts[what] += count
        held = [f"{count:,} {what}" for what, count in counts.most_common()]
        if self._authorize.is_renewing:
            held.insert(0, "credentials are being renewed")
        held += [f"{count:,} {what}" for count, what in sorted(self._limit.unheld(), reverse=True)]
        if not held and self._in_flight:  # such as those that a journal answers
            held.append(f"{counted(len(self._in_flight), 'request')} under way")
        return [self._redact(what) for what in held]

    @property
    def unmatched_limits(self) -> Iterable[str]:
        """Keys of ``rate_limits`` that no request has matched."""
        return self._limit.unmatched

    @property
    def never_awaited(self) -> int:
        """Calls whose result nobody has awaited, so that nothing was sent."""
        return self._called - self._traffic.requests

    def request(
        self,
        method: str,
        url: str,
        *,
        body: BodySource | None = None,
        **options: Unpack[BodyOptions],
    ) -> Coroutine[Any, Any, Response]:
        """Send a request and return its answer, whatever its status below 500 but 429.

        ``body`` is sent as it is, in place of ``data`` or ``json``. Raises RequestError, after retries.
        """
        self._called += 1
        return self._request(method, url, body, options)

    def stream(
        self,
        method: str,
        url: str,
        *,
        body: BodySource | None = None,
        **options: Unpack[BodyOptions],
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Send a request and give its answer while the body arrives: ``async with client.stream("GET", url) as reply``.

        The request lasts until the block is left, as do its slot and its time-outs; it is repeated until there is a
        status. A block that is left by an exception before the body's end is cut off, as a cancelled request is.
        """
        self._called += 1
        return self._stream(method, url, body, options)

    def prepare(self, method: str, url: str, options: BodyOptions, *, body: BodySource | None = None) -> Request:
        """The request that a call means. Raises InvalidRequestError or ConfigurationError, which is a loss too."""
        try:
            return self._build(method, url, body, options)
        except (RequestError, ConfigurationError) as error:
            self.lose(error, optional=options.get("optional", False))
            raise

    async def send(self, request: Request, *, optional: bool) -> Response:
        """The answer to a request that is ready; otherwise as `request`."""
        self._called += 1
        self._traffic.requests += 1
        self._begin(request)
        try:
            return await self._answer(request, optional=optional)
        finally:
            self._end(request)

    async def _request(self, method: str, url: str, body: BodySource | None, options: BodyOptions) -> Response:
        self._traffic.requests += 1
        request = self.prepare(method, url, options, body=body)
        self._begin(request)
        try:
            return await self._answer(request, optional=options.get("optional", False))
        finally:
            self._end(request)

    @asynccontextmanager
    async def _stream(
        self, method: str, url: str, body: BodySource | None, options: BodyOptions
    ) -> AsyncGenerator[StreamedResponse]:
        optional = options.get("optional", False)
        self._traffic.requests += 1
        request = self.prepare(method, url, options, body=body)._replace(stream=True)
        self._begin(request)
        try:
            answer = await self._answer(request, optional=optional)
            reply = StreamedResponse.of(answer)
            reply.on_error = answer.on_error
            reply.most = self._max_body
            self._reading.add(id(request))
            try:
                yield reply
            except GeneratorExit:  # the caller's own generator was left on purpose
                raise
            except BaseException as exc:
                if not reply.finished:
                    self._cut_off(request, exc, optional=optional)
                raise
            finally:
                self._reading.discard(id(request))
                await reply.aclose()
        finally:
            self._end(request)

    async def _answer(self, request: Request, *, optional: bool) -> Response:
        try:
            response = await self._chain.send(request)
        except (RequestError, ConfigurationError) as error:
            self.lose(error, optional=optional)
            raise
        except BaseException as exc:
            self._cut_off(request, exc, optional=optional)
            raise
        response.on_error = self._on_optional_error if optional else self._on_error
        last_asked.set(request)
        return response

    def _begin(self, request: Request) -> None:
        now = self._loop.time()
        if (tally := current_tally.get()) is not None:
            url, asked = request.url, tally.asked
            host = (url.raw_host, url.port)
            asked[host] = asked.get(host, 0) + 1
        if not self._in_flight:
            self._traffic.seconds_without += now - self._quiet_since
        self._traffic.in_flight += 1
        self._in_flight[id(request)] = (request, now)

    def _end(self, request: Request) -> None:
        self._traffic.in_flight -= 1
        del self._in_flight[id(request)]
        if not self._in_flight:
            self._quiet_since = self._loop.time()

    def _cut_off(self, request: Request, exc: BaseException, *, optional: bool) -> None:
        if not optional and not self._gave_up():
            self._findings.cancel(self._redact(f"{request} was cut off ({type(exc).__name__})"), request=True)

    def _build(self, method: str, url: str, body: BodySource | bytes | None, given: BodyOptions) -> Request:
        try:
            if url is None or isinstance(url, bytes):  # a missing link would be sent as /None
                raise TypeError(f"a URL must be a string, not {type(url).__name__}")
            target = self._base_url.resolve(str(url))
            if (params := given.get("params")) is not None:
                target = with_params(target, params)
            headers: CIMultiDictProxy[str] | CIMultiDict[str] = NO_HEADERS
            if (own := given.get("headers")) is not None:
                headers = CIMultiDict(own)
            data, json = given.get("data"), given.get("json")
            if data is not None or json is not None:
                if data is not None and json is not None:
                    raise ValueError("give data= or json=, not both")
                body, kind = (encode_json(json), JSON_TYPE) if data is None else (encode_form(data), FORM_TYPE)
                headers = CIMultiDict(headers)
                headers.setdefault("Content-Type", kind)
        except (ValueError, TypeError) as exc:
            raise InvalidRequestError(f"{method} {url} cannot be sent: {exc}", request=Request(method, URL())) from None
        is_own = self._auth is not None and self._origin.has(target)
        if _CHOICES.isdisjoint(given):
            options = self._common[is_own, bool(given.get("follow_redirects", False))]
        elif "auth" not in given:
            options = _options(given, self._auth if is_own else UNSET)
        else:
            auth = as_auth(given["auth"])
            if auth is not None:
                self._redact.add(auth.secrets)
            options = _options(given, auth)
        return Request(method, target, headers, body, options)

    def lose(self, error: Exception, *, optional: bool) -> None:
        """Count what an error costs: a loss of the run, or a finding where the run is complete without that data."""
        self.distrust(error)
        if isinstance(error, RequestError):
            error.redact(self._redact)
        name = "" if isinstance(error, SecodaAsyncError) else f"{type(error).__name__}: "
        message = self._redact(f"{name}{error}")
        if optional:
            self._findings.find("optional-request-failed", message, message)
        else:
            self._findings.lose(message, request=True, error=error)

    def _find_undeclared(self, request: Request) -> None:
        subject = self._redact(f"{request.method} {request.url.with_query(None)}")
        message = f"{subject} is none of the declared endpoints; declare it, or --enforce-endpoints would refuse it"
        self._findings.find("undeclared-endpoint", subject, message)

    def distrust(self, error: BaseException) -> None:
        """Have the run's journal ask again for the answer that an error is about, when another run continues this."""
        if self._journal is not None:
            self._journal.mark_failed(error)

    def _on_error(self, error: RequestError) -> None:
        self._judge(error, optional=False)

    def _on_optional_error(self, error: RequestError) -> None:
        self._judge(error, optional=True)

    def _judge(self, error: RequestError, *, optional: bool) -> None:
        # A 404 that was returned is the caller's to judge, by raise_for_status() or otherwise. Where `retry=None` had a
        # 500 returned, raise_for_status() judges it; like a body that cannot be read, it is missing data.
        if isinstance(error, StatusError) and not _is_servers_fault(error.response.status_code):
            error.redact(self._redact)
        else:
            self.lose(error, optional=optional)


def _traced(inner: Transport, redact: Redactor) -> Transport:
    from secoda_async.network.traced import Traced  # noqa: PLC0415 # it imports an extra

    return Traced(inner, redact)


def _is_servers_fault(status: int) -> bool:
    return status >= 500 or status == 429


def _options(given: BodyOptions, auth: Auth | Unset | None) -> Options:
    retry = given.get("retry", UNSET)
    if retry is not UNSET and retry is not None and not isinstance(retry, RetryPolicy):
        raise ConfigurationError(f"retry must be a RetryPolicy or None, not {retry!r}")
    verify: bool | str | Unset = given.get("verify", UNSET)
    if verify is not UNSET and (not isinstance(verify, bool | str) or verify == ""):
        raise ConfigurationError(f"verify must be True, False or the path of a CA file as a string, not {verify!r}")
    timeout: Timeout | Unset = UNSET
    if "timeout" in given:
        timeout = Timeout.of(given["timeout"])
    weight = given.get("weight", 1)
    if not isinstance(weight, int) or isinstance(weight, bool) or weight < 1:
        raise ConfigurationError(f"weight must be a whole number of 1 or more, not {weight!r}")
    return Options(
        timeout=timeout,
        retry=retry,
        verify=verify,
        auth=auth,
        follow_redirects=given.get("follow_redirects", False),
        idempotent=given.get("idempotent", False),
        weight=weight,
    )
