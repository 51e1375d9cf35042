"""Which lines of a dataset an upload leaves out: repeats, and what of differing records of one id the policy drops."""

from __future__ import annotations

from typing import Final

from secoda_async.analysis.engine import Connection
from secoda_async.settings import OnConflict

# An id's lines, where it has several; `first` and `last` are the contents of its first and its last line.
_ALIKE: Final = """
    create or replace temp table alike as
    with twice as (select md5_number(id) as key from {resources} group by key having count(*) > 1)
    select line, digest, key,
        first_value(line) over (partition by key order by line) as first_line,
        first_value(digest) over (partition by key order by line) as first_digest,
        last_value(digest) over (
            partition by key order by line rows between unbounded preceding and unbounded following
        ) as last_digest,
        row_number() over (partition by key, digest order by line) as occurrence
    from (select line, digest, md5_number(id) as key from {resources}) join twice using (key)
"""
_DROPS: Final[dict[OnConflict, str]] = {
    "error": "occurrence > 1",
    "first": "line <> first_line",
    "last": "digest <> last_digest or occurrence > 1",
}


def find_dropped(connection: Connection, resources: str, lineage: str, on_conflict: OnConflict) -> None:
    """Make the tables ``dropped_resources(line)`` and ``dropped_lineage(line)``, in the order of lines, and
    ``differing(line, first_line, id)``.

    ``resources`` and ``lineage`` are tables that `tables` loaded. Repeats of a record are dropped, the first kept; of
    records that share an id and differ, the policy keeps the first or the last, or (``error``) all of them.
    ``differing`` has one row for each such id: its first line that differs from its first, and that one.
    """
    connection.execute(_ALIKE.format(resources=resources))
    connection.execute(
        "create or replace temp table dropped_resources as "
        f"select line from alike where {_DROPS[on_conflict]} order by line"
    )
    connection.execute(
        f"""
        create or replace temp table differing as
        with found as (
            select min(line) as line, min(first_line) as first_line from alike where digest <> first_digest group by key
        )
        select line, first_line, id from found join {resources} using (line)
        """
    )
    connection.execute("drop table alike")
    connection.execute(
        f"""
        create or replace temp table dropped_lineage as
        with twice as (select digest from {lineage} group by digest having count(*) > 1)
        select line from (
            select line, row_number() over (partition by digest order by line) as occurrence
            from {lineage} join twice using (digest)
        ) where occurrence > 1 order by line
        """
    )
