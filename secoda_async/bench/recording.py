"""A journal as a benchmark needs it: what it holds, and its answers from memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

from typing_extensions import override
from yarl import URL

from secoda_async.errors import ConfigurationError
from secoda_async.network.endpoint import Endpoint
from secoda_async.network.journal_file import Entry, JournalFile, Use
from secoda_async.network.match_key import body_bytes, digest, match_key
from secoda_async.network.message import Request, Response
from secoda_async.network.recorded import answer
from secoda_async.network.replay import ReplayTransport
from secoda_async.redact import Redactor

MOST_IN_MEMORY: Final = 512 * 2**20
"""Bytes of bodies that are held in memory; what is over it is read from the file when it is asked for."""


class _Row(NamedTuple):
    """Where an entry stands, by which keys it is found, and what may be done with it."""

    seq: int
    exact: bytes
    loose: bytes | None
    use: Use


class _Readable(JournalFile):
    """A journal that is read from its beginning to its end."""

    def rows(self) -> Iterator[_Row]:
        rows = self._connection.execute("select seq, exact, loose, use from entries order by seq")
        for seq, exact, loose, use in rows:
            yield _Row(seq, exact, loose, Use(use))

    def whole(self, seq: int) -> Entry:
        """An entry with all of its body. Raises ValueError where it is damaged."""
        entry = self.read(seq)
        if not entry.head.body:
            return entry
        pieces, number = [], 0
        while piece := self.read_piece(entry.head.body, number):
            pieces.append(piece)
            number += 1
        return entry._replace(head=entry.head._replace(body=0), body=b"".join(pieces))


class Recording(NamedTuple):
    """What a journal holds."""

    requests: int
    seconds: float
    """What its answers took together when they were recorded."""
    asked: Counter[tuple[str, URL]]
    """Method and URL of each, and how often."""

    @classmethod
    def of(cls, path: Path, integration: str) -> Self:
        """Look through a journal. Raises ConfigurationError where it is none, damaged, empty or of another class."""
        seconds = 0.0
        asked: Counter[tuple[str, URL]] = Counter()
        with _Readable.open(path, integration=integration) as file:
            try:
                for row in file.rows():
                    head = file.read(row.seq).head
                    seconds += head.elapsed
                    method, _, url = head.request.partition(" ")
                    asked[method, URL(url, encoded=True)] += 1
            except ValueError as exc:
                raise ConfigurationError(f"the journal {path} cannot be read: {exc}; record it again") from exc
        if not asked:
            raise ConfigurationError(f"the journal {path} holds no answer at all, so there is nothing to replay")
        return cls(asked.total(), seconds, asked)

    def under(self, key: str) -> int:
        """Requests for which a key of ``rate_limits`` holds. Raises ConfigurationError for a key that is none."""
        endpoint = Endpoint.parse(key, setting="rate_limits")
        return sum(count for (method, url), count in self.asked.items() if endpoint.matches(method, url))


class PreloadedReplay(ReplayTransport):
    """A `ReplayTransport` whose answers are read before the run, so that no disk and no thread is waited for.

    Usage: ``PreloadedReplay(path, integration="Cluvio")``, which blocks, where no event loop runs yet. It finds what
    `ReplayTransport` would. Raises ConfigurationError as that does.
    """

    def __init__(self, path: Path, *, integration: str | None = None, most: int = MOST_IN_MEMORY) -> None:
        super().__init__(path, integration=integration)
        self.busy = 0.0
        """Seconds that it took to find and to give answers, without those of the file."""
        self.reading = 0.0
        """Seconds that it took to read answers that are not in memory, in a thread."""
        self.given = 0
        """Answers that it gave."""
        self.held = 0
        """Bytes of bodies in memory."""
        self._entries: dict[int, Entry] = {}
        self._elapsed: dict[int, float] = {}
        self._rows: dict[bytes, list[_Row]] = {}
        self._ways: dict[bytes, set[bytes]] = {}
        self._next: Counter[bytes] = Counter()
        with ExitStack() as opened:
            file = opened.enter_context(_Readable.open(path, integration=integration))
            self._salt = file.salt
            try:
                for row in file.rows():
                    self._add(row, file, most)
            except ValueError as exc:
                raise ConfigurationError(f"the journal {path} cannot be read: {exc}; record it again") from exc

    def _add(self, row: _Row, file: _Readable, most: int) -> None:
        self._rows.setdefault(row.exact, []).append(row)
        self._ways.setdefault(row.exact if row.loose is None else row.loose, set()).add(row.exact)
        entry = file.read(row.seq)
        self._elapsed[row.seq] = entry.head.elapsed
        if self.held < most:
            entry = file.whole(row.seq)
            self._entries[row.seq] = entry
            self.held += len(entry.body)

    @property
    def is_whole(self) -> bool:
        """Whether every answer is in memory."""
        return len(self._entries) == len(self._elapsed)

    def elapsed(self, request: Request) -> float:
        """What the answer of a request took when it was recorded, in seconds."""
        return 0.0 if request.recorded is None else self._elapsed[request.recorded]

    @override
    async def send(self, request: Request) -> Response:
        seq = request.recorded
        if seq is None:
            seq = await self.find(request, Redactor())
        entry = self._entries.get(seq)
        if entry is None:
            entry = await self._running().do(request, partial(self._read, seq))
        began = time.perf_counter()
        try:
            return await answer(entry, request, self._running())
        finally:
            self.given += 1
            self.busy += time.perf_counter() - began

    @override
    async def find(self, request: Request, redact: Redactor) -> int:
        body = await body_bytes(request)
        began = time.perf_counter()
        key = match_key(request, redact, body)
        exact = digest(key.exact, self._salt)
        rows = self._rows.get(exact)
        if rows is None:
            ways = self._ways.get(digest(key.loose, self._salt), ())
            exact, rows = next(((way, self._rows[way]) for way in ways if len(ways) == 1), (exact, []))
        place = self._next[exact]
        self._next[exact] += 1
        self.busy += time.perf_counter() - began
        if place < len(rows):
            return rows[place].seq
        if rows and rows[-1].use is Use.LIVE:
            return rows[-1].seq
        while True:  # the file has one answer fewer with each, and says in the end what is missing
            await super().find(request, redact)

    def _read(self, seq: int, file: JournalFile) -> Entry:
        began = time.perf_counter()
        try:
            return file.read(seq)
        finally:
            self.reading += time.perf_counter() - began
