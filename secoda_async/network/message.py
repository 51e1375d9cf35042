"""What the layers of the network hand to one another: Request, Response and the Transport they all are."""

from __future__ import annotations

import abc
import codecs
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import timedelta
from functools import cached_property, lru_cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any, ClassVar, Final, NamedTuple, Protocol, Self, TypeVar, get_args, overload

import orjson
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import TypeAdapter, ValidationError
from typing_extensions import override
from yarl import URL

from secoda_async.errors import DecodeError, RequestError, StatusError
from secoda_async.redact import CUT, Redactor
from secoda_async.settings import UNSET, RetryPolicy, Timeout, Unset

T = TypeVar("T")

MOST_LEVELS: Final = 1024
"""Levels of nesting in a JSON body: the cap of orjson, which is that of every reader here."""
_PARSED_LEVELS: Final = 200  # pydantic's own cap
_FAULTS_SHOWN: Final = 3
_CLIP: Final = 300
_by_name: Final = Redactor()  # knows no value, so it masks what a name calls secret
# Text codecs of Python that no server means, and that raise or warn whatever `errors` says.
_NO_CHARSETS: Final = frozenset({"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"})
NO_HEADERS: Final[CIMultiDictProxy[str]] = CIMultiDictProxy(CIMultiDict())


class BodySource(Protocol):
    """A body that is read while it is sent, and opened anew for each attempt: what a transport may be given."""

    @property
    def length(self) -> int:
        """Bytes in all."""

    def open(self) -> AsyncIterator[bytes]:
        """The body from its beginning."""


class Auth(abc.ABC):
    """A way to prove who asks. Subclass it for one that is not here: ``sign`` is all that must be written.

    Usage::

        class HMACAuth(Auth):
            def __init__(self, key: bytes) -> None:
                self.key = key

            def sign(self, request: Request) -> Request:
                headers = CIMultiDict(request.headers)
                headers["X-Signature"] = hmac.digest(self.key, str(request.url).encode(), "sha256").hex()
                return request._replace(headers=headers)
    """

    kind: ClassVar[str] = "custom"
    """What the report calls it: ``basic``, ``bearer``, ``api key``, ``oauth2``, or ``custom``."""
    is_renewable: ClassVar[bool] = False
    """Whether it is a `RenewableAuth`: isinstance of an abstract class is a slow way to ask on every request."""

    @abc.abstractmethod
    def sign(self, request: Request) -> Request:
        """The request with its credentials: another one, made with ``_replace``."""

    @property
    def secrets(self) -> Iterable[str]:
        """What must never be shown: in logs, errors and reports it is masked."""
        return ()


class Options(NamedTuple):
    """What one request chooses for itself. UNSET is the client's default, None is off."""

    timeout: Timeout | Unset = UNSET
    retry: RetryPolicy | Unset | None = UNSET
    verify: bool | str | Unset = UNSET
    auth: Auth | Unset | None = UNSET
    follow_redirects: bool = False
    idempotent: bool = False
    weight: int = 1


DEFAULTS: Final = Options()


class Request(NamedTuple):
    """One request as a layer sees it. Layers never change one; they pass on another made with ``_replace``."""

    method: str
    url: URL
    headers: CIMultiDictProxy[str] | CIMultiDict[str] = NO_HEADERS
    body: bytes | BodySource | None = None
    options: Options = DEFAULTS
    stream: bool = False
    """Whether the body of a 2xx is the caller's to read, a `StreamedResponse`; any other is read within the attempt."""
    recorded: int | None = None
    """The entry of a recording that answers it, where a layer has looked it up: its attempts all get the same."""

    def with_headers(self, headers: CIMultiDict[str]) -> Request:
        """As ``_replace``, which takes three times as long."""
        return Request(self.method, self.url, headers, self.body, self.options, self.stream, self.recorded)

    @override
    def __str__(self) -> str:
        return f"{self.method} {self.url}"

    @override
    def __repr__(self) -> str:
        # Headers, body and query hold credentials, and whoever logs a request does not mean to log those.
        return f"<Request [{_by_name(str(self))}]>"


class Transport(Protocol):
    """Whatever answers a request: each layer is one around the next, the innermost speaks to the network.

    Usage: write both methods, and give it as ``transport=`` of an integration, in place of the network; limits, retries
    and the journal stand above it. To change only what passes, subclass `Layer`.
    """

    async def send(self, request: Request) -> Response:
        """The answer. Raises RequestError where there is none."""

    async def aclose(self) -> None:
        """Give back what is held; calling it again does nothing."""


