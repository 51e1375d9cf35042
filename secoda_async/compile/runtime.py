"""What a compiled file carries along: the names of secoda_async, over nothing but secodadk, httpx and pydantic.

Nothing in it waits: each `await` has its result at once, so a coroutine runs to its end in one step. It is read as text
and never imported, since it needs secodadk.
"""

import functools
import json as _json
import re
import time
from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import unquote_plus, urlencode

import httpx
import pydantic
from secodadk.core import SecodaIntegration as _PlainIntegration
from secodadk.ingestion_models import (
    DeclaredLineage,
    ExternalColumn,
    ExternalTable,
    InternalResource,
    LineageID,
    Resource,
    TablesFromSQLQuery,
)


class SecodaAsyncError(Exception):
    """The root of the errors below."""


class ConfigurationError(SecodaAsyncError):
    """A setting, a class or a call cannot be used as it stands."""


class ScopeError(SecodaAsyncError):
    """Scopes are not in order."""


class IncompleteRunError(SecodaAsyncError):
    """Something was lost although it was caught."""


class RequestError(SecodaAsyncError):
    """A request ended without data."""

    def __init__(self, message, *, request=None):
        super().__init__(message)
        self.request = request


class InvalidRequestError(RequestError):
    """A request cannot be sent as it stands."""


class TransportError(RequestError):
    """No complete answer came."""


class ConnectError(TransportError):
    """No connection was made."""


class RequestTimeoutError(TransportError):
    """The exchange took too long."""


class RedirectError(RequestError):
    """A redirect that must not be followed."""


class ResponseError(RequestError):
    """An answer came that is not data."""

    def __init__(self, message, *, response):
        super().__init__(message, request=response.request)
        self.response = response


class StatusError(ResponseError):
    """A status means failure."""


class DecodeError(ResponseError, ValueError):
    """A body is not what it was read as."""


class PaginationError(ResponseError):
    """The pages of a listing do not add up."""


class EntityType(str, Enum):
    """Kinds of resources."""

    DATABASE = "database"
    SCHEMA = "schema"
    TABLE = "table"
    COLUMN = "column"
    DASHBOARD_GROUP = "dashboard_group"
    DASHBOARD = "dashboard"
    CHART = "chart"

    def __str__(self):
        return self.value


@dataclass(frozen=True)
class RateLimit:
    """At most so many requests in any ``per`` seconds."""

    requests: int
    per: float = 1.0
    burst: Any = None


@dataclass(frozen=True)
class Input:
    """One input of the connection form."""

    secret: bool = True
    required: bool = True
    description: str = ""


class RetryPolicy:
    """Dropped: plain secodadk sends each request once."""

    def __init__(self, **_):
        pass


class Timeout:
    """Dropped: plain secodadk waits 120 seconds."""

    def __init__(self, **_):
        pass


class StaleLimits:
    """Dropped: an upload is the platform's."""

    def __init__(self, **_):
        pass


class Skip:
    """The policy of a scope that is left out where it fails in one of these ways."""

    def __init__(self, *what):
        self.statuses = [one for one in what if isinstance(one, int)]
        self.errors = tuple(one for one in what if not isinstance(one, int))

    def absorbs(self, error):
        if isinstance(error, StatusError) and error.response.status_code in self.statuses:
            return True
        return isinstance(error, self.errors)


class Auth:
    """Credentials of a request."""


@dataclass(frozen=True)
class BasicAuth(Auth):
    """User name and password."""

    username: str
    password: str = ""

    def sign(self, request):
        pair = f"{self.username}:{self.password}".encode(errors="surrogateescape")
        return request.with_header("Authorization", f"Basic {b64encode(pair).decode()}")


@dataclass(frozen=True)
class BearerAuth(Auth):
    """A token."""

    token: str

    def sign(self, request):
        return request.with_header("Authorization", f"Bearer {self.token}")


