"""Attribution: which part of a run a record belongs to, by the context that it is declared in."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from secoda_async.spool_index import ROOT, Kind


@dataclass(slots=True)
class OpenBatch:
    """Lines of one scope and kind that have not crossed the queue."""

    kind: Kind
    lines: bytearray = field(default_factory=bytearray)
    records: int = 0


@dataclass(slots=True, eq=False)
class Scope:
    """What is declared in one part of a run, until it is known how that part ends."""

    id: int
    name: str
    owner: object
    """The intake that it belongs to."""
    outer: Scope | None
    resources: OpenBatch = field(default_factory=lambda: OpenBatch(Kind.RESOURCES))
    lineage: OpenBatch = field(default_factory=lambda: OpenBatch(Kind.LINEAGE))
    inner: int = 0
    """Scopes within it that have not ended."""
    ended: bool = False

    @property
    def parent(self) -> int:
        """The id of the scope around it."""
        return ROOT if self.outer is None else self.outer.id

    @property
    def size(self) -> int:
        """Bytes that wait here."""
        return len(self.resources.lines) + len(self.lineage.lines)

    def batches(self) -> tuple[OpenBatch, OpenBatch]:
        """Its open batches."""
        return self.resources, self.lineage


current_scope: Final[ContextVar[Scope | None]] = ContextVar("secoda_async_scope", default=None)
"""The scope of the running task; tasks that it starts inherit it."""
