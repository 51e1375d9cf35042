"""An answer whose body is read by the caller, piece by piece, in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from multidict import CIMultiDictProxy
from typing_extensions import override

from secoda_async.network.message import NO_HEADERS, Request, Response


class StreamedResponse(Response):
    """The head of an answer, and its decoded body as it comes. Whoever gets one closes it.

    ``pieces`` gives the body and raises RequestError where it breaks off; ``close`` gives the connection back.
    """

    def __init__(
        self,
        request: Request,
        status_code: int,
        *,
        headers: CIMultiDictProxy[str] = NO_HEADERS,
        pieces: AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]],
        elapsed: float = 0.0,
    ) -> None:
        super().__init__(request, status_code, headers=headers, elapsed=elapsed)
        self._pieces = pieces
        self._close = close
        self._when_closed: list[Callable[[], None]] = []
        self._closed = False

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call this at the end of the answer: the slot it takes, for example, is given back there."""
        self._when_closed.append(callback)

    @override
    async def aclose(self) -> None:
        """Give back connection and slot. Calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._close()
        finally:
            for callback in reversed(self._when_closed):
                callback()

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The decoded body as it comes, in pieces of no particular size. Raises RequestError where it breaks off."""
        return self._pieces
