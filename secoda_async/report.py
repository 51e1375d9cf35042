"""What a run did: one value, made when it ends."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

from secoda_async.counters import Counters, Traffic
from secoda_async.findings import Finding, Findings, Loss


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


class TrafficReport(BaseModel):
    """Requests to one side."""

    requests: int
    attempts: int
    statuses: dict[int, int]
    retries: dict[str, int]
    """Repeats by cause: a status or the name of an error."""
    waited_seconds: float
    """Time that requests waited for limits and slots, added up."""
    paces: dict[str, PaceReport]
    """By host; empty where ``concurrency`` is fixed."""
    bytes_received: int
    served: int
    """Exchanges answered by a journal."""
    recorded: int
    """Exchanges written to the run's journal."""
    revalidated: int
    """Answers that had not changed, whose body came from an earlier journal."""

    @classmethod
    def of(cls, traffic: Traffic) -> Self:
        return cls(
            requests=traffic.requests,
            attempts=traffic.attempts,
            statuses=dict(sorted(traffic.statuses.items())),
            retries=dict(sorted(traffic.retries.items())),
            waited_seconds=round(traffic.waited, 3),
            paces={
                host: PaceReport(
                    slots=pace.slots,
                    rate=None if pace.rate is None else round(pace.rate, 3),
                    raised=pace.raised,
                    cut=dict(sorted(pace.cut.items())),
                )
                for host, pace in sorted(traffic.paces.items())
            },
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
    undelivered_peak_bytes: int
    """The most that was declared and not yet written."""
    spool_bytes: int
    loss_count: int
    losses: list[Loss]
    """The first 100 of them."""
    findings: list[Finding]

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
            source=TrafficReport.of(counters.source),
            upload=TrafficReport.of(counters.upload),
            undelivered_peak_bytes=counters.undelivered_peak,
            spool_bytes=counters.delivered,
            loss_count=findings.loss_count,
            losses=findings.losses,
            findings=findings.list(),
        )
