"""Renews the credentials that end: ahead of time, and once where a request was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import anyio
from typing_extensions import override

from secoda_async.counters import Traffic
from secoda_async.errors import AuthError, RequestError
from secoda_async.network.auth import RenewableAuth, Send
from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.redact import Redactor
from secoda_async.settings import UNSET

Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
"""Starts a task that outlives the one that started it."""

_REFUSED: Final = 401
_MOST_SENDS: Final = 5  # credentials that end while each request waits for its turn would go on for ever


class _Renewal:
    """One renewal that is under way, for all who wait for it."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.is_done = False
        self.error: str | None = None
        self.scope = anyio.CancelScope()


class Authorize(Layer):
    """Sees to it that a request with a `RenewableAuth` has credentials that are accepted.

    It stands above the limits, so what is sent again waits for its turn again. A 401 renews the credentials that it was
    signed with, unless somebody did so meanwhile, and the request is sent once more; if that is refused too, its 401
    is the answer. One renewal serves all who need it. Where ``start`` is set it is a task of its own, which goes on
    where the request that asked first is cancelled: a refresh token may be good for one exchange only.
    Raises AuthError.
    """

    def __init__(self, inner: Transport, send: Send, *, traffic: Traffic, redact: Redactor) -> None:
        super().__init__(inner)
        self._send = send
        self._traffic = traffic
        self._redact = redact
        self._renewals: dict[int, _Renewal] = {}
        self.start: Start | None = None

    @override
    def send(self, request: Request) -> Coroutine[Any, Any, Response]:
        # No coroutine of its own where there is nothing to do, and the cheap questions first.
        auth = request.options.auth
        if auth is None or auth is UNSET or not auth.is_renewable:
            return self._inner.send(request)
        assert isinstance(auth, RenewableAuth)
        return self._authorized(request, auth)

    async def _authorized(self, request: Request, auth: RenewableAuth) -> Response:
        was_refused = False
        for _ in range(_MOST_SENDS - 1):
            if auth.is_due:
                await self._renew(auth, request)
            response = await self._inner.send(request)
            if response.status_code != _REFUSED:
                return response
            if response.signed_with is not None:  # else they ended while it waited for its turn
                if was_refused:
                    return response
                was_refused = True
                if response.signed_with == auth.renewals:
                    await self._renew(auth, request)
            await response.aclose()
            self._traffic.retries[str(_REFUSED)] += 1
        return await self._inner.send(request)

    @property
    def is_renewing(self) -> bool:
        """Whether a renewal is under way."""
        return bool(self._renewals)

    def stop(self) -> None:
        """Give up what renewals are under way: nobody waits for them any more."""
        for renewal in self._renewals.values():
            renewal.error = "the run is over"
            renewal.scope.cancel()

    async def _renew(self, auth: RenewableAuth, request: Request) -> None:
        while True:
            renewal = self._renewals.get(id(auth))
            if renewal is None:
                renewal = self._renewals[id(auth)] = _Renewal()
                if self.start is None:
                    await self._work(auth, renewal)
                else:
                    self.start(partial(self._work, auth, renewal))
            await renewal.over.wait()
            if renewal.error is not None:
                raise AuthError(f"{request} was not sent: {renewal.error}", request=request)
            if renewal.is_done:
                return
            # Whoever did it was cancelled; the next one does it.

    async def _work(self, auth: RenewableAuth, renewal: _Renewal) -> None:
        try:
            with renewal.scope:
                await auth.renew(self._exchange)
                self._redact.add(auth.secrets)
                auth.renewals += 1
                renewal.is_done = True
        except Exception as error:  # noqa: BLE001 # raised by all who wait
            name = "" if isinstance(error, RequestError) else f"{type(error).__name__}: "
            renewal.error = self._redact(f"its credentials could not be renewed: {name}{error}")
        finally:
            del self._renewals[id(auth)]
            renewal.over.set()

    async def _exchange(self, request: Request) -> Response:
        return await self._send(request._replace(options=request.options._replace(auth=None)))
