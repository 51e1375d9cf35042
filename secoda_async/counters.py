"""What the layers count: one object a run, read live by progress and at the end by the report."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from secoda_async.histogram import Histogram
from secoda_async.settings import RateLimit

FIRST_SLOTS: Final = 8
MOST_SLOTS: Final = 2000
_NOT_SEEN: Final = object()


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
class EndpointCounts:
    """The requests to one endpoint, each attempt by itself."""

    latency: Histogram = field(default_factory=Histogram)
    """Of those that were answered: from leaving the limit to the last byte, or to the head of a streamed answer."""
    statuses: dict[int, int] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    """Those that had no answer, by the name of the error."""
    auth_kinds: set[str] = field(default_factory=set)
    """Kinds of credentials that were sent: ``none``, ``basic``, ``bearer``, ``api key``, ``oauth2`` or ``custom``."""
    last_auth: object = _NOT_SEEN
    """What was looked at last, so that the next one with the same is not looked at again."""

    @property
    def requests(self) -> int:
        """Those that were answered, and those that failed; not those that were cut off."""
        return sum(self.statuses.values()) + self.errors.total()

    def merge(self, other: "EndpointCounts") -> None:
        """Count what another one has counted."""
        self.latency.merge(other.latency)
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        self.errors += other.errors
        self.auth_kinds |= other.auth_kinds


@dataclass(slots=True)
class LimitUse:
    """How much of one declared rate was used."""

    limit: RateLimit
    requests: int = 0
    """Those that left under it; one of ``weight=5`` counts five times."""


@dataclass(slots=True)
class HostLoad:
    """What the requests to one host took together."""

    peak: int = 0
    """The most that were in flight at once."""
    limits: list[tuple[str, LimitUse]] = field(default_factory=list)
    """Each declared rate, by its key in ``rate_limits``."""
    endpoints: list[Callable[[], Iterable[EndpointCounts]]] = field(default_factory=list)
    """Each gives the counts of some of its endpoints."""


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
    overdue: bool = False
    """Whether the last answer waited for the event loop, so that more requests at once would only wait there too."""
    waited: float = 0.0
    """Seconds that requests waited there, added up."""
    waits: dict[str, float] = field(default_factory=dict)
    """The same by cause: a declared ``limit``, a free ``slot``, a ``pause`` that the server asked for, a used-up
    ``quota``, a ``rate`` that was found out; and the seconds of every ``back-off`` besides."""
    backing_off: int = 0
    """Requests that wait before a retry now."""
    retries: Counter[str] = field(default_factory=Counter)
    """Repeats, by cause."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Answers, by status."""
    paces: dict[str, Pace] = field(default_factory=dict)
    """What each host is given, by its name in ``rate_limits`` or its host and port; empty where that is fixed."""
    endpoints: list[Iterable[tuple[str, str, str, EndpointCounts]]] = field(default_factory=list)
    """Of each client: host, method, path template and counts of each endpoint."""
    hosts: dict[str, HostLoad] = field(default_factory=dict)
    """By the name of the gate: host and port, or the host where one limit is for all of its ports."""
    longest_chain: float = 0.0
    """Seconds of latency of the longest chain of requests, each made after the answer of the one before."""
    seconds_without: float = 0.0
    """Seconds between requests, while no call of the client was under way."""
    bytes_sent: int = 0
    """Bytes of bodies, of every attempt."""
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
    resources: dict[str, int] = field(default_factory=dict)
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
    backpressure: float = 0.0
    """Seconds that awaited declares waited for the queue, added up."""
    extraction: float = 0.0
    """Seconds that ``extract`` took."""
    loop_busy: float = 0.0
    """Processor seconds of the event loop's thread meanwhile."""
