"""Makes the page: template, style, script, library and data in one file that asks nothing of anybody."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Final

import orjson

from secoda_async.errors import ConfigurationError
from secoda_async.page.records import PageRecords
from secoda_async.printable import printable
from secoda_async.report import EndpointReport, RunReport
from secoda_async.version import __version__

_LONGEST: Final = 2000  # characters of one text
_LONGEST_NAME: Final = 200  # of a heading, of a page or of a row
_ROWS: Final = 500  # of one table; the rest are counted
_SPACE: Final = "\N{NO-BREAK SPACE}"
_UNKNOWN: Final = "\N{EN DASH}"
_TEMPLATE: Final = "report.html.j2"


def require_page() -> None:
    """Raises ConfigurationError where what makes a page is not installed."""
    if any(find_spec(name) is None for name in ("jinja2", "plotly")):
        raise ConfigurationError("a page needs jinja2 and plotly: pip install 'secoda-async[page]'")


def render_report(report: RunReport, records: PageRecords | None, *, why_no_records: str = "") -> str:
    """The page of a run. ``records`` is what it may be searched for; None: they are not there, for a reason.

    Raises ConfigurationError where the extra ``page`` is not installed.
    """
    require_page()
    # An extra, and only where a page is made.
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    folder = files("secoda_async.page") / "templates"
    own = (folder / "report.js").read_text("utf-8")
    scripts = [get_plotlyjs(), own] if report.timeline is not None or records is not None else [own]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters.update(show=_show, name=_name, number=_number, seconds=_seconds, share=_share)
    template = environment.from_string((folder / _TEMPLATE).read_text("utf-8"))
    # What is marked as safe is of this package or of the library, or JSON that holds no markup.
    return template.render(
        report=report,
        records=records,
        why_no_records=why_no_records,
        endpoints=_busiest(report),
        rows=_ROWS,
        version=__version__,
        policy=_policy(scripts),
        style=Markup((folder / "report.css").read_text("utf-8")),  # noqa: S704 # see above
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        timeline_data=Markup(_data(_timeline(report))),  # noqa: S704
        records_data=Markup("null" if records is None else _escaped(records.as_json())),  # noqa: S704
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
        limit["host"] = _show(limit["host"])
    found = {_show(host): pace.rate for host, pace in report.source.paces.items() if pace.rate is not None}
    return {**told, "found_rates": dict([*found.items()][:4])}


def _data(value: object) -> str:
    return _escaped(orjson.dumps(value))


def _escaped(json: bytes) -> str:
    """JSON that ends no script element, and begins no comment in one."""
    return json.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026").decode()


def _busiest(report: RunReport) -> list[tuple[str, EndpointReport]]:
    both = (("source", report.source), ("workspace", report.upload))
    found = [(side, one) for side, traffic in both for one in traffic.endpoints]
    return sorted(found, key=lambda one: one[1].requests, reverse=True)


def _show(text: object) -> str:
    return printable(str(text), _LONGEST)


def _name(text: object) -> str:
    return printable(str(text), _LONGEST_NAME)


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:,.3f}{_SPACE}s" if value < 1 else f"{value:,.1f}{_SPACE}s"


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value * 100:.0f}{_SPACE}%"
