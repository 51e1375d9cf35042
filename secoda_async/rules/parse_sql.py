"""A program that parses SQL, in a process that may hang or crash at no cost to others.

Standard input: for each statement its length in 4 bytes, then its text in UTF-8. Standard output: the line ``ready``,
then a line of JSON for each statement: ``[verdict, note]``. It imports nothing of this package, so it starts fast.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import orjson
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

MEMORY: Final = 2**30
"""Bytes of address space; a statement that needs more is not judged."""
_PARENT_LIMIT: Final = 30  # seconds after which it ends itself, should nobody be left to end it
_DIALECTS: Final = (
    "",  # sqlglot's own, a superset of many
    "snowflake",
    "bigquery",
    "databricks",
    "postgres",
    "redshift",
    "tsql",
    "mysql",
    "oracle",
    "trino",
    "clickhouse",
    "sqlite",
)


def judge(sql: str) -> tuple[str, str]:
    """``reads`` where it reads a table, else ``nothing``, ``unparsed`` or ``unjudged``, and why."""
    reason, fault, parsed = "", "", False
    for dialect in _DIALECTS:
        try:
            trees = sqlglot.parse(sql, read=dialect or None)
        except SqlglotError as exc:
            reason = reason or _reason(exc)
            continue
        except RecursionError:
            fault = "it is nested too deeply"
            continue
        except MemoryError:
            raise  # the process is of no use any more
        except Exception as exc:  # noqa: BLE001 # a fault of the parser's, which says nothing against the statement
            fault = fault or f"the parser failed with {type(exc).__name__}"
            continue
        if any(_reads_table(tree) for tree in trees if tree is not None):
            return "reads", ""
        # A command is what the parser kept whole: another dialect may know it.
        if not any(isinstance(tree, exp.Command) for tree in trees):
            return "nothing", ""
        parsed = True
    if parsed:
        return "nothing", ""
    return ("unjudged", fault) if fault else ("unparsed", reason)


def _reads_table(tree: exp.Expr) -> bool:
    written = {id(table) for table in _written(tree)}
    return any(
        isinstance(table.this, exp.Identifier) and id(table) not in written and not _is_with(table)
        for table in tree.find_all(exp.Table)
    )


def _written(tree: exp.Expr) -> Iterator[exp.Table]:
    """What a statement creates, or writes to."""
    for statement in tree.find_all(exp.Create, exp.Insert):
        target = statement.this
        table = target.this if isinstance(target, exp.Schema) else target
        if isinstance(table, exp.Table):
            yield table


def _is_with(table: exp.Table) -> bool:
    """Whether it is the name of a ``with``. In its own query a name is a table's, unless it is recursive."""
    if table.db:
        return False
    name = table.name.lower()
    inside: exp.Expr | None = table
    own: exp.Expr | None = None
    while inside is not None:
        if isinstance(inside, exp.CTE):
            own = inside
        with_ = next((part for part in inside.args.values() if isinstance(part, exp.With)), None)
        if with_ is not None:
            for cte in with_.expressions:
                if cte.alias_or_name.lower() == name and (cte is not own or with_.args.get("recursive")):
                    return True
        inside = inside.parent
    return False


def _reason(exc: SqlglotError) -> str:
    for error in getattr(exc, "errors", ()):
        return f"{error.get('description')} (line {error.get('line')}, column {error.get('col')})"[:300]
    return str(exc)[:300]


def _limit_itself() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 # POSIX alone has it

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _end_in(seconds: int) -> None:
    """End this process after so many seconds; 0: never."""
    if hasattr(signal, "alarm"):  # POSIX alone has it
        signal.alarm(seconds)


def main() -> None:
    """Answer until standard input ends."""
    _limit_itself()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    target.write(b"ready\n")
    target.flush()
    while len(head := source.read(4)) == 4:
        sql = source.read(int.from_bytes(head, "big")).decode()
        _end_in(_PARENT_LIMIT)
        target.write(orjson.dumps(judge(sql), option=orjson.OPT_APPEND_NEWLINE))
        target.flush()
        _end_in(0)


if __name__ == "__main__":
    main()
