"""Failures that are as frequent at a fraction of the load are no sign of load; those that are not may be one."""

import random

from hypothesis import given
from hypothesis import strategies as st

from secoda_async.network.accidents import Accidents


def steady(accidents: Accidents, began: float, rate: float, share: float, requests: int, seed: int = 1) -> float:
    """Let so many requests leave at a rate, of which a share fails after a while; the time after them."""
    dice = random.Random(seed)
    for number in range(requests):
        now = began + number / rate
        accidents.left(now)
        if dice.random() < share:
            accidents.failed(max(began, now - 0.01))
    return began + requests / rate


def test_nothing_is_said_before_anything_is_known() -> None:
    assert Accidents().find() is None
    accidents = Accidents()
    accidents.failed(0.0)
    accidents.react(0.0)
    assert accidents.find() is None


@given(st.floats(0.02, 0.1), st.integers(0, 100))
def test_failures_at_a_fraction_of_the_load_are_accidents_and_more_is_good(share: float, seed: int) -> None:
    accidents = Accidents()
    now = steady(accidents, 0.0, 1000, share, 1000, seed)
    now = steady(accidents, now, 20, share, 500, seed)
    found = accidents.find()
    assert found is None or found == (True, float("inf"))  # None where chance has it that they differ


def test_failures_as_frequent_at_every_load_are_accidents() -> None:
    accidents = Accidents()
    now = steady(accidents, 0.0, 1000, 0.05, 1000)
    steady(accidents, now, 20, 0.05, 500)
    found = accidents.find()
    assert found is not None
    assert found == (True, float("inf"))


@given(st.floats(0.02, 1.0), st.floats(50, 5000), st.integers(0, 100))
def test_failures_under_load_alone_are_never_accidents(share: float, rate: float, seed: int) -> None:
    accidents = Accidents()
    now = steady(accidents, 0.0, rate / 30, 0.0, 200)
    steady(accidents, now, rate, share, 1000, seed)
    assert accidents.find() is None


def test_a_host_that_fails_at_most_of_all_it_is_asked_has_no_accidents() -> None:
    accidents = Accidents()
    now = steady(accidents, 0.0, 1000, 0.9, 1000)
    steady(accidents, now, 20, 0.9, 500)
    assert accidents.find() is None


def test_a_load_that_was_too_much_bounds_what_is_good() -> None:
    accidents = Accidents()
    now = steady(accidents, 0.0, 20, 0.05, 500)
    now = steady(accidents, now, 300, 0.05, 1000)
    now = steady(accidents, now, 5000, 0.6, 5000)
    steady(accidents, now, 20, 0.05, 100)
    found = accidents.find()
    assert found is not None
    assert found.is_far_below
    assert 150 <= found.good <= 1000


def test_what_fails_late_counts_where_it_left() -> None:
    accidents = Accidents()
    now = steady(accidents, 0.0, 1000, 0.0, 1000)
    for number in range(0, 1000, 2):
        accidents.failed(number / 1000)  # half of them, long after
    steady(accidents, now, 20, 0.05, 500)
    assert accidents.find() is None


def test_what_leaves_right_after_a_cut_does_not_count() -> None:
    accidents = Accidents()
    now = steady(accidents, 0.0, 1000, 0.05, 1000)
    accidents.react(now)
    steady(accidents, now, 100, 1.0, 40)  # a window that is used up refuses everything for a moment
    assert accidents.find() is None
