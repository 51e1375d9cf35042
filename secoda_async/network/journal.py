"""Keeps the final answer of every exchange, and serves what an earlier run has kept.

It stands below the redirects, so each hop is an exchange of its own, and above the retries, so only what they come to
is kept. An answer is handed on when it is committed: whatever ``extract`` has seen survives the death of the process.

Equal requests (`match_key`) are numbered in the order in which they are sent; those that are in flight together get
one answer each, and which of their callers gets which may differ from one run to the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Final, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from secoda_async.counters import Traffic
from secoda_async.errors import JournalError, RequestError, ResponseError, StatusError
from secoda_async.network.journal_file import Entry, Head, JournalFile, Seat, Use
from secoda_async.network.journal_thread import JournalThread
from secoda_async.network.match_key import MatchKey, body_bytes, match_key
from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.network.recorded import answer
from secoda_async.network.redact_answer import AnswerRedactor, Clean, StreamRedactor
from secoda_async.network.retry import failed
from secoda_async.network.stream import StreamedResponse
from secoda_async.redact import Redactor

# Who asks was refused: with other credentials the answer is another one.
_REFUSALS: Final = frozenset({401, 403, 407})
_CONDITIONS: Final = ("If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range")
_GATHERED: Final = 256 * 2**10  # bytes of a streamed body that are handed to the thread together
# Of a 304 (RFC 9110, section 15.4.5): these tell of the message that carried them, not of the body that is kept.
_OF_THE_MESSAGE: Final = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "keep-alive", "transfer-encoding"}
)


class Journals(NamedTuple):
    """What a run writes, and what it reads."""

    file: JournalFile
    """The run's own journal."""
    resumed: bool = False
    """Whether that holds what another run had got, to be served."""
    earlier: JournalFile | None = None
    """An earlier run's, whose answers are asked for again only where they have changed."""


class _Place(NamedTuple):
    """What the journal says of a request before it is sent."""

    key: MatchKey
    seat: Seat | None = None
    entry: Entry | None = None
    """What is served in place of an answer; or what a 304 stands for."""


