"""Writes a dataset, or compares two and tells the peak of memory.

``python -m benchmarks.runners.compare write FOLDER COUNT FIRST``: columns from number FIRST on, lineage for a tenth.
``python -m benchmarks.runners.compare compare BEFORE NOW WORK``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from importlib import metadata
from pathlib import Path

import orjson

from benchmarks.runners.peak import peak_bytes
from secoda_async.dataset import Dataset, open_dataset
from secoda_async.diff import diff_datasets

_BUFFER = 2**22


def write(folder: Path, count: int, first: int) -> None:
    """Those of another dataset have the same content but for each tenth, whose description tells ``first``."""
    folder.mkdir()
    with (folder / "resources.jsonl").open("wb", buffering=_BUFFER) as resources:
        for n in range(first, first + count):
            resources.write(_resource(n, first))
    with (folder / "lineage.jsonl").open("wb", buffering=_BUFFER) as lineage:
        for n in range(first, first + count, 10):
            ends = ({"type": "internal_resource", "databuilder_id": f"{end}_{n}"} for end in ("source", "target"))
            record = dict(zip(("from_identifier", "to_identifier"), ends, strict=True))
            lineage.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _resource(n: int, first: int) -> bytes:
    table = f"warehouse.public.table_{n // 20}"
    record = {
        "entity_type": "column",
        "databuilder_id": f"{table}.column_{n}",
        "parent_databuilder_id": table,
        "title": f"column_{n}",
        "description": "What this column holds, in a sentence of a usual length" + (f" {first}" if n % 10 == 0 else ""),
        "definition": None,
        "external_updated_at": None,
        "native_type": None,
        "owners": None,
        "sort_order": n % 20,
        "type": "character varying",
        "is_pk": False,
        "hidden": False,
        "schema": None,
        "database": None,
        "group": None,
        "product": None,
    }
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def compare(before: Dataset, now: Dataset, work: Path) -> dict[str, object]:
    started = time.perf_counter()
    diff = asyncio.run(diff_datasets(before, now, work))
    return {
        "seconds": time.perf_counter() - started,
        "peak_bytes": peak_bytes(),
        "bytes": sum(path.stat().st_size for path in (*before, *now)),
        "diff": {name: getattr(diff, name) for name in ("before", "now", "added", "changed", "staled")},
        "duckdb": metadata.version("duckdb"),
    }


def main() -> None:
    what, *arguments = sys.argv[1:]
    result: dict[str, object] = {}
    if what == "write":
        write(Path(arguments[0]), int(arguments[1]), int(arguments[2]))
    else:
        before, now, work = map(Path, arguments)
        result = compare(open_dataset(before), open_dataset(now), work)
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
