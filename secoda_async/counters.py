"""What the layers count: one object a run, read live by progress and at the end by the report."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

FIRST_SLOTS: Final = 8
MOST_SLOTS: Final = 2000


@dataclass(slots=True)
class Pace:
    """What a host is given, where that is found out while it answers."""

    slots: int = FIRST_SLOTS
    """Requests in flight at once."""
    rate: float | None = None
    """Requests a second, where the host was found to limit them."""
    raised: int = 0
    """How often either was raised."""
    cut: Counter[str] = field(default_factory=Counter)
    """How often either was lowered, by cause: ``refused``, ``timed out``, ``broken``, or ``slower`` round trips."""


@dataclass(slots=True)
class Traffic:
    """Requests to one side: the source, or the workspace that takes the upload."""

    requests: int = 0
    """Calls of the client."""
    attempts: int = 0
    """Requests that went out: at least one for each call, one more for each retry and redirect."""
    in_flight: int = 0
    """Calls of the client that have not ended, those that wait included."""
    waiting: int = 0
    """Requests that wait for a rate limit or a free slot now."""
    waited: float = 0.0
    """Seconds that requests waited there, added up."""
    backing_off: int = 0
    """Requests that wait before a retry now."""
    retries: Counter[str] = field(default_factory=Counter)
    """Repeats, by cause."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Answers, by status."""
    paces: dict[str, Pace] = field(default_factory=dict)
    """What each host is given, by its name in ``rate_limits`` or its host and port; empty where that is fixed."""
    bytes_received: int = 0
    """Decoded bytes of bodies."""
    body_size: int = 0
    """Bytes of the upload that is being sent, all of its requests together; 0 where nothing is uploaded."""
    body_sent: int = 0
    """Bytes of it that were given to the network; a repeated attempt begins anew."""
    served: int = 0
    """Exchanges that a journal answered, so that nothing was sent."""
    recorded: int = 0
    """Exchanges that were written to the run's journal."""
    revalidated: int = 0
    """Answers that the source said had not changed (304), whose body came from an earlier journal."""


@dataclass(slots=True)
class Counters:
    """All counts of one run."""

    source: Traffic = field(default_factory=Traffic)
    upload: Traffic = field(default_factory=Traffic)
    resources: Counter[str] = field(default_factory=Counter)
    """Declared resources, by entity type."""
    lineage: int = 0
    """Declared lineages."""
    rejected: int = 0
    """Records that could not be taken."""
    scopes: Counter[str] = field(default_factory=Counter)
    """Scopes that have ended, by how: ``live``, ``carried``, ``skipped`` or ``failed``."""
    undelivered: int = 0
    """Bytes declared and not yet written."""
    undelivered_peak: int = 0
    delivered: int = 0
    """Bytes written to the spool."""
