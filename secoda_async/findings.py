"""What went wrong in a run: losses, which make it incomplete, and findings, which are only reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pydantic import BaseModel
from typing_extensions import override

_SAMPLES: Final = 100  # kept of each list, so that a run which fails a million times stays small


class Loss(BaseModel):
    """Data that the run should hold and does not."""

    message: str
    request: bool = False
    """Whether it is a request that failed, which the caller may have caught."""
    error: str = ""
    """The name of the error, where there was one."""


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
        self._cancelled: list[Loss] = []
        self._cancelled_count = 0

    def lose(self, message: str, *, request: bool = False, error: BaseException | None = None) -> None:
        """Count a loss. ``error`` is for those who may absorb it."""
        self.count += 1
        if len(self.kept) < _SAMPLES:
            name = "" if error is None else type(error).__name__
            self.kept.append(Loss(message=message, request=request, error=name))

    def cancel(self, message: str, *, request: bool) -> None:
        """Count what was cut off, which is a loss where what it belongs to goes on without it."""
        self._cancelled_count += 1
        if len(self._cancelled) < _SAMPLES:
            self._cancelled.append(Loss(message=message, request=request))

    def lose_cancelled(self) -> None:
        """It went on: what was cut off is lost. (Where an error ends it, that is the error's mere consequence.)"""
        cancelled, rest = self._cancelled, self._cancelled_count - len(self._cancelled)
        self._cancelled, self._cancelled_count = [], 0
        for loss in cancelled:
            self.lose(loss.message, request=loss.request)
        self.more(rest)

    def more(self, losses: int, cancelled: int = 0) -> None:
        """Count so many that were not kept."""
        self.count += losses
        self._cancelled_count += cancelled


class Ledger(Losses):
    """What was lost in a part of a run whose policy may absorb it.

    ``absorbs`` tells of an error whether it may; a loss without an error is of none.
    """

    def __init__(self, owner: Findings, outer: Ledger | None, absorbs: Callable[[BaseException], bool]) -> None:
        super().__init__()
        self.owner = owner
        self.unabsorbed = 0
        """Losses that the policy does not name."""
        self._errors: list[BaseException | None] = []
        self._outer = outer
        self._absorbs = absorbs
        self._is_closed = False
        self._is_absorbed = False

    @override
    def lose(self, message: str, *, request: bool = False, error: BaseException | None = None) -> None:
        if self._is_closed:
            if not self._is_absorbed:  # else it is of a part that was absorbed as a whole
                self._around.lose(message, request=request, error=error)
            return
        super().lose(message, request=request, error=error)
        if len(self._errors) < len(self.kept):
            self._errors.append(error)  # what is around may have another policy
        self.unabsorbed += error is None or not self._absorbs(error)

    @override
    def cancel(self, message: str, *, request: bool) -> None:
        if not self._is_closed:
            super().cancel(message, request=request)
        elif not self._is_absorbed:
            self._around.cancel(message, request=request)

    @override
    def more(self, losses: int, cancelled: int = 0) -> None:
        super().more(losses, cancelled)
        self.unabsorbed += losses

    def is_within(self, other: Ledger) -> bool:
        """Whether it is the ledger of the same part, or of one inside it."""
        return self is other or (self._outer is not None and self._outer.is_within(other))

    @property
    def first(self) -> str:
        """What was lost first."""
        return self.kept[0].message if self.kept else ""

    def absorb(self) -> None:
        """All of it, and whatever of it is still found, is no loss of the run."""
        self._is_closed = self._is_absorbed = True

    def give_back(self) -> None:
        """Nothing is absorbed: it is lost to what is around."""
        self._is_closed = True
        around = self._around
        for loss, error in zip(self.kept, self._errors, strict=True):
            around.lose(loss.message, request=loss.request, error=error)
        for loss in self._cancelled:
            around.cancel(loss.message, request=loss.request)
        around.more(self.count - len(self.kept), self._cancelled_count - len(self._cancelled))

    @property
    def _around(self) -> Losses:
        return self.owner.run if self._outer is None else self._outer


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
        (ledger or self.ledger or self.run).lose(message, request=request, error=error)

    def cancel(self, message: str, *, request: bool = False) -> None:
        """Count a request or a scope that was cut off: a loss if the run goes on without it, see `lose_cancelled`."""
        (self.ledger or self.run).cancel(message, request=request)

    def lose_cancelled(self) -> None:
        """The run went on: what was cut off is lost."""
        self.run.lose_cancelled()

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
