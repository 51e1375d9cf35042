"""What was asked and answered in a run, for who wants to disturb the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from multidict import CIMultiDictProxy
from typing_extensions import override

from secoda_async.network.message import NO_HEADERS, Layer, Request, Response, Transport
from secoda_async.network.stream import StreamedResponse
from secoda_async.redact import looks_secret

Credentials = tuple[str, ...]


class Key(NamedTuple):
    """What makes two requests the same one, whenever they come."""

    method: str
    url: str
    body: bytes | None

    @classmethod
    def of(cls, request: Request) -> Key:
        """The key of a request; of a body that is read while it is sent nothing is known."""
        return cls(request.method, str(request.url), request.body if isinstance(request.body, bytes) else None)


class Exchange(NamedTuple):
    """A request, and the whole of its answer."""

    request: Request
    response: Response


class Recorder(Layer):
    """Counts requests, keeps them with their answers in memory where ``keeps``, and ends a run that asks for too many.

    ``on_excess`` is called for each over ``most``, and none of those is answered.
    """

    def __init__(self, inner: Transport, most: int, on_excess: Callable[[], None], *, keeps: bool) -> None:
        super().__init__(inner)
        self.exchanges: list[Exchange] = []
        self._keeps = keeps
        self.asked = 0
        self._most = most
        self._on_excess = on_excess

    @override
    async def send(self, request: Request) -> Response:
        self.asked += 1
        if self.asked > self._most:
            self._on_excess()
            await asyncio.Event().wait()  # until the run is cancelled
        response = await self._inner.send(request)
        if self._keeps:
            response = await whole(response)
            self.exchanges.append(Exchange(request, response))
        return response


async def whole(response: Response) -> Response:
    """The answer with all of its body, also where it came as a stream."""
    if not isinstance(response, StreamedResponse) or not response.is_success:
        return response
    content = b"".join([piece async for piece in response.aiter_bytes()])
    await response.aclose()
    return with_content(response, content)


def with_content(response: Response, content: bytes) -> Response:
    """The same answer with another body."""
    return Response(response.request, response.status_code, headers=headers_of(response), content=content)


def headers_of(response: Response) -> CIMultiDictProxy[str]:
    """The headers, as they are given to another answer."""
    return response.headers if isinstance(response.headers, CIMultiDictProxy) else NO_HEADERS


def credentials_of(request: Request) -> Credentials:
    """What a request proves with who asks, as far as the names of headers and parameters tell."""
    pairs = [*request.headers.items(), *request.url.query.items()]
    return tuple(value for name, value in pairs if looks_secret(name))
