"""This project: ``python -m benchmarks.runners.ours URL CONCURRENCY FOLDER [SETTING ...]``.

A concurrency of 0 is found out by itself. ``state=DIR`` is where what was found is kept, for another run to begin with;
without it a run begins with nothing. Any other setting is switched on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from benchmarks.peers.shared.mapping import Mapping
from benchmarks.peers.shared.measure import Plan, measure
from secoda_async import Cursor, DeclaredLineage, InternalResource, JSONLSink, Resource, SecodaIntegration

MAPPING = Mapping(Resource, DeclaredLineage, InternalResource)


class Tables(SecodaIntegration):
    """Databases, the pages of each, then every table."""

    @override
    async def extract(self) -> None:
        listed = (await self.http_get("/databases")).json()
        await self.for_each(listed["databases"], self.extract_database)

    async def extract_database(self, database: dict[str, Any]) -> None:
        await self.declare_resource(MAPPING.of_database(database))
        pages = self.paginate(f"/databases/{database['id']}/tables", Cursor("page", next="next_page"), items="tables")
        await self.for_each(pages, self.extract_table)

    async def extract_table(self, listed: dict[str, Any]) -> None:
        table = (await self.http_get(f"/tables/{listed['id']}")).json()
        resources, lineage = MAPPING.of_table(table)
        for resource in resources:
            await self.declare_resource(resource)
        for edge in lineage:
            await self.declare_lineage(edge)


def main(plan: Plan) -> dict[str, Any]:
    state = plan.folder / "state"
    switched_on = {}
    for setting in plan.settings:
        name, _, value = setting.partition("=")
        if name == "state":
            state = Path(value)
        else:
            switched_on[name] = True
    integration = Tables(
        credentials={"base_url": plan.url}, concurrency=plan.concurrency or None, state_dir=state, **switched_on
    )
    report = integration.start(JSONLSink(plan.folder))
    paces = {host: pace.model_dump() for host, pace in report.source.paces.items()}
    return {"requests": report.source.requests, "paces": paces}


if __name__ == "__main__":
    measure(main)
