"""Follows redirects where the caller asks for it, hop by hop, so that every hop passes all the layers below."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from multidict import CIMultiDict
from typing_extensions import override

from secoda_async.errors import RedirectError
from secoda_async.network.message import Layer, Request, Response
from secoda_async.network.origin import aimed_at, target_of

_MOST_HOPS: Final = 10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OF_THE_BODY: Final = (
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Transfer-Encoding",
)


class Redirect(Layer):
    """Follows ``Location`` for requests that ask for it (RFC 9110, section 15.4).

    Another origin (scheme, host, port) gets neither credentials nor any header that could hold one, and never a body.
    Raises RedirectError where a redirect must not be followed.
    """

    @override
    def send(self, request: Request) -> Coroutine[Any, Any, Response]:
        # No coroutine of its own where there is nothing to do.
        return self._followed(request) if request.options.follow_redirects else self._inner.send(request)

    async def _followed(self, request: Request) -> Response:
        response = await self._inner.send(request)
        hops = 0
        while response.status_code in _REDIRECTS and "Location" in response.headers:
            hops += 1
            if hops > _MOST_HOPS:
                raise RedirectError(f"{request} was redirected more than {_MOST_HOPS} times", request=request)
            request = _next_request(request, response)
            await response.aclose()
            response = await self._inner.send(request)
        return response


def _next_request(request: Request, response: Response) -> Request:
    method, body, headers = request.method, request.body, CIMultiDict(request.headers)
    status = response.status_code
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        for name in _OF_THE_BODY:
            headers.popall(name, None)
    try:
        target = target_of(request.url, response.headers["Location"])
        return aimed_at(request._replace(method=method, body=body, headers=headers), target)
    except ValueError as exc:
        raise RedirectError(f"{request} was redirected to {exc}", request=request) from None
