"""What was found out about a sync before it was sent."""

from __future__ import annotations

from dataclasses import dataclass

from secoda_async.diff import Diff
from secoda_async.rules.verdict import Verdict


@dataclass(slots=True)
class Checks:
    """Filled on the way, so that a report tells it also where the sync is refused; None: it did not come so far."""

    verdict: Verdict | None = None
    diff: Diff | None = None
