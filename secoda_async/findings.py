"""What went wrong in a run: losses, which make it incomplete, and findings, which are only reported."""

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

_SAMPLES: Final = 100  # kept of each list, so that a run which fails a million times stays small


class Loss(BaseModel):
    """Data that the run should hold and does not."""

    message: str


class Finding(BaseModel):
    """Something a person should look at; it does not make the run incomplete."""

    code: str
    """Kind of finding, such as ``unknown-keyword``; the same in every run."""
    subject: str
    """What it is about, such as ``Resource.table``."""
    message: str
    count: int = 1
    """How often it was seen."""


@dataclass(slots=True)
class Findings:
    """Collects them, bounded: the first of each are kept, all are counted."""

    losses: list[Loss]
    loss_count: int
    _findings: dict[tuple[str, str], Finding]
    overflow: int

    def __init__(self) -> None:
        self.losses = []
        self.loss_count = 0
        self._findings = {}
        self.overflow = 0

    def lose(self, message: str) -> None:
        """Count a loss: from here on the run is incomplete."""
        self.loss_count += 1
        if len(self.losses) < _SAMPLES:
            self.losses.append(Loss(message=message))

    def find(self, code: str, subject: str, message: str) -> None:
        """Count a finding; the first message of a code and subject is the one that is kept."""
        known = self._findings.get((code, subject))
        if known is not None:
            known.count += 1
        elif len(self._findings) < _SAMPLES:
            self._findings[code, subject] = Finding(code=code, subject=subject, message=message)
        else:
            self.overflow += 1

    def list(self) -> list[Finding]:
        """The findings, in the order in which they were first seen."""
        found = [*self._findings.values()]
        if self.overflow:
            text = f"{self.overflow} further findings were counted and not kept"
            found.append(Finding(code="more-findings", subject="run", message=text, count=self.overflow))
        return found
