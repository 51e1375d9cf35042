"""What went wrong in a run: losses, which make it incomplete, and findings, which are only reported."""

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


class Findings:
    """Collects them, bounded: the first of each are kept, all are counted."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.loss_count = 0
        self._cancelled: list[str] = []
        self._cancelled_count = 0
        self._findings: dict[tuple[str, str], Finding] = {}
        self._overflow = 0

    def lose(self, message: str, *, request: bool = False) -> None:
        """Count a loss: from here on the run is incomplete."""
        self.loss_count += 1
        if len(self.losses) < _SAMPLES:
            self.losses.append(Loss(message=message, request=request))

    def cancel(self, message: str) -> None:
        """Count a request that was cancelled: a loss if the run goes on without it, see `lose_cancelled`."""
        self._cancelled_count += 1
        if len(self._cancelled) < _SAMPLES:
            self._cancelled.append(message)

    def lose_cancelled(self) -> None:
        """The run went on: what was cancelled is lost. (Where an error ends the run, they are its mere consequence.)"""
        for message in self._cancelled:
            self.lose(message, request=True)
        self.loss_count += self._cancelled_count - len(self._cancelled)
        self._cancelled, self._cancelled_count = [], 0

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
