"""What held a run up, in words, out of figures."""

from typing import Any

import pytest

from secoda_async.bench.bottleneck import bottlenecks_of, cpu_parts, percent
from secoda_async.bench.measure import Figures


def figures(**more: Any) -> Figures:
    usual = {
        "seconds": 10.0,
        "requests": 1000,
        "attempts": 1000,
        "records": 1000,
        "retries": {},
        "peak_in_flight": 10,
        "loop_busy": 0.2,
        "memory_bytes": None,
        "efficiency": None,
        "least_seconds": 0.0,
        "chain_seconds": 1.0,
        "slot_seconds": 0.0,
        "slots": 10,
        "limit_seconds": {},
        "waited": {},
        "backpressure": 0.0,
        "without_requests": 0.0,
        "cpu_seconds": 2.0,
        "cpu_shares": {"your code": 0.41, "JSON": 0.3, "network: other layers": 0.1, "event loop": 0.19},
        "answers": 1000,
        "replay_seconds": 0.1,
        "in_memory": True,
    }
    return Figures.model_validate({**usual, **more})


@pytest.mark.parametrize(
    ("more", "concurrency", "told"),
    [
        ({"limit_seconds": {"api.x.com": 9.8, "y": 1.0}}, 10, "rate limit of api.x.com: 98 %"),
        ({"loop_busy": 0.97}, 10, "your code: 41 % of CPU"),
        ({"loop_busy": 0.97, "slot_seconds": 9.9, "limit_seconds": {"y": 9.9}}, 10, "your code: 41 % of CPU"),
        ({"loop_busy": 0.5}, 10, "your code: 41 % of CPU, which was busy 50 % of the time"),
        ({"slot_seconds": 9.7}, 10, "slots: 97 % (10 at once)"),
        (
            {"slot_seconds": 3.0, "waited": {"slot": 0.8}, "slots": 25},
            None,
            "slots: 80 % (up to 25 at once, found out)",
        ),
        ({"slot_seconds": 3.0, "waited": {"slot": 0.8}}, 10, "slots: 30 % (10 at once)"),
        ({"chain_seconds": 8.0}, 10, "requests that follow one another: 80 %"),
        ({"waited": {"back-off": 0.6}}, 10, "back-off before retries: 60 %"),
        ({"waited": {"pause": 0.6}}, 10, "pauses that the source asked for: 60 %"),
        ({"waited": {"quota": 0.6}}, 10, "quota that the source tells of: 60 %"),
        ({"waited": {"rate": 0.6}}, None, "rate that was found out: 60 %"),
        ({"backpressure": 0.7}, 10, "waiting for the disk: 70 %"),
        ({"without_requests": 0.9}, 10, "waiting for something else than requests: 70 %"),
        ({"cpu_shares": {}, "loop_busy": 0.95}, 10, "processor: 95 %"),
        ({"slot_seconds": 11.0}, 10, "slots: 100 % (10 at once)"),
        ({"seconds": 0.0, "loop_busy": 0.0, "cpu_shares": {}}, 10, "processor: 0 %"),
    ],
)
def test_the_worst_is_told_first(more: dict[str, Any], concurrency: int | None, told: str) -> None:
    assert bottlenecks_of(figures(**more), concurrency)[0].text == told


def test_others_follow_and_what_held_nothing_up_is_not_told() -> None:
    found = bottlenecks_of(figures(slot_seconds=4.0, waited={"back-off": 0.3}), 10)
    assert [one.what for one in found] == [
        "slots",
        "back-off before retries",
        "your code",
        "requests that follow one another",
    ]


def test_layers_of_this_package_count_together_and_the_replay_by_itself() -> None:
    shares = {
        "journal and replay": 0.1,
        "network: other layers": 0.15,
        "network: limits and slots": 0.15,
        "declare and spool": 0.1,
        "your code": 0.35,
        "garbage collection": 0.15,
    }
    parts = cpu_parts(shares)
    assert parts == pytest.approx(
        {"this package": 0.4, "your code": 0.35, "garbage collection": 0.15, "the replay itself": 0.1}
    )
    assert next(iter(parts)) == "this package"


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.001, "< 1 %"), (0.006, "1 %"), (0.414, "41 %")])
def test_what_is_not_nothing_is_not_shown_as_nothing(share: float, text: str) -> None:
    assert percent(share) == text
