"""Keeps cookies for the length of a run, each for the very origin that set it (RFC 6265, but narrower)."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from secoda_async.network.message import Layer, Request, Response, Transport, all_values
from secoda_async.network.origin import Origin
from secoda_async.redact import Redactor, looks_secret

_MOST: Final = 200  # of one origin
_MOST_ORIGINS: Final = 1_000
_LONGEST: Final = 4096  # bytes of name and value


class _Cookie(NamedTuple):
    value: str
    expires: float | None


class Jar:
    """The cookies of one origin, by name and path."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._cookies: dict[tuple[str, str], _Cookie] = {}

    def take(self, url: URL, line: str) -> str | None:
        """Keep what a ``Set-Cookie`` says. Its value; None where it is not for this origin, or is malformed."""
        pair, *attributes = line.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or len(name) + len(value) > _LONGEST or not _is_plain(name + value):
            return None
        path, expires, lasts = "", None, None
        for attribute in attributes:
            key, _, text = (part.strip() for part in attribute.partition("="))
            match key.lower():
                case "domain" if text and text.removeprefix(".").lower() != (url.raw_host or "").lower():
                    return None
                case "path":
                    path = text
                case "secure" if url.scheme != "https":
                    return None
                case "max-age" if text.removeprefix("-").isdecimal() and text.isascii():
                    lasts = float(text)
                case "expires":
                    expires = _moment(text)
        if lasts is not None:  # it wins over `expires`
            expires = self._now() + lasts
        self._keep(name, path if path.startswith("/") else _folder(url), _Cookie(value, expires))
        return value

    def header(self, url: URL, own: str | None = None) -> str | None:
        """The ``Cookie`` header for a URL; a cookie that the caller names in ``own`` is the caller's."""
        now, path = self._now(), url.raw_path or "/"
        for key in [key for key, kept in self._cookies.items() if kept.expires is not None and kept.expires <= now]:
            del self._cookies[key]
        owned = {part.partition("=")[0].strip() for part in (own or "").split(";")}
        # The longest path first, as servers that have a name twice expect.
        fitting = sorted((key for key in self._cookies if _covers(key[1], path)), key=lambda key: -len(key[1]))
        pairs = [f"{name}={self._cookies[name, at].value}" for name, at in fitting if name not in owned]
        return "; ".join([*([own] if own else []), *pairs]) or None

    def _keep(self, name: str, path: str, cookie: _Cookie) -> None:
        self._cookies.pop((name, path), None)
        if cookie.expires is not None and cookie.expires <= self._now():
            return
        if len(self._cookies) >= _MOST:
            del self._cookies[next(iter(self._cookies))]
        self._cookies[name, path] = cookie


class Cookies(Layer):
    """Sends back the cookies that an origin has set, in memory, to that origin alone: scheme, host and port."""

    def __init__(self, inner: Transport, redact: Redactor) -> None:
        super().__init__(inner)
        self._redact = redact
        self._jars: dict[Origin, Jar] = {}

    @override
    async def send(self, request: Request) -> Response:
        origin = Origin.of(request.url)
        jar = self._jars.get(origin)
        if jar is not None and (cookie := jar.header(request.url, request.headers.get("Cookie"))) is not None:
            headers = CIMultiDict(request.headers)
            headers["Cookie"] = cookie
            response = await self._inner.send(request._replace(headers=headers))
        else:
            response = await self._inner.send(request)
        for line in all_values(response.headers, "Set-Cookie"):
            value = self._jar(origin).take(request.url, line)
            if value and looks_secret(line.partition("=")[0]):
                self._redact.add([value])
        return response

    def _jar(self, origin: Origin) -> Jar:
        jar = self._jars.get(origin)
        if jar is None:
            if len(self._jars) >= _MOST_ORIGINS:
                del self._jars[next(iter(self._jars))]
            jar = self._jars[origin] = Jar()
        return jar


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # an unreadable date ends with the run, as none does


def _is_plain(text: str) -> bool:
    return all(character >= " " and character != "\x7f" for character in text)


def _folder(url: URL) -> str:
    """The path that a cookie is for where it says none: that of the URL up to its last slash."""
    return (url.raw_path or "/").rpartition("/")[0] or "/"


def _covers(cookie_path: str, path: str) -> bool:
    return path == cookie_path or path.startswith(cookie_path if cookie_path.endswith("/") else f"{cookie_path}/")
