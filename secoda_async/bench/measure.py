"""One run of a benchmark, in the process that it is called in."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from typing_extensions import override

from secoda_async.bench.plan import Concurrency, Conditions, Job
from secoda_async.bench.recording import PreloadedReplay
from secoda_async.counters import Counters
from secoda_async.cpu_sampler import CPUSample, sampled_cpu
from secoda_async.efficiency import EfficiencyReport, least_time
from secoda_async.integration import SecodaIntegration
from secoda_async.load import with_recording
from secoda_async.network.message import Transport
from secoda_async.pipeline.sink import RunInfo, Sink
from secoda_async.report import RunReport, peak_memory
from secoda_async.simulated import Faults, Latency
from secoda_async.spool import Spool

_STATUS: Final = Path("/proc/self/status")
_FORGET_PEAK: Final = Path("/proc/self/clear_refs")
_KEEPS_NOTHING: Final[dict[str, Any]] = {
    "resumable": False,
    "conditional": False,
    "record": None,
    "resume": None,
    "replay": None,
}


class Figures(BaseModel):
    """What one run came to."""

    seconds: float
    """What ``extract`` took."""
    requests: int
    """Calls that ``extract`` made."""
    attempts: int
    """What was answered or failed: one for each request, and one for each repeat."""
    records: int
    """Resources and lineages that were declared."""
    retries: dict[str, int]
    """Repeats, by cause."""
    peak_in_flight: int
    """The most attempts that were under way at once."""
    loop_busy: float
    """Share of the time in which the event loop's thread had the processor."""
    memory_bytes: int | None
    """Peak of memory above what the process had before; None where the platform does not tell."""
    efficiency: float | None
    """The least time over the time it took; latency counts as it was asked for."""
    least_seconds: float
    """The most of ``chain_seconds``, ``slot_seconds`` and ``limit_seconds``."""
    chain_seconds: float
    """Latency of the longest chain of requests, each made after the answer of the one before."""
    slot_seconds: float
    """All latency over the slots; 0 where no request waited for one that was found out."""
    slots: int
    """Requests in flight at once that were allowed, or were found out, to the host with the most latency."""
    limit_seconds: dict[str, float]
    """What each rate limit allows, by its key."""
    waited: dict[str, float]
    """Seconds that requests waited, added up, over all seconds of requests: the share by cause."""
    backpressure: float
    """Share of the time in which awaited declares waited for the disk."""
    without_requests: float
    """Share of the time in which no request was under way."""
    cpu_seconds: float
    """Processor seconds of the thread with the event loop."""
    cpu_shares: dict[str, float]
    """Layer to its share of these; empty where the platform cannot tell."""
    answers: int
    """Answers that the replay gave."""
    replay_seconds: float
    """Seconds that it took itself to find and to give them."""
    in_memory: bool
    """Whether every answer was in memory before the run."""


class Ended(BaseModel):
    """How a run ended."""

    figures: Figures | None = None
    error: str = ""
    """What it ended in, for a person, where it has no figures."""
    is_usage: bool = False
    """Whether that is a setting or a class that cannot be used."""


def measure(job: Job, integration_class: type[SecodaIntegration]) -> Figures:
    """Run an integration on a journal, owning the process. Raises what its run raises, and ConfigurationError."""
    conditions = job.conditions
    random.seed(conditions.seed)  # of the back-offs
    replay = PreloadedReplay(conditions.journal, integration=integration_class.__name__)
    latency = Latency(
        Faults(replay, conditions.error_rate, seed=conditions.seed, repeatable=True)
        if conditions.error_rate
        else replay,
        replay.elapsed if conditions.latency is None else conditions.latency,
        jitter=conditions.jitter,
        seed=conditions.seed,
    )
    integration = made(
        integration_class,
        job.credentials,
        conditions,
        concurrency=job.concurrency,
        state_dir=job.state_dir,
        transport=latency,
    )
    sink = _Nowhere(integration)
    before = _memory("VmRSS")
    _forget_peak()
    with _sampled() as sample:
        report = integration.start(sink)
    peak = _memory("VmHWM")
    memory = None if before is None or peak is None else max(0, peak - before)
    assert sink.counters is not None
    return _figures(report, sink.counters, sample, replay, latency, memory=memory, concurrency=job.concurrency)


