"""Crawls the source on secodadk, once, in an environment that holds it: ``python peer.py URL COUNT FOLDER``."""

import json
import sys
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")  # its models shadow a method of pydantic's

from secodadk import DeclaredLineage, InternalResource, Resource, SecodaIntegration  # noqa: E402
from secodadk.strats.custom import JSONLIngestResourcesStrategy  # noqa: E402


class Tables(SecodaIntegration):
    """A list, then every table of it."""

    def extract(self) -> None:
        url = self.credentials["base_url"]
        reply = self.http_get(f"{url}/tables", params={"count": self.credentials["count"]})
        for listed in reply.json()["tables"]:
            self.extract_table(self.http_get(f"{url}/tables/{listed['id']}").json())

    def extract_table(self, table: dict[str, Any]) -> None:
        table_id = f"warehouse.public.{table['name']}"
        self.declare_resource(
            Resource(
                entity_type="table",
                databuilder_id=table_id,
                title=table["name"],
                description=table["description"],
                external_updated_at=table["updated_at"],
                schema="public",
                database="warehouse",
            )
        )
        for order, column in enumerate(table["columns"]):
            self.declare_resource(
                Resource(
                    entity_type="column",
                    databuilder_id=f"{table_id}.{column['name']}",
                    parent_databuilder_id=table_id,
                    title=column["name"],
                    sort_order=order,
                    type=column["type"],
                    is_pk=column["primary_key"],
                )
            )
        if table["made_from"] is not None:
            self.declare_lineage(
                DeclaredLineage(
                    from_identifier=InternalResource(databuilder_id=f"warehouse.public.orders_{table['made_from']}"),
                    to_identifier=InternalResource(databuilder_id=table_id),
                )
            )


def main() -> None:
    url, count, folder = sys.argv[1:]
    files = JSONLIngestResourcesStrategy(
        resources_path=str(Path(folder, "resources.jsonl")), lineages_path=str(Path(folder, "lineage.jsonl"))
    )
    integration = Tables(credentials={"base_url": url, "count": count}, ingest_resources_strategy=files)
    started = time.perf_counter()
    integration.start()
    seconds = time.perf_counter() - started
    versions = {name: metadata.version(name) for name in ("secodadk", "httpx")}
    print(json.dumps({"seconds": seconds, "packages": versions}))


if __name__ == "__main__":
    main()
