"""Refuses what would go to a host or an endpoint that is not allowed, before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from typing_extensions import override
from yarl import URL

from secoda_async.errors import OriginError
from secoda_async.network.endpoint import Endpoint
from secoda_async.network.hosts import ANY, names_of, normal_host
from secoda_async.network.message import Layer, Request, Response, Transport

_BELOW = "*."


class Origins(Layer):
    """Lets a request pass whose host is allowed; it stands below the redirects, so each hop is looked at.

    ``allowed`` holds ``host``, ``host:port`` or ``*.domain`` (every host below the domain, not the domain itself); None
    allows all. ``endpoints`` is what the integration says it talks to, as `Endpoint`; another is refused where they are
    ``enforced``, else ``undeclared`` is told of it. Raises OriginError for what is refused, and ConfigurationError for
    what names no host.
    """

    def __init__(
        self,
        inner: Transport,
        allowed: Iterable[str] | None,
        endpoints: Iterable[str] | None = None,
        *,
        enforced: bool = False,
        undeclared: Callable[[Request], None] | None = None,
    ) -> None:
        super().__init__(inner)
        self._all = allowed is None
        self._names: set[str] = set()
        self._domains: list[str] = []
        for name in allowed or ():
            if isinstance(name, str) and name.startswith(_BELOW):
                self._domains.append(f".{_normal(name.removeprefix(_BELOW))}")
            else:
                self._names.add(_normal(name))
        self._endpoints = [Endpoint.parse(text, setting="endpoints") for text in endpoints or ()]
        self._any_endpoint = endpoints is None
        self._enforced = enforced
        self._undeclared = undeclared
        self._endpoints_of: dict[tuple[str | None, int | None], list[Endpoint]] = {}  # for hosts that are allowed

    @override
    def send(self, request: Request) -> Coroutine[Any, Any, Response]:
        if self._all and self._any_endpoint:
            return self._inner.send(request)
        url, method = request.url, request.method
        endpoints = self._endpoints_of.get((url.raw_host, url.port))
        if endpoints is None:
            endpoints = self._open(request)
        if not self._any_endpoint:
            for endpoint in endpoints:
                if endpoint.matches_path(method, url):
                    break
            else:
                self._note_undeclared(request)
        return self._inner.send(request)

    def _open(self, request: Request) -> list[Endpoint]:
        """What is declared for a host that is allowed."""
        url = request.url
        if not self._all and not self._allows(url):
            allowed = ", ".join([*sorted(self._names), *(f"*{domain}" for domain in self._domains)]) or "none"
            raise OriginError(
                f"{request} was not sent: its host is not among allowed_hosts ({allowed})", request=request
            )
        endpoints = [one for one in self._endpoints if one.host == ANY or one.host in names_of(url)]
        self._endpoints_of[url.raw_host, url.port] = endpoints
        return endpoints

    def _note_undeclared(self, request: Request) -> None:
        if self._enforced:
            raise OriginError(
                f"{request} was not sent: it is none of the declared endpoints; add "
                f'"{_as_endpoint(request)}" to endpoints if it is meant',
                request=request,
            )
        if self._undeclared is not None:
            self._undeclared(request)

    def _allows(self, url: URL) -> bool:
        exact, host = names_of(url)
        return (
            host in self._names
            or exact in self._names
            or any(name.endswith(domain) for domain in self._domains for name in (exact, host))
        )


def _as_endpoint(request: Request) -> str:
    return f"{request.method} {request.url.raw_authority.rpartition('@')[2]}{request.url.raw_path}"


def _normal(name: object) -> str:
    return normal_host(name, setting="allowed_hosts", also="*.domain, without a path")
