"""Makes the page of a run: template, style, scripts, library and data in one file that asks nothing of anybody."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from secoda_async.page.records import PageRecords
from secoda_async.page.templating import environment, json_data, markup, part, plotly, show
from secoda_async.report import EndpointReport, RunReport
from secoda_async.version import __version__

_PACKAGE: Final = "secoda_async.page"
_ROWS: Final = 500  # of one table; the rest are counted


def render_report(report: RunReport, records: PageRecords | None, *, why_no_records: str = "") -> str:
    """The page of a run. ``records`` is what it may be searched for; None: they are not there, for a reason.

    Raises ConfigurationError where the extra ``page`` is not installed.
    """
    template = environment(_PACKAGE).get_template("report.html.j2")
    has_drawing = report.timeline is not None or records is not None
    own = [part(_PACKAGE, name) for name in ("charts.js", "tables.js", "report.js")]
    scripts = [plotly(), *own] if has_drawing else own
    return template.render(
        report=report,
        records=records,
        why_no_records=why_no_records,
        endpoints=_busiest(report),
        rows=_ROWS,
        version=__version__,
        policy=_policy(scripts),
        style=markup(part(_PACKAGE, "page.css")),
        scripts=[markup(script) for script in scripts],
        timeline_data=json_data(_timeline(report)),
        records_data=json_data(None if records is None else records.as_json()),
    )


def _policy(scripts: list[str]) -> str:
    """Nothing is loaded and nothing is sent, and no script runs but these."""
    # A parser gives a script's text with these ends of lines, and that is what the digest is of.
    texts = [script.replace("\r\n", "\n").replace("\r", "\n") for script in scripts]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    # Charts set styles of their own, which can load nothing either.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _timeline(report: RunReport) -> Mapping[str, Any] | None:
    if report.timeline is None:
        return None
    told = report.timeline.model_dump()
    for limit in told["limits"]:
        limit["host"] = show(limit["host"])
    found = {show(host): pace.rate for host, pace in report.source.paces.items() if pace.rate is not None}
    return {**told, "found_rates": dict([*found.items()][:4])}


def _busiest(report: RunReport) -> list[tuple[str, EndpointReport]]:
    both = (("source", report.source), ("workspace", report.upload))
    found = [(side, one) for side, traffic in both for one in traffic.endpoints]
    return sorted(found, key=lambda one: one[1].requests, reverse=True)
