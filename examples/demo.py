"""The main job on real input: Datasette is crawled, one sync is uploaded, and the workspace holds what SQLite holds.

Usage: ``python -m examples.demo``; exit status 0 means that both hold the same.
"""

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table

from examples.datasette_server import serve_datasette
from examples.demo_data import make_databases
from secoda_async.testing import FakeWorkspace

DATASETTE = os.path.relpath(Path(__file__).resolve().with_name("datasette.py"))
TO_WATCH = ("--set", 'rate_limits={"*": "150/1"}')  # without a limit it is over before anybody has read how far it is
API_KEY = "the-demo's-own-key"
COMPARED = (
    "entity_type",
    "parent_databuilder_id",
    "title",
    "native_type",
    "schema",
    "database",
    "sort_order",
    "type",
    "is_pk",
    "hidden",
)
FOREIGN_KEYS = """
select m.name as name, f."from" as "from", t.name as other, c.name as "to"
from sqlite_master m, pragma_foreign_key_list(m.name) f
join sqlite_master t on t.type = 'table' and t.name = f."table" collate nocase
join pragma_table_xinfo(t.name) c on c.name = f."to" collate nocase or f."to" is null and c.pk = f.seq + 1
where m.type = 'table'
"""

Record = dict[str, Any]
Holdings = tuple[dict[str, Record], set[tuple[str, str, str]]]
"""Resources by id, and lineages as kind, from and to."""


def main() -> int:
    # Ended by a SIGTERM, it stops what it started as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix="secoda-async-demo-") as folder:
            files = make_databases(Path(folder))
            with serve_datasette(files) as url:
                status, delivered = anyio.run(crawl, url, Path(folder), console)
            if status != 0:
                console.print(f"The run ended with status {status}; nothing is compared.", style="red")
                return 1
            return compare(from_sqlite(files), delivered, console)
    except KeyboardInterrupt:
        console.print("Stopped; so is all that was started.")
        return 128 + signal.SIGINT


async def crawl(source_url: str, folder: Path, console: Console) -> tuple[int, Holdings]:
    """Run the command line against Datasette and a workspace: its exit status, and what the workspace then holds."""
    async with FakeWorkspace(api_key=API_KEY, staling=True) as workspace:
        integration_id = workspace.create_integration("Datasette")
        command = [
            *(str(Path(sys.executable).with_name("secoda-async")), "run", f"{DATASETTE}:Datasette"),
            *("--credential", f"base_url={source_url}"),
            *(TO_WATCH if console.is_terminal else ()),
            *("--upload", "--integration-id", integration_id, "--base-url", workspace.url),
        ]
        console.print(f"Datasette serves {source_url}, the workspace {workspace.url}. Now:", highlight=False)
        console.print(shlex.join(["secoda-async", *command[1:]]), style="bold", highlight=False, soft_wrap=True)
        status = await run(command, SECODA_API_KEY=API_KEY, SECODA_ASYNC_STATE=str(folder / "state"))
        if status == 0 and (count := len(workspace.syncs(integration_id))) != 1:
            raise RuntimeError(f"{count} syncs arrived where one was to")
        return status, from_workspace(workspace.resources(integration_id), workspace.lineage(integration_id))


