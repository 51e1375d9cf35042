"""What a run did: one value, made when it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from secoda_async.checks import Checks
from secoda_async.counters import Counters, EndpointCounts, Traffic
from secoda_async.diff import Diff
from secoda_async.efficiency import EfficiencyReport, waits_of
from secoda_async.errors import OutputError
from secoda_async.findings import Finding, Findings, Loss
from secoda_async.histogram import Histogram
from secoda_async.rules.verdict import Breach
from secoda_async.settings import Input
from secoda_async.spool import replace_file
from secoda_async.timeline import TimelineReport


class Status(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    DEGRADED = "degraded"
    """Delivered, with something lost that ``allow_losses`` allowed, or with scopes carried over or skipped."""
    FAILED = "failed"


class Delivery(StrEnum):
    """What became of the result, which is not always what became of the run."""

    NOTHING = "nothing"
    UNCERTAIN = "uncertain"
    """It ended while it was being delivered: it may or may not have arrived."""
    DELIVERED = "delivered"


class PaceReport(BaseModel):
    """What a host was given, where that was found out while it answered."""

    slots: int
    """Requests in flight at once, in the end."""
    rate: float | None
    """Requests a second that it takes; None: no limit was met."""
    raised: int
    """How often either was raised."""
    cut: dict[str, int]
    """How often either was lowered, by cause."""


class LatencyReport(BaseModel):
    """Seconds from leaving the rate limit to the last byte, or to the head of a streamed answer; within 3.2 %."""

    p50: float
    """Half of all took at most so long."""
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, latency: Histogram) -> Self:
        p50, p90, p99 = (round(latency.percentile(share), 6) for share in (0.5, 0.9, 0.99))
        return cls(p50=p50, p90=p90, p99=p99, max=round(latency.most, 6))


class EndpointReport(BaseModel):
    """The requests to one endpoint, each attempt by itself: a line of Secoda's permission form, and how it answered."""

    host: str
    """With its port, where that is not the scheme's own; ``*`` for those beyond the first 100."""
    method: str
    path: str
    """As ``endpoints`` declares it; else ids in it are ``{id}``, and ``**`` is any rest."""
    auth: list[str]
    """Kinds of credentials sent along: ``none``, ``basic``, ``bearer``, ``api key``, ``oauth2``, ``custom``. Those of
    your own headers are told by their names, those of the first request."""
    requests: int
    statuses: dict[int, int]
    errors: dict[str, int]
    """Requests without an answer, by the name of the error."""
    latency: LatencyReport

    @classmethod
    def list_of(cls, traffic: Traffic, redact: Callable[[str], str]) -> list[Self]:
        """The endpoints of one side, by host, path and method."""
        found: dict[tuple[str, str, str], EndpointCounts] = {}
        for host, method, path, counts in chain.from_iterable(traffic.endpoints):
            if counts.requests:
                # Two may be one without what must not be shown.
                found.setdefault((redact(host), redact(path), redact(method)), EndpointCounts()).merge(counts)
        return [
            cls(
                host=host,
                method=method,
                path=path,
                auth=sorted(counts.auth_kinds),
                requests=counts.requests,
                statuses=dict(sorted(counts.statuses.items())),
                errors=dict(sorted(counts.errors.items())),
                latency=LatencyReport.of(counts.latency),
            )
            for (host, path, method), counts in sorted(found.items(), key=lambda item: item[0])
        ]


class InputReport(BaseModel):
    """An input of the integration's connection form, as it is declared; never its value."""

    name: str
    secret: bool
    required: bool
    description: str

    @classmethod
    def list_of(cls, inputs: Mapping[str, Input] | None) -> list[Self]:
        """The declared inputs, in their order."""
        return [
            cls(name=name, secret=one.secret, required=one.required, description=one.description)
            for name, one in (inputs or {}).items()
        ]


