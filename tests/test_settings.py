"""A setting that cannot be used is refused when it is made, in one sentence that names it."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.errors import ConfigurationError
from secoda_async.settings import UNSET, Input, RateLimit, RetryPolicy, Settings, StaleLimits, Timeout

NO_COUNTS = [0, -1, 1.5, "3", True, None]
NO_SECONDS = [0, -1, 0.0, math.nan, math.inf, "3", True]
NO_BYTES = NO_COUNTS

BAD = [
    *((RateLimit, "requests", value) for value in NO_COUNTS),
    *((RateLimit, "per", value) for value in [*NO_SECONDS, None]),
    *((RateLimit, "burst", value) for value in [0, -1, 11, 1.5, "3", True]),
    *((RetryPolicy, "attempts", value) for value in NO_COUNTS),
    *((RetryPolicy, name, value) for name in ("backoff", "max_backoff", "max_wait") for value in [*NO_SECONDS, None]),
    *((RetryPolicy, "unspecified_wait", value) for value in NO_SECONDS),
    *((Timeout, name, value) for name in ("connect", "read", "total") for value in NO_SECONDS),
    *((Settings, "base_url", value) for value in [None, 5, Path("x")]),
    *((Settings, "rate_limits", value) for value in [None, 5, [RateLimit(1)], RateLimit(1)]),
    *((Settings, "rate_limits", {"a.example": value}) for value in [None, 5, "10/s", [RateLimit(1), 5], "", {"x": 1}]),
    *((Settings, "concurrency", value) for value in NO_COUNTS if value is not None),
    *((Settings, name, value) for name in ("max_requests", "sample") for value in NO_COUNTS if value is not None),
    *((Settings, "retry", value) for value in [5, "3", True, UNSET]),
    *((Settings, "timeout", value) for value in ["3", True, [], UNSET]),
    *((Settings, "verify", value) for value in [None, 1, "", Path("ca.pem")]),
    *((Settings, "cert", value) for value in [5, "", (), ("a", ""), ("a", "b", "c", "d"), ["a"]]),
    *((Settings, "proxy", value) for value in [5, True]),
    *((Settings, "allowed_hosts", value) for value in [5, "a.example", {"a": 1}]),
    *((Settings, "endpoints", value) for value in [5, "a.example", {"a": 1}]),
    *((Settings, "enforce_endpoints", value) for value in [1, "yes", None]),
    *(
        (Settings, name, value)
        for name in (
            "allow_losses",
            "strict",
            "allow_empty",
            "first_sync",
            "resumable",
            "conditional",
            "refuse_private",
            "trust_env",
            "cookies",
            "telemetry",
        )
        for value in [None, 1, "yes"]
    ),
    *((Settings, name, value) for name in ("state_dir", "record", "replay") for value in [5, "", True, b"x"]),
    *((Settings, "stale_limits", value) for value in [None, 0.2, {"table": 0.2}]),
    *((Settings, "allow_stale", value) for value in [None, 5, "table", {"table": 1}]),
    *((Settings, "against", value) for value in [None, True, [], "yesterday"]),
    *((StaleLimits, "share", value) for value in [1.1, -0.1, "0.2", math.nan, True, None]),
    *((StaleLimits, "by_type", value) for value in [None, [("table", 0.5)], {"table": 20}, {"table": True}]),
    *((StaleLimits, "least", value) for value in NO_COUNTS),
    *((Settings, "watchdog", value) for value in [0, -1, math.nan, math.inf, True, "300"]),
    *((Settings, "resume", value) for value in [5, "", True, b"x"]),
    *((Settings, "on_conflict", value) for value in ["never", "", None, 1, ["first"]]),
    *(
        (Settings, name, value)
        for name in ("max_body", "max_journal", "batch_bytes", "queue_bytes", "max_undelivered", "max_record")
        for value in NO_BYTES
    ),
]


def make(kind: Callable[..., Any], **values: Any) -> Any:
    return kind(**({"requests": 10} | values if kind is RateLimit else values))


@pytest.mark.parametrize(("kind", "name", "value"), BAD)
def test_a_bad_value_gives_one_plain_sentence_that_names_the_setting(
    kind: Callable[..., Any], name: str, value: Any
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(kind, **{name: value})
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    shown = next(iter(value.values())) if isinstance(value, dict) and value else value
    # What may hold a password is not shown.
    assert (repr(shown) in message) is (name not in ("cert", "proxy"))
    assert caught.value.__context__ is None


def test_every_setting_is_tried_with_a_bad_value() -> None:
    tried = {(kind, name) for kind, name, _ in BAD}
    for kind in (RateLimit, RetryPolicy, StaleLimits, Timeout, Settings):
        assert {(kind, f.name) for f in dataclasses.fields(kind)} <= tried


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_bad_number_of_seconds_for_the_whole_time_out_is_refused(value: float) -> None:
    with pytest.raises(ConfigurationError, match="Timeout: "):
        Settings(timeout=value)  # type: ignore[arg-type]  # numbers are taken for a Timeout


def test_a_batch_fits_the_queue_and_the_queue_its_hard_bound() -> None:
    Settings(batch_bytes=2, queue_bytes=8, max_undelivered=8)
    for batch, queue, most in ((2, 7, 10), (2, 8, 7), (3, 2, 1)):
        with pytest.raises(ConfigurationError, match="queue_bytes must be at least four times batch_bytes"):
            Settings(batch_bytes=batch, queue_bytes=queue, max_undelivered=most)


@given(st.integers(1, 10**9), st.floats(1e-6, 1e9), st.data())
def test_what_is_in_range_is_taken(requests: int, per: float, data: Any) -> None:
    burst = data.draw(st.none() | st.integers(1, requests))
    limit = RateLimit(requests, per=per, burst=burst)
    assert (limit.requests, limit.per, limit.burst) == (requests, per, burst)
    assert Timeout(total=per).total == per
    assert RetryPolicy(attempts=requests, backoff=per, unspecified_wait=per).backoff == per


@pytest.mark.parametrize("value", [RateLimit(1), RetryPolicy(), Timeout(), Settings(), Input()])
def test_a_setting_is_frozen(value: Any) -> None:
    for each in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, each.name, getattr(value, each.name))
    with pytest.raises((AttributeError, TypeError)):
        value.other = 1


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.of({"concurency": 5, "basurl": "", "retry": None})
    message = str(caught.value)
    assert message.startswith("unknown setting basurl, concurency; the settings are ")
    assert all(f.name in message for f in dataclasses.fields(Settings))


def test_settings_are_made_by_name() -> None:
    assert Settings.of({"concurrency": 5, "timeout": 3}) == Settings(concurrency=5, timeout=Timeout.of(3))


def test_a_number_is_the_whole_time_out_and_none_is_no_limit() -> None:
    assert Timeout.of(5) == Timeout(connect=5, read=5, total=5)
    assert Timeout.of(None) == Timeout(connect=None, read=None, total=None)
    given = Timeout(read=1)
    assert Timeout.of(given) is given


def test_limits_are_kept_as_they_were_when_they_were_given() -> None:
    """Neither a generator that is read twice nor a dictionary that is changed later lifts a limit."""
    given: dict[str, Any] = {"a.example": (RateLimit(n) for n in (1, 2)), "b.example": RateLimit(3)}
    settings = Settings(rate_limits=given)
    given.clear()
    assert settings.rate_limits == {"a.example": (RateLimit(1), RateLimit(2)), "b.example": (RateLimit(3),)}


def test_a_state_dir_may_be_text() -> None:
    assert Settings(state_dir="runs").state_dir == Path("runs")  # type: ignore[arg-type]  # text is taken for a Path


def test_endpoints_can_only_be_enforced_where_they_are_declared() -> None:
    with pytest.raises(ConfigurationError, match="enforce_endpoints needs endpoints"):
        Settings(enforce_endpoints=True)


@pytest.mark.parametrize("other", [{"resumable": True}, {"resume": "last"}, {"record": "a"}, {"conditional": True}])
def test_a_replay_asks_no_source_so_nothing_else_of_a_journal_goes_with_it(other: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"replay asks no source, so {next(iter(other))} cannot be given"):
        Settings(replay=Path("a"), **other)
