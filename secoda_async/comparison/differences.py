"""What differs between the records of two runs: by id and field, whatever their order."""

from __future__ import annotations

from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, computed_field

from secoda_async.dataset import Dataset
from secoda_async.diff import LineageDiff, diff_lineage
from secoda_async.printable import printable

if TYPE_CHECKING:  # the engine is imported where something is compared
    from secoda_async.analysis.engine import Connection

EXAMPLES: Final = 20
"""Resources of each kind of difference that are shown: those that come first in their file. All are counted."""
_LONGEST: Final = 120  # characters of an id, and of a value
_BEFORE: Final = 20  # characters that are shown before the first that differs


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Side(_Frozen):
    """What one integration declared."""

    resources: int
    """Ids."""
    repeated_resources: int
    """Declares of an id beyond its first."""
    lineage: int
    """Lineages that differ from one another."""
    repeated_lineage: int
    """Declares of a lineage beyond its first."""


class Resource(_Frozen):
    """A resource that only one side has. Texts are clipped, and hold nothing that a terminal would obey."""

    id: str
    type: str


class Values(_Frozen):
    """A field that differs; None: null."""

    field: str
    old: str | None
    new: str | None


class Changed(Resource):
    """A resource that both have with other values."""

    fields: tuple[Values, ...]


class Differences(_Frozen):
    """How two runs' records differ. Usage: ``differences.none``, ``differences.changed``, ``model_dump_json()``."""

    old: Side
    new: Side
    only_old: int
    """Resources that the new integration does not declare."""
    only_old_examples: tuple[Resource, ...]
    only_new: int
    only_new_examples: tuple[Resource, ...]
    changed: int
    """Resources that both declare with other values. An id that is declared with several counts here, unless the other
    side declares it with the same ones."""
    changed_fields: dict[str, int]
    """How many of these differ in a field, the commonest first."""
    changed_examples: tuple[Changed, ...]
    lineage: LineageDiff
    """``before`` is of the old integration, ``now`` of the new."""

    @computed_field  # type: ignore[prop-decorator] # mypy has no decorated properties
    @property
    def none(self) -> bool:
        """Whether both declare the same. Order and repeats are no difference."""
        lineage = (self.lineage.added or 0) + (self.lineage.removed or 0)
        return not (self.only_old or self.only_new or self.changed or lineage)


async def find_differences(old: Dataset, new: Dataset, work: Path) -> Differences:
    """Compare the records of two runs; ``work`` is a folder for what does not fit in memory.

    Raises DatasetError where a file cannot be read, and SpoolError where the disk is full.
    """
    await to_thread.run_sync(import_module, "duckdb")  # the first time it takes a tenth of a second
    from secoda_async.analysis.engine import analyse  # noqa: PLC0415 # it imports DuckDB

    return await analyse(work, [*old, *new], lambda connection: _judge(connection, old, new))


# A row for each id: on which sides it is, whether with the same contents, and a line that shows the difference on each.
_IDS: Final = """
    create table ids as
    select id,
        bool_or(in_old) as in_old, bool_or(in_new) as in_new, bool_and(in_old and in_new) as same,
        coalesce(min(old_line) filter (not in_new), min(old_line)) as old_line,
        coalesce(min(new_line) filter (not in_old), min(new_line)) as new_line
    from (
        select id, digest,
            bool_or(not is_new) as in_old, bool_or(is_new) as in_new,
            min(line) filter (not is_new) as old_line, min(line) filter (is_new) as new_line
        from (
            select id, digest, line, false as is_new from old_resources
            union all select id, digest, line, true from new_resources
        ) group by id, digest
    ) group by id
"""


def _judge(connection: Connection, old: Dataset, new: Dataset) -> Differences:
    from secoda_async.analysis.tables import FIELDS, load_fields, load_lineage, load_resources  # noqa: PLC0415

    for dataset, side in ((old, "old"), (new, "new")):
        load_resources(connection, dataset, f"{side}_resources")
        load_lineage(connection, dataset, f"{side}_lineage")
    connection.execute(_IDS)
    connection.execute("create table changes as select * from ids where in_old and in_new and not same")
    for dataset, side in ((old, "old"), (new, "new")):
        connection.execute(f"create table {side}_lines as select {side}_line as line from changes")
        load_fields(connection, dataset, f"{side}_lines", f"{side}_fields")
    lineage = diff_lineage(connection, "old_lineage", "new_lineage")
    return Differences(
        old=_side(connection, "old", lineage.before or 0),
        new=_side(connection, "new", lineage.now),
        **_alone(connection, "old"),
        **_alone(connection, "new"),
        changed=_count(connection, "changes"),
        changed_fields=_fields(connection, FIELDS),
        changed_examples=_changed(connection, FIELDS),
        lineage=lineage,
    )


def _side(connection: Connection, side: str, lineage: int) -> Side:
    resources = _count(connection, f"ids where in_{side}")
    return Side(
        resources=resources,
        repeated_resources=_count(connection, f"{side}_resources") - resources,
        lineage=lineage,
        repeated_lineage=_count(connection, f"{side}_lineage") - lineage,
    )


def _alone(connection: Connection, side: str) -> dict[str, object]:
    """What only one side has."""
    found = f"ids where in_{side} and not in_{'new' if side == 'old' else 'old'}"
    rows = connection.execute(
        f"select id, type from {side}_resources semi join (select {side}_line as line from {found}"
        f" order by {side}_line limit {EXAMPLES}) using (line) order by line"
    ).fetchall()
    return {
        f"only_{side}": _count(connection, found),
        f"only_{side}_examples": tuple(Resource(id=_shown(id_), type=_shown(type_)) for id_, type_ in rows),
    }


_PAIRS: Final = "changes join old_fields o on o.line = old_line join new_fields n on n.line = new_line"


def _fields(connection: Connection, fields: tuple[str, ...]) -> dict[str, int]:
    sums = ", ".join(f'count(*) filter (o."{field}" is distinct from n."{field}")' for field in fields)
    [counts] = connection.execute(f"select {sums} from {_PAIRS}").fetchall()
    found = {field: count for field, count in zip(fields, counts, strict=True) if count}
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _changed(connection: Connection, fields: tuple[str, ...]) -> tuple[Changed, ...]:
    columns = ", ".join(f'{side}."{field}"' for side in ("o", "n") for field in fields)
    rows = connection.execute(f"select id, {columns} from {_PAIRS} order by old_line limit {EXAMPLES}").fetchall()
    found = []
    for id_, *values in rows:
        old, new = (dict(zip(fields, half, strict=True)) for half in (values[: len(fields)], values[len(fields) :]))
        differing = [field for field in fields if old[field] != new[field]]
        found.append(
            Changed(
                id=_shown(id_),
                type=_shown(old["entity_type"]),
                fields=tuple(_values(name, old[name], new[name]) for name in differing),
            )
        )
    return tuple(found)


def _count(connection: Connection, what: str) -> int:
    [(count,)] = connection.execute(f"select count(*) from {what}").fetchall()
    return int(count)


def _shown(text: str | None) -> str:
    return printable(text or "", _LONGEST)


def _values(field: str, old: object, new: object) -> Values:
    """Both values, from shortly before the first character that differs."""
    texts = [None if value is None else str(value) for value in (old, new)]
    start = 0
    if all(texts) and any(len(text or "") > _LONGEST for text in texts):
        pairs = zip(*(text or "" for text in texts), strict=False)
        start = max(0, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) - _BEFORE)
    first, second = (None if t is None else printable(f"{'…' if start else ''}{t[start:]}", _LONGEST) for t in texts)
    return Values(field=field, old=first, new=second)