class Journal(Layer):
    """Records every exchange; raises JournalError where it cannot.

    Usage: inside a running event loop, ``Journal(inner, Journals(file), redact=redact, traffic=traffic)``. Closing it
    waits for what is being written; the files are closed by who opened them.
    """

    def __init__(self, inner: Transport, journals: Journals, *, redact: Redactor, traffic: Traffic) -> None:
        super().__init__(inner)
        self._thread = JournalThread(lambda: journals.file, owns=False)
        self._resumed = journals.resumed
        self._earlier = journals.earlier
        self._last = journals.file.inherited
        self._redact = redact
        self._answers = AnswerRedactor(redact)
        self._traffic = traffic

    @override
    async def send(self, request: Request) -> Response:
        self._last += 1
        number = self._last
        body = await body_bytes(request)
        place: _Place | None = None
        if self._resumed:
            place = await self._thread.do(request, partial(self._find, request, body))
            if place.entry is not None:
                return await self._serve(place.entry, request)
        sent, earlier = request, None
        if self._earlier is not None and request.method == "GET":
            sent, earlier = await self._conditional(request, place, body)
        writing = _Writing(self, request, body, place, number)
        try:
            response = await self._inner.send(sent)
        except RequestError as error:
            await writing.fail(error)
            raise
        if earlier is not None and response.status_code == 304:
            response = await self._revalidated(request, response, earlier)
        return await writing.keep(response)

    @override
    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            await self._thread.aclose()

    def mark_failed(self, error: BaseException) -> None:
        """Say that an answer was of no use, so that a run that resumes asks for it again."""
        if isinstance(error, ResponseError) and (seq := error.response.recorded) is not None:
            self._thread.tell(partial(_mark_failed, seq))

    async def _serve(self, entry: Entry, request: Request) -> Response:
        response = await answer(entry, request, self._thread)
        response.recorded = entry.seq
        self._traffic.served += 1
        return response

    def _find(self, request: Request, body: bytes | None, file: JournalFile) -> _Place:
        key = match_key(request, self._redact, body)
        seat = file.next_to_resume(key)
        return _Place(key, seat, file.read(seat.seq) if seat is not None and seat.use is Use.SERVE else None)

    async def _conditional(
        self, request: Request, place: _Place | None, body: bytes | None
    ) -> tuple[Request, int | None]:
        """The request, asking only for what has changed; and the earlier entry that a 304 stands for."""
        if any(name in request.headers for name in _CONDITIONS):
            return request, None
        key = None if place is None else place.key
        entry = await self._thread.do(request, partial(self._find_earlier, request, key, body))
        if entry is None or entry.head.status != 200 or entry.head.body:  # a streamed body is not held in memory
            return request, None
        kept = CIMultiDict((name, value) for name, value in entry.head.headers)
        conditions = {
            condition: kept[validator]
            for condition, validator in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
            if validator in kept
        }
        if not conditions:
            return request, None
        headers = CIMultiDict(request.headers)
        headers.update(conditions)
        return request._replace(headers=headers), entry.seq

    def _find_earlier(self, request: Request, key: MatchKey | None, body: bytes | None, _: JournalFile) -> Entry | None:
        assert self._earlier is not None
        try:
            entry = self._earlier.latest(key or match_key(request, self._redact, body))
        except (sqlite3.Error, ValueError):  # damaged: then it is asked for without a condition
            return None
        return None if entry is None else entry._replace(body=b"")

    async def _revalidated(self, request: Request, response: Response, seq: int) -> Response:
        """The earlier answer, with what the 304 says anew."""

        def read(_: JournalFile) -> Entry:
            assert self._earlier is not None
            return self._earlier.read(seq)

        entry = await self._thread.do(request, read)
        headers = CIMultiDict((name, value) for name, value in entry.head.headers)
        headers.update(_without(response.headers, _OF_THE_MESSAGE))
        self._traffic.revalidated += 1
        return Response(
            request,
            200,
            headers=CIMultiDictProxy(headers),
            content=entry.body,
            elapsed=response.elapsed.total_seconds(),
        )


class _Writing:
    """One exchange on its way into the journal."""

    def __init__(
        self, journal: Journal, request: Request, body: bytes | None, place: _Place | None, number: int
    ) -> None:
        self._journal = journal
        self._thread = journal._thread
        self._answers = journal._answers
        self.request = request
        self.number = number
        self._body = body
        self._place = place

    async def fail(self, error: RequestError) -> None:
        """Record how an exchange ended that has no answer to be used."""
        try:
            await self._thread.do(self.request, partial(self._write_error, error))
        except JournalError as exc:
            error.add_note(f"also: {exc}")
        else:
            self._journal._traffic.recorded += 1

    async def keep(self, response: Response) -> Response:
        """The answer, when it is recorded; a streamed one is recorded at its end."""
        if isinstance(response, StreamedResponse):
            return _copied(self, response)
        response.recorded = await self._thread.do(self.request, partial(self._write_answer, response))
        self._journal._traffic.recorded += 1
        return response

    def _write_error(self, error: RequestError, file: JournalFile) -> None:
        clean = Clean([], b"", secret=False)
        if isinstance(error, StatusError) and not isinstance(error.response, StreamedResponse):
            clean = self._answers.clean(self.request, error.response)
        message = self._journal._redact(self._answers.text(str(error)))
        head = self._head(error.response if isinstance(error, StatusError) else None, clean)
        self._write(file, Use.FAILED, head._replace(error=type(error).__name__, message=message), clean.content)

    def _write_answer(self, response: Response, file: JournalFile) -> int:
        clean = self._answers.clean(self.request, response)
        return self._write(file, _use(response, clean.secret), self._head(response, clean), clean.content)

    def write_stream(self, response: Response, head: Clean, redactor: StreamRedactor | None, file: JournalFile) -> int:
        """Write the entry of a body whose pieces are all written; without a redactor they could not be kept."""
        secret = head.secret or redactor is None or redactor.secret
        made = self._head(response, head)._replace(body=self.number, kept=redactor is not None)
        return self._write(file, _use(response, secret), made, b"")

    def _write(self, file: JournalFile, use: Use, head: Head, content: bytes | None) -> int:
        place = self._place or _Place(match_key(self.request, self._journal._redact, self._body))
        seq = self.number if place.seat is None else place.seat.seq
        file.write(seq, place.key, use, head._replace(request=self._answers.text(place.key.shown)), content or b"")
        return seq

    def _head(self, response: Response | None, clean: Clean) -> Head:
        if response is None:
            return Head("")
        return Head(
            "",
            response.status_code,
            clean.headers,
            url=None if response._url is None else self._answers.text(str(response._url)),
            elapsed=round(response.elapsed.total_seconds(), 6),
            kept=clean.content is not None,
        )


