"""Judges the SQL of lineages, in a process of its own: what hangs or crashes costs that statement alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import orjson
from anyio import to_thread
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from secoda_async.rules.judge import LONGEST_SQL, make_breach, make_sample
from secoda_async.rules.table import BY_ID
from secoda_async.rules.verdict import SAMPLES, Breach, Sample

_PROGRAM: Final = Path(__file__).with_name("parse_sql.py")
_COMMAND: Final = (sys.executable, "-P", str(_PROGRAM))  # -P: this folder's files are no modules of its own
_START: Final = 30.0  # seconds for the program to be ready
_LONGEST_ANSWER: Final = 8192
_PAGE: Final = 2**20  # bytes of statements in memory at once, or one that is longer
_GONE: Final = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.DelimiterNotFound,
    anyio.IncompleteRead,
    anyio.EndOfStream,
    OSError,
)
_RULES: Final = {
    "nothing": "sql-names-no-table",
    "unparsed": "sql-does-not-parse",
    "unjudged": "sql-not-judged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLLimits:
    """How long the SQL of a dataset may take, in seconds."""

    statement: float = 5.0
    """One statement, in every dialect that is tried."""
    whole: float = 60.0
    """All of them; what is left then is not judged."""


async def judge_sql(
    statements: Path,
    file: str,
    *,
    strict: bool = False,
    limits: SQLLimits = SQLLimits(),
    command: Sequence[str] = _COMMAND,
) -> list[Breach]:
    """What the statements that `judge` wrote to a file break, in the order of the table.

    Each different text is parsed once, in a process that this ends, however it is left. A statement over 5 s, over
    256 Ki characters, or that the process does not survive is told as not judged, and so is what 60 s do not suffice
    for. ``file`` is the name of the file of lineage, for the samples.
    """
    found = {rule: _Found() for rule in _RULES.values()}
    parser = _Parser(command, limits)
    try:
        offset = 0
        # Opened for each page: a file that a cancelled task holds open is closed by nobody in particular.
        while page := await to_thread.run_sync(_read_page, statements, offset):
            offset += sum(map(len, page))
            for row in page:
                line, count, id_, sql = orjson.loads(row)
                verdict, note = await parser.judge(sql)
                if verdict in _RULES:
                    found[_RULES[verdict]].add(count, make_sample(file, line, id_, note))
    finally:
        await parser.aclose()
    return [make_breach(BY_ID[rule], one.count, one.samples, strict=strict) for rule, one in found.items() if one.count]


def _read_page(path: Path, offset: int) -> list[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        return file.readlines(_PAGE)


@dataclass(slots=True)
class _Found:
    count: int = 0
    samples: list[Sample] = field(default_factory=list)

    def add(self, count: int, sample: Sample) -> None:
        self.count += count
        if len(self.samples) < SAMPLES:
            self.samples.append(sample)


class _Parser:
    """The process, started when it is needed, and anew after a statement that it did not survive."""

    def __init__(self, command: Sequence[str], limits: SQLLimits) -> None:
        self._command = command
        self._limits = limits
        self._until: float | None = None
        self._process: Process | None = None
        self._answers: BufferedByteReceiveStream | None = None
        self._broken = False

    async def judge(self, sql: str | None) -> tuple[str, str]:
        """The program's verdict and note."""
        if sql is None:
            return "unjudged", f"longer than {LONGEST_SQL:,} characters"
        if self._until is None:
            self._until = time.monotonic() + self._limits.whole
        if time.monotonic() >= self._until:
            return "unjudged", f"{self._limits.whole:g} s were not enough for all statements"
        if self._process is None and not await self._start():
            return "unjudged", "the parser could not be started"
        try:
            with anyio.fail_after(self._limits.statement):
                return await self._ask(sql)
        except TimeoutError:
            await self.aclose()
            return "unjudged", f"it took more than {self._limits.statement:g} s"
        except _GONE:
            await self.aclose()
            return "unjudged", "the parser did not survive it"

    async def aclose(self) -> None:
        """End the process, whatever it does. Calling it again does nothing."""
        process, self._process = self._process, None
        if process is not None:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()

    async def _start(self) -> bool:
        if self._broken:
            return False
        with anyio.CancelScope(shield=True):  # or a process that starts in that moment would be nobody's
            try:
                self._process = process = await anyio.open_process(self._command, stderr=subprocess.DEVNULL)
            except OSError:
                self._broken = True
                return False
        assert process.stdout is not None
        self._answers = BufferedByteReceiveStream(process.stdout)
        try:
            with anyio.fail_after(_START):
                await self._answers.receive_until(b"\n", 64)
        except (TimeoutError, *_GONE):
            await self.aclose()
            self._broken = True
            return False
        return True

    async def _ask(self, sql: str) -> tuple[str, str]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._answers is not None
        content = sql.encode()
        await self._process.stdin.send(len(content).to_bytes(4, "big") + content)
        verdict, note = orjson.loads(await self._answers.receive_until(b"\n", _LONGEST_ANSWER))
        return verdict, note