@dataclass(frozen=True)
class APIKeyAuth(Auth):
    """A key in a header, or in a parameter of the query."""

    key: str
    header: Any = None
    query: Any = None

    def sign(self, request):
        if self.query:
            return request._replace(url=with_params(request.url, {self.query: self.key}))
        return request.with_header(self.header or "X-API-Key", self.key)


def _as_auth(value):
    if value is None or isinstance(value, Auth):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return BasicAuth(str(value[0]), str(value[1]))
    header = getattr(value, "_auth_header", None)  # httpx.BasicAuth keeps the finished header here
    if isinstance(header, str):
        return BearerAuth(header) if not header.startswith("Basic ") else _Header(header)
    raise ConfigurationError(f"auth must be an Auth such as BearerAuth, a pair or None, not {type(value).__name__}")


@dataclass(frozen=True)
class _Header(Auth):
    value: str

    def sign(self, request):
        return request.with_header("Authorization", self.value)


class Request(NamedTuple):
    """What is asked."""

    method: str
    url: httpx.URL
    headers: Any = ()
    body: Any = None
    verify: Any = True
    follow_redirects: bool = False
    auth: Any = None
    weight: int = 1

    def with_header(self, name, value):
        headers = httpx.Headers(self.headers)
        headers[name] = value
        return self._replace(headers=headers)

    def __str__(self):
        # Without query and user, which may hold credentials.
        return f"{self.method} {self.url.scheme}://{self.url.host}{_port(self.url)}{self.url.path}"


def _port(url):
    return "" if url.port is None else f":{url.port}"


class Response:
    """An answer: an ``httpx.Response``, whose errors are those of this file."""

    def __init__(self, request, reply, lose):
        self.request = request
        self._reply = reply
        self._lose = lose
        self.url = str(request.url)

    def __getattr__(self, name):
        return getattr(self._reply, name)

    def json(self):
        try:
            return _json.loads(self._reply.content)
        except ValueError as exc:
            raise self._no_data(f"is no JSON: {exc}") from None

    def parse(self, model):
        """The body, validated by pydantic as ``model``."""
        try:
            return pydantic.TypeAdapter(model).validate_json(self._reply.content)
        except pydantic.ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise self._no_data(f"is no {getattr(model, '__name__', model)}: {where}: {first['msg']}") from None

    def raise_for_status(self):
        if self._reply.is_success:
            return self
        error = StatusError(f"{self.request} answered {self._reply.status_code}", response=self)
        if _is_servers_fault(self._reply.status_code):
            self._lose(error)
        raise error

    def _no_data(self, message):
        error = DecodeError(f"the answer to {self.request} {message}", response=self)
        self._lose(error)
        return error


def _is_servers_fault(status):
    return status >= 500 or status == 429


def _text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _pairs(values):
    for name, value in values.items() if hasattr(values, "items") else values:
        for one in value if isinstance(value, (list, tuple)) else (value,):
            yield str(name), _text(one)


def with_params(url, params):
    """The URL with ``params`` added to its query; a name that it already has is replaced."""
    added = params if isinstance(params, str) else urlencode(list(_pairs(params)))
    if not added:
        return url
    names = {unquote_plus(pair.partition("=")[0]) for pair in added.split("&")}
    query = url.query.decode()
    kept = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in names]
    return url.copy_with(query="&".join([*kept, added]).encode())


def _origin(url):
    ports = {"http": 80, "https": 443}
    return url.scheme, (url.host or "").lower(), url.port or ports.get(url.scheme)


def target_of(base, reference):
    """Where a reference leads that came with an answer. Raises ValueError."""
    try:
        target = base.join(reference).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError, TypeError):
        raise ValueError(f"{reference!r}, which is no URL") from None
    if target.scheme not in ("http", "https") or not target.host:
        raise ValueError(f"{target}; only http and https are followed")
    return target