class Layer(Transport, abc.ABC):
    """A transport around another one, which it closes.

    Usage::

        class Slow(Layer):
            async def send(self, request: Request) -> Response:
                await asyncio.sleep(0.1)
                return await self._inner.send(request)

        Cluvio(credentials=…, transport=Slow(ReplayTransport("cluvio.journal"))).start()
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


def innermost(transport: Transport | None) -> Transport | None:
    """What answers at last, below every layer that is put around it."""
    while isinstance(transport, Layer):
        transport = transport._inner
    return transport


class Response:
    """An answer whose body has been read: the part of ``httpx.Response`` that integrations use, synchronous as there.

    Usage: ``reply = await self.http_get("/tables"); reply.raise_for_status(); tables = reply.json()``.
    """

    recorded: int | None = None
    """The entry of the run's journal that holds it."""
    signed_with: int | None = None
    """How often its credentials had been renewed when it was sent; None: they do not change, or were at their end."""

    # No __slots__: `cached_property` keeps what is worth computing once in the instance's dictionary.

    def __init__(
        self,
        request: Request,
        status_code: int,
        *,
        headers: CIMultiDictProxy[str] = NO_HEADERS,
        content: bytes = b"",
        url: URL | None = None,
        elapsed: float = 0.0,
    ) -> None:
        self.request = request
        self.status_code = status_code
        self.headers: Mapping[str, str] = headers
        """Case-insensitive; ``getall`` gives every value of a repeated header."""
        self._content = content
        self._url = url
        self._seconds = elapsed
        self.on_error: Callable[[RequestError], None] = _ignore
        """Told of every error that this answer raises, before it is raised."""

    @override
    def __repr__(self) -> str:
        return f"<Response [{self.status_code} {self.reason_phrase}]>"

    async def aclose(self) -> None:
        """Give back what a streamed answer holds. One whose body has been read holds nothing."""

    @property
    def content(self) -> bytes:
        """The decoded body."""
        return self._content

    @property
    def url(self) -> str:
        """Where the answer came from, after redirects."""
        return str(self.request.url if self._url is None else self._url)

    @property
    def elapsed(self) -> timedelta:
        """From leaving the rate limit to the last byte of the last attempt."""
        return timedelta(seconds=self._seconds)

    @property
    def reason_phrase(self) -> str:
        try:
            return HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status_code < 400

    @property
    def is_client_error(self) -> bool:
        return 400 <= self.status_code < 500

    @property
    def is_server_error(self) -> bool:
        return 500 <= self.status_code < 600

    @property
    def is_error(self) -> bool:
        return 400 <= self.status_code < 600

    @cached_property
    def encoding(self) -> str:
        """The charset of the Content-Type where it names a known one, else UTF-8."""
        match = re.search(r"charset=\"?([\w.:-]+)", self.headers.get("Content-Type", ""), re.IGNORECASE)
        name = match[1] if match else "utf-8"
        try:
            b"a".decode(name, errors="replace")  # a codec from bytes to bytes (hex, zlib) fails here
            known = codecs.lookup(name).name
        except (LookupError, UnicodeError):
            return "utf-8"
        return "utf-8" if known.replace("-", "_") in _NO_CHARSETS else known

    @cached_property
    def text(self) -> str:
        """The body as text; bytes that the charset does not know become U+FFFD."""
        return self.content.decode(self.encoding, errors="replace")

    def json(self) -> Any:
        """The body as JSON (RFC 8259), in UTF-8, in the charset of the Content-Type, or in that of a byte-order mark.

        Of a name that an object has twice the last counts. Integers are exact from -(2**63) to 2**64 - 1, and floats
        beyond that. Raises DecodeError, which names URL, status, content type and a piece of the body, for anything
        else: an empty body, NaN and Infinity, a number beyond the floats, half a surrogate pair, bytes that the charset
        does not know, and more than 1024 levels of nesting.
        """
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as exc:
            fault = exc
        try:
            # A byte-order mark, or JSON in UTF-16 or an older charset.
            return orjson.loads(self._decoded())
        except (orjson.JSONDecodeError, UnicodeError):
            reason = fault.msg
            if "depth" in reason:  # as every version of orjson says it
                reason = f"it is nested over {MOST_LEVELS} levels, the most that are read"
            elif "valid UTF-8" in reason:
                reason = "it is neither UTF-8 nor in the charset that it names"
            error = DecodeError(
                f"{self.request} answered {self.status_code} with a body that is not JSON ({reason}): "
                f"Content-Type {self.headers.get('Content-Type', 'absent')}, {self._excerpt()}. "
                "Check that the URL is that of the API and that the credentials are accepted there.",
                response=self,
            )
        self.on_error(error)
        raise error

    @overload
    def parse(self, model: type[T]) -> T: ...

    @overload
    def parse(self, model: Any) -> Any: ...

    def parse(self, model: Any) -> Any:
        """The body as a pydantic model, a dataclass, or any other type that pydantic reads from JSON.

        Usage: ``table = reply.parse(Table)``, ``tables = reply.parse(list[Table])``.

        As `json`, but integers are exact whatever their size, a number beyond the floats is infinite where the type
        allows that, and 200 levels of nesting are the most. Raises DecodeError as `json` does, and where the body does
        not fit the type; it then names the first faults by their place, without the values.
        """
        if b"NaN" in self.content or b"Infinity" in self.content:
            self.json()  # which refuses them, where they are no text; pydantic takes them
        adapter = _adapter(model)
        try:
            return adapter.validate_json(self.content)
        except ValidationError as exc:
            fault = exc
        if _is_no_json(fault):
            self.json()  # raises, unless it is JSON in another charset, or too deep for pydantic alone
            try:
                return adapter.validate_json(self._decoded())
            except ValidationError as exc:
                fault = exc
        error = DecodeError(
            f"{self.request} answered {self.status_code} with a body that does not fit {_name(model)}: "
            f"{_faults(fault)}",
            response=self,
        )
        self.on_error(error)
        raise error from None  # pydantic's own error shows the values

    def _decoded(self) -> str:
        for mark, charset in _BYTE_ORDER_MARKS:
            if self.content.startswith(mark):
                return self.content.decode(charset)
        return self.content.decode(self.encoding)

    def _excerpt(self) -> str:
        if not self.content:
            return "empty body"
        return f"body starts {clip(self)!r}"

    def raise_for_status(self) -> Self:
        """This response where its status is 2xx. Raises StatusError otherwise, as httpx does for any other."""
        if self.is_success:
            return self
        error = status_error(self)
        self.on_error(error)
        raise error

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """The cookies this answer sets."""
        found: dict[str, str] = {}
        for line in all_values(self.headers, "Set-Cookie"):
            jar: SimpleCookie = SimpleCookie()
            try:
                jar.load(line)
            except CookieError:
                continue
            found.update({name: morsel.value for name, morsel in jar.items()})
        return found

    @cached_property
    def links(self) -> dict[str, dict[str, str]]:
        """The ``Link`` header by its ``rel`` (or its URL where that is absent): ``reply.links["next"]["url"]``."""
        found: dict[str, dict[str, str]] = {}
        for line in all_values(self.headers, "Link"):
            for match in _LINK.finditer(line):
                link = {"url": match["url"]}
                for name, quoted, bare in _LINK_PARAMETER.findall(match["parameters"]):
                    link.setdefault(name.lower(), quoted or bare)
                found[link.get("rel") or link["url"]] = link
        return found


