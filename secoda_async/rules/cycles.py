"""Finds circles among parents, however long the chains are: in a number of steps that grows with the logarithm."""

from __future__ import annotations

from secoda_async.analysis.engine import Connection


def find_cycles(connection: Connection) -> None:
    """Make the table ``rules.cycle(line)`` of the lines on a circle, out of ``rules.above(line, up)``.

    ``up`` is the line of a line's one parent. A step takes every line as far again as all steps before it (pointer
    doubling), and leaves out the lines that have come to a root. Whatever is left when no more are left out leads into
    a circle; after at least as many steps as there are such lines, all of them have come to one.
    """
    connection.execute("create or replace temp table jump as select line, up from rules.above where up is not null")
    left, steps, ended = _count(connection), 1, False
    while left and not (ended and steps >= left):
        connection.execute(
            "create or replace temp table further as select near.line as line, far.up as up "
            "from jump near join jump far on near.up = far.line"
        )
        connection.execute("drop table jump")
        connection.execute("alter table further rename to jump")
        before, left, steps = left, _count(connection), steps * 2
        ended = left == before
    connection.execute("create or replace table rules.cycle as select distinct up as line from jump")
    connection.execute("drop table jump")


def _count(connection: Connection) -> int:
    (count,) = connection.execute("select count(*) from jump").fetchone() or (0,)
    return int(count)
