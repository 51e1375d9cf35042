"""secodadk 0.0.6 as it is shipped; with the setting ``pooled`` its requests share one client that is kept."""

from __future__ import annotations

import warnings
from typing import Any

warnings.simplefilter("ignore")  # its models shadow a method of pydantic's

import httpx  # noqa: E402 # these too: what is imported here warns
from mapping import Mapping  # noqa: E402 # as above
from measure import Plan, measure  # noqa: E402 # as above
from secodadk import DeclaredLineage, InternalResource, Resource, SecodaIntegration  # noqa: E402 # as above
from secodadk.strats.core import NetworkCallStrategy  # noqa: E402 # as above
from secodadk.strats.custom import JSONLIngestResourcesStrategy  # noqa: E402 # as above

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)


class Tables(SecodaIntegration):
    """Databases, the pages of each, then every table."""

    def extract(self) -> None:
        for database in self.get("/databases")["databases"]:
            self.declare_resource(MAPPING.of_database(database))
            page = 1
            while page:
                listed = self.get(f"/databases/{database['id']}/tables?page={page}")
                for table in listed["tables"]:
                    self.extract_table(table["id"])
                page = listed["next_page"]

    def extract_table(self, number: int) -> None:
        resources, lineage = MAPPING.of_table(self.get(f"/tables/{number}"))
        for resource in resources:
            self.declare_resource(resource)
        for edge in lineage:
            self.declare_lineage(edge)

    def get(self, path: str) -> Any:
        reply = self.http_get(f"{self.credentials['base_url']}{path}")
        reply.raise_for_status()
        return reply.json()


class Pooled(NetworkCallStrategy):
    """What secodadk's own strategy does, through a client that is kept."""

    def __init__(self) -> None:
        self._client = httpx.Client(timeout=120)

    def make_request(self, method: str, url: str, *, verify: bool | str = True, **options: Any) -> httpx.Response:
        return self._client.request(method, url, **options)

    def finalize(self) -> None:
        self._client.close()


def main(plan: Plan) -> None:
    Tables(
        credentials={"base_url": plan.url},
        ingest_resources_strategy=JSONLIngestResourcesStrategy(
            resources_path=str(plan.resources), lineages_path=str(plan.lineage)
        ),
        network_call_strategy=Pooled() if "pooled" in plan.settings else None,
    ).start()


if __name__ == "__main__":
    measure(main, "secodadk", "httpx")
