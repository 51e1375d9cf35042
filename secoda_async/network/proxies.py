"""Which proxy a request goes through, and how that knows who asks."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

from yarl import URL

from secoda_async.errors import ConfigurationError

_MOST_HOSTS: Final = 10_000  # of which it is remembered which proxy they have


class Proxy(NamedTuple):
    """Where a proxy is, without its credentials, and the headers that hold those."""

    url: URL
    headers: Mapping[str, str]
    secrets: tuple[str, ...] = ()


class Proxies:
    """Chooses a proxy by URL: the given one for all, or with ``trust_env`` those of the environment.

    Those are ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, in small or capital letters, and what
    the system itself is set to (macOS, Windows). ``~/.netrc`` is not read.
    Raises ConfigurationError for a proxy that is no ``http://`` URL.
    """

    def __init__(self, proxy: str | None, *, trust_env: bool) -> None:
        self._fixed = None if proxy is None else _proxy("proxy", proxy)
        self._by_scheme: dict[str, Proxy] = {}
        if trust_env and proxy is None:
            found = urllib.request.getproxies()
            for scheme in ("http", "https"):
                url = found.get(scheme) or found.get("all")
                if url:
                    self._by_scheme[scheme] = _proxy(f"{scheme}_proxy", url)
        self._bypassed: dict[str, bool] = {}

    @property
    def all(self) -> Iterable[Proxy]:
        """Every proxy that may be used."""
        return [self._fixed] if self._fixed is not None else list(self._by_scheme.values())

    def of(self, url: URL) -> Proxy | None:
        """The proxy for a URL; None where it is asked directly."""
        if self._fixed is not None:
            return self._fixed
        proxy = self._by_scheme.get(url.scheme)
        return None if proxy is None or self._bypasses(url) else proxy

    def _bypasses(self, url: URL) -> bool:
        host = f"{url.host}:{url.port}"
        bypassed = self._bypassed.get(host)
        if bypassed is None:
            if len(self._bypassed) >= _MOST_HOSTS:
                self._bypassed.clear()
            bypassed = self._bypassed[host] = bool(urllib.request.proxy_bypass(host))
        return bypassed


def _proxy(name: str, text: str) -> Proxy:
    try:
        url = URL(text if "://" in text else f"http://{text}")
        usable = url.scheme == "http" and bool(url.host) and bool(url.port)
    except ValueError:
        url, usable = URL(), False
    if not usable:  # its text may hold a password, also where it is no URL
        shown = f"a {url.scheme}:// URL" if url.scheme else "a text that is no URL"
        raise ConfigurationError(
            f"{name} must be http://host:port, with user:password@ before the host or not: {shown}"
        )
    user, password = unquote(url.raw_user or ""), unquote(url.raw_password or "")
    headers: dict[str, str] = {}
    if url.raw_user is not None or url.raw_password is not None:
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    secrets = tuple(secret for secret in (password, url.raw_password or "") if secret)
    return Proxy(url.with_user(None).with_path("/"), headers, secrets)