def _use(response: Response, secret: bool) -> Use:
    if response.status_code in _REFUSALS or failed(response.status_code):
        return Use.FAILED
    return Use.LIVE if secret else Use.SERVE


def _copied(writing: _Writing, response: StreamedResponse) -> StreamedResponse:
    copy = _Copy(writing, response)
    made = copy.made = StreamedResponse(
        response.request,
        response.status_code,
        pieces=copy,
        close=copy.aclose,
        elapsed=response.elapsed.total_seconds(),
    )
    made.headers = response.headers
    made._url = response._url
    return made


class _Copy(AsyncIterator[bytes]):
    """The pieces of a streamed body, which are written on their way; the journal keeps them when the last is there."""

    made: StreamedResponse
    """The answer that gives them."""

    def __init__(self, writing: _Writing, response: StreamedResponse) -> None:
        self._writing = writing
        self._thread = writing._thread
        self._response = response
        self._inner = response.aiter_bytes()
        self._head = writing._answers.head(writing.request, response)
        self._redactor: StreamRedactor | None = StreamRedactor(writing._answers)
        self._gathered: list[bytes] = []
        self._size = 0
        self._pieces = 0
        self._ended = False

    @override
    async def __anext__(self) -> bytes:
        piece = await anext(self._inner, None)
        if piece is None:
            if not self._ended:
                self.made.recorded = await self._thread.do(self._writing.request, self._finish)
                self._ended = True
                self._writing._journal._traffic.recorded += 1
            raise StopAsyncIteration
        if self._redactor is not None:
            self._gathered.append(piece)
            self._size += len(piece)
            if self._size >= _GATHERED:
                await self._thread.do(self._writing.request, self._write)
        return piece

    async def aclose(self) -> None:
        if not self._ended:
            self._ended = True
            self._thread.tell(self._drop)
        await self._response.aclose()

    def _write(self, file: JournalFile) -> None:
        gathered, self._gathered, self._size = b"".join(self._gathered), [], 0
        if self._redactor is not None:
            self._put(self._redactor.feed(gathered), file)

    def _finish(self, file: JournalFile) -> int:
        self._write(file)
        if self._redactor is not None:
            self._put(self._redactor.finish(), file)
        return self._writing.write_stream(self._response, self._head, self._redactor, file)

    def _put(self, text: bytes | None, file: JournalFile) -> None:
        if text is None:
            self._redactor = None
            self._drop(file)
        elif text:
            file.write_piece(self._writing.number, self._pieces, text)
            self._pieces += 1

    def _drop(self, file: JournalFile) -> None:
        file.drop_body(self._writing.number)


def _mark_failed(seq: int, file: JournalFile) -> None:
    file.mark_failed(seq)


def _without(headers: Mapping[str, str], names: frozenset[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in names)