def aimed_at(request, target):
    """The request, sent to where a server points: another origin gets no credentials, no such headers and no body."""
    if _origin(target) == _origin(request.url):
        return request._replace(url=target)
    if request.body is not None:
        raise ValueError("another origin, with a body; send it there yourself if that is meant")
    harmless = ("accept", "accept-language", "user-agent")
    headers = httpx.Headers([(name, value) for name, value in request.headers.items() if name.lower() in harmless])
    return request._replace(url=target, headers=headers, auth=None)


class _Form(tuple):
    """Name and value of each field of a form."""

    def fields(self):
        found = {}
        for name, value in self:
            found.setdefault(name, []).append(value)
        return found


class _Limit:
    """The requests that one key of ``rate_limits`` means, and when they were let go."""

    def __init__(self, key, limits):
        found = re.fullmatch(r"(?:([A-Z]+)\s+)?([^/\s]+)(/\S*)?", key)
        if found is None:
            raise ConfigurationError(f"rate_limits: {key!r} is no host")
        self.method, host, path = found.groups()
        self.host = host.lower()
        self.is_whole_host = self.method is None and path is None
        self.path = None
        if path is not None:
            parts = path.lstrip("/").split("/")
            rest = "(?:/.*)?" if parts[-1] == "**" else ""
            named = [r"[^/]+" if re.fullmatch(r"\*|\{\w*\}", part) else re.escape(part) for part in parts]
            self.path = re.compile("/" + "/".join(named[:-1] if rest else named) + rest)
        self.limits = limits if isinstance(limits, (list, tuple)) else [limits]
        self.times = [deque(maxlen=limit.requests) for limit in self.limits]

    def names(self, url):
        host = (url.host or "").lower()
        return self.host in (host, f"{host}:{_origin(url)[2]}")

    def means(self, method, url):
        if self.method is not None and self.method != method:
            return False
        return self.path is None or self.path.fullmatch(url.path) is not None

    def wait(self, weight):
        for limit, times in zip(self.limits, self.times):
            for _ in range(min(weight, limit.requests)):
                # A hundredth more, since requests do not take the same time on their way.
                while len(times) == limit.requests and (left := times[0] + limit.per * 1.01 - time.monotonic()) > 0:
                    time.sleep(left)
                times.append(time.monotonic())


class _Limits:
    def __init__(self, limits):
        self._limits = [_Limit(key, value) for key, value in limits.items()]
        self._others = {}

    def wait(self, request):
        named = [one for one in self._limits if one.host != "*" and one.names(request.url)]
        if not any(one.is_whole_host for one in named):
            # "*" is a limit for each other host, so each has times of its own.
            for one in self._limits:
                if one.host == "*":
                    key = (id(one), _origin(request.url)[1:])
                    named.append(self._others.setdefault(key, _copy(one)))
        for one in named:
            if one.means(request.method, request.url):
                one.wait(request.weight)


def _copy(limit):
    other = object.__new__(_Limit)
    other.__dict__.update(limit.__dict__, times=[deque(maxlen=one.requests) for one in limit.limits])
    return other


class _Ready:
    """What has its result already."""

    def __await__(self):
        return iter(())


class _Results:
    """The results of a map, or the items of a listing."""

    def __init__(self, generator):
        self._generator = generator

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self._generator.__anext__()

    async def aclose(self):
        await self._generator.aclose()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.aclose()


async def _each(items):
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def gather(*coroutines, return_exceptions=False):
    """As ``asyncio.gather``, one after the other."""
    results = []
    left = deque(coroutines)
    try:
        while left:
            try:
                results.append(await left.popleft())
            except Exception as error:
                if not return_exceptions:
                    raise
                results.append(error)
    finally:
        for one in left:
            if hasattr(one, "close"):
                one.close()
    return results


class _Scope:
    """A part of the run whose records count where it ends well."""

    def __init__(self, integration, policy):
        self._integration = integration
        self._policy = policy

    async def __aenter__(self):
        self._integration._scopes_.append([])
        self._losses = len(self._integration._losses_)

    async def __aexit__(self, _, error, __):
        records = self._integration._scopes_.pop()
        lost = self._integration._losses_[self._losses :]
        if error is None and not lost:
            for declare, record in records:
                declare(record)
            return False
        wrong = [*lost, *([] if error is None else [error])]
        if isinstance(self._policy, Skip) and all(self._policy.absorbs(one) for one in wrong):
            del self._integration._losses_[self._losses :]
            return True
        # What it declared is left out, so the run is incomplete even where the error is caught further up.
        if isinstance(error, Exception) and not any(one is error for one in lost):
            self._integration._losses_.append(error)
        return False


