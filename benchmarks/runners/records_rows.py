"""Keywords of the records that are constructed, the same for every library. Nothing but the standard library: peers
have environments of their own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any, Final

COLUMNS: Final = 20
"""A crawl declares a table, so many columns, and a lineage."""
KINDS: Final = ("table", "column", "lineage")
MIX: Final = "mix"
"""All of them, as a crawl declares them."""
REPEATED: Final = 1_000 * (COLUMNS + 2)
"""Records of a run that is too large to be built beforehand, after which they come again."""
_SINCE: Final = datetime(2024, 5, 1, 10, 20, 30, 123456, tzinfo=UTC)


def table(n: int) -> dict[str, Any]:
    """Keywords of a resource."""
    return {
        "entity_type": "table",
        "databuilder_id": f"warehouse.public.orders_{n}",
        "title": f"orders_{n}",
        "description": f"Orders of region {n}, one row an order: äöü €",
        "external_updated_at": _SINCE + timedelta(seconds=n),
        "schema": "public",
        "database": "warehouse",
    }


def column(n: int) -> dict[str, Any]:
    """Keywords of a resource."""
    of_table = f"warehouse.public.orders_{n // COLUMNS}"
    order = n % COLUMNS
    return {
        "entity_type": "column",
        "databuilder_id": f"{of_table}.column_{order}",
        "parent_databuilder_id": of_table,
        "title": f"column_{order}",
        "sort_order": order,
        "type": "integer" if order % 3 else "text",
        "is_pk": order == 0,
    }


def lineage(n: int) -> dict[str, Any]:
    """The ids of both ends."""
    return {"source": f"warehouse.public.orders_{n}", "target": f"warehouse.public.orders_{n + 1}"}


def crawl(n: int) -> list[tuple[str, dict[str, Any]]]:
    """Kind and keywords of what a crawl declares of one table."""
    columns = (("column", column(COLUMNS * n + order)) for order in range(COLUMNS))
    return [("table", table(n)), *columns, ("lineage", lineage(n))]


def rows(kind: str, first: int, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Kind and keywords of so many records, of one kind or as a crawl declares them."""
    make = {"table": table, "column": column, "lineage": lineage}
    if kind != MIX:
        return [(kind, make[kind](n)) for n in range(first, first + count)]
    one = COLUMNS + 2
    tables = range(first // one, (first + count) // one + 1)
    return list(islice(chain.from_iterable(map(crawl, tables)), count))