def made(
    integration_class: type[SecodaIntegration],
    credentials: dict[str, Any],
    conditions: Conditions,
    *,
    concurrency: Concurrency = None,
    state_dir: Path | None = None,
    transport: Transport | None = None,
) -> SecodaIntegration:
    """An integration as it is measured. Raises ConfigurationError where it cannot be made so."""
    declared = with_recording(integration_class, credentials=credentials, **_KEEPS_NOTHING).settings.rate_limits
    return with_recording(
        integration_class,
        credentials=credentials,
        transport=transport,
        **_KEEPS_NOTHING,
        concurrency=concurrency,
        rate_limits=conditions.rate_limits(declared),
        state_dir=state_dir,
    )


class _Nowhere(Sink):
    """Delivers nothing, and keeps the counters of the run."""

    def __init__(self, integration: SecodaIntegration) -> None:
        self._integration = integration
        self.counters: Counters | None = None

    @override
    async def open(self, run: RunInfo) -> None:
        assert self._integration.current_run is not None
        self.counters = self._integration.current_run.counters

    @override
    async def commit(self, spool: Spool) -> None:
        return

    @override
    async def abort(self, error: BaseException) -> None:
        return


def _figures(
    report: RunReport,
    counters: Counters,
    sample: CPUSample,
    replay: PreloadedReplay,
    latency: Latency,
    *,
    memory: int | None,
    concurrency: Concurrency,
) -> Figures:
    source = counters.source
    told = EfficiencyReport.of(counters, concurrency)
    seconds = counters.extraction
    answered = sum(
        counts.latency.total for load in source.hosts.values() for each in load.endpoints for counts in each()
    )
    # What was measured holds the time in which answers lay ready while the loop was busy with something else.
    asked_for = min(1.0, latency.added / answered) if answered else 1.0
    limits: dict[str, float] = {}
    for key, use in (each for load in source.hosts.values() for each in load.limits):  # a key may have several
        limits[key] = max(limits.get(key, 0.0), least_time(use.limit, use.requests))
    chain, slots = told.chain_seconds * asked_for, told.slot_seconds * asked_for
    least = max(chain, slots, *limits.values(), 0.0)
    lived = answered + sum(source.waits.values())
    peak = sum(load.peak for load in source.hosts.values())
    found = max((pace.slots for pace in source.paces.values()), default=0)
    return Figures(
        seconds=seconds,
        requests=source.requests,
        attempts=sum(counts.requests for load in source.hosts.values() for each in load.endpoints for counts in each()),
        records=sum(counters.resources.values()) + counters.lineage,
        retries=dict(source.retries),
        peak_in_flight=peak,
        loop_busy=min(1.0, counters.loop_busy / seconds) if seconds else 0.0,
        memory_bytes=memory,
        efficiency=min(1.0, least / seconds) if least and seconds else None,
        least_seconds=least,
        chain_seconds=chain,
        slot_seconds=slots,
        slots=concurrency or max(found, *(load.peak for load in source.hosts.values()), 0),
        limit_seconds=limits,
        waited={cause: waited / lived for cause, waited in source.waits.items()} if lived else {},
        backpressure=min(1.0, counters.backpressure / seconds / max(1, peak)) if seconds else 0.0,
        without_requests=min(1.0, source.seconds_without / seconds) if seconds else 0.0,
        cpu_seconds=sample.seconds,
        cpu_shares=sample.shares(),
        answers=replay.given,
        replay_seconds=max(replay.busy, replay.reading),
        in_memory=replay.is_whole,
    )


@contextmanager
def _sampled() -> Iterator[CPUSample]:
    if sys.platform == "win32":  # nothing to sample with
        yield CPUSample()
        return
    with sampled_cpu() as sample:
        yield sample


def _forget_peak() -> None:
    """Let the peak of memory begin anew, where the platform can."""
    try:
        _FORGET_PEAK.write_text("5")
    except OSError:
        return


def _memory(name: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return peak_memory()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
