"""Answers requests from a recording, in place of the network."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
from typing_extensions import override

from secoda_async.counters import Traffic
from secoda_async.errors import ReplayError
from secoda_async.network.journal_file import Entry, JournalFile
from secoda_async.network.journal_thread import JournalThread
from secoda_async.network.match_key import MatchKey, body_bytes, match_key
from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.network.recorded import answer
from secoda_async.redact import Redactor


class ReplayTransport(Transport):
    """The network as it was when ``path`` was recorded: limits, retries and injected faults work above it.

    Usage: ``Cluvio(credentials=…, transport=ReplayTransport("cluvio.journal")).start()``. The n-th request of its kind
    gets the n-th answer; to wrap it, subclass `Layer`, so that a repeated attempt gets its own answer again.
    ``send`` raises ReplayError where the recording holds no (further) answer, what the request ended in where it had
    none then, and ConfigurationError where ``path`` is no recording, or one of another ``integration`` than is named.
    """

    def __init__(self, path: Path | str, *, integration: str | None = None) -> None:
        self._open_file = partial(JournalFile.open, Path(path), integration=integration)
        self._thread: JournalThread | None = None

    @override
    async def send(self, request: Request) -> Response:
        seq = request.recorded
        if seq is None:
            seq = await self.find(request, Redactor())
        thread = self._running()
        return await answer(await thread.do(request, partial(_read, seq)), request, thread)

    async def find(self, request: Request, redact: Redactor) -> int:
        """Which entry answers a request; each call gets the next. Raises ReplayError where there is none."""
        body = await body_bytes(request)
        key = match_key(request, redact, body)
        seq, count, ways = await self._running().do(request, partial(_next, key))
        if seq is not None:
            return seq
        if ways > 1:
            raise ReplayError(
                f"{request} was recorded with several other values in place of its credentials; give it those of then",
                request=request,
            )
        if not count:
            raise ReplayError(f"{request} is not in the recording; record it again", request=request)
        times = "once" if count == 1 else f"{count} times"
        raise ReplayError(
            f"{request} was sent {times} when it was recorded, and is asked for once more; record it again",
            request=request,
        )

    async def check(self) -> None:
        """Raise ConfigurationError where the recording cannot be used."""
        with await anyio.to_thread.run_sync(self._open_file):
            self._open_file = partial(self._open_file, whole=False)

    @override
    async def aclose(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.aclose()

    def _running(self) -> JournalThread:
        if self._thread is None:  # made where a loop runs, and anew after a close
            self._thread = JournalThread(self._open_file, owns=True)
        return self._thread


class InOrder(Layer):
    """Looks up the entry of each request where the journal stood that recorded it: in order, and once for all attempts.

    Below, limits and retries may change the order in which requests arrive at the `ReplayTransport`.
    """

    def __init__(self, inner: Transport, replay: ReplayTransport, *, redact: Redactor, traffic: Traffic) -> None:
        super().__init__(inner)
        self._replay = replay
        self._redact = redact
        self._traffic = traffic

    @override
    async def send(self, request: Request) -> Response:
        seq = await self._replay.find(request, self._redact)
        self._traffic.served += 1
        return await self._inner.send(request._replace(recorded=seq))


def _read(seq: int, file: JournalFile) -> Entry:
    return file.read(seq)


def _next(key: MatchKey, file: JournalFile) -> tuple[int | None, int, int]:
    return file.next_to_replay(key)
