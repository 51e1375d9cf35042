"""How requests are named in a setting: by host, and where it matters by method and path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

from yarl import URL

from secoda_async.errors import ConfigurationError
from secoda_async.network.hosts import ANY, names_of, normal_host

_METHOD: Final = re.compile(r"(?P<method>[A-Z]+)\s+(?P<rest>\S.*)", re.DOTALL)
_SEGMENT: Final = re.compile(r"\*|\{\w*\}")
_REST: Final = "**"
_DOTS: Final = frozenset({".", ".."})


class Endpoint(NamedTuple):
    """Some requests of a host: ``[METHOD ]HOST[:PORT][/PATH]``.

    Usage: ``Endpoint.parse("POST api.x.com/tables/{id}/search", setting="rate_limits")``. In a path ``*`` or ``{name}``
    is any one segment, and a ``**`` at its end any number of them; the query does not count.
    """

    host: str
    """As `normal_host` spells it, or `ANY`."""
    method: str | None = None
    path: tuple[str | None, ...] | None = None
    """Segments, None for any one; None in place of all: any path."""
    open_end: bool = False
    """Whether more segments may follow."""

    @classmethod
    def parse(cls, text: object, *, setting: str) -> Endpoint:
        """Read one. Raises ConfigurationError, which names the ``setting``, for what is none."""
        rest = text
        method: str | None = None
        if isinstance(text, str) and (match := _METHOD.fullmatch(text)):
            method, rest = match["method"], match["rest"]
        path = None
        open_end = False
        if isinstance(rest, str) and (slash := rest.find("/")) > 0 and rest[slash + 1 : slash + 2] != "/":
            rest, path_text = rest[:slash], rest[slash + 1 :]
            parts = path_text.split("/")
            if parts[-1] == _REST:
                open_end = True
                del parts[-1]
            if any(_REST in part or c in part for part in parts for c in "?#") or any(map(str.isspace, path_text)):
                raise ConfigurationError(
                    f"{setting}: {text!r} has a path that no request has; write segments, *, {{name}}, or ** at the end"
                )
            path = tuple(None if _SEGMENT.fullmatch(part) else unquote(part) for part in parts)
        host = (
            ANY if rest == ANY else normal_host(rest, setting=setting, also='"*", with METHOD before and /path after')
        )
        return cls(host, method, path, open_end)

    @property
    def is_whole_host(self) -> bool:
        """Whether every request of the host is meant."""
        return self.method is None and self.path is None

    def matches(self, method: str, url: URL) -> bool:
        """Whether a request is meant: its host, its method and its path."""
        return (self.host == ANY or self.host in names_of(url)) and self.matches_path(method, url)

    def matches_path(self, method: str, url: URL) -> bool:
        """Whether a request of this host is meant."""
        if self.method is not None and self.method != method:
            return False
        return self.path is None or _fits(self.path, url.raw_path.removeprefix("/"), open_end=self.open_end)


def _fits(pattern: Sequence[str | None], raw_path: str, *, open_end: bool) -> bool:
    segments = raw_path.split("/")
    if len(segments) != len(pattern) and not (open_end and len(segments) > len(pattern)):
        return False
    if "%" in raw_path:
        segments = [unquote(segment) for segment in segments]
    for wanted, segment in zip(pattern, segments, strict=False):
        if wanted is not None and wanted != segment:
            return False
    return _DOTS.isdisjoint(segments)  # what a server makes of them is its own affair
