"""Credentials of a request, set by the layer right above the transport so that none grows stale in a queue."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from multidict import CIMultiDict
from typing_extensions import override

from secoda_async.errors import ConfigurationError
from secoda_async.network.message import Auth, Layer, Request, Response, Transport
from secoda_async.settings import Unset


@dataclass(frozen=True, slots=True)
class BasicAuth(Auth):
    """User name and password. Usage: ``await self.http_get(url, auth=BasicAuth("user", password))``."""

    username: str
    password: str = field(default="", repr=False)

    @override
    def sign(self, headers: CIMultiDict[str]) -> None:
        pair = f"{self.username}:{self.password}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True, slots=True)
class BearerAuth(Auth):
    """A token. Usage: ``await self.http_get(url, auth=BearerAuth(token))``."""

    token: str = field(repr=False)

    @override
    def sign(self, headers: CIMultiDict[str]) -> None:
        headers["Authorization"] = f"Bearer {self.token}"


@dataclass(frozen=True, slots=True)
class _Foreign(Auth):
    header: str = field(repr=False)

    @override
    def sign(self, headers: CIMultiDict[str]) -> None:
        headers["Authorization"] = self.header


def as_auth(value: object) -> Auth | None:
    """What ``auth=`` may be: an Auth, ``(user, password)``, or an ``httpx.BasicAuth``.

    Raises ConfigurationError for anything else.
    """
    if value is None or hasattr(value, "sign"):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return BasicAuth(str(value[0]), str(value[1]))
    # httpx is no dependency; its BasicAuth keeps the finished header here, which secodadk reads too.
    header = getattr(value, "_auth_header", None)
    if isinstance(header, str):
        return _Foreign(header)
    raise ConfigurationError(f"auth must be BasicAuth(username, password), a pair or None, not {type(value).__name__}")


class Sign(Layer):
    """Sets the request's own credentials, else the client's default ones."""

    def __init__(self, inner: Transport, default: Auth | None = None) -> None:
        super().__init__(inner)
        self._default = default

    @override
    async def send(self, request: Request) -> Response:
        auth = request.options.auth
        if isinstance(auth, Unset):
            auth = self._default
        if auth is not None:
            headers = CIMultiDict(request.headers)
            auth.sign(headers)
            request = request._replace(headers=headers)
        return await self._inner.send(request)
