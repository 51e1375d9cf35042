"""Single faults of a source, each at one request, as layers around what answers it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from secoda_async.errors import BrokenExchangeError, ConnectError, RequestError, RequestTimeoutError
from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.network.stream import StreamedResponse
from secoda_async.testing.exchanges import Credentials, Key, credentials_of, headers_of, whole, with_content

Send = Callable[[Request], Awaitable[Response]]
Act = Callable[[Request, Send], Awaitable[Response]]
"""What happens to a request in place of being sent."""

_TIMEOUT: Final = 120.0  # seconds, as an attempt may take by default


async def _too_slow(request: Request, _: Send) -> Response:
    await asyncio.sleep(_TIMEOUT)
    raise RequestTimeoutError(f"{request}: a simulated time-out, after {_TIMEOUT:g} s", request=request)


async def _breaks(request: Request, send: Send) -> Response:
    response = await whole(await send(request))
    error = BrokenExchangeError(f"{request}: a simulated fault: the body broke off", request=request)
    if request.stream and response.is_success:  # then it is its reader who finds out
        return StreamedResponse(
            request,
            response.status_code,
            headers=headers_of(response),
            pieces=_half(response.content, error),
            close=_nothing,
        )
    raise error


async def _half(content: bytes, error: RequestError) -> AsyncIterator[bytes]:
    yield content[: len(content) // 2]
    raise error


async def _nothing() -> None:
    return


async def _unreachable(request: Request, _: Send) -> Response:
    raise ConnectError(f"{request}: a simulated fault: no connection", request=request)


async def _cut(request: Request, send: Send) -> Response:
    """A body that is cut although its length fits, so that only who reads it can tell."""
    response = await whole(await send(request))
    content = response.content
    if not content.lstrip().startswith((b"{", b"[")):
        return response  # in any other body nobody can tell
    end = len(content) // 2
    while end > 1 and content[end - 1] in b"}] \r\n":  # or the rest may be whole lines of JSON
        end -= 1
    return with_content(response, content[:end])


def answer(status: int, **headers: str) -> Act:
    """Answer with a status; ``Retry_After="7"`` is a header."""
    given = CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))

    async def act(request: Request, _: Send) -> Response:
        await asyncio.sleep(0)
        return Response(request, status, headers=given)

    return act


# What goes by the next attempt, and what stays: a run survives the former, or fails.
ONCE: Final[Mapping[str, Act]] = {
    "429": answer(429),
    "429 with Retry-After": answer(429, Retry_After="7"),
    "503": answer(503),
    "a slow answer": _too_slow,
    "a body that breaks off": _breaks,
    "a body that is cut": _cut,
}
FOR_GOOD: Final[Mapping[str, Act]] = {
    "500 for good": answer(500),
    "no connection for good": _unreachable,
}


class At(Layer):
    """Lets something else happen to one request: the first time, or each time."""

    def __init__(self, inner: Transport, key: Key, act: Act, *, for_good: bool) -> None:
        super().__init__(inner)
        self.met = 0
        self._key = key
        self._act = act
        self._for_good = for_good

    @override
    async def send(self, request: Request) -> Response:
        if Key.of(request) != self._key or (self.met and not self._for_good):
            return await self._inner.send(request)
        self.met += 1
        return await self._act(request, self._inner.send)


class Swapped(Layer):
    """Gives other answers to some requests."""

    def __init__(self, inner: Transport, answers: Mapping[Key, Response]) -> None:
        super().__init__(inner)
        self.met = 0
        self._answers = answers

    @override
    async def send(self, request: Request) -> Response:
        other = self._answers.get(Key.of(request))
        if other is None:
            return await self._inner.send(request)
        self.met += 1
        await asyncio.sleep(0)
        return Response(request, other.status_code, headers=headers_of(other), content=other.content)


class Expired(Layer):
    """From one request on, the credentials that it has are refused; others are taken."""

    def __init__(self, inner: Transport, key: Key) -> None:
        super().__init__(inner)
        self.met = 0
        self._key = key
        self._refused: Credentials | None = None

    @override
    async def send(self, request: Request) -> Response:
        if self._refused is None and Key.of(request) == self._key:
            self._refused = credentials_of(request)
        if self._refused is None or credentials_of(request) != self._refused:
            return await self._inner.send(request)
        self.met += 1
        await asyncio.sleep(0)
        return Response(request, 401)


class Sparing(Layer):
    """Leaves some requests undisturbed by what ``disturbed`` does to the others."""

    def __init__(self, inner: Transport, disturbed: Transport, spared: Callable[[Request], bool]) -> None:
        super().__init__(inner)
        self._disturbed = disturbed
        self._spared = spared

    @override
    async def send(self, request: Request) -> Response:
        return await (self._inner if self._spared(request) else self._disturbed).send(request)


class Killer(Layer):
    """Kills the process in the moment of its n-th request."""

    def __init__(self, inner: Transport, at: int) -> None:
        super().__init__(inner)
        self._left = at

    @override
    async def send(self, request: Request) -> Response:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        return await self._inner.send(request)
