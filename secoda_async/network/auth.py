"""The kinds of credentials that a request may have."""

from __future__ import annotations

import abc
import base64
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from multidict import CIMultiDict
from typing_extensions import override

from secoda_async.errors import ConfigurationError
from secoda_async.network.encode import with_params
from secoda_async.network.message import Auth, Request, Response
from secoda_async.redact import looks_secret

Send = Callable[[Request], Awaitable[Response]]
_HEADER: Final = "X-API-Key"
_NO_PASSWORD: Final = 2  # characters: services that take an API key for a user name say to fill it in with an x


def with_header(request: Request, name: str, value: str) -> Request:
    """The request with a header set."""
    headers = CIMultiDict(request.headers)
    headers[name] = value
    return request.with_headers(headers)


def basic(username: str, password: str) -> str:
    """The value of an ``Authorization`` header."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode(errors='surrogateescape')).decode()}"


@dataclass(frozen=True, slots=True)
class BasicAuth(Auth):
    """User name and password. Usage: ``await self.http_get(url, auth=BasicAuth("user", password))``.

    Where the password is empty, or a letter or two, the user name is taken for the secret: ``BasicAuth(api_key, "x")``.
    """

    kind: ClassVar[str] = "basic"
    username: str = field(repr=False)
    password: str = field(default="", repr=False)

    @override
    def sign(self, request: Request) -> Request:
        return with_header(request, "Authorization", basic(self.username, self.password))

    @property
    @override
    def secrets(self) -> Iterable[str]:
        return (self.password,) if len(self.password) > _NO_PASSWORD else (self.username, self.password)


@dataclass(frozen=True, slots=True)
class BearerAuth(Auth):
    """A token. Usage: ``await self.http_get(url, auth=BearerAuth(token))``."""

    kind: ClassVar[str] = "bearer"
    token: str = field(repr=False)

    @override
    def sign(self, request: Request) -> Request:
        return with_header(request, "Authorization", f"Bearer {self.token}")

    @property
    @override
    def secrets(self) -> Iterable[str]:
        return (self.token,)


@dataclass(frozen=True, slots=True)
class APIKeyAuth(Auth):
    """A key in a header, or in a parameter of the query.

    Usage: ``APIKeyAuth(key)``, ``APIKeyAuth(key, header="token")`` or ``APIKeyAuth(key, query="api_key")``.
    Raises ConfigurationError where both are named.
    """

    kind: ClassVar[str] = "api key"
    key: str = field(repr=False)
    header: str | None = field(default=None, kw_only=True)
    """The header that takes the key; None: ``X-API-Key``, where no query parameter is named."""
    query: str | None = field(default=None, kw_only=True)
    """The parameter that takes the key."""

    def __post_init__(self) -> None:
        if self.header and self.query:
            raise ConfigurationError("APIKeyAuth: give header= or query=, not both")

    @override
    def sign(self, request: Request) -> Request:
        if self.query:
            return request._replace(url=with_params(request.url, {self.query: self.key}))
        return with_header(request, self.header or _HEADER, self.key)

    @property
    @override
    def secrets(self) -> Iterable[str]:
        return (self.key,)


class RenewableAuth(Auth):
    """Credentials that end, and are renewed by a request: ahead of their end, and once where a 401 refuses them.

    Subclass it for a sign-in of your own: write ``sign``, ``is_due`` and ``renew``. Make one and keep it, since each
    has a token of its own. However many requests need it at once, it is renewed once.
    """

    is_renewable: ClassVar[bool] = True
    renewals: int = 0
    """How often it was renewed."""

    @property
    @abc.abstractmethod
    def is_due(self) -> bool:
        """Whether it must be renewed before it signs anything more."""

    @abc.abstractmethod
    async def renew(self, send: Send) -> None:
        """Get new credentials. ``send`` retries and obeys limits, and follows nothing. Raises AuthError."""


def kind_of_auth(request: Request) -> str:
    """Which kind of credentials a request has, as far as its names tell: ``none`` where no name looks like any."""
    auth = request.options.auth
    if isinstance(auth, Auth):
        return auth.kind
    if (value := request.headers.get("Authorization")) is not None:
        scheme = value.partition(" ")[0].lower()
        return scheme if scheme in (BasicAuth.kind, BearerAuth.kind) else Auth.kind
    named = any(map(looks_secret, request.headers)) or any(map(looks_secret, request.url.query))
    return APIKeyAuth.kind if named else "none"


def as_auth(value: object) -> Auth | None:
    """What ``auth=`` may be: an Auth, ``(user, password)``, or an ``httpx.BasicAuth``.

    Raises ConfigurationError for anything else.
    """
    if value is None or isinstance(value, Auth):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return BasicAuth(str(value[0]), str(value[1]))
    # httpx is no dependency; its BasicAuth keeps the finished header here, which secodadk reads too.
    header = getattr(value, "_auth_header", None)
    if isinstance(header, str) and header.startswith("Basic "):
        pair = base64.b64decode(header.removeprefix("Basic ")).decode(errors="surrogateescape")
        username, _, password = pair.partition(":")
        return BasicAuth(username, password)
    raise ConfigurationError(f"auth must be an Auth such as BearerAuth, a pair or None, not {type(value).__name__}")
