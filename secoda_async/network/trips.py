"""Requests on their way to a host and back, and what their ends say about the load it can take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

_SHORTEST: Final = 1e-6  # seconds: a loop's clock may stand still between two of its turns


class Outcome(Enum):
    """What the end of a request says about the load its host can take."""

    GOOD = "answered"
    NEUTRAL = "neutral"
    READING = "being read"
    """Its head came, its body is the caller's to read: nothing about the load."""
    REFUSED = "refused"
    TOLD = "told to wait"
    OVERLOADED = "overloaded"
    """One may have a cause of its own; several in a round trip are refusals."""
    TIMED_OUT = "timed out"
    BROKEN = "broken"
    """One may have a cause of its own; several in a round trip are too much load."""


@dataclass(slots=True, eq=False)
class Round:
    """Requests that left one after another, about as many as there were slots: what they took says how the host is."""

    began: float
    size: int
    left: int = 0
    ended: int = 0
    full: int = 0
    """How many of them took the last free slot."""
    peak: int = 0
    """The most that were in flight when one of them left."""
    per_second: float = 0.0
    """How fast they left; set when all have."""
    timed: int = 0
    total: float = 0.0
    """Seconds that the timed ones took, added up."""
    squares: float = 0.0

    @property
    def mean(self) -> float:
        return max(self.total / self.timed, _SHORTEST)

    @property
    def spread(self) -> float:
        """Their standard deviation in seconds."""
        return math.sqrt(max(0.0, self.squares / self.timed - self.mean**2))


class Ticket(NamedTuple):
    """A request that is under way."""

    left: float
    in_flight: int
    """How many were, itself included, when it left."""
    fresh: bool
    """Whether it opened a connection, as far as one can tell."""
    round: Round
