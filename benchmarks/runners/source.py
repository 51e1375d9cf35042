"""The source API of the crawl: a bare protocol that costs little, so that it is never what limits a crawl.

Paths begin with ``/<latency in ms>/<tables>``, how long every answer takes and how many tables there are:

- ``/databases`` lists the databases, one for each 100 tables;
- ``/databases/<d>/tables?page=<p>`` is a page of 25 of its tables, and tells the number of the next; the first is
  what comes without ``page``;
- ``/tables/<n>`` is a table with its 20 columns, about 4 KB, and ``/tables/<n>/gzip`` the same compressed.

Prints one line, ``{"port": …}``, once it serves.
"""

from __future__ import annotations

import gzip
import math
from typing import ClassVar, Final

import orjson
import uvloop
from typing_extensions import override

from benchmarks.runners.bare_protocol import BareProtocol, serve

COLUMNS: Final = 20
TABLES_OF_A_DATABASE: Final = 100
TABLES_OF_A_PAGE: Final = 25


def requests_for(tables: int) -> int:
    """How many requests a crawl of so many tables makes: the list, the pages of each database, the tables."""
    whole, rest = divmod(tables, TABLES_OF_A_DATABASE)
    pages = whole * TABLES_OF_A_DATABASE // TABLES_OF_A_PAGE + math.ceil(rest / TABLES_OF_A_PAGE)
    return 1 + pages + tables


def trips_for(tables: int) -> int:
    """How many round trips deep a crawl is: the list, the pages of a database one after the other, a table."""
    return 2 + math.ceil(min(tables, TABLES_OF_A_DATABASE) / TABLES_OF_A_PAGE)


def records_of(tables: int) -> int:
    """How many records so many tables are: databases, tables, columns, and a lineage for each table but the first."""
    return math.ceil(tables / TABLES_OF_A_DATABASE) + tables * (1 + COLUMNS) + tables - 1


def _database(number: int) -> dict[str, object]:
    return {"id": number, "name": f"warehouse_{number}", "description": f"Warehouse of region {number}"}


def _name(table: int) -> str:
    return f"orders_{table}"


def _table(number: int) -> dict[str, object]:
    """What the API says of one table; each but the first is made from the one before."""
    before = number - 1
    return {
        "id": number,
        "name": _name(number),
        "database": f"warehouse_{number // TABLES_OF_A_DATABASE}",
        "description": f"Orders of region {number}, one row an order: äöü €",
        "updated_at": "2024-05-01T10:20:30.123456Z",
        "columns": [
            {
                "name": f"column_{position}",
                "type": "character varying" if position % 3 else "bigint",
                "description": f"What column {position} holds, in a sentence of a usual length.",
                "position": position,
                "nullable": position > 0,
                "default": None,
                "primary_key": position == 0,
            }
            for position in range(COLUMNS)
        ],
        "made_from": f"warehouse_{before // TABLES_OF_A_DATABASE}.public.{_name(before)}" if number else None,
    }


def _page(tables: int, database: int, page: int) -> dict[str, object]:
    first = database * TABLES_OF_A_DATABASE
    end = min(first + TABLES_OF_A_DATABASE, tables)
    start = first + (page - 1) * TABLES_OF_A_PAGE
    stop = min(start + TABLES_OF_A_PAGE, end)
    return {
        "tables": [{"id": number, "name": _name(number)} for number in range(start, stop)],
        "next_page": page + 1 if stop < end else None,
    }


class Source(BareProtocol):
    """Answers every request after its latency, from bodies that are built once."""

    answers: ClassVar[dict[bytes, tuple[float, bytes]]] = {}

    @override
    def asked(self, target: bytes) -> None:
        latency, answer = self._answer(target)
        if latency:
            self.loop.call_later(latency, self.transport.write, answer)
        else:
            self.transport.write(answer)

    def _answer(self, target: bytes) -> tuple[float, bytes]:
        found = self.answers.get(target)
        if found is None:
            found = self.answers[target] = _build(target.decode())
        return found


def _build(target: str) -> tuple[float, bytes]:
    _, latency, tables, *rest = target.split("/")
    coding = ""
    match rest:
        case ["databases"]:
            body: object = {"databases": [_database(n) for n in range(math.ceil(int(tables) / TABLES_OF_A_DATABASE))]}
        case ["databases", database, listing] if listing.partition("?")[0] == "tables":
            body = _page(int(tables), int(database), int(listing.partition("?page=")[2] or 1))
        case ["tables", number, *codings]:
            body = _table(int(number))
            coding = "".join(codings)
        case _:
            return 0.0, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    content = orjson.dumps(body)
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if coding:
        content = gzip.compress(content)
        head += f"Content-Encoding: {coding}\r\n"
    return int(latency) / 1000, f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


if __name__ == "__main__":
    uvloop.run(serve(Source))
