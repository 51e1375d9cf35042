"""The records that every peer builds: the models of secodadk 0.0.6, field for field, as plain pydantic."""

from __future__ import annotations

import warnings
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

warnings.filterwarnings("ignore", message='Field name "schema"', category=UserWarning)  # the platform's name


class Resource(BaseModel):
    entity_type: str
    databuilder_id: str
    parent_databuilder_id: str | None = None
    title: str | None = ""
    description: str | None = None
    definition: str | None = None
    external_updated_at: datetime | None = None
    native_type: str | None = None
    owners: list[str] | None = None
    sort_order: int | None = None
    type: str | None = None
    is_pk: bool | None = False
    hidden: bool | None = False
    schema: str | None = None
    database: str | None = None
    group: str | None = None
    product: str | None = None


class InternalResource(BaseModel):
    type: Literal["internal_resource"] = "internal_resource"
    databuilder_id: str


class ExternalTable(BaseModel):
    type: Literal["external_table"] = "external_table"
    cluster: str | None = None
    database: str | None = None
    schema: str | None = None
    table: str


class ExternalColumn(BaseModel):
    type: Literal["external_column"] = "external_column"
    cluster: str | None = None
    database: str | None = None
    schema: str | None = None
    table: str
    column: str


class TablesFromSQLQuery(BaseModel):
    type: Literal["tables_from_query"] = "tables_from_query"
    sql: str


LineageID = Annotated[
    InternalResource | ExternalTable | ExternalColumn | TablesFromSQLQuery, Field(discriminator="type")
]


class DeclaredLineage(BaseModel):
    from_identifier: LineageID
    to_identifier: LineageID
