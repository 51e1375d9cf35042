"""How near an extraction came to the least time that it could have taken, and where the rest went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Self

from pydantic import BaseModel

from secoda_async.counters import Counters, HostLoad, Traffic
from secoda_async.settings import RateLimit

_SPREAD: Final = 1.0  # seconds over which a declared burst is spread, as `RateLimit` says


class EfficiencyReport(BaseModel):
    """An estimate: the least time in which these requests could have been made, over the time that they took.

    It takes the latencies as they were measured (a source that one asks less may answer faster), and takes the requests
    that one task makes one after the other for dependent, and so the items of a listing of its page. What a task
    learns from others by ``asyncio.gather``, a task group or a queue of its own is not seen, so the longest chain may
    be longer than it says, and the run better. The time of your own code, of retries' back-offs and of writing is not
    in the least time. Answers of a journal cost nothing, and streamed ones until their head.
    """

    seconds: float
    """What ``extract`` took."""
    least_seconds: float
    """The most of ``chain_seconds``, ``limit_seconds`` and ``slot_seconds``."""
    efficiency: float | None
    """``least_seconds`` over ``seconds``, at most 1; None where nothing was asked."""
    bound: str
    """What the least time comes of: ``chain``, ``limit KEY``, ``slots of HOST``, or ``nothing``."""
    chain_seconds: float
    """Latency of the longest chain of requests, each made after the answer of the one before."""
    limit_seconds: float
    """What the slowest declared limit allows: its windows, each used at its very beginning, and the last answer."""
    slot_seconds: float
    """All latency of a host over its ``concurrency``; where that is found out, over the most that it was given,
    and nothing where no request waited for a slot."""
    waited_seconds: dict[str, float]
    """Seconds that requests waited, added up over all that waited together, by cause: a declared ``limit``, a free
    ``slot``, a ``pause`` or a ``quota`` that the server told of, a ``rate`` that was found out, ``back-off`` before a
    retry."""
    backpressure_seconds: float
    """Seconds that awaited declares waited for the disk or a streaming sink, added up over all that waited together."""
    without_requests_seconds: float
    """Seconds in which no request was under way: your own code, or waiting for something else."""
    loop_busy_seconds: float
    """Processor seconds of the event loop's thread: parsing, your own code, and this package's."""

    @classmethod
    def of(cls, counters: Counters, concurrency: int | None) -> Self:
        """``concurrency`` is the setting: slots of each host, or None where they are found out."""
        source = counters.source
        bounds = [(source.longest_chain, "chain"), *_by_limits(source), *_by_slots(source, concurrency)]
        least, bound = max(bounds)
        seconds = counters.extraction
        return cls(
            seconds=round(seconds, 3),
            least_seconds=round(least, 3),
            efficiency=round(min(1.0, least / seconds), 3) if least > 0 and seconds > 0 else None,
            bound=bound if least > 0 else "nothing",
            chain_seconds=round(source.longest_chain, 3),
            limit_seconds=round(max((one for one, _ in _by_limits(source)), default=0.0), 3),
            slot_seconds=round(max((one for one, _ in _by_slots(source, concurrency)), default=0.0), 3),
            waited_seconds=waits_of(source),
            backpressure_seconds=round(counters.backpressure, 3),
            without_requests_seconds=round(source.seconds_without, 3),
            loop_busy_seconds=round(counters.loop_busy, 3),
        )


def waits_of(traffic: Traffic) -> dict[str, float]:
    """Seconds that requests waited, by cause, those under a millisecond left out."""
    rounded = {cause: round(waited, 3) for cause, waited in sorted(traffic.waits.items())}
    return {cause: waited for cause, waited in rounded.items() if waited}


def least_time(limit: RateLimit, requests: int) -> float:
    """Seconds from the first to the last of so many requests under a limit.

    Each window's requests leave at its very beginning; where ``burst`` is declared, those over it one by one.
    """
    if requests < 1:
        return 0.0
    windows, place = divmod(requests - 1, limit.requests)
    after_burst = 0 if limit.burst is None else max(0, place + 1 - limit.burst)
    return windows * limit.per + after_burst * min(limit.per, _SPREAD) / limit.requests


def _by_limits(traffic: Traffic) -> Iterator[tuple[float, str]]:
    for load in traffic.hosts.values():
        for key, use in load.limits:
            yield least_time(use.limit, use.requests) + _fastest(load), f"limit {key}"


def _by_slots(traffic: Traffic, concurrency: int | None) -> Iterator[tuple[float, str]]:
    if concurrency is None and "slot" not in waits_of(traffic):
        return  # there might have been more of them, had anybody waited for one
    for host, load in traffic.hosts.items():
        total = sum(counts.latency.total for each in load.endpoints for counts in each())
        pace = traffic.paces.get(host)
        found = load.peak if pace is None else max(load.peak, pace.slots)
        yield total / max(1, concurrency or found), f"slots of {host}"


def _fastest(load: HostLoad) -> float:
    answered = (counts.latency for each in load.endpoints for counts in each())
    return min((latency.percentile(0.0) for latency in answered if latency.total), default=0.0)
