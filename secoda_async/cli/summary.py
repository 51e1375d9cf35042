"""What a run came to, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secoda_async.cli.progress_rows import records_text
from secoda_async.cli.show_diff import show_diff
from secoda_async.cli.show_verdict import show_breaches
from secoda_async.diff import Diff
from secoda_async.efficiency import EfficiencyReport
from secoda_async.report import Delivery, EndpointReport, PaceReport, RunReport, Status, TrafficReport
from secoda_async.wording import counted

_STYLES = {Status.COMPLETE: "bold green", Status.DEGRADED: "bold yellow", Status.FAILED: "bold red"}
_FINDINGS = 10  # shown; the rest are counted
_HOSTS = 5  # whose pace is shown
_ENDPOINTS = 3  # the slowest
_WORTH_TELLING = 0.05  # seconds: what rounds to nothing is not shown


def show_summary(report: RunReport, console: Console, *, delivered_to: str) -> None:
    """Print counts, traffic, losses and findings of a run."""
    table = Table.grid(padding=(0, 2))
    source = report.source
    waited = f"{source.waited_seconds:,.1f} s for limits and slots, all requests added up"
    failed = report.status is Status.FAILED
    undelivered = failed and report.delivery is Delivery.NOTHING
    rows = [
        ("run", f"{report.run} of {report.integration}, {report.seconds:.1f} s"),
        ("records", records_text(Counter(report.resources), report.lineage)),
        ("requests", _traffic_text(source)),
        *([("waited", waited)] if source.waited_seconds >= _WORTH_TELLING else ()),
        *(("slowest", _endpoint_text(one)) for one in _slowest(source)),
        *(("efficiency", text) for text in (() if failed else _efficiency_texts(report.efficiency))),
        *(("pace", _pace_text(host, pace)) for host, pace in _changed_paces(source)[:_HOSTS]),
        ("delivered", _delivery_text(report.delivery, delivered_to)),
        *([("changes", _changes_text(report.diff))] if report.diff is not None and not undelivered else []),
    ]
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value))
    console.print(Text(report.status.value, style=_STYLES[report.status]))
    console.print(table)
    told = report.error or ""
    losses = [loss for loss in report.losses if loss.message not in told]  # the error follows this summary
    for loss in losses[:_FINDINGS]:
        console.print(Text.assemble(("lost: ", "red"), loss.message), soft_wrap=True)
    _show_rest(console, "losses", report.loss_count - len(report.losses) + len(losses))
    for finding in report.findings[:_FINDINGS]:
        times = f" ({finding.count:,} times)" if finding.count > 1 else ""
        console.print(Text.assemble(("finding: ", "yellow"), f"{finding.message}{times}"), soft_wrap=True)
    _show_rest(console, "findings", len(report.findings))
    if undelivered:
        show_breaches(report.breaches, console)
        if report.diff is not None:
            show_diff(report.diff, console)
    else:
        for breach in report.breaches:
            said = f"{breach.rule} ({breach.count:,}): {breach.message}"
            first = "".join(f"; the first: {sample}" for sample in breach.samples[:1])
            console.print(Text.assemble((f"{breach.severity}: ", "yellow"), said, first), soft_wrap=True)


def _changes_text(diff: Diff) -> str:
    changed = "" if diff.changed is None else f", {diff.changed:,} changed"
    return f"{diff.staled:,} removed, {diff.added:,} added{changed}; compared with {diff.against}"


def _slowest(source: TrafficReport) -> list[EndpointReport]:
    answered = [one for one in source.endpoints if one.latency.max >= _WORTH_TELLING]
    return sorted(answered, key=lambda one: one.latency.p90, reverse=True)[:_ENDPOINTS]


def _endpoint_text(one: EndpointReport) -> str:
    latency, where = one.latency, f"{one.method} {one.host}{one.path}"
    if one.requests == 1:
        return f"{where}: {latency.max:,.2f} s, 1 request"
    return (
        f"{where}: half within {latency.p50:,.2f} s, 90 % within {latency.p90:,.2f} s, at most {latency.max:,.2f} s; "
        f"{counted(one.requests, 'request')}"
    )


def _efficiency_texts(report: EfficiencyReport) -> Iterator[str]:
    if report.efficiency is not None and report.seconds >= 1:
        bound = "requests that follow one another" if report.bound == "chain" else report.bound
        yield (
            f"{report.efficiency * 100:.0f} %: {report.seconds:,.1f} s, where these requests take "
            f"{report.least_seconds:,.1f} s at least (estimated; bound by {bound})"
        )


def _delivery_text(delivery: Delivery, delivered_to: str) -> str:
    match delivery:
        case Delivery.NOTHING:
            return "nothing"
        case Delivery.UNCERTAIN:
            return f"uncertain: {delivered_to} may or may not have arrived"
        case Delivery.DELIVERED:
            return delivered_to


def _changed_paces(source: TrafficReport) -> list[tuple[str, PaceReport]]:
    return [(host, pace) for host, pace in source.paces.items() if pace.raised or pace.cut]


def _pace_text(host: str, pace: PaceReport) -> str:
    rate = f", {pace.rate:,.1f} a second" if pace.rate is not None else ""
    causes = ", ".join(f"{cause} {count:,}" for cause, count in pace.cut.items())
    lowered = f", lowered {sum(pace.cut.values()):,} ({causes})" if causes else ""
    return f"{host}: {pace.slots:,} at once{rate}; times raised {pace.raised:,}{lowered}"


def _show_rest(console: Console, what: str, count: int) -> None:
    if count > _FINDINGS:
        console.print(f"… and {count - _FINDINGS:,} more {what}")


def _traffic_text(source: TrafficReport) -> str:
    causes = ", ".join(f"{count:,} for {cause}" for cause, count in source.retries.items())
    parts = [f"{source.requests:,}", f"{source.attempts:,} sent"]
    for count, what in ((source.served, "from a journal"), (source.revalidated, "not modified")):
        if count:
            parts.append(f"{count:,} {what}")
    return ", ".join(parts) + (f", retried: {causes}" if causes else "")
