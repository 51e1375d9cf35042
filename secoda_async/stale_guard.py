"""Judges what a sync would remove from a workspace: too much of a type, or everything, is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from secoda_async.diff import Diff, TypeDiff
from secoda_async.errors import StaleGuardError
from secoda_async.printable import printable
from secoda_async.settings import Settings, StaleLimits
from secoda_async.wording import counted

EVERY_TYPE: Final = "*"


def guard(diff: Diff, settings: Settings) -> None:
    """Let a sync pass, or raise StaleGuardError with every reason why not."""
    reasons = judge(
        diff, settings.stale_limits, allow_stale=tuple(settings.allow_stale), allow_empty=settings.allow_empty
    )
    if reasons:
        raise StaleGuardError(reasons, diff=diff)


def judge(
    diff: Diff, limits: StaleLimits, *, allow_stale: Collection[str] = (), allow_empty: bool = False
) -> tuple[str, ...]:
    """Every reason to refuse a sync, each with its numbers and what overrides it; none: it may be sent.

    Refused is a sync without resources where some are held, or without any record; and one that removes more of an
    entity type than its limit, from ``limits.least`` held resources of the type upwards. One that removes nothing,
    since automatic staling is off, is never refused.
    """
    if not diff.removes_absent:
        return ()
    if not diff.now and (diff.before or not diff.lineage.now):
        return () if allow_empty else (_nothing(diff),)
    return tuple(_over(diff, limits, allow_stale))


def no_preview(why: str) -> StaleGuardError:
    """The refusal of a sync of which nobody can say what it would remove."""
    return StaleGuardError(
        (
            f"what the workspace holds of this integration is not known here, and it cannot be asked: {why}; "
            "where this is the integration's first sync, or you know what is in the workspace, say --first-sync "
            "(first_sync=True)",
        )
    )


def _nothing(diff: Diff) -> str:
    held = f", so all that is held would be removed ({counted(diff.before, 'resource')})" if diff.before else " at all"
    return f"nothing was extracted{held}; if that is meant, say --allow-empty (allow_empty=True)"


def _over(diff: Diff, limits: StaleLimits, allow_stale: Collection[str]) -> Iterator[str]:
    if EVERY_TYPE in allow_stale:
        return
    for one in diff.types:
        most = _most(one.before, limits.of(one.type))
        if one.before >= limits.least and one.staled > most and one.type not in allow_stale:
            yield _too_much(one, most, limits.of(one.type))


def _most(held: int, share: float) -> int:
    """How many of what is held may be removed, at most that share. Only a product of floats would miss by one."""
    most = int(held * share)
    while most < held and (most + 1) / held <= share:  # division rounds correctly
        most += 1
    while most and most / held > share:
        most -= 1
    return most


def _too_much(one: TypeDiff, most: int, limit: float) -> str:
    name = one.type or EVERY_TYPE  # resources without a type can only be allowed with all others
    return (
        f"it would remove {one.staled:,} of {one.before:,} resources of type {printable(one.type)!r} "
        f"({_percent(one.staled_share)}), where at most {most:,} ({_percent(limit)}) may go; "
        f"if that is meant, say --allow-stale {printable(name)!r} (allow_stale=[{printable(name)!r}])"
    )


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"
