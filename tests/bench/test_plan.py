"""What a benchmark is told, and how long it takes at least."""

from collections import Counter
from pathlib import Path

import pytest
from yarl import URL

from secoda_async import ConfigurationError, RateLimit
from secoda_async.bench.plan import (
    Conditions,
    least_seconds,
    parse_concurrency,
    parse_latency,
    parse_limits,
    parse_share,
)
from secoda_async.bench.recording import Recording

RECORDING = Recording(101, 20.2, Counter({("GET", URL("https://api.x.com/a")): 100, ("POST", URL("http://y/b")): 1}))


def conditions(**more: object) -> Conditions:
    return Conditions.model_validate({"target": "jobs.py:Jobs", "journal": Path("journal"), **more})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("100ms", 0.1), ("0.5s", 0.5), ("2 s", 2.0), ("0", 0.0), ("0ms", 0.0), (".5s", 0.5), ("recorded", None)],
)
def test_a_latency_has_a_unit(text: str, seconds: float | None) -> None:
    assert parse_latency(text) == seconds


@pytest.mark.parametrize("text", ["5", "", "-1s", "1h", "nans", "1e3s", "100 m s"])
def test_a_latency_without_a_meaning_is_an_error_that_shows_one(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--latency must be a time such as 100ms"):
        parse_latency(text)


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0.02", 0.02), ("0", 0.0), ("100%", 1.0), ("1", 1.0)])
def test_a_share_is_a_number_or_a_percentage(text: str, share: float) -> None:
    assert parse_share(text, "--error-rate") == pytest.approx(share)


@pytest.mark.parametrize("text", ["2", "101%", "-1%", "%", "x", "nan"])
def test_a_share_over_all_or_without_a_meaning_is_an_error_that_names_the_option(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--jitter must be a share such as 2% or 0.02, at most 1"):
        parse_share(text, "--jitter")


def test_limits_are_by_key_and_one_of_a_key_may_be_several() -> None:
    texts = ["api.x.com=100/60", "api.x.com=10", "POST y/b=none", "GET *=5/0.5s"]
    assert parse_limits(texts) == (
        {"api.x.com": [(100, 60.0), (10, 1.0)], "POST y/b": [], "GET *": [(5, 0.5)]},
        False,
    )
    assert parse_limits(["none", "y=1"]) == ({"y": [(1, 1.0)]}, True)


@pytest.mark.parametrize("text", ["", "x", "=5", "x=", "x=0", "x=5/0", "x=a/b", "x=1.5", "x=5/inf", "x=5/"])
def test_a_limit_that_is_none_is_an_error_that_shows_one(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--limit must be KEY=REQUESTS/SECONDS such as api.x.com=100/60"):
        parse_limits([text])


def test_points_are_numbers_and_adaptive_each_once() -> None:
    assert parse_concurrency("10, 1,adaptive,10") == (10, 1, None)


@pytest.mark.parametrize("text", ["", "0", "-1", "1,", "many", "1.5", "٣"])
def test_a_point_that_is_none_is_an_error_that_shows_some(text: str) -> None:
    with pytest.raises(ConfigurationError, match="such as 10,100,adaptive"):
        parse_concurrency(text)


def test_given_limits_take_the_place_of_declared_ones_of_their_key() -> None:
    declared = {"a": RateLimit(1), "b": [RateLimit(2), RateLimit(3, per=60)], "c": RateLimit(4)}
    kept = conditions(limits={"a": [(10, 1.0)], "c": []}).rate_limits(declared)
    assert kept == {"a": (RateLimit(10),), "b": (RateLimit(2), RateLimit(3, per=60))}
    assert conditions(limits={"a": [(10, 1.0)]}, without_limits=True).rate_limits(declared) == {"a": (RateLimit(10),)}
    assert conditions().rate_limits(declared)["c"] == (RateLimit(4),)


@pytest.mark.parametrize(
    ("latency", "limits", "concurrency", "seconds"),
    [
        (None, {}, 1, 20.2),
        (None, {}, 10, 2.02),
        (0.1, {}, 10, 1.01),
        (0.1, {}, None, 0.0),
        (0.0, {"api.x.com": [RateLimit(10)]}, 10, 9.0),
        (0.0, {"y": [RateLimit(10)], "api.x.com": [RateLimit(1000), RateLimit(50, per=60)]}, None, 60.0),
        (1.0, {"api.x.com": [RateLimit(10)]}, 1, 101.0),
    ],
)
def test_a_run_takes_at_least_what_latency_and_limits_say(
    latency: float | None, limits: dict[str, list[RateLimit]], concurrency: int | None, seconds: float
) -> None:
    assert least_seconds(RECORDING, conditions(latency=latency), limits, concurrency) == pytest.approx(seconds)
