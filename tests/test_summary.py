"""What a run came to is said so that a person understands it."""

import io
import re
from collections import Counter
from datetime import UTC, datetime

from rich.console import Console

from secoda_async.checks import Checks
from secoda_async.cli.summary import show_summary
from secoda_async.counters import Counters, EndpointCounts, Pace
from secoda_async.findings import Findings
from secoda_async.report import Delivery, RunReport


def summary(counters: Counters, error: str | None = None) -> str:
    report = RunReport.of(
        run="r1",
        integration="Tables",
        delivery=Delivery.DELIVERED,
        started_at=datetime.now(UTC),
        seconds=1.0,
        error=error,
        counters=counters,
        findings=Findings(),
        checks=Checks(),
    )
    console = Console(file=io.StringIO(), width=200)
    show_summary(report, console, delivered_to="out")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_was_found_out_about_a_host_is_shown_with_the_reasons() -> None:
    counters = Counters()
    counters.source.paces["a.example:443"] = Pace(37, 195.24, raised=1200, cut=Counter(refused=2, slower=1))
    counters.source.paces["b.example:443"] = Pace(9, raised=1)
    text = summary(counters)
    assert "a.example:443: 37 at once, 195.2 a second; times raised 1,200, lowered 3 (refused 2, slower 1)" in text
    assert "b.example:443: 9 at once; times raised 1" in text


def test_the_slowest_endpoints_and_the_efficiency_are_shown() -> None:
    counters = Counters(extraction=2.0)
    found = []
    for name, seconds in (("a", 0.1), ("b", 0.5), ("c", 0.3), ("d", 0.4)):
        counts = EndpointCounts(statuses={200: 10})
        for _ in range(10):
            counts.latency.add(seconds)
        found.append(("x.example", "GET", f"/{name}/{{id}}", counts))
    counters.source.endpoints = [found]
    counters.source.longest_chain = 1.5
    text = summary(counters)
    shown = [line.split()[2] for line in text.splitlines() if "slowest" in line]
    assert shown == [f"x.example/{name}/{{id}}:" for name in "bdc"]
    assert "half within 0.50" in text
    assert "10 requests" in text
    assert (
        "75 %: 2.0 s, where these requests take 1.5 s at least (estimated; bound by requests that follow one another)"
        in text
    )
    assert "efficiency" not in summary(counters, error="it broke off"), "what was asked in vain was not counted"


def test_a_host_about_which_nothing_was_found_out_is_not_shown() -> None:
    counters = Counters()
    counters.source.paces["a.example:443"] = Pace()
    assert "a.example" not in summary(counters)


def test_what_rounds_to_nothing_is_not_shown() -> None:
    counters = Counters(extraction=0.04)
    counters.source.longest_chain = 0.04
    counts = EndpointCounts(statuses={200: 1})
    counts.latency.add(0.04)
    counters.source.endpoints = [[("x.example", "GET", "/a", counts)]]
    text = summary(counters)
    assert not any(name in text for name in ("waited", "slowest", "efficiency"))


def test_one_is_told_as_one() -> None:
    counters = Counters()
    counts = EndpointCounts(statuses={200: 1})
    counts.latency.add(1.5)
    counters.source.endpoints = [[("x.example", "GET", "/a", counts)]]
    assert re.search(r"GET x\.example/a: 1\.5\d? s, 1 request$", summary(counters), re.MULTILINE)