class TrafficReport(BaseModel):
    """Requests to one side."""

    requests: int
    attempts: int
    statuses: dict[int, int]
    retries: dict[str, int]
    """Repeats by cause: a status or the name of an error."""
    waited_seconds: float
    """Time that requests waited for limits and slots, added up."""
    waits: dict[str, float]
    """Seconds that requests waited, added up, by cause: ``limit``, ``slot``, ``pause``, ``quota``, ``rate`` and, before
    retries, ``back-off``."""
    endpoints: list[EndpointReport]
    """At most 200 a host."""
    paces: dict[str, PaceReport]
    """By host; empty where ``concurrency`` is fixed."""
    bytes_sent: int
    """Of bodies, each attempt counted."""
    bytes_received: int
    """Of bodies, decoded."""
    served: int
    """Exchanges answered by a journal."""
    recorded: int
    """Exchanges written to the run's journal."""
    revalidated: int
    """Answers that had not changed, whose body came from an earlier journal."""

    @classmethod
    def of(cls, traffic: Traffic, redact: Callable[[str], str] = str) -> Self:
        return cls(
            requests=traffic.requests,
            attempts=traffic.attempts,
            statuses=dict(sorted(traffic.statuses.items())),
            retries=dict(sorted(traffic.retries.items())),
            waited_seconds=round(traffic.waited, 3),
            waits=waits_of(traffic),
            endpoints=EndpointReport.list_of(traffic, redact),
            paces={
                host: PaceReport(
                    slots=pace.slots,
                    rate=None if pace.rate is None else round(pace.rate, 3),
                    raised=pace.raised,
                    cut=dict(sorted(pace.cut.items())),
                )
                for host, pace in sorted(traffic.paces.items())
            },
            bytes_sent=traffic.bytes_sent,
            bytes_received=traffic.bytes_received,
            served=traffic.served,
            recorded=traffic.recorded,
            revalidated=traffic.revalidated,
        )


class RunReport(BaseModel):
    """One run. Usage: ``report = await integration.run(); print(report.model_dump_json(indent=2))``."""

    model_config = ConfigDict(frozen=True)

    run: str
    integration: str
    status: Status
    delivery: Delivery
    started_at: datetime
    seconds: float
    error: str | None
    """Why the run failed, in one line."""
    resources: dict[str, int]
    """Declared resources by entity type."""
    lineage: int
    """Declared lineages."""
    rejected: int
    """Records that could not be taken; the run's ``rejected.jsonl`` shows the first 10,000."""
    scopes: dict[str, int]
    """Scopes by how they ended: ``live``, ``carried``, ``skipped``, ``failed``."""
    source: TrafficReport
    upload: TrafficReport
    efficiency: EfficiencyReport
    inputs: list[InputReport]
    """What the connection form asks for, where the integration declares ``inputs``."""
    peak_memory_bytes: int | None
    """The most that this process has ever used; None where the platform does not tell."""
    undelivered_peak_bytes: int
    """The most that was declared and not yet written."""
    spool_bytes: int
    breaches: tuple[Breach, ...]
    """What the records break of the rules; empty too where the run did not come so far, or its sink is not judged."""
    diff: Diff | None
    """What an upload would do, or has done; None: the run did not come so far, or was no upload."""
    loss_count: int
    losses: list[Loss]
    """The first 100 of them."""
    findings: list[Finding]
    timeline: TimelineReport | None = None
    """How it went, moment by moment; None: an older version has written the report."""

    @classmethod
    def of(
        cls,
        *,
        run: str,
        integration: str,
        delivery: Delivery,
        started_at: datetime,
        seconds: float,
        error: str | None,
        counters: Counters,
        findings: Findings,
        checks: Checks,
        redact: Callable[[str], str] = str,
        concurrency: int | None = None,
        inputs: Mapping[str, Input] | None = None,
        timeline: TimelineReport | None = None,
    ) -> Self:
        is_degraded = findings.loss_count or counters.scopes["carried"] or counters.scopes["skipped"]
        success = Status.DEGRADED if is_degraded else Status.COMPLETE
        return cls(
            run=run,
            integration=integration,
            status=success if error is None else Status.FAILED,
            delivery=delivery,
            started_at=started_at,
            seconds=round(seconds, 3),
            error=error,
            resources={str(name): count for name, count in sorted(counters.resources.items())},
            lineage=counters.lineage,
            rejected=counters.rejected,
            scopes=dict(sorted(counters.scopes.items())),
            source=TrafficReport.of(counters.source, redact),
            upload=TrafficReport.of(counters.upload, redact),
            efficiency=EfficiencyReport.of(counters, concurrency),
            inputs=InputReport.list_of(inputs),
            peak_memory_bytes=peak_memory(),
            undelivered_peak_bytes=counters.undelivered_peak,
            spool_bytes=counters.delivered,
            breaches=() if checks.verdict is None else checks.verdict.breaches,
            diff=checks.diff,
            loss_count=findings.loss_count,
            losses=findings.losses,
            findings=findings.list(),
            timeline=timeline,
        )


def write_report(report: RunReport, path: Path) -> None:
    """Write a report as JSON, whole or not at all. Raises OutputError where it cannot be written."""
    try:
        replace_file(path, f"{report.model_dump_json(indent=2)}\n".encode())
    except OSError as exc:
        raise OutputError(f"the report {path} cannot be written: {exc.strerror or exc}") from exc


def peak_memory() -> int | None:
    """Bytes of the most memory that this process has ever used; None where the platform does not tell."""
    try:
        import resource  # noqa: PLC0415 # absent on some platforms
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
