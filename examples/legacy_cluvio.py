"""Extracts dashboards from Cluvio with secodadk, synchronously: what `examples/cluvio.py` was ported from.

Usage: ``python examples/legacy_cluvio.py`` where secodadk is installed; anywhere
``secoda-async run examples/legacy_cluvio.py:CluvioIntegration --credential-env email=… --credential-env password=…``.
"""

import os

from secodadk import DeclaredLineage, InternalResource, Resource, SecodaIntegration

GROUP_ID = "dashboard_group.default"


class CluvioIntegration(SecodaIntegration):
    def extract(self):
        self.base_url = self.credentials.get("base_url", "https://api.cluvio.com")
        token = self.sign_in()
        self.declare_resource(Resource(entity_type="dashboard_group", databuilder_id=GROUP_ID, title="default"))
        for dashboard in self.get_dashboards(token):
            self.declare_dashboard(dashboard)

    def sign_in(self):
        response = self.http_post(
            f"{self.base_url}/users/sign_in",
            headers={"Accept": "application/json"},
            json={"user": {"email": self.credentials["email"], "password": self.credentials["password"]}},
        )
        response.raise_for_status()
        return response.json()["token"]

    def get_dashboards(self, token):
        response = self.http_get(f"{self.base_url}/dashboards/", headers={"Accept": "application/json", "token": token})
        response.raise_for_status()
        return response.json()["data"]

    def declare_dashboard(self, dashboard):
        databuilder_id = f"dashboard.{dashboard['id']}"
        attributes = dashboard["attributes"]
        self.declare_resource(
            Resource(
                entity_type="dashboard",
                databuilder_id=databuilder_id,
                parent_databuilder_id=GROUP_ID,
                title=attributes["name"],
                description=attributes.get("description"),
                external_updated_at=attributes["updated_at"],
                native_type="dashboard",
                product="cluvio",
            )
        )
        self.declare_lineage(
            DeclaredLineage(
                from_identifier=InternalResource(databuilder_id=databuilder_id),
                to_identifier=InternalResource(databuilder_id=GROUP_ID),
            )
        )


if __name__ == "__main__":
    CluvioIntegration(
        credentials={"email": os.environ["CLUVIO_EMAIL"], "password": os.environ["CLUVIO_PASSWORD"]},
    ).start()
