"""How a host is named in a setting, and whether a URL's host is meant by that name."""

from __future__ import annotations

from typing import Final

from yarl import URL

from secoda_async.errors import ConfigurationError

ANY: Final = "*"


def normal_host(name: object, *, setting: str, also: str) -> str:
    """``host`` or ``host:port`` as URLs spell it: lower-case, IDNA. Raises ConfigurationError for anything else.

    The error names the ``setting``, and what it ``also`` takes.
    """
    message = f"{setting}: {name!r} is no host; use a host, host:port or {also}, without http://"
    if not isinstance(name, str) or not name or any(c in "/?#@*" or c.isspace() for c in name):
        raise ConfigurationError(message)
    try:
        url = URL(f"//{name}")
        host, port = url.raw_host, url.explicit_port
    except ValueError:
        raise ConfigurationError(message) from None
    if not host:
        raise ConfigurationError(message)
    return _bracketed(host) if port is None else f"{_bracketed(host)}:{port}"


def names_of(url: URL) -> tuple[str, str]:
    """The names that mean this URL's host: with its port, where the scheme's own is implied, and without."""
    host = _bracketed((url.raw_host or "").lower())  # a URL that was sent as it stands keeps its case
    return f"{host}:{url.port}", host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
