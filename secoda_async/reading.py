"""Reads files of records as nothing that is trusted: every line against the models, in bounded memory."""

from __future__ import annotations

import json  # noqa: TID251 # orjson cannot tell that a key comes twice
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, NotRequired

import orjson
from anyio import to_thread
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from secoda_async.dataset import Dataset
from secoda_async.errors import DatasetError
from secoda_async.models import DeclaredLineage, Record, Resource
from secoda_async.printable import printable
from secoda_async.spool_index import Kind
from secoda_async.wording import counted

MAX_LINE: Final = 32 * 2**20
"""Longest line that is taken, in bytes: a file without newlines must not be gathered in memory."""
KEPT_FAULTS: Final = 5  # of one file; the rest are counted
_PIECE: Final = 2**20  # bytes read at once; a longer line is refused before it is held
_LOOK: Final = 1000  # lines between two looks at whether the reader was cancelled
_CLIP: Final = 300  # characters of a reason
_SHOWN: Final = 3  # fields of one line whose faults are told
_MODELS: Final[dict[Kind, type[Record]]] = {Kind.RESOURCES: Resource, Kind.LINEAGE: DeclaredLineage}
_NO_JSONL: Final = (
    (b"\x1f\x8b", "the file is compressed with gzip; unpack it"),
    (b"PK\x03\x04", "the file is a zip archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "the file is compressed with zstd; unpack it"),
    (b"\xff\xfe", "the file is UTF-16; write UTF-8"),
    (b"\xfe\xff", "the file is UTF-16; write UTF-8"),
    (b"\xef\xbb\xbf", "the file begins with a byte order mark; write UTF-8 without one"),
)


class Fault(NamedTuple):
    """One line that is no record."""

    file: str
    line: int
    """Counted from 1."""
    reason: str
    """With the field where it is one's, clipped, and nothing in it that a terminal would obey."""


@dataclass(slots=True)
class FileReading:
    """What was seen in one file."""

    lines: int = 0
    faults: list[Fault] = field(default_factory=list)
    """The first 5 of them."""
    fault_count: int = 0
    carriage_returns: int = 0
    """Lines that end in CRLF, which JSON allows."""
    first_carriage_return: int = 0


class Reading(NamedTuple):
    """What was seen in both files."""

    resources: FileReading
    lineage: FileReading

    @property
    def faults(self) -> list[Fault]:
        """Those that were kept, of both files."""
        return [*self.resources.faults, *self.lineage.faults]

    @property
    def fault_count(self) -> int:
        """How many lines are no records."""
        return self.resources.fault_count + self.lineage.fault_count

    def require(self) -> None:
        """Raises DatasetError, which names the first line, where any is no record."""
        for fault in self.faults[:1]:
            more = f" (and {counted(self.fault_count - 1, 'more line')})" if self.fault_count > 1 else ""
            raise DatasetError(f"{fault.file}, line {fault.line}: {fault.reason}{more}")


async def read_dataset(dataset: Dataset) -> Reading:
    """Check every line of both files against the models, in a thread.

    Usage: ``(await read_dataset(open_dataset(folder))).require()`` before records of others are delivered.

    A line must be one JSON object in UTF-8 with the fields of its model, none of them twice. Keeps five faults a file
    and counts the rest. Raises DatasetError where a file cannot be read.
    """
    stopped = threading.Event()
    try:
        return await to_thread.run_sync(_read, dataset, stopped.is_set, abandon_on_cancel=True)
    finally:
        stopped.set()


def find_fault(path: Path, kind: Kind) -> Fault | None:
    """The first line that is no record. It blocks."""
    with path.open("rb") as file:
        for line, reason, _ in _lines(file, kind):
            if reason:
                return Fault(path.name, line, reason)
    return None


def longest_line(path: Path, go_on: Callable[[], None] = lambda: None) -> int:
    """Bytes of the longest line, without its newline; ``go_on`` is called now and then. It blocks.

    Raises DatasetError, which names the line, where one is longer than 32 MiB.
    """
    longest, unfinished, finished = 0, 0, 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            go_on()
            first, *rest = map(len, piece.split(b"\n"))
            unfinished += first
            longest = max(longest, unfinished, *rest)
            if longest > MAX_LINE:
                raise DatasetError(f"{path}, line {finished + 1}: the line is longer than {MAX_LINE // 2**20} MiB")
            if rest:
                finished += len(rest)
                unfinished = rest[-1]
    return longest


def _read(dataset: Dataset, stopped: Callable[[], bool]) -> Reading:
    return Reading(*(_read_file(dataset.file(kind), kind, stopped) for kind in Kind))


def _read_file(path: Path, kind: Kind, stopped: Callable[[], bool]) -> FileReading:
    seen = FileReading()
    try:
        with path.open("rb") as file:
            for line, reason, carriage_return in _lines(file, kind):
                if line % _LOOK == 0 and stopped():
                    break
                seen.lines = line
                if carriage_return:
                    seen.carriage_returns += 1
                    seen.first_carriage_return = seen.first_carriage_return or line
                if reason:
                    seen.fault_count += 1
                    if len(seen.faults) < KEPT_FAULTS:
                        seen.faults.append(Fault(path.name, line, reason))
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    return seen


def _lines(file: BinaryIO, kind: Kind) -> Iterator[tuple[int, str, bool]]:
    """Each line's number, what is wrong with it, and whether it ends in CRLF."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if number == 1 and (reason := _no_jsonl(line)):
            yield 1, reason, False
            return
        if len(line) > MAX_LINE:
            yield number, f"the line is longer than {MAX_LINE // 2**20} MiB", False
            while line and not line.endswith(b"\n"):
                line = file.readline(_PIECE)
            continue
        whole = line.endswith(b"\n")
        try:
            _check(kind, line)
        except ValueError as exc:
            reason = _describe(exc, line)
            if not whole and isinstance(exc, orjson.JSONDecodeError):
                reason = "the file ends in the middle of this line: it was cut off"
            yield number, reason, line.endswith(b"\r\n")
        else:
            yield number, "", line.endswith(b"\r\n")


def _no_jsonl(line: bytes) -> str:
    """Why the file as a whole is none of JSON lines."""
    for magic, reason in _NO_JSONL:
        if line.startswith(magic):
            return reason
    if line.lstrip().startswith(b"["):
        return "the file is a JSON array; write one object a line, such as with: jq -c '.[]'"
    return ""


def _check(kind: Kind, line: bytes) -> None:
    if not line.strip():
        raise _FaultError("the line is empty")
    record = orjson.loads(line)
    if not isinstance(record, dict):
        raise _FaultError(f"a JSON object is expected, not {type(record).__name__}")
    if kind is not Kind.RESOURCES or not _is_resource(record):
        _MODELS[kind].model_validate(record)
    if (key := _repeated_key(line, record)) is not None:
        raise _FaultError(f"the key {printable(key, 80)!r} comes twice in one object")


# The fields of the model without the model: a third of the time, for the many lines in which nothing is wrong.
_FIELDS: Final = TypeAdapter[dict[str, Any]](
    TypedDict(  # type: ignore[operator] # made of the model's own fields
        "_Resource",
        {
            name: field.annotation if field.is_required() else NotRequired[field.annotation]
            for name, field in Resource.model_fields.items()
        },
    )
)


def _is_resource(record: dict[str, Any]) -> bool:
    """Whether the model would take it; why not is for the model to say."""
    try:
        _FIELDS.validate_python(record)
    except ValidationError:
        return False
    return True


class _FaultError(ValueError):
    """Raised when a line breaks a rule that neither JSON nor the models know."""


def _describe(exc: ValueError, line: bytes) -> str:
    """Why a line was refused, with the field where it is one's."""
    if isinstance(exc, ValidationError):
        errors = exc.errors(include_url=False, include_context=False, include_input=False)
        told = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'the object'}: {error['msg']}" for error in errors[:_SHOWN]
        )
        return printable(told, _CLIP)
    if isinstance(exc, orjson.JSONDecodeError):
        try:
            line.decode()
        except UnicodeDecodeError as fault:
            return f"byte {fault.start + 1} of the line is no UTF-8"
        return printable(f"not JSON: {exc.msg}, at character {exc.pos + 1}", _CLIP)
    return printable(str(exc), _CLIP)


def _repeated_key(line: bytes, record: dict[str, Any]) -> str | None:
    # Every pair has a colon of its own, so where there are no more colons than keys, no key was read twice. The same
    # holds where the line is what would be written of it. The exact way takes five times as long.
    pairs = len(record) + sum(len(value) for value in record.values() if isinstance(value, dict))
    if line.count(b":") == pairs:
        return None
    with suppress(TypeError):  # it writes less deeply than it reads
        if orjson.dumps(record) == line.rstrip():
            return None
    repeated: list[str] = []

    def look(found: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in found:
            if key in seen:
                repeated.append(key)
            seen.add(key)

    try:
        json.loads(line, object_pairs_hook=look)
    except RecursionError:
        raise _FaultError("its values are nested too deeply") from None
    return repeated[0] if repeated else None
