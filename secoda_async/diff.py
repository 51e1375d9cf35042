"""What a sync does to what is held: compares two datasets, by entity type, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, computed_field

from secoda_async.dataset import Dataset
from secoda_async.printable import printable

if TYPE_CHECKING:  # the engine is imported where something is compared, not where a report is read
    from secoda_async.analysis.engine import Connection

EXAMPLES: Final = 5
"""Examples of each kind of change, for each type: those that come first in their file."""
_TYPES: Final = 100  # told one by one; a dataset with more of them must not make a report of any size
OTHER_TYPES: Final = "(other types)"
_LONGEST: Final = 120  # characters of a type, and of an id, a title or a parent in an example

Keep = Literal["first", "last"]


class Tables(NamedTuple):
    """A dataset that is loaded already, by the names of its tables."""

    resources: str
    lineage: str


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Example(_Frozen):
    """One resource that changes. Texts are clipped, and hold nothing that a terminal would obey."""

    id: str
    title: str = ""
    parent: str = ""
    was: str | None = None
    """Its entity type before, where that changes."""


class TypeDiff(_Frozen):
    """What happens to the resources of one entity type. Each id counts once, however often it was declared."""

    type: str
    before: int
    """Ids of this type that are held before the sync."""
    now: int
    """Ids of this type in the sync."""
    added: int
    """Ids in the sync that were not held."""
    changed: int | None
    """Ids held before with other values, or as another type, under which they are not missing. None: not known."""
    staled: int
    """Ids held before that are not in the sync: by default the platform removes them."""
    added_examples: tuple[Example, ...] = ()
    changed_examples: tuple[Example, ...] = ()
    staled_examples: tuple[Example, ...] = ()

    @computed_field  # type: ignore[prop-decorator] # mypy has no decorated properties
    @property
    def staled_share(self) -> float:
        """Of those held before, from 0 to 1."""
        return self.staled / self.before if self.before else 0.0


class LineageDiff(_Frozen):
    """What happens to lineage, which has no ids: one that changes counts as removed and added."""

    before: int | None
    """None: what lineage is held is not known, and so neither is what is added or removed."""
    now: int
    added: int | None
    removed: int | None
    added_examples: tuple[str, ...] = ()
    removed_examples: tuple[str, ...] = ()


class Diff(_Frozen):
    """What a sync adds, changes and stales. Usage: ``diff.staled``, ``diff.types``, ``diff.model_dump_json()``.

    What is staled is removed from the workspace, unless automatic staling is off there.
    """

    against: str = ""
    """What the sync is compared with, for a person."""
    removes_absent: bool = True
    """Whether what is staled is removed; False: automatic staling is off in the workspace, so it stays there."""
    types: tuple[TypeDiff, ...]
    """By entity type, those that lose most first; types beyond the 100 commonest are told as one."""
    lineage: LineageDiff

    @computed_field  # type: ignore[prop-decorator] # mypy has no decorated properties
    @property
    def before(self) -> int:
        """Resources held before."""
        return sum(one.before for one in self.types)

    @computed_field  # type: ignore[prop-decorator] # mypy has no decorated properties
    @property
    def now(self) -> int:
        """Resources in the sync."""
        return sum(one.now for one in self.types)

    @computed_field  # type: ignore[prop-decorator] # mypy has no decorated properties
    @property
    def added(self) -> int:
        return sum(one.added for one in self.types)

    @computed_field  # type: ignore[prop-decorator] # mypy has no decorated properties
    @property
    def changed(self) -> int | None:
        """None: not known."""
        known = [one.changed for one in self.types if one.changed is not None]
        return sum(known) if len(known) == len(self.types) else None

    @computed_field  # type: ignore[prop-decorator] # mypy has no decorated properties
    @property
    def staled(self) -> int:
        return sum(one.staled for one in self.types)


async def diff_datasets(
    before: Dataset, now: Dataset, work: Path, *, keep: Keep = "last", ids_only: bool = False, against: str = ""
) -> Diff:
    """Compare two datasets from their files; ``work`` is a folder for what does not fit in memory.

    Usage: ``diff = await diff_datasets(open_dataset(a), open_dataset(b), work)``; the rest is as in `compare`.
    Raises DatasetError where a file cannot be read, or a line of it as a record, and SpoolError where the disk is full.
    """
    await to_thread.run_sync(import_module, "duckdb")  # the first time it takes a tenth of a second
    from secoda_async.analysis.engine import analyse  # noqa: PLC0415 # it imports DuckDB
    from secoda_async.analysis.tables import load_lineage, load_resources  # noqa: PLC0415

    def judge(connection: Connection) -> Diff:
        for dataset, name in ((before, "before"), (now, "now")):
            load_resources(connection, dataset, f"{name}_resources")
            load_lineage(connection, dataset, f"{name}_lineage")
        held, sync = (Tables(f"{name}_resources", f"{name}_lineage") for name in ("before", "now"))
        return compare(connection, held, sync, keep=keep, ids_only=ids_only, against=against)

    return await analyse(work, [*before, *now], judge)


def compare(
    connection: Connection,
    before: Tables,
    now: Tables,
    *,
    keep: Keep = "last",
    ids_only: bool = False,
    against: str = "",
    removes_absent: bool = True,
) -> Diff:
    """Compare two datasets that `analysis.tables` has loaded.

    ``keep`` says which of several resources with one id counts, on both sides. ``ids_only``: of what is held before
    no more is known than ids and types, so what changed, and what happens to lineage, is told as not known.
    ``against`` and ``removes_absent`` are kept in the diff as they are.
    Resources without an id are left out, since no workspace takes them. An id that is held as another type counts
    as changed under its new one, not as staled under the old: it is the same resource to the platform, which knows it
    by its id.
    """
    return Diff(
        against=against,
        removes_absent=removes_absent,
        types=tuple(_resources(connection, before.resources, now.resources, keep, ids_only=ids_only)),
        lineage=diff_lineage(connection, None if ids_only else before.lineage, now.lineage),
    )


_CHANGES: Final = ("added", "changed", "staled")


def _resources(connection: Connection, before: str, now: str, keep: Keep, *, ids_only: bool) -> Iterable[TypeDiff]:
    pick = "arg_max" if keep == "last" else "arg_min"
    sides = " union all ".join(
        f"select id, line, left(coalesce(type, ''), {_LONGEST}) as type, digest, {is_now} as is_now"
        f" from {table} where id <> ''"
        for table, is_now in ((before, "false"), (now, "true"))
    )
    differs = "false" if ids_only else "digest_before is distinct from digest_now"
    # The line of the sync where the id is in it, else that of what is held; `arg_max` leaves out rows of NULL.
    connection.execute(
        f"""
        create temp table change as select
            case when type_before is null then 'added' when type_now is null then 'staled'
                 when type_before <> type_now or {differs} then 'changed' else 'same' end as what,
            type_before, type_now, coalesce(line_now, line_before) as line
        from (
            select
                {pick}(type, line) filter (not is_now) as type_before,
                {pick}(digest, line) filter (not is_now) as digest_before,
                {pick}(line, line) filter (not is_now) as line_before,
                {pick}(type, line) filter (is_now) as type_now,
                {pick}(digest, line) filter (is_now) as digest_now,
                {pick}(line, line) filter (is_now) as line_now
            from ({sides}) group by id
        )
        """
    )
    try:
        return _by_type(connection, before, now, ids_only=ids_only)
    finally:
        connection.execute("drop table change")


def _by_type(connection: Connection, before: str, now: str, *, ids_only: bool) -> list[TypeDiff]:
    common = {
        name
        for (name,) in connection.execute(
            "select type from (select unnest([type_before, type_now]) as type from change) where type is not null"
            f" group by type order by count(*) desc, type limit {_TYPES}"
        ).fetchall()
    }
    folded = f"case when {{0}} in (select unnest($common)) or {{0}} is null then {{0}} else '{OTHER_TYPES}' end".format
    rows = connection.execute(
        f"""
        select {folded("type_before")} as held, {folded("type_now")} as sent, what,
               count(*), arg_min(line, line, {EXAMPLES}), arg_min(type_before, line, {EXAMPLES})
        from change group by held, sent, what
        """,
        {"common": sorted(common)},
    ).fetchall()
    counts: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(("before", "now", *_CHANGES), 0))
    lines: defaultdict[tuple[str, str], dict[int, str | None]] = defaultdict(dict)
    for held, sent, what, count, at, were in rows:
        if held is not None:
            counts[held]["before"] += count
        if sent is not None:
            counts[sent]["now"] += count
        if what in _CHANGES:
            name = held if sent is None else sent
            counts[name][what] += count
            retyped = what == "changed" and held != sent
            lines[name, what].update(dict(zip(at, were if retyped else [None] * len(at), strict=True)))
    examples = _Examples(connection, before, now, lines)
    return sorted(
        (
            TypeDiff(
                type=name,
                before=count["before"],
                now=count["now"],
                added=count["added"],
                changed=None if ids_only else count["changed"],
                staled=count["staled"],
                added_examples=examples.of(name, "added"),
                changed_examples=() if ids_only else examples.of(name, "changed"),
                staled_examples=examples.of(name, "staled"),
            )
            for name, count in counts.items()
        ),
        key=lambda one: (-one.staled_share, -one.staled, -one.before, one.type),
    )


class _Examples:
    """What is shown of the lines that were picked: of what is staled from what is held, else from the sync."""

    def __init__(
        self,
        connection: Connection,
        before: str,
        now: str,
        lines: dict[tuple[str, str], dict[int, str | None]],
    ) -> None:
        self._lines = {key: dict(sorted(found.items())[:EXAMPLES]) for key, found in lines.items()}
        self._known: dict[tuple[bool, int], Example] = {}
        for table, staled in ((before, True), (now, False)):
            wanted = [
                line for (_, what), found in self._lines.items() if (what == "staled") is staled for line in found
            ]
            rows = connection.execute(
                f"select line, id, title, parent from {table} where line in (select unnest($lines))",
                {"lines": wanted},
            ).fetchall()
            for line, id_, title, parent in rows:
                self._known[staled, line] = Example(id=_shown(id_), title=_shown(title), parent=_shown(parent))

    def of(self, name: str, what: str) -> tuple[Example, ...]:
        found = self._lines.get((name, what), {})
        return tuple(
            self._known[what == "staled", line].model_copy(update={"was": None if was is None else _shown(was)})
            for line, was in found.items()
        )


def diff_lineage(connection: Connection, before: str | None, now: str) -> LineageDiff:
    """Compare two tables of lineage that `analysis.tables` has loaded; None: what is held before is not known."""
    if before is None:
        [(count,)] = connection.execute(f"select count(*) from (select digest from {now} group by digest)").fetchall()
        return LineageDiff(before=None, now=count, added=None, removed=None)
    sides = " union all ".join(
        f"select digest, line, {is_now} as is_now from {table}" for table, is_now in ((before, "false"), (now, "true"))
    )
    rows = connection.execute(
        f"""
        select held, sent, count(*), arg_min(line, line, {EXAMPLES})
        from (select bool_or(not is_now) as held, bool_or(is_now) as sent, min(line) as line
              from ({sides}) group by digest)
        group by held, sent
        """
    ).fetchall()
    counts = {(held, sent): count for held, sent, count, _ in rows}
    lines = {(held, sent): at for held, sent, _, at in rows}
    both, added, removed = (counts.get(key, 0) for key in ((True, True), (False, True), (True, False)))
    return LineageDiff(
        before=both + removed,
        now=both + added,
        added=added,
        removed=removed,
        added_examples=_edges(connection, now, lines.get((False, True), [])),
        removed_examples=_edges(connection, before, lines.get((True, False), [])),
    )


def _edges(connection: Connection, table: str, lines: list[int]) -> tuple[str, ...]:
    rows = connection.execute(
        "select coalesce(from_id, from_type), coalesce(to_id, to_type)"
        f" from {table} where line in (select unnest($lines)) order by line",  # a name
        {"lines": lines},
    ).fetchall()
    return tuple(f"{_shown(start)} → {_shown(end)}" for start, end in rows)


def _shown(text: str | None) -> str:
    return printable(text or "", _LONGEST)
