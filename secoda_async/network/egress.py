"""Sends requests through Secoda's egress server, as runs that Secoda hosts do."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import (
    AddressError,
    ConfigurationError,
    EgressError,
    InvalidRequestError,
    RequestError,
    ResponseError,
)
from secoda_async.network.addresses import AddressRules
from secoda_async.network.encode import FORM_TYPE, JSON_TYPE
from secoda_async.network.message import Options, Request, Response, Transport, clip
from secoda_async.network.proxies import Proxies
from secoda_async.network.transport import AiohttpTransport
from secoda_async.redact import Redactor
from secoda_async.settings import Settings, Timeout
from secoda_async.version import __version__

_PATH: Final = "/egress/request/"
_TIMEOUT: Final = Timeout(connect=10.0, read=None, total=600.0)
_ADDRESSES: Final = AddressRules(refuse_private=False)


class EgressTransport(Transport):
    """The network as an egress server sees it: each request is posted to it, and its answer is the target's.

    Usage: ``Cluvio(credentials=…, transport=EgressTransport("https://egress.example", token)).start()``, made anywhere
    and good for any number of runs, one at a time. Limits, retries, redirects and errors are those of the target; the
    token goes to the egress server alone, whose certificate is checked as ``verify`` says.
    ``send`` raises TransportError: EgressError where the server says that it could not relay. What the server cannot
    be told raises InvalidRequestError: a body that is neither JSON nor a form, a streamed one or answer, and
    ``verify="ca.pem"``. Raises ConfigurationError where url or token cannot be used.
    """

    def __init__(self, url: str, token: str, *, verify: bool | str = True) -> None:
        self._server = _server(url)
        if not isinstance(token, str) or not token.strip() or not token.isprintable() or not token.isascii():
            raise ConfigurationError("the token of the egress server must be a string of printable ASCII characters")
        self._headers = CIMultiDict({"Authorization": f"Bearer {token}", "Content-Type": JSON_TYPE})
        self._token = token
        self._redact = Redactor([token])
        self._verify_server = verify
        self._verify: bool | str = True
        self._max_body = Settings().max_body
        self._traffic = Traffic()
        self._proxies: Proxies | None = None
        self._relay: AiohttpTransport | None = None

    def begin(self, settings: Settings, *, traffic: Traffic, redact: Redactor, proxies: Proxies) -> None:
        """Take on what a run has set, before its first request. Raises ConfigurationError for what cannot hold here."""
        if isinstance(settings.verify, str):
            raise ConfigurationError("verify: an egress server reads no CA file of yours; only True and False reach it")
        if settings.cert is not None:
            raise ConfigurationError("cert: an egress server has no client certificate of yours to show")
        if settings.refuse_private:
            raise ConfigurationError("refuse_private cannot hold: an egress server makes the connections, not this run")
        if self._relay is not None:
            raise ConfigurationError("this EgressTransport is in use; make another, or await its aclose() first")
        redact.add([self._token])
        self._redact = redact
        self._verify, self._max_body, self._traffic = settings.verify, settings.max_body, traffic
        self._proxies = proxies

    @override
    async def send(self, request: Request) -> Response:
        relayed = Request(
            "POST",
            self._server,
            self._headers,
            self._described(request),
            Options(timeout=request.options.timeout, verify=self._verify_server),
        )
        if self._relay is None:  # made where a loop runs, and anew after a close
            self._relay = AiohttpTransport(
                timeout=_TIMEOUT,
                verify=True,
                max_body=self._max_body,
                traffic=self._traffic,
                user_agent=f"secoda-async/{__version__}",
                proxies=self._proxies,
            )
        try:
            response = await self._relay.send(relayed)
        except RequestError as error:  # of the request to the server, which holds the token
            text = self._redact(f"{request} failed at the egress server: {error}")
            if isinstance(error, ResponseError):
                response = Response(request, error.response.status_code)
                raise type(error)(text, response=response) from None
            raise type(error)(text, request=request) from None
        if response.headers.get("Egress-Error"):
            text = self._redact(f"{request} failed: the egress server could not relay it: {clip(response)}")
            raise EgressError(text, request=request)
        return Response(
            request,
            response.status_code,
            headers=response.headers,  # type: ignore[arg-type] # what a transport gives
            content=response.content,
            elapsed=response.elapsed.total_seconds(),
        )

    @override
    async def aclose(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            await relay.aclose()

    def _described(self, request: Request) -> bytes:
        """The request as the egress server is told it. Raises InvalidRequestError for what it cannot be told."""
        refusal = _ADDRESSES.refusal(request.url.raw_host or "")
        if refusal is not None:
            raise AddressError(f"{request} was not sent: {refusal}", request=request)
        verify = self._verify if not isinstance(request.options.verify, bool | str) else request.options.verify
        if isinstance(verify, str):
            raise _refused(request, "verify=PATH: the server reads no CA file of yours; give True or False")
        if request.stream:
            raise _refused(request, "a streamed answer: it comes as a whole; read it with http_get")
        headers = CIMultiDict(request.headers)
        data, json = _body(request, headers)
        described = {
            "method": request.method,
            "url": str(request.url),  # the query in it, so that every byte of it is the caller's
            "params": None,
            "headers": {str(name): ", ".join(headers.getall(name)) for name in headers},
            "data": data,
            "json": json,
            "follow_redirects": False,
            "verify": verify,
        }
        try:
            return orjson.dumps(described)
        except TypeError as exc:  # a lone surrogate in a header
            raise _refused(request, f"it as JSON ({exc})") from None


def _server(url: str) -> URL:
    try:
        server = URL(url.rstrip("/") + _PATH)
        if server.scheme in ("http", "https") and server.raw_host and not server.raw_query_string:
            return server
    except (ValueError, AttributeError, TypeError):
        pass
    raise ConfigurationError("the egress server's url must be a string that starts with http:// or https://")


def _refused(request: Request, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"{request} was not sent: an egress server cannot be told {what}", request=request)


def _body(request: Request, headers: CIMultiDict[str]) -> tuple[dict[str, Any] | None, Any]:
    """The body as form fields or as JSON, whose usual Content-Type the server sets itself."""
    body = request.body
    if body is None:
        return None, None
    kind = headers.get("Content-Type", "")
    media = kind.partition(";")[0].strip().lower()
    if isinstance(body, bytes):
        if media == FORM_TYPE and (fields := _fields(body)) is not None:
            if kind == FORM_TYPE:
                del headers["Content-Type"]
            return fields, None
        if media == JSON_TYPE or media.endswith("+json"):
            try:
                value = orjson.loads(body)
            except orjson.JSONDecodeError:
                raise _refused(request, "a body that is called JSON and is none") from None
            if value is not None:
                if kind == JSON_TYPE:
                    del headers["Content-Type"]
                return None, orjson.Fragment(body)  # as it stands: numbers of any size are the caller's
    raise _refused(request, "a body that is neither JSON nor a form; give json= or data= with a dictionary")


def _fields(body: bytes) -> dict[str, Any] | None:
    """Form fields by name, a list where one has several values; None where they would not give this form again."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        return None if body else {}
    fields: dict[str, Any] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    if [(name, value) for name, values in fields.items() for value in values] != pairs:
        return None  # names that alternate, in an order that may mean something
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
