"""What judging a dataset came to; it stands in the report and in ``validate --json``."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, computed_field
from typing_extensions import override

SAMPLES = 5
"""Kept of each breach; the rest are counted."""


class Severity(StrEnum):
    """What a breach costs."""

    ERROR = "error"
    """Nothing is delivered."""
    WARNING = "warning"
    """It is said, and delivered."""


class Sample(BaseModel):
    """One record that breaks a rule. Its texts are clipped, and hold nothing that a terminal would obey."""

    model_config = ConfigDict(frozen=True)

    file: str
    line: int
    """Counted from 1."""
    id: str
    """The ``databuilder_id`` it is about; empty where there is none."""
    note: str = ""
    """What is wrong with this one."""

    @override
    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.file}:{self.line}", self.id, self.note and f"({self.note})")))


class Breach(BaseModel):
    """One rule that is broken, however often.

    Usage: ``for breach in verdict.breaches: print(breach.rule, breach.count, breach.message)``.
    """

    model_config = ConfigDict(frozen=True)

    rule: str
    """Its id, as in the table of rules."""
    severity: Severity
    """After ``strict``."""
    count: int
    """How many records (or ids, or lines) break it."""
    message: str
    """What is wrong."""
    to_do: str
    """What a person does about it."""
    samples: tuple[Sample, ...] = ()
    """The first 5, in the order of lines."""


class Verdict(BaseModel):
    """What a dataset came to.

    Usage: ``verdict = await judge_dataset(dataset, folder); verdict.passed``.
    """

    model_config = ConfigDict(frozen=True)

    resources: int
    """Lines of resources that were judged."""
    lineage: int
    """Lines of lineage that were judged."""
    breaches: tuple[Breach, ...] = ()
    """Errors first, each kind in the order of the table of rules."""

    @property
    def errors(self) -> tuple[Breach, ...]:
        """The breaches that stop a delivery."""
        return tuple(breach for breach in self.breaches if breach.severity is Severity.ERROR)

    @computed_field  # type: ignore[prop-decorator] # mypy has no decorated properties
    @property
    def passed(self) -> bool:
        """Whether it may be delivered."""
        return not self.errors
