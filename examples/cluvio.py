"""Extracts dashboards from Cluvio: the asynchronous form of Secoda's published example.

Usage: ``secoda-async run examples/cluvio.py:Cluvio --credential email=me@x.com --credential-env password=PASSWORD``.
"""

import os
import sys
from typing import Any

from secoda_async import DeclaredLineage, EntityType, Input, InternalResource, Resource, SecodaIntegration, SinglePage

GROUP = "dashboard_group.default"


class Cluvio(SecodaIntegration):
    """Every dashboard of one Cluvio account, in one group."""

    base_url = "https://api.cluvio.com"
    inputs = {
        "base_url": Input(secret=False, required=False),
        "email": Input(secret=False),
        "password": Input(),
    }

    async def extract(self) -> None:
        headers = {"Accept": "application/json", "token": await self.sign_in()}
        await self.declare_resource(
            Resource(entity_type=EntityType.DASHBOARD_GROUP, databuilder_id=GROUP, title="default")
        )
        # Cluvio answers with all dashboards at once.
        async for dashboard in self.paginate("/dashboards/", SinglePage(), items="data", headers=headers):
            await self.declare_dashboard(dashboard)

    async def sign_in(self) -> str:
        user = {"email": self.credentials["email"], "password": self.credentials["password"]}
        reply = await self.http_post("/users/sign_in", headers={"Accept": "application/json"}, json={"user": user})
        return reply.raise_for_status().json()["token"]

    async def declare_dashboard(self, dashboard: dict[str, Any]) -> None:
        databuilder_id = f"dashboard.{dashboard['id']}"
        attributes = dashboard["attributes"]
        await self.declare_resource(
            Resource(
                entity_type=EntityType.DASHBOARD,
                databuilder_id=databuilder_id,
                parent_databuilder_id=GROUP,
                title=attributes["name"],
                description=attributes.get("description"),
                external_updated_at=attributes["updated_at"],
                native_type="dashboard",
                product="cluvio",
            )
        )
        await self.declare_lineage(
            DeclaredLineage(
                from_identifier=InternalResource(databuilder_id=databuilder_id),
                to_identifier=InternalResource(databuilder_id=GROUP),
            )
        )


if __name__ == "__main__":
    Cluvio(credentials={"email": sys.argv[1], "password": os.environ["CLUVIO_PASSWORD"]}).start()
