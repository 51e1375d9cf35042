"""A dataset as tables, with a row per line and what differs between two lines as a digest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from secoda_async.analysis.engine import Connection
from secoda_async.dataset import Dataset
from secoda_async.errors import DatasetError
from secoda_async.reading import MAX_LINE, find_fault
from secoda_async.spool_index import Kind

_TITLE: Final = 120  # characters that are kept of a title, for a person to know a resource by
_RESOURCE: Final = {
    "entity_type": "VARCHAR",
    "databuilder_id": "VARCHAR",
    "parent_databuilder_id": "VARCHAR",
    "title": "VARCHAR",
    "description": "VARCHAR",
    "definition": "VARCHAR",
    "external_updated_at": "VARCHAR",
    "native_type": "VARCHAR",
    "owners": "VARCHAR[]",
    "sort_order": "VARCHAR",
    "type": "VARCHAR",
    "is_pk": "VARCHAR",
    "hidden": "VARCHAR",
    "schema": "VARCHAR",
    "database": "VARCHAR",
    "group": "VARCHAR",
    "product": "VARCHAR",
}
FIELDS: Final = tuple(field for field in _RESOURCE if field != "databuilder_id")
"""The fields of a resource besides its id, in the order of a line."""
_END: Final = (
    'STRUCT("type" VARCHAR, databuilder_id VARCHAR, cluster VARCHAR, database VARCHAR, "schema" VARCHAR, '
    '"table" VARCHAR, "column" VARCHAR, sql VARCHAR)'
)
_LONGEST_ID: Final = 1000  # characters
_SMALLEST_BUFFER: Final = 2**20
_READ: Final = (
    "read_json($path, format = 'newline_delimited', records = true, compression = 'uncompressed', "
    "hive_partitioning = false, maximum_object_size = $longest, columns = "
)


def load_resources(connection: Connection, dataset: Dataset, name: str) -> None:
    """Make the table ``name``: line (from 1), type, id, parent, the start of the title, digest of all but the id.

    ``digest`` is of the values, so two lines that differ in the order of their keys have the same one. An id of more
    than 1000 characters is its beginning and a digest, here and in lineage.
    ``has_schema``, ``has_database``, ``has_group`` and ``has_product`` say which of these are filled.
    Raises DatasetError, which names the line, where one is no JSON object.
    """
    columns = ", ".join(f"\"{field}\": '{kind}'" for field, kind in _RESOURCE.items())
    values = ", ".join(f'"{field}": {_plain(field)}' for field in _RESOURCE if field != "databuilder_id")
    filled = ", ".join(
        f"coalesce(\"{field}\", '') <> '' as has_{field}" for field in ("schema", "database", "group", "product")
    )
    _load(
        connection,
        dataset,
        Kind.RESOURCES,
        f"""
        create table {name} as select
            row_number() over () as line,
            entity_type as type,
            {_fit("databuilder_id")} as id,
            {_fit("parent_databuilder_id")} as parent,
            left(title, {_TITLE}) as title,
            md5_number(to_json({{{values}}})::VARCHAR) as digest,
            {filled}
        from {_READ} {{{columns}}})
        """,
    )


def load_fields(connection: Connection, dataset: Dataset, lines: str, name: str) -> None:
    """Make the table ``name``: line, and each of `FIELDS` as text (``owners`` as a list of it), of some resources.

    ``lines`` is a table with their lines in its column ``line``. Raises as `load_resources` does.
    """
    columns = ", ".join(f"\"{field}\": '{kind}'" for field, kind in _RESOURCE.items())
    values = ", ".join(f'{_plain(field)} as "{field}"' for field in FIELDS)
    _load(
        connection,
        dataset,
        Kind.RESOURCES,
        f"""
        create table {name} as select line, {values}
        from (select row_number() over () as line, * from {_READ} {{{columns}}}))
        semi join (select line from {lines}) using (line)
        """,
    )


def load_lineage(connection: Connection, dataset: Dataset, name: str) -> None:
    """Make the table ``name``: line (from 1), from_type, from_id, to_type, to_id, digest of both ends.

    ``from_named`` and ``to_named`` say whether an external end has its cluster, database and schema; ``sql_digest`` is
    that of the query that data comes from. Raises DatasetError, which names the line, where one is no JSON object.
    """
    ends = ", ".join(
        f"{end}_identifier.type as {end}_type, {_fit(f'{end}_identifier.databuilder_id')} as {end}_id, "
        f"{_named(end)} as {end}_named"
        for end in ("from", "to")
    )
    _load(
        connection,
        dataset,
        Kind.LINEAGE,
        f"""
        create table {name} as select
            row_number() over () as line,
            {ends},
            md5_number(from_identifier.sql) as sql_digest,
            md5_number(to_json([from_identifier, to_identifier])::VARCHAR) as digest
        from {_READ} {{from_identifier: '{_END}', to_identifier: '{_END}'}})
        """,
    )


def _load(connection: Connection, dataset: Dataset, kind: Kind, statement: str) -> None:
    path = dataset.file(kind)
    try:
        (longest,) = connection.execute("select getvariable('longest_line')").fetchone() or (MAX_LINE,)
        connection.execute(statement, {"path": str(path.resolve()), "longest": max(_SMALLEST_BUFFER, longest + 2)})
    except (duckdb.InvalidInputException, duckdb.ConversionException) as exc:
        raise DatasetError(_where(path, kind, exc)) from exc


def _where(path: Path, kind: Kind, exc: duckdb.Error) -> str:
    """Which line it was: the engine's own count is not to be relied on, for it reads in several places at once."""
    fault = find_fault(path, kind)
    if fault is None:
        return f"{path} cannot be read as records: {str(exc).partition(chr(10))[0]}"
    return f"{path}, line {fault.line}: {fault.reason}"


def _fit(value: str) -> str:
    """An id of a usual length as it is, a longer one by its beginning and a digest, so that it is told from others."""
    return f"case when length({value}) > {_LONGEST_ID} then left({value}, 900) || '~' || md5({value}) else {value} end"


def _plain(field: str) -> str:
    """A field's value; what is left out counts as its default."""
    default = {"title": "''", "is_pk": "'false'", "hidden": "'false'"}.get(field)
    return f'"{field}"' if default is None else f'coalesce("{field}", {default})'


def _named(end: str) -> str:
    return " and ".join(
        f"coalesce({end}_identifier.\"{field}\", '') <> ''" for field in ("cluster", "database", "schema")
    )
