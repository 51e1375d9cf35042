"""Sets a request's credentials, right above the transport so that none grows stale in a queue."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from typing_extensions import override

from secoda_async.errors import RequestError
from secoda_async.network.auth import RenewableAuth
from secoda_async.network.message import Auth, Layer, Request, Response
from secoda_async.settings import UNSET


class Sign(Layer):
    """Signs what has credentials. Whatever comes back speaks of the request as it was before."""

    @override
    def send(self, request: Request) -> Coroutine[Any, Any, Response]:
        auth = request.options.auth
        if auth is None or auth is UNSET:
            return self._inner.send(request)  # no coroutine of its own where there is nothing to do
        return self._signed(request, auth)

    async def _signed(self, request: Request, auth: Auth) -> Response:
        mark = None
        if auth.is_renewable:
            assert isinstance(auth, RenewableAuth)
            mark = None if auth.is_due else auth.renewals
        try:
            response = await self._inner.send(auth.sign(request))
        except RequestError as error:
            error.request = request
            raise
        response.request = request
        response.signed_with = mark
        return response
