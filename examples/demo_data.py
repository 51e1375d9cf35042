"""Makes the databases of the demo: the same ones every time, in the manner of a company that has grown.

Usage: ``files = make_databases(Path("folder"))``.
"""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

# Each area of a database becomes eight tables and a view.
AREAS = {
    "sales": "account contact lead opportunity quote purchase_order shipment refund product region",
    "support": "ticket customer agent team article survey callback escalation queue contract",
    "finance": "invoice payment ledger budget vendor expense asset payroll currency tax_rule",
    "web analytics": "visitor session page campaign referrer experiment conversion device funnel keyword",
    "hr.people": "employee position department applicant interview review absence training benefit office",
}
ATTRIBUTES = [
    ("name", "TEXT"),
    ("status", "VARCHAR(20)"),
    ("email", "TEXT"),
    ("amount", "NUMERIC(12, 2)"),
    ("currency_code", "CHAR(3)"),
    ("quantity", "INTEGER"),
    ("started_at", "TIMESTAMP"),
    ("ended_at", "TIMESTAMP"),
    ("country", "TEXT"),
    ("city", "TEXT"),
    ("score", "REAL"),
    ("is_active", "BOOLEAN"),
    ("external_ref", "TEXT"),
    ("payload", "BLOB"),
    ("notes", ""),  # SQLite lets a column have no type
    ("source", "TEXT"),
    ("priority", "SMALLINT"),
    ("discount_percent", "REAL"),
    ("Created By", "TEXT"),
    ("valid.until", "DATE"),
]
SEARCH = """
create virtual table {area}_search using fts5(title, body);
"""
AWKWARD = '''
create table "Orders / Returns 2024" (
    "order no." integer primary key, "what's wrong?" text, "50% ""off""" real, "größe" text
);
create table "q&a.log" (id integer primary key, "a/b" text references "Orders / Returns 2024", "~tilde+plus" blob);
create table no_key (value, doubled integer generated always as (value * 2) virtual);
create table dangling (id integer primary key, gone_id integer references gone, self_id references DANGLING(ID));
create table "パーティション" (tag text, day text, rows integer, primary key (day, tag)) without rowid;
create table part_of (tag text, day text, foreign key (day, tag) references "パーティション");
create view "Daily: orders?" as select p.day, count(*) as "how many" from "パーティション" p group by p.day;
'''


def make_databases(folder: Path, *, areas: int = 10) -> list[Path]:
    """Write the databases into the folder, each with its first ``areas`` (1 to 10) areas, a tenth of its size each."""
    files = []
    for database, names in AREAS.items():
        files.append(file := folder / f"{database}.db")
        with closing(sqlite3.connect(file)) as connection:
            # One transaction: otherwise each table waits for the disk.
            connection.executescript("\n".join(["begin;", *_statements(database, names.split()[:areas]), "commit;"]))
    return files


def _statements(database: str, areas: Sequence[str]) -> Iterator[str]:
    pick = random.Random(database)  # seeded by name: the same tables every time
    for area, neighbour in zip(areas, (*areas[1:], areas[0]), strict=True):
        yield from _tables(area, neighbour, pick)
    yield SEARCH.format(area=areas[0])
    if database == "web analytics":
        yield AWKWARD


def _tables(area: str, neighbour: str, pick: random.Random) -> Iterator[str]:
    own = f"{area}_id integer not null references {area}(id)"
    key = "id integer primary key"
    # The neighbour's key is not named: a reference to a table alone means its primary key.
    yield _table(area, [key, f"{neighbour}_id integer references {neighbour}"], pick)
    yield _table(f"{area}_item", [key, own, "position integer"], pick)
    yield _table(f"{area}_event", ["id integer primary key autoincrement", own, "occurred_at timestamp"], pick)
    yield _table(f"{area}_note", [key, own, "author text"], pick)
    yield _table(f"{area}_tag", [f"{area}_id integer", "tag text", f"primary key ({area}_id, tag)"], pick, most=8)
    yield _table(f"{area}_history", [key, own, "version integer"], pick)
    yield _table(f"{area}_daily", ["day date", "region text", "primary key (day, region)"], pick)
    yield _table(
        f"{area}_forecast",
        [key, "day date", "region text", f"foreign key (day, region) references {area}_daily(day, region)"],
        pick,
    )
    yield (
        f"create view {area}_overview as"
        f" select a.id, a.{neighbour}_id, count(i.id) as items, max(e.occurred_at) as last_event"
        f" from {area} a left join {area}_item i on i.{area}_id = a.id left join {area}_event e on e.{area}_id = a.id"
        " group by a.id;"
    )


def _table(name: str, first: Sequence[str], pick: random.Random, most: int = len(ATTRIBUTES)) -> str:
    # Order matters to SQLite: table constraints come after the columns.
    constraints = [part for part in first if part.startswith(("primary key", "foreign key"))]
    columns = [part for part in first if part not in constraints]
    others = [f'"{column}" {kind}' for column, kind in pick.sample(ATTRIBUTES, pick.randint(most // 3, most))]
    return f"create table {name} ({', '.join([*columns, *others, *constraints])});"
