"""What may go along to where a server points: a redirect and a link to a next page obey the same rule."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from multidict import CIMultiDict
from yarl import URL

from secoda_async.network.message import Request

# A string of these alone is a URL as it stands, and is sent byte for byte.
_VALID: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_HARMLESS: Final = frozenset({"accept", "accept-language", "user-agent"})


class Origin(NamedTuple):
    """Who is meant by a URL, as far as credentials go."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: URL) -> Origin:
        return cls(url.scheme, (url.raw_host or "").lower(), url.port)  # a URL that stands as it was keeps its case

    def has(self, url: URL) -> bool:
        """Whether a URL is of this origin, which `of` would say at twice the price."""
        return self.port == url.port and self.host == (url.raw_host or "").lower() and self.scheme == url.scheme


def is_valid(url: str) -> bool:
    """Whether a URL can be sent byte for byte; another one is quoted first."""
    return _VALID.fullmatch(url) is not None


def target_of(base: URL, reference: str) -> URL:
    """Where a reference leads that came with an answer from ``base``. Raises ValueError, with the reason."""
    try:
        target = base.join(URL(reference, encoded=is_valid(reference))).with_fragment(None)
        host = target.port and target.raw_host  # read here, since only this parses host and port
    except ValueError:
        raise ValueError(f"{reference!r}, which is no URL") from None
    if target.scheme not in ("http", "https") or not host:
        raise ValueError(f"{target}; only http and https are followed")
    return target


def aimed_at(request: Request, target: URL) -> Request:
    """The request, sent to where a server points.

    Another origin (scheme, host, port) gets neither credentials nor any header that could hold one, and never a body:
    raises ValueError, with the reason, where it would.
    """
    if Origin.of(target) == Origin.of(request.url):
        return request._replace(url=target)
    if request.body is not None:
        raise ValueError(f"{target.origin()}, another origin, with a body; send it there yourself if that is meant")
    headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() in _HARMLESS)
    return request._replace(url=target, headers=headers, options=request.options._replace(auth=None))
