"""What a check came to, for a person."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secoda_async.cli.progress_rows import records_text
from secoda_async.report import EndpointReport, RunReport
from secoda_async.wording import counted

_FAILED = 400
REFUSALS: Final = frozenset({401, 403})
"""Statuses that say that credentials do not do."""


def show_check(report: RunReport, console: Console, *, workspace: str, stopped_after: int | None) -> None:
    """Print a line for each endpoint that was asked, what was declared, and what a person should look at."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "endpoint", "credentials", "answers", "slowest"):
        table.add_column(heading, overflow="fold")
    for one in report.source.endpoints:
        works = not one.errors and all(status < _FAILED for status in one.statuses)
        mark = Text("ok", style="green") if works else Text("look", style="red")
        endpoint = Text(f"{one.method} {one.host}{one.path}")
        table.add_row(mark, endpoint, Text(", ".join(one.auth)), Text(_answers(one)), f"{one.latency.max:,.2f} s")
    if report.source.endpoints:
        console.print(table)
    console.print(Text(f"sample: {records_text(Counter(report.resources), report.lineage)}"), soft_wrap=True)
    if workspace and report.upload.requests and report.error is None:
        console.print(Text(f"workspace: it takes the key, for {workspace}"), soft_wrap=True)
    for finding in report.findings:
        console.print(Text.assemble(("finding: ", "yellow"), finding.message), soft_wrap=True)
    if stopped_after is not None:
        console.print(Text(f"stopped after {counted(stopped_after, 'request')}; --max-requests sets how many it takes"))
    if report.error is not None and stopped_after is None:
        return
    if not report.source.endpoints:
        told = "it sent no request through this package, so nothing was checked: let extract() ask with http_*"
        console.print(Text(told, style="yellow"), soft_wrap=True)
    elif refused := [one for one in report.source.endpoints if REFUSALS & one.statuses.keys()]:
        told = f"the source refused {counted(len(refused), 'endpoint')}: look at the credentials and what they may read"
        console.print(Text(told, style="red"), soft_wrap=True)
    else:
        console.print(Text("nothing failed, and nothing was delivered", style="green"), soft_wrap=True)


def _answers(one: EndpointReport) -> str:
    parts = [f"{count:,} x {status}" for status, count in one.statuses.items()]
    return ", ".join([*parts, *(f"{count:,} x {name}" for name, count in one.errors.items())])
