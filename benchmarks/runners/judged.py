"""Writes a dataset with known breaches, or judges one and tells the peak of memory.

``python -m benchmarks.runners.judged write FOLDER COUNT``: tables of 19 columns, lineage for a tenth, a long circle.
``python -m benchmarks.runners.judged judge FOLDER WORK``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

import orjson

from benchmarks.runners.peak import peak_bytes
from secoda_async import Resource
from secoda_async.dataset import Dataset, open_dataset
from secoda_async.pipeline.encode import encode
from secoda_async.reading import read_dataset
from secoda_async.rules.judge_dataset import judge_dataset

_BUFFER = 2**22
_TABLES_OF_A_SCHEMA = 500
_STATEMENTS = 1000
CHAIN: Final = 100_000
"""Columns that stand each under the next, the last under the first."""
PLANTED: Final = 100_000
"""One table in so many stands under nothing that is declared."""


def write(folder: Path, count: int) -> None:
    folder.mkdir()
    with (folder / "resources.jsonl").open("wb", buffering=_BUFFER) as target:
        target.writelines(map(encode, _resources(count)))
    with (folder / "lineage.jsonl").open("wb", buffering=_BUFFER) as target:
        target.writelines(_lineage(count // 10))


def _resources(count: int) -> Iterator[Resource]:
    """So many in all, the chain at their end."""
    yield Resource(entity_type="database", databuilder_id="warehouse", title="warehouse")
    tables = (count - CHAIN) // 20
    written = 1
    for n in range(tables):
        schema = f"warehouse.schema_{n // _TABLES_OF_A_SCHEMA}"
        if n % _TABLES_OF_A_SCHEMA == 0:
            written += 1
            yield Resource(entity_type="schema", databuilder_id=schema, parent_databuilder_id="warehouse", title=schema)
        table = f"warehouse.table_{n}"
        yield Resource(
            entity_type="table",
            databuilder_id=table,
            parent_databuilder_id="gone" if n % PLANTED == 7 else schema,
            title=table,
            schema=schema,
            database="warehouse",
        )
        for m in range(19):
            yield Resource(
                entity_type="column",
                databuilder_id=f"{table}.column_{m}",
                parent_databuilder_id=table,
                title=f"column_{m}",
                description="What this column holds, in a sentence of a usual length.",
                sort_order=m,
                type="character varying",
            )
        written += 20
    for n in range(CHAIN):
        yield _column(f"chain_{n}", f"chain_{(n + 1) % CHAIN}")
    for n in range(count - CHAIN - written):
        yield _column(f"rest_{n}", "warehouse.table_0")


def _column(id_: str, parent: str) -> Resource:
    return Resource(entity_type="column", databuilder_id=id_, parent_databuilder_id=parent)


def _lineage(count: int) -> Iterator[bytes]:
    for n in range(count):
        end = {"type": "internal_resource", "databuilder_id": f"warehouse.table_{n // 10}.column_{n % 10}"}
        start = {**end, "databuilder_id": f"warehouse.table_{n // 10}.column_{n % 10 + 1}"}
        if n < _STATEMENTS:
            sql = f"select a.column_1, sum(b.column_2) from table_{n} a join table_{n + 1} b using (id) group by 1"
            start = {"type": "tables_from_query", "sql": sql}
        yield orjson.dumps({"from_identifier": start, "to_identifier": end}, option=orjson.OPT_APPEND_NEWLINE)


async def judge(dataset: Dataset, work: Path) -> dict[str, object]:
    started = time.perf_counter()
    reading = await read_dataset(dataset)
    read = time.perf_counter()
    verdict = await judge_dataset(dataset, work)
    return {
        "read_seconds": read - started,
        "judge_seconds": time.perf_counter() - read,
        "peak_bytes": peak_bytes(),
        "bytes": sum(path.stat().st_size for path in dataset),
        "faults": reading.fault_count,
        "breaches": {breach.rule: breach.count for breach in verdict.breaches},
        "duckdb": metadata.version("duckdb"),
    }


def main() -> None:
    what, *arguments = sys.argv[1:]
    result: dict[str, object] = {}
    if what == "write":
        write(Path(arguments[0]), int(arguments[1]))
    else:
        folder, work = map(Path, arguments)
        result = asyncio.run(judge(open_dataset(folder), work))
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
