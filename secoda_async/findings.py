"""What went wrong in a run: losses, which make it incomplete, and findings, which are only reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pydantic import BaseModel

_SAMPLES: Final = 100  # kept of each list, so that a run which fails a million times stays small


class Loss(BaseModel):
    """Data that the run should hold and does not."""

    message: str
    request: bool = False
    """Whether it is a request that failed, which the caller may have caught."""


class Finding(BaseModel):
    """Something a person should look at; it does not make the run incomplete."""

    code: str
    """Kind of finding, such as ``unknown-keyword``; the same in every run."""
    subject: str
    """What it is about, such as ``Resource.table``."""
    message: str
    count: int = 1
    """How often it was seen."""


class Losses:
    """What is missing, bounded: the first are kept, all are counted."""

    def __init__(self) -> None:
        self.kept: list[Loss] = []
        self.count = 0
        self._cancelled: list[str] = []
        self._cancelled_count = 0

    def add(self, message: str, *, request: bool) -> None:
        """Count a loss."""
        self.count += 1
        if len(self.kept) < _SAMPLES:
            self.kept.append(Loss(message=message, request=request))

    def cancel(self, message: str) -> None:
        """Count what was cut off, which is a loss where what it belongs to goes on without it."""
        self._cancelled_count += 1
        if len(self._cancelled) < _SAMPLES:
            self._cancelled.append(message)

    def lose_cancelled(self) -> None:
        """It went on: what was cut off is lost. (Where an error ends it, that is the error's mere consequence.)"""
        for message in self._cancelled:
            self.add(message, request=True)
        self.count += self._cancelled_count - len(self._cancelled)
        self._cancelled, self._cancelled_count = [], 0

    def pour(self, into: Losses) -> None:
        """Count all of it there instead."""
        for loss in self.kept:
            into.add(loss.message, request=loss.request)
        into.count += self.count - len(self.kept)
        for message in self._cancelled:
            into.cancel(message)
        into._cancelled_count += self._cancelled_count - len(self._cancelled)


class Ledger:
    """What was lost in a part of a run whose policy may absorb it.

    ``absorbs`` tells of an error whether it may; a loss without an error is of none.
    """

    def __init__(self, owner: Findings, outer: Ledger | None, absorbs: Callable[[BaseException], bool]) -> None:
        self.owner = owner
        self.absorbed = Losses()
        self.unabsorbed = Losses()
        self._outer = outer
        self._absorbs = absorbs
        self._is_closed = False
        self._is_absorbed = False

    def book(self, error: BaseException | None) -> Losses | None:
        """Where a loss belongs now; None: to a part that was absorbed as a whole, so that it is no loss."""
        if self._is_absorbed:
            return None
        if self._is_closed:
            return self.outer(error)
        return self.absorbed if error is not None and self._absorbs(error) else self.unabsorbed

    def outer(self, error: BaseException | None) -> Losses | None:
        """The same, one part further out."""
        return self.owner.run if self._outer is None else self._outer.book(error)

    def is_within(self, other: Ledger) -> bool:
        """Whether it is the ledger of the same part, or of one inside it."""
        return self is other or (self._outer is not None and self._outer.is_within(other))

    @property
    def count(self) -> int:
        """Losses in all."""
        return self.absorbed.count + self.unabsorbed.count

    @property
    def first(self) -> str:
        """What was lost first."""
        return next((loss.message for book in (self.unabsorbed, self.absorbed) for loss in book.kept), "")

    def lose_cancelled(self) -> None:
        """It went on: what was cut off is lost."""
        self.unabsorbed.lose_cancelled()

    def absorb(self) -> None:
        """All of it, and whatever of it is still found, is no loss of the run."""
        self._is_closed = self._is_absorbed = True

    def give_back(self) -> None:
        """Nothing is absorbed: it is lost to what is around."""
        self._is_closed = True
        if (book := self.outer(None)) is not None:
            self.absorbed.pour(book)
            self.unabsorbed.pour(book)


_ledger: Final[ContextVar[Ledger | None]] = ContextVar("secoda_async_ledger", default=None)


def current_ledger() -> Ledger | None:
    """The ledger of the part of a run that the running task belongs to."""
    return _ledger.get()


class Findings:
    """Collects the losses and findings of one run."""

    def __init__(self) -> None:
        self.run = Losses()
        self._findings: dict[tuple[str, str], Finding] = {}
        self._overflow = 0

    @property
    def losses(self) -> list[Loss]:
        """The first of them."""
        return self.run.kept

    @property
    def loss_count(self) -> int:
        return self.run.count

    @property
    def ledger(self) -> Ledger | None:
        """The ledger of the part of the run that the running task belongs to."""
        found = _ledger.get()
        return found if found is not None and found.owner is self else None

    @contextmanager
    def apart(self, absorbs: Callable[[BaseException], bool]) -> Iterator[Ledger]:
        """Book what is lost inside, and in tasks that are started inside, in a ledger of its own."""
        outer = self.ledger
        ledger = Ledger(self, outer, absorbs)
        _ledger.set(ledger)
        try:
            yield ledger
        finally:
            _ledger.set(outer)

    def lose(
        self,
        message: str,
        *,
        request: bool = False,
        error: BaseException | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Count a loss: from here on the run is incomplete, unless the policy of its scope absorbs it.

        ``ledger`` is that of the part it belongs to; None: the running task's.
        """
        if (book := self._book(error, ledger)) is not None:
            book.add(message, request=request)

    def cancel(self, message: str) -> None:
        """Count a request that was cancelled: a loss if the run goes on without it, see `lose_cancelled`."""
        if (book := self._book(None, None)) is not None:
            book.cancel(message)

    def lose_cancelled(self) -> None:
        """The run went on: what was cut off is lost."""
        self.run.lose_cancelled()

    def _book(self, error: BaseException | None, ledger: Ledger | None) -> Losses | None:
        ledger = ledger or self.ledger
        return self.run if ledger is None else ledger.book(error)

    def find(self, code: str, subject: str, message: str) -> None:
        """Count a finding; the first message of a code and subject is the one that is kept."""
        known = self._findings.get((code, subject))
        if known is not None:
            known.count += 1
        elif len(self._findings) < _SAMPLES:
            self._findings[code, subject] = Finding(code=code, subject=subject, message=message)
        else:
            self._overflow += 1

    def list(self) -> list[Finding]:
        """The findings, in the order in which they were first seen."""
        found = [*self._findings.values()]
        if self._overflow:
            text = f"{self._overflow} further findings were counted and not kept"
            found.append(Finding(code="more-findings", subject="run", message=text, count=self._overflow))
        return found
