"""Datasets for tests: records in, two files out."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from secoda_async.dataset import Dataset
from secoda_async.spool_index import Kind

Json = dict[str, Any]


def write_dataset(folder: Path, resources: Iterable[Json] = (), lineage: Iterable[Json] = ()) -> Dataset:
    """Both files in a folder, which is made; a line a record."""
    return write_lines(folder, map(orjson.dumps, resources), map(orjson.dumps, lineage))


def write_lines(folder: Path, resources: Iterable[bytes] = (), lineage: Iterable[bytes] = ()) -> Dataset:
    """The same, of lines without their newlines."""
    return write_bytes(
        folder, b"".join(b"%b\n" % line for line in resources), b"".join(b"%b\n" % one for one in lineage)
    )


def write_bytes(folder: Path, resources: bytes = b"", lineage: bytes = b"") -> Dataset:
    """The same, of whole files."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = Dataset(*(folder / kind.filename for kind in Kind))
    dataset.resources.write_bytes(resources)
    dataset.lineage.write_bytes(lineage)
    return dataset


def resource(kind: str, id_: str, parent: str | None = None, **fields: Any) -> Json:
    return {"entity_type": kind, "databuilder_id": id_, "parent_databuilder_id": parent, **fields}


def internal(id_: str) -> Json:
    return {"type": "internal_resource", "databuilder_id": id_}


def query(sql: str) -> Json:
    return {"type": "tables_from_query", "sql": sql}


def external(table: str = "t", column: str | None = None, **names: str) -> Json:
    if column is None:
        return {"type": "external_table", "table": table, **names}
    return {"type": "external_column", "table": table, "column": column, **names}


def edge(start: Json, end: Json) -> Json:
    return {"from_identifier": start, "to_identifier": end}
