"""The file of a journal: exchanges, compressed, in one SQLite database that survives the death of its process.

Tables: ``meta`` (name, value), ``entries`` (an exchange a row, ``seq`` in the order of sending) and ``pieces`` (bodies
that were read piece by piece). All methods block, and are called by one thread at a time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

import orjson

from secoda_async.errors import ConfigurationError
from secoda_async.network.match_key import MatchKey, digest

T = TypeVar("T")

FORMAT: Final = 1
_APPLICATION: Final = 0x5EC0DA  # SQLite's own place to say whose database a file is
_LEVEL: Final = 1  # of zlib: five times as fast as the default, for a tenth more bytes
_SCHEMA: Final = """
create table meta (name text primary key, value) without rowid;
create table entries (
    seq integer primary key, loose blob, exact blob not null, use integer not null, body integer not null,
    data blob not null
);
create index entries_exact on entries (exact, seq);
create index entries_loose on entries (loose) where loose is not null;
create table pieces (body integer, number integer, data blob not null, primary key (body, number));
"""
_CURSORS: Final = "create temp table cursors (exact blob primary key, seq integer not null) without rowid"


class Use(IntEnum):
    """What a run that resumes may do with an entry; a replay gives all of them."""

    SERVE = 0
    LIVE = 1
    """The answer carried a secret, which was taken out: it is asked for again."""
    FAILED = 2
    """It failed, or what came was of no use: passed over where a later answer stands, else asked for again."""


class JournalFullError(Exception):
    """Raised when a journal would be over its cap."""


class Head(NamedTuple):
    """What stands in front of a body."""

    request: str
    """Method and URL without credentials."""
    status: int | None = None
    """None: there was no answer."""
    headers: Sequence[Sequence[str]] = ()
    url: str | None = None
    elapsed: float = 0.0
    error: str | None = None
    """The name of the error that the exchange ended in, if it did."""
    message: str | None = None
    body: int = 0
    """Which of ``pieces`` are its body; 0: it stands right behind the head."""
    kept: bool = True
    """Whether the body could be kept; no, where a secret could not be taken out of it."""


class Entry(NamedTuple):
    """One exchange, as it was written."""

    seq: int
    use: Use
    head: Head
    body: bytes


class Seat(NamedTuple):
    """Where the next answer to a request belongs, and what stands there."""

    seq: int
    use: Use


class JournalFile:
    """One journal. Usage: ``with JournalFile.create(path, integration="Cluvio", run="…", cap=2**32) as file: ...``."""

    def __init__(self, path: Path, connection: sqlite3.Connection, cap: int) -> None:
        self.path = path
        self._connection = connection
        self._cap = cap
        self.salt: bytes = self._meta("salt")
        self.inherited = int(self._one("select coalesce(max(seq), 0) from entries"))
        """The highest ``seq`` that stood there when it was opened."""
        self._page = int(self._one("pragma page_size"))
        connection.execute(_CURSORS)

    @classmethod
    def create(cls, path: Path, *, integration: str, run: str, cap: int) -> Self:
        """A new file, readable by its owner only. ``cap`` is the most bytes it may hold."""
        with _placed(path) as new:
            new.executescript(
                f"pragma application_id = {_APPLICATION}; pragma user_version = {FORMAT}; begin; {_SCHEMA}; commit"
            )
            new.executemany(
                "insert into meta values (?, ?)",
                [("integration", integration), ("run", run), ("salt", secrets.token_bytes(16))],
            )
        return cls._to_write(path, cap)

    @classmethod
    def continued(cls, source: Path, path: Path, *, integration: str, run: str, cap: int) -> Self:
        """A new file that holds all that ``source`` does. Raises ConfigurationError where that is no such journal."""
        with _placed(path) as new, _readable(source), cls.open(source, integration=integration) as old:
            old._connection.backup(new)
            new.execute("pragma journal_mode = delete")
            new.execute("update meta set value = ? where name = 'run'", (run,))
            # Of bodies that were being read when the other run died.
            new.execute("delete from pieces where body not in (select body from entries)")
        return cls._to_write(path, cap)

    @classmethod
    def _to_write(cls, path: Path, cap: int) -> Self:
        connection = _connect(path)
        try:
            connection.execute("pragma journal_mode = wal")
            return cls._prepared(path, connection, cap)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def open(cls, path: Path, *, integration: str | None = None, whole: bool = True) -> Self:
        """A file to read. Raises ConfigurationError where it is none, damaged, or of another integration.

        ``whole=False`` leaves out the look for damage, which reads all of it.
        """
        if not path.is_file():
            raise ConfigurationError(f"there is no journal at {path}")
        with _readable(path):
            connection = _connect(path, "ro")
            try:
                return cls._opened(path, connection, integration, whole=whole)
            except BaseException:
                connection.close()
                raise

    @classmethod
    def _opened(cls, path: Path, connection: sqlite3.Connection, integration: str | None, *, whole: bool) -> Self:
        (application,) = connection.execute("pragma application_id").fetchone()
        (version,) = connection.execute("pragma user_version").fetchone()
        if application != _APPLICATION:
            raise ConfigurationError(f"{path} is no journal of secoda_async")
        if version != FORMAT:
            raise ConfigurationError(
                f"{path} is a journal of format {version}, and this version of secoda_async reads format {FORMAT}; "
                "record it again"
            )
        if whole:
            (state,) = connection.execute("pragma quick_check(1)").fetchone()
            if state != "ok":
                raise sqlite3.DatabaseError(state.splitlines()[-1])
        file = cls._prepared(path, connection, 0)
        if integration is not None and file.integration != integration:
            raise ConfigurationError(f"{path} is a journal of {file.integration}, not of {integration}")
        return file

    @classmethod
    def _prepared(cls, path: Path, connection: sqlite3.Connection, cap: int) -> Self:
        # The log is not flushed to the disk at each commit: it outlives the process all the same.
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma wal_autocheckpoint = 4000")  # pages
        return cls(path, connection, cap)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Calling it again does nothing."""
        self._connection.close()

    @property
    def integration(self) -> str:
        """The class whose run wrote it."""
        return str(self._meta("integration"))

    def copy_to(self, target: Path) -> None:
        """Write everything into one plain file, which takes the place of ``target`` when it is whole."""
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        unfinished.unlink(missing_ok=True)
        try:
            os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._connection.execute("vacuum into ?", (str(unfinished),))
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def transact(self, steps: Sequence[Callable[[JournalFile], Any]]) -> list[Any]:
        """The result of each step, all in one transaction: when this returns, they outlive the process.

        A step that raises what is no fault of the file gives its exception as a result, and harms no other.
        Raises JournalFullError, and what SQLite raises, where nothing was written.
        """
        connection = self._connection
        connection.execute("begin")
        try:
            results = [_result(step, self) for step in steps]
            if self._cap and self._page * int(self._one("pragma page_count")) > self._cap:
                raise JournalFullError(f"{self._cap} bytes")
            connection.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("rollback")
            raise
        return results

    def write(self, seq: int, key: MatchKey, use: Use, head: Head, body: bytes = b"") -> None:
        """Write an exchange at its place."""
        self._drop_body_of(seq)
        exact = digest(key.exact, self.salt)
        loose = None if key.loose == key.exact else digest(key.loose, self.salt)  # most: an index less to keep
        data = zlib.compress(orjson.dumps(tuple(head)) + b"\n" + body, _LEVEL)
        self._connection.execute(
            "insert or replace into entries values (?, ?, ?, ?, ?, ?)",
            (seq, loose, exact, use, head.body, data),
        )

    def write_piece(self, body: int, number: int, piece: bytes) -> None:
        """Write a part of a body, which counts from the moment at which an entry names it."""
        self._connection.execute("insert into pieces values (?, ?, ?)", (body, number, zlib.compress(piece, _LEVEL)))

    def drop_body(self, body: int) -> None:
        """Remove the parts of a body that is not kept."""
        self._connection.execute("delete from pieces where body = ?", (body,))

    def _drop_body_of(self, seq: int) -> None:
        self._connection.execute("delete from pieces where body = (select body from entries where seq = ?)", (seq,))

    def mark_failed(self, seq: int) -> None:
        """Say that an answer turned out to be of no use; one that is asked for again anyway stays so."""
        self._connection.execute("update entries set use = ? where seq = ? and use = ?", (Use.FAILED, seq, Use.SERVE))

    def next_to_resume(self, key: MatchKey) -> Seat | None:
        """What this run's next equal request finds; None: nothing, so that its answer is a new entry.

        What failed and has been got past is removed, since the new run will have no part of it.
        """
        exact = digest(key.exact, self.salt)
        rows = self._connection.execute(
            # Not what this run itself has written: its next equal request asks for something newer.
            "select seq, use from entries where exact = ? and seq > ? and seq <= ? order by seq",
            (exact, self._cursor(exact), self.inherited),
        )
        failed: list[int] = []
        found: Seat | None = None
        for seq, use in rows:
            if use != Use.FAILED:
                found = Seat(seq, Use(use))
                break
            failed.append(seq)
        for seq in failed:
            self._drop_body_of(seq)
            self._connection.execute("delete from entries where seq = ?", (seq,))
        if found is not None:
            self._advance(exact, found.seq)
        return found

    def next_to_replay(self, key: MatchKey) -> tuple[int | None, int, int]:
        """The ``seq`` of the next equal request's entry, how many equal ones there are, and how many ways of asking.

        Entries that were asked for with other credentials are equal too, where that leaves no doubt. A last answer that
        carried a secret is given again and again: how often a token has to be asked for is a matter of time.
        """
        exact = digest(key.exact, self.salt)
        count = self._count(exact)
        ways = 1
        if not count:
            others = self._connection.execute(
                "select distinct exact from entries where loose = ?1 union select exact from entries where exact = ?1",
                (digest(key.loose, self.salt),),
            ).fetchmany(2)
            ways = len(others)
            if ways == 1:
                exact = others[0][0]
                count = self._count(exact)
        row = self._connection.execute(
            "select min(seq) from entries where exact = ? and seq > ?", (exact, self._cursor(exact))
        ).fetchone()
        if row[0] is not None:
            self._advance(exact, row[0])
            return row[0], count, ways
        last = self._connection.execute(
            "select seq, use from entries where exact = ? order by seq desc limit 1", (exact,)
        ).fetchone()
        return (last[0] if last is not None and last[1] == Use.LIVE else None), count, ways

    def latest(self, key: MatchKey) -> Entry | None:
        """The newest whole answer to a request."""
        row = self._connection.execute(
            "select max(seq) from entries where exact = ? and use = ?", (digest(key.exact, self.salt), Use.SERVE)
        ).fetchone()
        return None if row[0] is None else self.read(row[0])

    def read(self, seq: int) -> Entry:
        """An entry. Raises ValueError where it is damaged."""
        row = self._connection.execute("select use, data from entries where seq = ?", (seq,)).fetchone()
        try:
            raw = zlib.decompress(row[1])
            line, _, body = raw.partition(b"\n")
            return Entry(seq, Use(row[0]), Head(*orjson.loads(line)), body)
        except (zlib.error, orjson.JSONDecodeError, TypeError) as exc:
            raise ValueError(f"entry {seq} of {self.path} is damaged ({exc})") from exc

    def read_piece(self, body: int, number: int) -> bytes | None:
        """A part of a body; None behind the last. Raises ValueError where it is damaged."""
        row = self._connection.execute(
            "select data from pieces where body = ? and number = ?", (body, number)
        ).fetchone()
        try:
            return None if row is None else zlib.decompress(row[0])
        except zlib.error as exc:
            raise ValueError(f"a body of {self.path} is damaged ({exc})") from exc

    def _count(self, exact: bytes) -> int:
        return int(self._one("select count(*) from entries where exact = ?", exact))

    def _cursor(self, exact: bytes) -> int:
        row = self._connection.execute("select seq from cursors where exact = ?", (exact,)).fetchone()
        return -1 if row is None else row[0]

    def _advance(self, exact: bytes, seq: int) -> None:
        self._connection.execute("insert or replace into cursors values (?, ?)", (exact, seq))

    def _meta(self, name: str) -> Any:
        return self._one("select value from meta where name = ?", name)

    def _one(self, statement: str, *parameters: object) -> Any:
        row = self._connection.execute(statement, parameters).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("it is not complete")
        return row[0]


def _result(step: Callable[[JournalFile], T], file: JournalFile) -> T | Exception:
    try:
        return step(file)
    except (sqlite3.Error, OSError):
        raise
    except Exception as exc:  # noqa: BLE001 # given to who asked for this step
        return exc


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    # Transactions are ours; threads take turns.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )


@contextlib.contextmanager
def _placed(path: Path) -> Iterator[sqlite3.Connection]:
    """A new database that takes its place when the block ends: a process killed meanwhile leaves no half of one."""
    unfinished = path.with_name(f".{path.name}.tmp")
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(_connect(unfinished)) as new:
        yield new
    unfinished.rename(path)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise ConfigurationError(
            f"the journal {path} cannot be read or copied: {exc}; record it again, or take another"
        ) from exc
