"""Refuses what would go to a host that is not allowed, before it is sent."""

from __future__ import annotations

from collections.abc import Iterable

from typing_extensions import override
from yarl import URL

from secoda_async.errors import OriginError
from secoda_async.network.hosts import names_of, normal_host
from secoda_async.network.message import Layer, Request, Response, Transport

_BELOW = "*."


class Origins(Layer):
    """Lets a request pass whose host is allowed; it stands below the redirects, so each hop is looked at.

    ``allowed`` holds ``host``, ``host:port`` or ``*.domain`` (every host below the domain, not the domain itself); None
    allows all. Raises OriginError for any other host, and ConfigurationError for what names no host.
    """

    def __init__(self, inner: Transport, allowed: Iterable[str] | None) -> None:
        super().__init__(inner)
        self._all = allowed is None
        self._names: set[str] = set()
        self._domains: list[str] = []
        for name in allowed or ():
            if isinstance(name, str) and name.startswith(_BELOW):
                self._domains.append(f".{_normal(name.removeprefix(_BELOW))}")
            else:
                self._names.add(_normal(name))

    @override
    async def send(self, request: Request) -> Response:
        if not self._all and not self._allows(request.url):
            allowed = ", ".join([*sorted(self._names), *(f"*{domain}" for domain in self._domains)]) or "none"
            raise OriginError(
                f"{request} was not sent: its host is not among allowed_hosts ({allowed})", request=request
            )
        return await self._inner.send(request)

    def _allows(self, url: URL) -> bool:
        exact, host = names_of(url)
        return (
            host in self._names
            or exact in self._names
            or any(name.endswith(domain) for domain in self._domains for name in (exact, host))
        )


def _normal(name: object) -> str:
    return normal_host(name, setting="allowed_hosts", also="*.domain")
