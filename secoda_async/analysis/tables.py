"""A dataset as tables, with a row per line and what differs between two lines as a digest."""

from __future__ import annotations

from typing import Final

from secoda_async.analysis.engine import Connection
from secoda_async.dataset import Dataset

_LONGEST: Final = 32 * 2**20  # bytes of a line; DuckDB refuses longer ones
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
_END: Final = (
    'STRUCT("type" VARCHAR, databuilder_id VARCHAR, cluster VARCHAR, database VARCHAR, "schema" VARCHAR, '
    '"table" VARCHAR, "column" VARCHAR, sql VARCHAR)'
)


def load_resources(connection: Connection, dataset: Dataset, name: str) -> None:
    """Make the table ``name``: line (from 1), type, id, parent, the start of the title, digest of all but the id.

    ``digest`` is of the values, so two lines that differ in the order of their keys have the same one.
    """
    columns = ", ".join(f"\"{field}\": '{kind}'" for field, kind in _RESOURCE.items())
    values = ", ".join(f'"{field}": {_plain(field)}' for field in _RESOURCE if field != "databuilder_id")
    connection.execute(
        f"""
        create table {name} as select
            row_number() over () as line,
            entity_type as type,
            databuilder_id as id,
            parent_databuilder_id as parent,
            left(title, {_TITLE}) as title,
            md5_number(to_json({{{values}}})::VARCHAR) as digest
        from read_json($path, format = 'newline_delimited', maximum_object_size = {_LONGEST}, columns = {{{columns}}})
        """,  # noqa: S608 # of constants
        {"path": str(dataset.resources.resolve())},
    )


def load_lineage(connection: Connection, dataset: Dataset, name: str) -> None:
    """Make the table ``name``: line (from 1), from_type, from_id, to_type, to_id, digest of both ends."""
    connection.execute(
        f"""
        create table {name} as select
            row_number() over () as line,
            from_identifier.type as from_type,
            from_identifier.databuilder_id as from_id,
            to_identifier.type as to_type,
            to_identifier.databuilder_id as to_id,
            md5_number(to_json([from_identifier, to_identifier])::VARCHAR) as digest
        from read_json($path, format = 'newline_delimited', maximum_object_size = {_LONGEST},
                       columns = {{from_identifier: '{_END}', to_identifier: '{_END}'}})
        """,  # noqa: S608 # of constants
        {"path": str(dataset.lineage.resolve())},
    )


def _plain(field: str) -> str:
    """A field's value; what is left out counts as its default."""
    default = {"title": "''", "is_pk": "'false'", "hidden": "'false'"}.get(field)
    return f'"{field}"' if default is None else f'coalesce("{field}", {default})'
