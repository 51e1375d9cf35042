"""A sync that would remove too much is refused, with every reason and what overrides each."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secoda_async import ConfigurationError, Settings, StaleGuardError, StaleLimits
from secoda_async.cli.failure import ExitStatus, exit_status
from secoda_async.cli.guard import guard_settings
from secoda_async.diff import Diff, LineageDiff, TypeDiff
from secoda_async.stale_guard import guard, judge, no_preview


def kind(name: str, before: int, staled: int, added: int = 0) -> TypeDiff:
    return TypeDiff(type=name, before=before, now=before - staled + added, added=added, changed=0, staled=staled)


def diff(*types: TypeDiff, lineage: int = 0) -> Diff:
    return Diff(types=types, lineage=LineageDiff(before=0, now=lineage, added=lineage, removed=0))


@given(
    before=st.integers(1, 10**7),
    staled=st.integers(0, 10**7),
    percent=st.integers(0, 100),
    least=st.integers(1, 100),
)
@example(before=10, staled=3, percent=30, least=1)  # 0.3 * 10 is 3.0000000000000004 to a float
@example(before=100, staled=29, percent=29, least=1)  # and 0.29 * 100 is 28.999999999999996
@example(before=20, staled=20, percent=20, least=20)
@example(before=19, staled=19, percent=20, least=20)
def test_refused_is_exactly_a_share_over_the_limit_from_the_least_number_upwards(
    before: int, staled: int, percent: int, least: int
) -> None:
    staled = min(staled, before)
    limits = StaleLimits(share=percent / 100, least=least)
    reasons = judge(diff(kind("table", before, staled, added=1)), limits)
    assert bool(reasons) == (before >= least and Fraction(staled, before) > Fraction(percent, 100))


@given(
    types=st.dictionaries(
        st.sampled_from(["table", "column", "chart", "database", "x y"]),
        st.tuples(st.integers(0, 60), st.integers(0, 60)),
        min_size=1,
    ),
    by_type=st.dictionaries(st.sampled_from(["table", "column"]), st.sampled_from([0, 0.5, 1])),
    allowed=st.sets(st.sampled_from(["table", "column", "chart", "*"])),
)
def test_every_type_over_its_own_limit_is_told_unless_it_is_allowed(
    types: dict[str, tuple[int, int]], by_type: dict[str, float], allowed: set[str]
) -> None:
    limits = StaleLimits(by_type=by_type)
    found = [kind(name, before, min(staled, before), added=1) for name, (before, staled) in types.items()]
    reasons = judge(diff(*found), limits, allow_stale=allowed)
    over = {
        one.type
        for one in found
        if one.before >= 20 and one.staled / one.before > by_type.get(one.type, 0.2) and not {one.type, "*"} & allowed
    }
    assert len(reasons) == len(over)
    for name in over:
        assert any(f"--allow-stale {name!r}" in reason for reason in reasons)


def test_a_reason_gives_its_numbers_and_what_overrides_it() -> None:
    [reason] = judge(diff(kind("table", 2000, 1900)), StaleLimits())
    for part in ("1,900 of 2,000", "'table'", "95 %", "at most 400 (20 %)", "--allow-stale 'table'"):
        assert part in reason


def test_all_reasons_are_told_in_one_error_with_the_diff() -> None:
    found = diff(kind("table", 2000, 1900), kind("column", 100, 21), kind("chart", 100, 20))
    with pytest.raises(StaleGuardError) as caught:
        guard(found, Settings())
    assert len(caught.value.reasons) == 2
    assert all(reason in str(caught.value) for reason in caught.value.reasons)
    assert caught.value.diff is found
    assert not caught.value.ambiguous
    assert exit_status(caught.value) == ExitStatus.STALE == 4
    guard(found, Settings(allow_stale=["table", "column"]))
    guard(found, Settings(stale_limits=StaleLimits(share=1)))


@pytest.mark.parametrize("found", [diff(), diff(kind("table", 5, 5)), diff(kind("table", 5, 5), lineage=3)])
def test_nothing_extracted_is_refused_however_little_was_held(found: Diff) -> None:
    with pytest.raises(StaleGuardError, match=r"nothing was extracted.*--allow-empty"):
        guard(found, Settings(allow_stale=["*"]))  # all types may shrink, which is not to say that all may go
    guard(found, Settings(allow_empty=True))


def test_lineage_alone_is_a_sync_where_no_resources_were_held() -> None:
    guard(diff(lineage=1), Settings())


def test_where_staling_is_off_nothing_is_removed_so_nothing_is_refused() -> None:
    for found in (diff(), diff(kind("table", 2000, 1900))):
        guard(found.model_copy(update={"removes_absent": False}), Settings())


def test_a_type_of_the_source_cannot_write_into_a_terminal() -> None:
    [reason] = judge(diff(kind("\x1b[2J" + "x" * 1000, 100, 100, added=1)), StaleLimits())
    assert "\x1b" not in reason
    assert len(reason) < 700


def test_what_cannot_be_previewed_names_the_one_override() -> None:
    error = no_preview("the catalog answered 403")
    assert "403" in str(error)
    assert "--first-sync" in str(error)
    assert error.diff is None
    assert exit_status(error) == ExitStatus.STALE


def options(**given_: Any) -> dict[str, Any]:
    none = {"allow_stale": None, "allow_empty": False, "stale_limit": None, "first_sync": False, "against": None}
    return guard_settings(**{**none, **given_})


def test_options_become_settings_and_what_is_not_given_none() -> None:
    assert options() == {}
    limits = options(stale_limit=["0.1", "column=0.5"])["stale_limits"]
    assert (limits.of("table"), limits.of("column")) == (0.1, 0.5)
    assert options(allow_stale=["*"], first_sync=True, against="workspace") == {
        "allow_stale": ["*"],
        "first_sync": True,
        "against": "workspace",
    }


@pytest.mark.parametrize("text", ["a lot", "table=", "column=much", "20%"])
def test_a_limit_option_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--stale-limit must be"):
        options(stale_limit=[text])
