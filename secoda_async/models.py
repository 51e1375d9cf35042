"""The records an integration declares: field for field those of ``secodadk`` 0.0.6, which defines the wire format."""

import warnings
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field
from typing_extensions import override


class EntityType(StrEnum):
    """The entity types that Secoda documents; ``entity_type`` also takes any other string.

    Usage: ``Resource(entity_type=EntityType.TABLE, databuilder_id="db.public.orders", title="orders")``.
    """

    DATABASE = "database"
    SCHEMA = "schema"
    TABLE = "table"
    COLUMN = "column"
    DASHBOARD_GROUP = "dashboard_group"
    DASHBOARD = "dashboard"
    CHART = "chart"


class Record(BaseModel):
    """What the models share: a keyword that is no field is ignored as in ``secodadk``, but can be reported.

    ``secodadk`` ignores such keywords in silence, so a misspelt field is a field that is never filled.
    """

    _field_names: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @override
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        aliases = (field.validation_alias for field in cls.model_fields.values())
        cls._field_names = frozenset(cls.model_fields).union(a for a in aliases if isinstance(a, str))

    if not TYPE_CHECKING:  # type checkers keep the constructor that the fields imply

        def __init__(self, /, **data: Any) -> None:
            self.__pydantic_validator__.validate_python(data, self_instance=self)
            # As many fields as keywords: all of them are known, which is a third of the price of a look at their names.
            if len(self.__pydantic_fields_set__) != len(data) and self.__pydantic_extra__ is None:
                # A model that ignores extras leaves this slot empty and no serialiser of it reads the slot.
                unknown = {name: None for name in data if name not in self._field_names}
                object.__setattr__(self, "__pydantic_extra__", unknown)


with warnings.catch_warnings():
    # `schema` is the platform's field name; what it shadows is a method that pydantic has deprecated.
    warnings.filterwarnings("ignore", message='Field name "schema"', category=UserWarning)

    class Resource(Record):
        """One resource of the catalog: a database, schema, table, column, dashboard group, dashboard or chart.

        Usage: ``Resource(entity_type="table", databuilder_id="db.s.t", title="t", schema="s", database="db")``.

        Absent fields are sent as null, and an empty value does not overwrite what the workspace holds.
        Raises ``pydantic.ValidationError`` where a value has the wrong type.
        Source: the models of ``secodadk`` 0.0.6.
        """

        entity_type: str
        """One of `EntityType`; other strings pass, since the platform types it as a plain string."""
        databuilder_id: str
        """Unique in the integration and never changing: a changed id is a new resource, the old one is removed."""
        parent_databuilder_id: str | None = None
        """The resource above this one; required for a column (its table) and a chart (its dashboard)."""
        title: str | None = ""
        description: str | None = None
        definition: str | None = None
        """Documentation in Markdown."""
        external_updated_at: datetime | None = None
        """When the source last changed it. Without a zone it is sent without one."""
        native_type: str | None = None
        """What the source calls it, such as ``view``."""
        owners: list[str] | None = None

        sort_order: int | None = None
        """Columns: position in the table."""
        type: str | None = None
        """Columns: data type in the source's words."""
        is_pk: bool | None = False
        """Columns: whether it belongs to the primary key."""
        hidden: bool | None = False
        """Columns: whether the workspace hides it."""

        schema: str | None = None  # type: ignore[assignment] # shadows BaseModel's deprecated method
        """Tables (required there): name of the schema."""
        database: str | None = None
        """Tables (required there): name of the database."""

        group: str | None = None
        """Dashboards (required there): name of the group."""

        product: str | None = None
        """Charts (required there): name of the product that draws it."""

    class InternalResource(Record):
        """A lineage end that this integration declares. Usage: ``InternalResource(databuilder_id="db.s.t")``."""

        type: Literal["internal_resource"] = "internal_resource"
        databuilder_id: str

    class ExternalTable(Record):
        """A lineage end in the workspace, found by its names. Usage: ``ExternalTable(schema="s", table="t")``."""

        type: Literal["external_table"] = "external_table"
        cluster: str | None = None
        database: str | None = None
        schema: str | None = None  # type: ignore[assignment] # shadows BaseModel's deprecated method
        table: str

    class ExternalColumn(Record):
        """A column in the workspace, found by its names. Usage: ``ExternalColumn(table="t", column="c")``."""

        type: Literal["external_column"] = "external_column"
        cluster: str | None = None
        database: str | None = None
        schema: str | None = None  # type: ignore[assignment] # shadows BaseModel's deprecated method
        table: str
        column: str


class TablesFromSQLQuery(Record):
    """The tables a SQL query reads; only ever a lineage's source. Usage: ``TablesFromSQLQuery(sql="select …")``."""

    type: Literal["tables_from_query"] = "tables_from_query"
    sql: str


LineageID = Annotated[
    InternalResource | ExternalTable | ExternalColumn | TablesFromSQLQuery, Field(discriminator="type")
]
"""One end of a lineage."""


class DeclaredLineage(Record):
    """Data flows from one end to the other.

    Usage: ``DeclaredLineage(from_identifier=InternalResource(...), to_identifier=InternalResource(...))``.

    Supported: internal and internal, internal and external table or column (either way), external table and
    external table, tables of a query to internal. Source: the Secoda SDK documentation.
    Raises ``pydantic.ValidationError`` where an end is of no known type.
    """

    from_identifier: LineageID
    to_identifier: LineageID


def unknown_keywords(record: Record) -> Iterator[tuple[str, str]]:
    """Class and name of each keyword that a record, or an end of a lineage, was given and that is no field."""
    parts: tuple[Record, ...] = (record,)
    if isinstance(record, DeclaredLineage):
        parts = (record, record.from_identifier, record.to_identifier)
    for part in parts:
        if part.__pydantic_extra__ and part.model_config.get("extra") != "allow":
            for name in part.__pydantic_extra__:
                yield type(part).__name__, name
