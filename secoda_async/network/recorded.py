"""An entry of a journal as the answer, or the error, that it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override
from yarl import URL

from secoda_async.errors import ReplayedFailureError, ReplayError, StatusError
from secoda_async.network.journal_file import Entry, JournalFile
from secoda_async.network.journal_thread import JournalThread
from secoda_async.network.message import Request, Response
from secoda_async.network.stream import StreamedResponse


async def answer(entry: Entry, request: Request, thread: JournalThread) -> Response:
    """What a request got when it was recorded.

    Raises the StatusError it ended in, ReplayedFailureError where it had no answer, and ReplayError where its answer
    could not be kept.
    """
    head = entry.head
    if head.status is None:
        raise ReplayedFailureError(f"{head.message} ({head.error}, as recorded)", request=request)
    if not head.kept:
        raise ReplayError(
            f"{request}: its answer held a credential that could not be masked, so the recording has no body for it",
            request=request,
        )
    headers = CIMultiDictProxy(CIMultiDict((name, value) for name, value in head.headers))
    pieces = _Pieces(entry, request, thread)
    if request.stream and 200 <= head.status < 300:
        return StreamedResponse(
            request, head.status, headers=headers, pieces=pieces, close=_nothing, elapsed=head.elapsed
        )
    response = Response(
        request,
        head.status,
        headers=headers,
        content=b"".join([piece async for piece in pieces]),
        url=None if head.url is None else URL(head.url, encoded=True),
        elapsed=head.elapsed,
    )
    if head.error is not None:
        raise StatusError(f"{head.message}", response=response)
    return response


class _Pieces(AsyncIterator[bytes]):
    """A recorded body, one part in memory at a time."""

    def __init__(self, entry: Entry, request: Request, thread: JournalThread) -> None:
        self._whole = entry.body
        self._body = entry.head.body
        self._request = request
        self._thread = thread
        self._number = 0

    @override
    async def __anext__(self) -> bytes:
        if self._body:
            piece = await self._thread.do(self._request, partial(_read_piece, self._body, self._number))
            self._number += 1
        else:
            piece, self._whole = self._whole, b""
        if not piece:
            raise StopAsyncIteration
        return piece


def _read_piece(body: int, number: int, file: JournalFile) -> bytes | None:
    return file.read_piece(body, number)


async def _nothing() -> None:
    return
