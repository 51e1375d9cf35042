"""An answer whose body is read by the caller, piece by piece, in bounded memory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from multidict import CIMultiDictProxy
from typing_extensions import override

from secoda_async.errors import BodyTooLargeError, DecodeError, RequestError, RunError
from secoda_async.network.json_items import JSONItems
from secoda_async.network.message import NO_HEADERS, Request, Response, status_error
from secoda_async.network.split import NDJSON, Lines, Pieces, Splitter, TooLargeError

T = TypeVar("T")

_UNREAD: Final = "the body of a streamed answer is read with aiter_bytes, aiter_lines, aiter_ndjson or aiter_items"


class StreamedResponse(Response):
    """The head of an answer, and its decoded body as it comes: what ``http_stream`` gives.

    Usage::

        async with self.http_stream("GET", "/export") as reply:
            async for row in reply.aiter_ndjson():
                ...

    One of the ``aiter_*`` may be used, once. Each raises StatusError where the status is not 2xx; the body of such an
    answer has been read, so that ``text`` and ``json()`` have it. Where a body breaks off, is cut short or is not what
    it is read as, iterating raises RequestError, and the run is incomplete also where that is caught.

    For who makes one: ``pieces`` gives the body and raises RequestError where it breaks off; ``close`` gives the
    connection back.
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
        self.most = sys.maxsize
        """Cap of one line or item, in bytes; the client sets it to ``max_body``."""
        self.finished = False
        """Whether there is nothing left to lose: the body was read to its end, or its error has been told."""
        self._pieces = pieces
        self._close = close
        self._body: bytes | None = None
        self._when_closed: list[Callable[[], None]] = []
        self._iterated = False
        self._closed = False

    @classmethod
    def of(cls, response: Response) -> StreamedResponse:
        """The answer itself where it is streamed, else one that gives the body which has been read."""
        if isinstance(response, cls):
            return response
        made = cls(response.request, response.status_code, pieces=_Once(response.content), close=response.aclose)
        made.headers = response.headers
        made._seconds = response._seconds
        made._url = response._url
        made.recorded = response.recorded
        made._body = response.content
        made.finished = not response.is_success
        return made

    @property
    @override
    def content(self) -> bytes:
        """The decoded body of an answer that is not 2xx. Raises RunError for any other, whose body is not kept."""
        if self._body is None:
            raise RunError(_UNREAD)
        return self._body

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
        """The decoded body as it comes, in pieces of no particular size."""
        return self._iterate(Pieces(), "bytes")

    def aiter_lines(self) -> AsyncIterator[str]:
        r"""The lines of a text without their end, which is ``\n`` or ``\r\n``, in the charset of the answer.

        Bytes that the charset does not know become U+FFFD, as in ``text``. Raises BodyTooLargeError for a line of more
        than ``max_body`` bytes.
        """
        return self._iterate(Lines(self.encoding, self.most), "lines")

    def aiter_ndjson(self) -> AsyncIterator[Any]:
        """The JSON value of each line, as ``json()`` reads it; empty lines are skipped.

        Raises DecodeError, which names the number of the line, where one is no JSON, and BodyTooLargeError for a line
        of more than ``max_body`` bytes.
        """
        return self._iterate(NDJSON(self.encoding, self.most), "NDJSON")

    def aiter_items(self, path: str | Sequence[str] = "") -> AsyncIterator[Any]:
        """The items of a JSON array, or the (name, value) pairs of an object, while the document arrives.

        ``path`` says where in the document: names with dots between them (``"data.tables"``), or a list of names where
        one has a dot itself; by default the document is the array. Items are as ``json()`` reads them, but that
        integers are exact whatever their size; a name that an object has twice gives two pairs.

        Raises DecodeError where there is no array or object at the path, and where the document is no JSON, ends too
        early, or is nested over 1024 levels, after the items that stand before that. Raises BodyTooLargeError for an
        item of more than ``max_body`` bytes.
        """
        names = (path.split(".") if path else []) if isinstance(path, str) else [*path]
        return self._iterate(JSONItems(names, self.encoding, self.most), "JSON items")

    def _iterate(self, splitter: Splitter[T], what: str) -> AsyncIterator[T]:
        if not self.is_success:
            error = status_error(self)
            self.on_error(error)
            raise error
        if self._iterated:
            raise RunError(f"{self.request}: the body of a streamed answer can be read only once")
        self._iterated = True
        return _Parts(self, splitter, what)

    async def _next_piece(self) -> bytes | None:
        """None at the end."""
        if self._closed:
            raise RunError(
                f"{self.request}: the answer is closed; read it inside of `async with self.http_stream(...)`"
            )
        try:
            piece = await anext(self._pieces, None)
        except RequestError as error:
            self._fail(error)
            raise
        if piece is None:
            self.finished = True
        else:
            await asyncio.sleep(0)  # a body that comes faster than it is worked on would keep all others waiting
        return piece

    def _fail(self, error: RequestError) -> None:
        self.finished = True
        self.on_error(error)


class _Parts(AsyncIterator[T], Generic[T]):
    """What a splitter makes of a body."""

    # An object and no async generator: one that is left early would be closed by a task of the loop's own.

    def __init__(self, reply: StreamedResponse, splitter: Splitter[T], what: str) -> None:
        self._reply = reply
        self._splitter = splitter
        self._what = what
        self._ready: Iterator[T] = iter(())
        self._ended = False
        self._error: RequestError | None = None

    @override
    async def __anext__(self) -> T:
        if self._error is not None:
            raise self._error
        while True:
            try:
                for part in self._ready:
                    return part
            except ValueError as exc:
                error = self._error = self._translate(exc)
                self._reply._fail(error)
                raise error from None
            if self._ended:
                raise StopAsyncIteration
            try:
                piece = await self._reply._next_piece()
            except RequestError as error:
                self._error = error
                raise
            self._ended = piece is None
            self._ready = self._splitter.finish() if piece is None else self._splitter.feed(piece)

    def _translate(self, exc: ValueError) -> RequestError:
        reply = self._reply
        if isinstance(exc, TooLargeError):
            return BodyTooLargeError(
                f"{reply.request} failed: {exc}; raise max_body if that is meant", request=reply.request
            )
        return DecodeError(
            f"{reply.request} answered {reply.status_code} with a body that cannot be read as {self._what}: {exc} "
            f"(Content-Type {reply.headers.get('Content-Type', 'absent')})",
            response=reply,
        )


class _Once(AsyncIterator[bytes]):
    """A body that has been read, as pieces."""

    def __init__(self, body: bytes) -> None:
        self._left = [body] if body else []

    @override
    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()
