"""What the fault laboratory found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from typing_extensions import override

from secoda_async.testing.difference import Difference
from secoda_async.wording import counted

_MOST_SHOWN: Final = 20


class Outcome(StrEnum):
    """What became of a run that was disturbed."""

    SAME = "same"
    """It delivered the same records."""
    FAILED = "failed"
    """It failed with an error, and delivered nothing."""
    DEGRADED = "degraded"
    """It says of itself that something is missing."""
    NOT_MET = "not met"
    """The request that was to be disturbed did not come."""
    DEFECT = "DEFECT"
    """It says that it is complete, and is not; or it does not end."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One disturbed run, and what became of it."""

    fault: str
    """What was done to it."""
    at: str
    """The request that was disturbed, or the seed."""
    outcome: Outcome
    told: str = ""
    """The error of a run that failed, or what is wrong with one that did not."""
    difference: Difference | None = None
    """Of a defect: how its records differ from those of the undisturbed run."""

    @override
    def __str__(self) -> str:
        return f"{self.outcome}: {self.fault} at {self.at}" + (f": {self.told}" if self.told else "")


@dataclass(frozen=True, slots=True)
class LabReport:
    """Every experiment of a `FaultLab`: ``print(report)``, ``report.assert_ok()``."""

    requests: int
    """Of the undisturbed run."""
    resources: int
    """Of the undisturbed run."""
    experiments: tuple[Experiment, ...]

    @property
    def defects(self) -> tuple[Experiment, ...]:
        """The experiments that found something."""
        return tuple(one for one in self.experiments if one.outcome is Outcome.DEFECT)

    @property
    def ok(self) -> bool:
        """Whether no experiment found anything."""
        return not self.defects

    def assert_ok(self) -> None:
        """Raise AssertionError where there are defects; it tells them all, and what to do."""
        __tracebackhide__ = True
        if self.ok:
            return
        found = self.defects
        lines = [f"- {one.fault} at {one.at}: {one.told}" for one in found[:_MOST_SHOWN]]
        if len(found) > _MOST_SHOWN:
            lines.append(f"  … and {len(found) - _MOST_SHOWN:,} more")
        raise AssertionError(
            "\n".join(
                (
                    f"{counted(len(found), 'defect')} in {counted(len(self.experiments), 'experiment')}:",
                    *lines,
                    "A run that lacks something must fail: let errors pass, call raise_for_status() on every answer, "
                    "read listings with self.paginate (with total= where there is one), and say optional=True only of "
                    "what may be missing; a request that may fail is left alone with spare=.",
                )
            )
        )

    @override
    def __str__(self) -> str:
        """A line for each kind of fault, and one for each defect."""
        counts: dict[str, Counter[Outcome]] = {}
        for one in self.experiments:
            counts.setdefault(one.fault, Counter())[one.outcome] += 1
        rows = [
            f"{fault}: {', '.join(f'{count} {outcome}' for outcome, count in sorted(found.items()))}"
            for fault, found in counts.items()
        ]
        return "\n".join((*rows, *map(str, self.defects)))