class SecodaIntegration(_PlainIntegration):
    """The integration's base: asynchronous in its form, over plain secodadk."""

    base_url = ""
    inputs = None
    rate_limits = {}
    verify = True
    # What only this file calls ends in an underscore, so that a subclass may have a `_request` of its own.

    def __init__(
        self, *, credentials, ingest_resources_strategy=None, network_call_strategy=None, base_url=None, **settings
    ):
        super().__init__(
            credentials=credentials,
            ingest_resources_strategy=ingest_resources_strategy,
            network_call_strategy=network_call_strategy,
        )
        self.base_url = base_url or credentials.get("base_url") or type(self).base_url
        self._limits_ = _Limits(settings.get("rate_limits", type(self).rate_limits))
        self._verify_ = settings.get("verify", type(self).verify)
        self._losses_ = []
        self._scopes_ = []
        self._auth_ = None

    def default_auth(self):
        """The credentials of requests to the origin of ``base_url``."""
        return

    def start(self):
        # Another class of the file than the one that is given to secodadk: its extract() is a coroutine.
        coroutine = self.extract()
        if coroutine is not None:
            self._drive_(coroutine)
        self.finalize()

    async def http_get(self, url, **options):
        return self._request_("GET", url, options)

    async def http_post(self, url, **options):
        return self._request_("POST", url, options)

    async def http_put(self, url, **options):
        return self._request_("PUT", url, options)

    async def http_patch(self, url, **options):
        return self._request_("PATCH", url, options)

    async def http_delete(self, url, **options):
        return self._request_("DELETE", url, options)

    def declare_resource(self, resource):
        return self._declare_(super().declare_resource, resource)

    def declare_lineage(self, lineage):
        return self._declare_(super().declare_lineage, lineage)

    async def for_each(self, items, worker, *, concurrency=None, scope=None, on_error="fail"):
        async for item in _each(items):
            if scope is None:
                await worker(item)
            else:
                async with _Scope(self, on_error):
                    await worker(item)

    def map(self, items, worker, *, concurrency=None):
        async def results():
            async for item in _each(items):
                yield await worker(item)

        return _Results(results())

    def expect(self, requests):
        """For progress, and there is none."""

    def scope(self, name, *, on_error="fail"):
        return _Scope(self, on_error)

    def _declare_(self, declare, record):
        # `print` of a record that a scope drops later could not be taken back.
        if self._scopes_:
            outer = self._scopes_[-1]
            outer.append((lambda one: self._declare_outside_(declare, one), record.model_copy(deep=True)))
        else:
            declare(record)
        return _Ready()

    def _declare_outside_(self, declare, record):
        if self._scopes_:
            self._scopes_[-1].append((lambda one: self._declare_outside_(declare, one), record))
        else:
            declare(record)

    def _drive_(self, coroutine):
        try:
            self._begin_()
            coroutine.send(None)
        except StopIteration:
            self._end_()
        else:
            raise ConfigurationError("extract() awaited something that is not ready at once")
        finally:
            coroutine.close()

    def _begin_(self):
        for name, given in (self.inputs or {}).items():
            if given.required and self.credentials.get(name) in (None, ""):
                raise ConfigurationError(f"the credential {name!r} is missing")
        self._losses_ = []
        self._scopes_ = []
        self._auth_ = _as_auth(self.default_auth())

    def _end_(self):
        if self._losses_:
            more = f" (and {len(self._losses_) - 1} more)" if len(self._losses_) > 1 else ""
            first = self._losses_[0]
            told = str(first) if isinstance(first, SecodaAsyncError) else f"{type(first).__name__}: {first}"
            raise IncompleteRunError(f"the run is incomplete: {told}{more}")

    def _request_(self, method, url, options):
        try:
            request = self._prepare_(method, url, options)
            if options.get("_page"):
                request = options["_page"]
            reply = self._followed_(request)
            if _is_servers_fault(reply.status_code) and options.get("retry", True) is not None:
                raise StatusError(f"{request} answered {reply.status_code}", response=reply)
        except RequestError as error:
            if not options.get("optional"):
                self._losses_.append(error)
            raise
        if not options.get("optional"):
            reply._lose = self._losses_.append
        return reply

    def _prepare_(self, method, url, options):
        try:
            target = self._resolve_(str(url))
            if options.get("params") is not None:
                target = with_params(target, options["params"])
            headers, body = httpx.Headers(options.get("headers")), None
            if options.get("json") is not None:
                body = _json.dumps(options["json"]).encode()
                headers.setdefault("Content-Type", "application/json")
            elif options.get("data") is not None:
                body = options["data"]
                if not isinstance(body, (str, bytes)):
                    body = _Form(_pairs(body))
                headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        except (ValueError, TypeError, httpx.InvalidURL) as exc:
            raise InvalidRequestError(f"{method} {url} cannot be sent: {exc}") from None
        is_own = bool(self.base_url) and _origin(target) == _origin(httpx.URL(self.base_url))
        return Request(
            method,
            target,
            headers,
            body,
            options.get("verify", self._verify_),
            options.get("follow_redirects", False),
            _as_auth(options["auth"]) if "auth" in options else self._auth_ if is_own else None,
            options.get("weight", 1),
        )

    def _resolve_(self, url):
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|//", url):
            target = httpx.URL(url).copy_with(fragment=None)
        elif self.base_url:
            target = httpx.URL(f"{self.base_url.rstrip('/')}/{url.partition('#')[0].lstrip('/')}")
        else:
            raise ValueError("a relative URL needs a base_url")
        if target.scheme not in ("http", "https") or not target.host:
            raise ValueError("a URL must start with http:// or https:// and name a host")
        return target

    def _followed_(self, request):
        for _ in range(11):
            reply = self._send_(request)
            if not request.follow_redirects or not reply.has_redirect_location:
                return reply
            try:
                target = target_of(request.url, reply.headers["Location"])
                if (reply.status_code == 303 and request.method != "HEAD") or (
                    reply.status_code in (301, 302) and request.method == "POST"
                ):
                    request = request._replace(method="GET", body=None)
                request = aimed_at(request, target)
            except ValueError as exc:
                raise RedirectError(f"{request} was redirected to {exc}", request=request) from None
        raise RedirectError(f"{request} was redirected more than 10 times", request=request)

    def _send_(self, request):
        self._limits_.wait(request)
        signed = request if request.auth is None else request.auth.sign(request)
        body = {}
        if isinstance(request.body, _Form):
            body = {"data": request.body.fields()}
        elif request.body is not None:
            # As JSON where it is: Secoda's egress server takes no bytes.
            is_json = signed.headers.get("Content-Type", "").startswith("application/json")
            body = {"json": _json.loads(request.body)} if is_json else {"data": request.body}
        try:
            send = getattr(super(), f"http_{request.method.lower()}")
            reply = send(str(signed.url), headers=dict(signed.headers), verify=request.verify, **body)
        except httpx.TimeoutException as exc:
            raise RequestTimeoutError(f"{request} took too long ({type(exc).__name__})", request=request) from None
        except httpx.ConnectError as exc:
            raise ConnectError(f"{request} failed: cannot connect ({exc})", request=request) from None
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise TransportError(f"{request} failed: {type(exc).__name__}", request=request) from None
        return Response(request, reply, lambda _: None)


def _synchronous(extract):
    """``extract`` as secodadk calls it."""

    @functools.wraps(extract)
    def run(self):
        self._drive_(extract(self))

    return run
