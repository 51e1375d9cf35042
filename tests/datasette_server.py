"""A real Datasette for a test, over databases written as SQL."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from examples.datasette_server import serve_datasette


@contextmanager
def datasette(folder: Path, databases: Mapping[str, str], *options: str) -> Iterator[str]:
    """Serve databases, by name the statements that make each, as a process of its own; gives the base URL.

    Usage: ``with datasette(tmp_path, {"shop": "create table t (id)"}, "--cors") as url: ...``.
    """
    files = []
    for name, statements in databases.items():
        files.append(file := folder / f"{name}.db")
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(f"begin;\n{statements};\ncommit;")
    with serve_datasette(files, *options) as url:
        yield url