async def run(command: list[str], **environment: str) -> int:
    """A command on this terminal, stopped with us; its exit status."""
    process = await anyio.open_process(
        command, stdin=subprocess.DEVNULL, stdout=None, stderr=None, env={**os.environ, **environment}
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with anyio.CancelScope(shield=True):
                process.terminate()
                with anyio.move_on_after(5):
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()


def from_workspace(resources: dict[str, Record], lineage: Iterable[Record]) -> Holdings:
    def end(identifier: Record) -> str:
        return str(identifier.get("databuilder_id") or identifier.get("sql"))

    return (
        {id_: {name: resource[name] for name in COMPARED} for id_, resource in resources.items()},
        {(one["from_identifier"]["type"], end(one["from_identifier"]), end(one["to_identifier"])) for one in lineage},
    )


def from_sqlite(files: Iterable[Path]) -> Holdings:
    """What the files hold, asked of SQLite itself: neither Datasette nor the integration has a part in it."""
    resources: dict[str, Record] = {}
    lineage: set[tuple[str, str, str]] = set()
    for file in files:
        with closing(sqlite3.connect(file)) as connection:
            connection.row_factory = sqlite3.Row
            for id_, record in _resources(connection, file.stem):
                resources[id_] = {**dict.fromkeys(COMPARED), "is_pk": False, "hidden": False, **record}
            lineage.update(_lineage(connection, file.stem))
    return resources, lineage


def _resources(connection: sqlite3.Connection, database: str) -> Iterable[tuple[str, Record]]:
    yield _id(database), {"entity_type": "database", "title": database}
    schema = _id(database, "main")
    yield schema, {"entity_type": "schema", "parent_databuilder_id": _id(database), "title": "main"}
    tables = connection.execute("select name, type, rootpage from sqlite_master where type in ('table', 'view')")
    rows = tables.fetchall()
    # A virtual table has no page of its own; its shadow tables carry its name.
    virtual = tuple(row["name"] for row in rows if row["type"] == "table" and not row["rootpage"])
    for name, kind, _ in rows:
        table = _id(database, "main", name)
        place = {"parent_databuilder_id": schema, "schema": "main", "database": database}
        yield table, {"entity_type": "table", "title": name, "native_type": kind, **place}
        for column in connection.execute("select * from pragma_table_xinfo(?)", (name,)):
            yield (
                _id(database, "main", name, column["name"]),
                {
                    "entity_type": "column",
                    "parent_databuilder_id": table,
                    "title": column["name"],
                    "sort_order": column["cid"],
                    "type": column["type"] or None,
                    "is_pk": bool(column["pk"]),
                    "hidden": name.startswith(virtual) or column["hidden"] == 1,
                },
            )


def _lineage(connection: sqlite3.Connection, database: str) -> Iterable[tuple[str, str, str]]:
    for row in connection.execute(FOREIGN_KEYS):
        referenced = _id(database, "main", row["other"], row["to"])
        yield "internal_resource", referenced, _id(database, "main", row["name"], row["from"])
    for row in connection.execute("select name, sql from sqlite_master where type = 'view'"):
        yield "tables_from_query", row["sql"], _id(database, "main", row["name"])


def _id(*names: str) -> str:
    return ".".join(re.sub(r"[.~]", lambda match: f"~{ord(match[0]):02X}", name) for name in names)


def compare(expected: Holdings, delivered: Holdings, console: Console) -> int:
    """Show both sides by type; 0 where they hold the same, down to every detail of every column."""
    here, there = _counts(expected), _counts(delivered)
    table = Table("", "SQLite holds", "the workspace holds", title="What was delivered")
    for kind in dict.fromkeys([*here, *there]):
        table.add_row(kind, f"{here[kind]:,}", f"{there[kind]:,}", style=None if here[kind] == there[kind] else "red")
    console.print(table)
    faults = list(_differences(expected, delivered))
    for fault in faults[:10]:
        console.print(fault, style="red", markup=False, highlight=False)
    if faults or here != there:
        console.print(f"The workspace does not hold what SQLite holds: {len(faults)} differences.", style="bold red")
        return 1
    console.print("The same: every id, every detail of every column, every lineage.", style="bold green")
    return 0


def _counts(holdings: Holdings) -> Counter[str]:
    resources, lineage = holdings
    names = {"internal_resource": "lineage of a foreign key", "tables_from_query": "lineage of a view"}
    counts: Counter[str] = Counter()
    for resource in resources.values():
        counts["view" if resource["native_type"] == "view" else resource["entity_type"]] += 1
    for kind, _, _ in lineage:
        counts[names.get(kind, kind)] += 1
    return counts


def _differences(expected: Holdings, delivered: Holdings) -> Iterable[str]:
    for id_ in sorted(expected[0].keys() | delivered[0].keys()):
        here, there = expected[0].get(id_), delivered[0].get(id_)
        if here != there:
            yield f"resource {id_}: SQLite {here}, workspace {there}"
    for lineage in sorted(expected[1] ^ delivered[1]):
        yield f"lineage {lineage}: only {'SQLite' if lineage in expected[1] else 'the workspace'} has it"


if __name__ == "__main__":
    sys.exit(main())
