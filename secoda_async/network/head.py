"""The head of a request as bytes, where it is a plain one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from secoda_async.network.message import Request

# Of a header or a request line (RFC 9110, section 5.5): a line end would begin another one.
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_MOST_BODY: Final = 64 * 2**10  # bytes that a socket takes in at once
_NO_LENGTH: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # of these a missing body needs no length of 0
# These say how the exchange itself goes, or where.
_FRAMING: Final = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Heads:
    """Writes heads. ``defaults`` are the headers of a request that does not say otherwise.

    Usage: ``Heads({"User-Agent": "x"}).of(request, "api.x.com")``.
    """

    def __init__(self, defaults: Mapping[str, str]) -> None:
        self._defaults = [(name, f"{name}: {value}\r\n") for name, value in defaults.items()]
        self._all_defaults = "".join(line for _, line in self._defaults)

    def of(self, request: Request, host: str) -> bytes | None:
        """The head, and the body with it; None for a request that is no plain one, such as one that is streamed.

        ``host`` is that of the URL, with its port unless that is the scheme's. Raises ValueError or TypeError for what
        would be another request than it says.
        """
        method, url, headers, body, *_ = request
        asked = f"{method} {url.raw_path_qs}"
        if _FORBIDDEN(asked):
            raise ValueError("Forbidden control character in the method or the URL")
        text = f"{asked} HTTP/1.1\r\nHost: {host}\r\n"
        if not headers:
            text += self._all_defaults
        else:
            for name, value in headers.items():
                if name.lower() in _FRAMING:
                    return None
                text += f"{_checked(name, name)}: {_checked(name, value)}\r\n"
            text += "".join(line for name, line in self._defaults if name not in headers)
        if body is None:
            return f"{text}\r\n".encode() if method in _NO_LENGTH else f"{text}Content-Length: 0\r\n\r\n".encode()
        if not isinstance(body, bytes) or len(body) > _MOST_BODY:
            return None
        kind = "" if "Content-Type" in headers else "Content-Type: application/octet-stream\r\n"
        return f"{text}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _checked(name: str, text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"the header {name!r} is {type(text).__name__}, and no text")
    if _FORBIDDEN(text):
        raise ValueError(f"Forbidden control character in the header {name!r}")
    return text
