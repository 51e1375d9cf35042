"""Checks an uploaded JSONL file line by line while it arrives, as a workspace that takes nothing wrong."""

from __future__ import annotations

import abc
from typing import Any, Final

import orjson
from pydantic import ValidationError
from typing_extensions import override

from secoda_async.models import DeclaredLineage, InternalResource, Resource, TablesFromSQLQuery
from secoda_async.reading import MAX_LINE

_CLIP: Final = 200
_DEEPEST: Final = 254  # what is read may be nested deeper than what orjson writes


class RejectedLineError(Exception):
    """Raised when a line is refused. ``line`` counts from 1; ``content`` is the line, clipped."""

    def __init__(self, file: str, line: int, reason: str, content: bytes) -> None:
        shown = content[:_CLIP].decode("utf-8", "replace")
        self.file = file
        self.line = line
        self.reason = reason
        self.content = shown if len(content) <= _CLIP else f"{shown}..."
        super().__init__(f"{file}, line {line}: {reason}: {self.content}")


class _FaultError(ValueError):
    """Raised when a line breaks a rule that neither JSON nor the models know."""


class CheckedFile(abc.ABC):
    """One file, fed in pieces of any size.

    Usage: ``file.feed(piece)`` for each piece, then ``file.finish()``. Raises RejectedLineError at the first line that
    is not what the platform documents; a last line needs no newline.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines = 0
        self._rest = bytearray()

    def feed(self, piece: bytes) -> None:
        """Check every line that this piece completes."""
        *lines, rest = piece.split(b"\n")
        if lines:
            self._rest += lines[0]
            lines[0] = bytes(self._rest)
            self._rest.clear()
            for line in lines:
                self._check(line)
        self._rest += rest
        if len(self._rest) > MAX_LINE:
            self._check(bytes(self._rest))

    def finish(self) -> None:
        """Check what follows the last newline."""
        if self._rest:
            self._check(bytes(self._rest))
            self._rest.clear()

    @abc.abstractmethod
    def _take(self, record: dict[str, Any], line: bytes) -> None:
        """Keep a record. Raises ValueError where it is refused."""

    def _check(self, line: bytes) -> None:
        self.lines += 1
        try:
            if len(line) > MAX_LINE:
                raise _FaultError(f"longer than {MAX_LINE} bytes")
            record = orjson.loads(line)
            if not isinstance(record, dict):
                raise _FaultError(f"a JSON object is expected, not {type(record).__name__}")
            if line.count(b"{") + line.count(b"[") > _DEEPEST and not _can_be_written(record):
                raise _FaultError(f"nested more than {_DEEPEST} deep")
            self._take(record, line)
        except ValueError as exc:
            raise RejectedLineError(self.name, self.lines, _reason(exc), line) from None


class ResourcesFile(CheckedFile):
    """Resources by id. Where an id comes twice the last one counts, as the published examples need."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.resources: dict[str, bytes] = {}

    @override
    def _take(self, record: dict[str, Any], line: bytes) -> None:
        resource = Resource.model_validate(record)
        if not resource.databuilder_id:
            raise _FaultError("databuilder_id is empty")
        self.resources[resource.databuilder_id] = line


class LineageFile(CheckedFile):
    """Lineages in the order in which they first came, without repeats."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.lineage: dict[bytes, None] = {}

    @override
    def _take(self, record: dict[str, Any], line: bytes) -> None:
        lineage = DeclaredLineage.model_validate(record)
        if isinstance(lineage.to_identifier, TablesFromSQLQuery):
            raise _FaultError("to_identifier never takes tables_from_query")
        for name in ("from_identifier", "to_identifier"):
            end = getattr(lineage, name)
            if isinstance(end, InternalResource) and not end.databuilder_id:
                raise _FaultError(f"{name}.databuilder_id is empty")
        # Sorted keys make two lines of the same lineage the same bytes.
        self.lineage[orjson.dumps(record, option=orjson.OPT_SORT_KEYS)] = None


def _can_be_written(record: dict[str, Any]) -> bool:
    try:
        orjson.dumps(record)
    except orjson.JSONEncodeError:
        return False
    return True


def _reason(exc: ValueError) -> str:
    if isinstance(exc, ValidationError):
        return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()[:3])
    if isinstance(exc, orjson.JSONDecodeError):
        return f"not JSON in UTF-8 ({exc.msg})"
    return str(exc)