_LINK: Final = re.compile(r"<\s*(?P<url>[^>]*?)\s*>(?P<parameters>(?:\s*;\s*[\w*-]+\s*=\s*(?:\"[^\"]*\"|[^\s\",;]*))*)")
_LINK_PARAMETER: Final = re.compile(r";\s*([\w*-]+)\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]*))")
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@lru_cache(maxsize=256)
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _is_no_json(fault: ValidationError) -> bool:
    return fault.error_count() == 1 and fault.errors(include_input=False)[0]["type"] == "json_invalid"


def _name(model: object) -> str:
    return model.__name__ if isinstance(model, type) and not get_args(model) else str(model)


def _faults(fault: ValidationError) -> str:
    """Places and kinds of the first faults. Never the input, which may hold anything."""
    if _is_no_json(fault):
        return f"it is nested over {_PARSED_LEVELS} levels, the most that parse() reads; read it with json()"
    shown = [
        f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}"
        for one in fault.errors(include_input=False, include_url=False, include_context=False)[:_FAULTS_SHOWN]
    ]
    more = fault.error_count() - len(shown)
    return "; ".join(shown) + (f" (and {more} more)" if more else "")


def _ignore(_: RequestError) -> None:
    return


def all_values(headers: Mapping[str, str], name: str) -> list[str]:
    """Every value of a header that may come several times."""
    if isinstance(headers, CIMultiDictProxy):
        return headers.getall(name, [])
    return [headers[name]] if name in headers else []


def clip(response: Response, most: int = _CLIP) -> str:
    """The first bytes of a body on one line; where it is cut, it ends in `CUT`, so that half a secret is masked too."""
    text = response.content[:most].decode(response.encoding, errors="replace")
    return " ".join(text.split()) + (CUT if len(response.content) > most else "")


def status_error(response: Response, *, after: str = "") -> StatusError:
    """The error for a status, with the start of a text body, which often says why."""
    request = response.request
    kind = response.headers.get("Content-Type", "").lower()
    reason = ""
    location = response.headers.get("Location")
    if response.is_redirect and location and not request.options.follow_redirects:
        reason = f" to {location[:_CLIP]!r}; follow_redirects=True goes there"
    elif response.content and ("json" in kind or "text/plain" in kind):
        reason = f": {clip(response)}"
    status = f"{response.status_code} {response.reason_phrase}".strip()
    return StatusError(f"{request} answered {status}{after}{reason}", response=response)
