"""What the source says, as records: one text for every runner, which brings the models it builds."""

from __future__ import annotations

from typing import Any


class Mapping:
    """Usage: ``Mapping(Resource, DeclaredLineage, InternalResource).of_table(body)``."""

    def __init__(self, resource: Any, lineage: Any, internal: Any) -> None:
        self._resource = resource
        self._lineage = lineage
        self._internal = internal

    def of_database(self, database: dict[str, Any]) -> Any:
        """A database is one resource."""
        return self._resource(
            entity_type="database",
            databuilder_id=database["name"],
            title=database["name"],
            description=database["description"],
        )

    def of_table(self, table: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """Resources: the table and its columns. Lineages: the table it is made from, for each but the first."""
        resource = self._resource
        table_id = f"{table['database']}.public.{table['name']}"
        resources = [
            resource(
                entity_type="table",
                databuilder_id=table_id,
                parent_databuilder_id=table["database"],
                title=table["name"],
                description=table["description"],
                external_updated_at=table["updated_at"],
                schema="public",
                database=table["database"],
            )
        ]
        resources += [
            resource(
                entity_type="column",
                databuilder_id=f"{table_id}.{column['name']}",
                parent_databuilder_id=table_id,
                title=column["name"],
                description=column["description"],
                sort_order=column["position"],
                type=column["type"],
                is_pk=column["primary_key"],
            )
            for column in table["columns"]
        ]
        if table["made_from"] is None:
            return resources, []
        lineage = self._lineage(
            from_identifier=self._internal(databuilder_id=table["made_from"]),
            to_identifier=self._internal(databuilder_id=table_id),
        )
        return resources, [lineage]
