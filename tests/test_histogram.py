"""Percentiles out of buckets are those of the lengths themselves, but for a stated error."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.histogram import Histogram

LENGTHS = st.lists(st.floats(0.0, 1e7, allow_subnormal=False), min_size=1, max_size=200)
SHARES = st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0])


def of(lengths: list[float]) -> Histogram:
    histogram = Histogram()
    for length in lengths:
        histogram.add(length)
    return histogram


@given(LENGTHS, SHARES)
def test_a_percentile_is_within_the_stated_error_of_the_exact_one(lengths: list[float], share: float) -> None:
    exact = sorted(lengths)[max(0, math.ceil(share * len(lengths)) - 1)]
    assert of(lengths).percentile(share) == pytest.approx(exact, rel=0.032, abs=1e-6)


@given(LENGTHS, LENGTHS, SHARES)
def test_what_is_merged_is_as_if_it_had_been_added(one: list[float], other: list[float], share: float) -> None:
    merged, added = of(one), of(one + other)
    merged.merge(of(other))
    assert (merged.count, merged.most) == (added.count, added.most)
    assert merged.total == pytest.approx(added.total)
    assert merged.percentile(share) == added.percentile(share)


def test_none_at_all_is_zero_and_no_percentile_is_over_the_most() -> None:
    assert (Histogram().percentile(0.99), Histogram().count, Histogram().most) == (0.0, 0, 0.0)
    assert of([0.1]).percentile(0.5) <= 0.1


def test_memory_does_not_grow_with_what_is_added() -> None:
    histogram = of([n * 1e-5 for n in range(100_000)])
    assert len(histogram._buckets) < 300
