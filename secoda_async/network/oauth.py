"""OAuth 2.0: access tokens by client credentials (RFC 6749, section 4.4) and by refresh token (section 6)."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote_plus, urlencode

import orjson
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from secoda_async.errors import AuthError, ConfigurationError
from secoda_async.network.auth import RenewableAuth, Send, basic, with_header
from secoda_async.network.encode import FORM_TYPE, BaseUrl
from secoda_async.network.message import Options, Request, Response
from secoda_async.redact import CUT, Redactor

AuthStyle = Literal["basic", "body"]

_MARGIN: Final = 60.0  # seconds before its end from which a token is renewed, at most a tenth of its life
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_CLIP: Final = 300


class _OAuth2(RenewableAuth):
    """An access token, and how it is asked for."""

    kind: ClassVar[str] = "oauth2"

    def __init__(
        self,
        token_url: str,
        *,
        client_id: str | None,
        client_secret: str | None,
        auth_style: AuthStyle,
        form: Mapping[str, str | None],
        clock: Callable[[], float],
    ) -> None:
        self._url = _token_url(token_url)
        if auth_style not in ("basic", "body"):
            raise ConfigurationError(f'auth_style must be "basic" or "body", not {auth_style!r}')
        self._client_id = client_id
        self._client_secret = client_secret
        self._auth_style = auth_style
        self._form = {name: value for name, value in form.items() if value}
        self._clock = clock
        self._token = ""
        self._ends = -math.inf

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({Redactor()(str(self._url))!r})"

    @override
    def sign(self, request: Request) -> Request:
        return with_header(request, "Authorization", f"Bearer {self._token}")

    @property
    @override
    def is_due(self) -> bool:
        return self._clock() >= self._ends

    @property
    @override
    def secrets(self) -> Iterable[str]:
        return [secret for secret in (self._client_secret, self._token) if secret]

    @override
    async def renew(self, send: Send) -> None:
        asked = self._clock()  # before it is sent, so that the way here shortens no life
        request = self._request()
        response = await send(request)
        self._take(_read(request, response), request, asked)

    def _request(self) -> Request:
        form = dict(self._form)
        headers = CIMultiDict({"Content-Type": FORM_TYPE, "Accept": "application/json"})
        # Tokens are as good the second time, so an exchange that broke off is repeated.
        request = Request("POST", self._url, headers, options=Options(idempotent=True))
        if self._client_id and self._client_secret and self._auth_style == "basic":
            request = with_header(
                request, "Authorization", basic(quote_plus(self._client_id), quote_plus(self._client_secret))
            )
        else:
            form |= {"client_id": self._client_id or "", "client_secret": self._client_secret or ""}
        return request._replace(body=urlencode({name: value for name, value in form.items() if value}).encode())

    def _take(self, answer: Mapping[str, Any], request: Request, asked: float) -> None:
        kind = answer.get("token_type")
        if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
            raise AuthError(
                f"{request} gave a token of the type {kind!r:.40}, and only bearer is known", request=request
            )
        token = answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise AuthError(
                f"{request} gave no access_token that can be sent; the answer has {', '.join(answer) or 'no keys'}",
                request=request,
            )
        self._token = token
        life = _seconds(answer.get("expires_in"))
        self._ends = asked + life - min(_MARGIN, life / 10)


class OAuth2ClientCredentials(_OAuth2):
    """Tokens for a client of its own (machine to machine).

    Usage: ``OAuth2ClientCredentials("https://auth.x.com/token", client_id, secret, scope="read")``.

    ``auth_style`` is where id and secret go: ``"basic"`` in a header, as the standard wants it, ``"body"`` in the form.
    ``params`` are further fields of the form. The token URL is asked whatever ``allowed_hosts`` says. A token is
    renewed a minute (or a tenth of its life) before its end, and once where it is refused; one without a readable
    ``expires_in`` only then.
    Raises ConfigurationError where an argument cannot be used; a token that is not given is an AuthError.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | Iterable[str] | None = None,
        audience: str | None = None,
        auth_style: AuthStyle = "basic",
        params: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not client_id or not client_secret:
            raise ConfigurationError("OAuth2ClientCredentials needs a client_id and a client_secret")
        form = {"grant_type": "client_credentials", "scope": _scope(scope), "audience": audience, **(params or {})}
        super().__init__(
            token_url,
            client_id=client_id,
            client_secret=client_secret,
            auth_style=auth_style,
            form=form,
            clock=clock,
        )


class OAuth2RefreshToken(_OAuth2):
    """Tokens by a refresh token that a person once allowed.

    Usage: ``OAuth2RefreshToken("https://auth.x.com/token", refresh_token, client_id=…, client_secret=…)``.

    Where the server gives another refresh token with each access token, it is kept for the run; after it,
    ``refresh_token`` is the one to keep for the next. Otherwise as `OAuth2ClientCredentials`.
    """

    def __init__(
        self,
        token_url: str,
        refresh_token: str,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        scope: str | Iterable[str] | None = None,
        auth_style: AuthStyle = "basic",
        params: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not refresh_token:
            raise ConfigurationError("OAuth2RefreshToken needs a refresh_token")
        form = {"grant_type": "refresh_token", "scope": _scope(scope), **(params or {})}
        super().__init__(
            token_url,
            client_id=client_id,
            client_secret=client_secret,
            auth_style=auth_style,
            form=form,
            clock=clock,
        )
        self._refresh_token = refresh_token

    @property
    def refresh_token(self) -> str:
        """The last one that the server gave."""
        return self._refresh_token

    @property
    @override
    def secrets(self) -> Iterable[str]:
        return [*super().secrets, self._refresh_token]

    @override
    def _request(self) -> Request:
        self._form["refresh_token"] = self._refresh_token
        return super()._request()

    @override
    def _take(self, answer: Mapping[str, Any], request: Request, asked: float) -> None:
        following = answer.get("refresh_token")
        if isinstance(following, str) and following:
            self._refresh_token = following
        super()._take(answer, request, asked)


def _token_url(url: str) -> URL:
    try:
        return BaseUrl("").resolve(url)
    except (ValueError, TypeError) as exc:
        raise ConfigurationError(f"token_url cannot be asked: {exc}") from None


def _scope(scope: str | Iterable[str] | None) -> str | None:
    return scope if scope is None or isinstance(scope, str) else " ".join(scope)


def _seconds(value: object) -> float:
    """How long a token lives; infinity, until it is refused, where the server does not say so readably."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return math.inf
    return float(value)


def _read(request: Request, response: Response) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        answer = None
    if response.is_success and isinstance(answer, dict) and "error" not in answer:
        return answer
    said = ""
    if isinstance(answer, dict):
        said = ": ".join(str(answer[name]) for name in ("error", "error_description") if answer.get(name))
        said = said if len(said) <= _CLIP else said[:_CLIP] + CUT
    step = (
        "check client id, client secret and auth_style"
        if response.status_code in (400, 401, 403)
        else "check token_url"
    )
    raise AuthError(
        f"{request} gave no token but {response.status_code} {response.reason_phrase}"
        f"{f' ({said})' if said else ''}; {step}",
        request=request,
    )
