"""What a server says of its limit is read in every usual form, and nothing it says can break a run."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from secoda_async.network.rate_headers import Quota, asked_wait, parse_quota

SERVER_TIME = datetime(2020, 1, 1, tzinfo=UTC)
DATE = ("Date", format_datetime(SERVER_TIME, usegmt=True))


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.mark.parametrize(
    ("pairs", "quota"),
    [
        ([("RateLimit-Remaining", "7"), ("RateLimit-Reset", "30")], Quota(7, 30)),
        ([("ratelimit-remaining", " 7 "), ("RATELIMIT-RESET", "0.5")], Quota(7, 0.5)),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "30")], Quota(0, 30)),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset-After", "1.25")], Quota(0, 1.25)),
        ([("X-Rate-Limit-Remaining", "3"), ("X-Rate-Limit-Reset", "60")], Quota(3, 60)),
        ([("X-RateLimit-Remaining", "3"), ("X-RateLimit-Reset", str(int(SERVER_TIME.timestamp()) + 90))], Quota(3, 90)),
        (
            [("X-RateLimit-Remaining", "3"), ("X-RateLimit-Reset", f"{SERVER_TIME.timestamp() + 90:.0f}000")],
            Quota(3, 90),
        ),
        ([("X-RateLimit-Remaining", "3"), ("X-RateLimit-Reset", "2020-01-01T00:00:05Z")], Quota(3, 5)),
        ([("X-RateLimit-Remaining", "3"), ("X-RateLimit-Reset", "Wed, 01 Jan 2020 00:00:05 GMT")], Quota(3, 5)),
        ([("X-RateLimit-Remaining", "3"), ("X-RateLimit-Reset", str(int(SERVER_TIME.timestamp()) - 5))], Quota(3, 0)),
        ([("RateLimit", '"default";r=50;t=30')], Quota(50, 30)),
        ([("RateLimit", '"burst";r=5;t=2, "daily";r=900;t=30')], Quota(5, 2)),
        ([("RateLimit", '"burst";r=5;t=2, "daily";r=0;t=30')], Quota(0, 30)),
        ([("RateLimit", "limit=100, remaining=50, reset=5")], Quota(50, 5)),
        ([("RateLimit-Remaining", "7")], None),
        ([("RateLimit-Reset", "7")], None),
        ([("RateLimit-Remaining", "many"), ("RateLimit-Reset", "soon")], None),
        ([("RateLimit-Remaining", "-1"), ("RateLimit-Reset", "5")], None),
        ([("RateLimit-Remaining", "1"), ("RateLimit-Reset", "-5")], None),
        ([("RateLimit-Remaining", "٣"), ("RateLimit-Reset", "5")], None),
        ([("RateLimit", "r=1")], None),
        ([], None),
    ],
)
def test_a_quota_is_read_in_every_usual_form(pairs: list[tuple[str, str]], quota: Quota | None) -> None:
    assert parse_quota(headers(DATE, *pairs)) == quota


def test_a_reset_as_a_time_is_read_against_this_clock_where_the_answer_has_none() -> None:
    reset = datetime.now(UTC) + timedelta(seconds=100)
    quota = parse_quota(headers(("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset", f"{reset.timestamp():.0f}")))
    assert quota is not None
    assert 90 < quota.reset < 110


def test_a_refusal_asks_for_what_retry_after_says_else_for_the_reset_of_a_quota_that_is_used_up() -> None:
    used_up = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "30")]
    assert asked_wait(headers(("Retry-After", "5"), *used_up)) == 5
    assert asked_wait(headers(*used_up)) == 30
    assert asked_wait(headers(("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset", "30"))) is None
    assert asked_wait(headers()) is None


names = st.sampled_from(
    ["RateLimit", "RateLimit-Remaining", "RateLimit-Reset", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"]
)
values = st.text(max_size=30) | st.integers().map(str) | st.floats().map(str) | st.datetimes().map(datetime.isoformat)


@given(st.lists(st.tuples(names, values)))
def test_whatever_the_headers_hold_the_wait_is_a_number_of_seconds_or_none(pairs: list[tuple[str, str]]) -> None:
    wait = asked_wait(headers(*pairs))
    assert wait is None or 0 <= wait < float("inf")
    quota = parse_quota(headers(*pairs))
    assert quota is None or (quota.remaining >= 0 and 0 <= quota.reset < float("inf"))
