"""Extracts dashboards, charts and datasets of an Apache Superset, and what each is fed by, through its REST API.

Usage: ``secoda-async run examples/superset.py:Superset --credential base_url=https://superset.x.com
--credential username=analyst --credential-env password=SUPERSET_PASSWORD --out out``.
"""

import asyncio
import math
import os
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any

import orjson
from multidict import CIMultiDict
from yarl import URL

from secoda_async import (
    Ask,
    Auth,
    AuthError,
    DeclaredLineage,
    EntityType,
    ExternalTable,
    Input,
    InternalResource,
    Page,
    Pager,
    RateLimit,
    RenewableAuth,
    Request,
    Resource,
    Response,
    SecodaIntegration,
    TablesFromSQLQuery,
)

GROUP = "dashboard_group.superset"
TOKEN_LIFE = 10 * 60.0  # seconds: Superset's tokens end after 15 minutes, unless it is configured otherwise
PAGE_SIZE = 100  # the most that Superset gives, whatever is asked for
# Fields are named, since an item has up to forty otherwise, and some of them cost Superset a query each.
DASHBOARD = "id,dashboard_title,changed_on_utc,owners.email"
CHART = "id,slice_name,description,viz_type,datasource_id,datasource_type,dashboards.id"
DATASET = "id,table_name,catalog,schema,sql,database.id,database.database_name"

Json = dict[str, Any]


class SupersetLogin(RenewableAuth):
    """A token by user name and password, another one before it ends, and where a 401 says that it has ended earlier."""

    kind = "bearer"

    def __init__(self, base_url: str, login: dict[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = URL(base_url.rstrip("/") + "/api/v1/security/login")
        self.login = login
        self.clock = clock
        self.token = ""
        self.ends = -math.inf

    @property
    def is_due(self) -> bool:
        return self.clock() >= self.ends

    @property
    def secrets(self) -> list[str]:
        return [secret for secret in (self.login["password"], self.token) if secret]

    def sign(self, request: Request) -> Request:
        headers = CIMultiDict(request.headers)
        headers["Authorization"] = f"Bearer {self.token}"
        return request._replace(headers=headers)

    async def renew(self, send: Callable[[Request], Awaitable[Response]]) -> None:
        asked = self.clock()
        headers = CIMultiDict({"Content-Type": "application/json"})
        request = Request("POST", self.url, headers, orjson.dumps(self.login))
        # A login is as good the second time, so one that broke off is repeated.
        reply = await send(request._replace(options=request.options._replace(idempotent=True)))
        if not reply.is_success:
            raise AuthError(f"{request} answered {reply.status_code}; check username and password", request=request)
        self.token = reply.json()["access_token"]
        self.ends = asked + TOKEN_LIFE


class RisonPages(Pager):
    """Superset's listings: ``q=(columns:!(id,…),page:0,page_size:100)``, and how many there are in ``count``."""

    total = "count"

    def __init__(self, columns: str, order: str) -> None:
        # Without an order the last changed come first, and a change in the middle would move what has not come yet.
        self.query = f"columns:!({columns}),order_column:{order},order_direction:asc"

    def start(self) -> Ask:
        return self.page(0)

    def after(self, page: Page) -> Ask | None:
        return self.page(page.ask.at + 1) if page.items else None

    def rest(self, page: Page) -> Iterator[Ask] | None:
        """All others, which then are asked at once. By what came, since a server may be configured to give fewer."""
        pages = math.ceil((page.count("count") or 0) / len(page.items)) if page.items else 0
        return (self.page(number) for number in range(1, pages))

    def page(self, number: int) -> Ask:
        return Ask(params={"q": f"({self.query},page:{number},page_size:{PAGE_SIZE})"}, at=number)


class Superset(SecodaIntegration):
    """Dashboards with their charts, and each dataset as a table with columns: it feeds charts, and is fed by tables."""

    inputs = {
        "base_url": Input(secret=False),
        "username": Input(secret=False),
        "password": Input(),
        "provider": Input(secret=False, required=False, description="db (the default) or ldap"),
    }
    rate_limits = {"*": RateLimit(50)}  # what Superset itself allows in production (RATELIMIT_APPLICATION)

    def default_auth(self) -> Auth | None:
        given = self.credentials
        login = {"username": given["username"], "password": given["password"]}
        return SupersetLogin(self.base_url, {**login, "provider": given.get("provider") or "db"})

    async def extract(self) -> None:
        dashboards, charts, datasets = await asyncio.gather(
            self.list_all("dashboard", DASHBOARD, "dashboard_title"),
            self.list_all("chart", CHART, "slice_name"),
            self.list_all("dataset", DATASET, "table_name"),
        )
        await self.declare_places(datasets.values())
        await self.for_each(datasets.values(), self.extract_dataset)
        await self.declare_resource(
            Resource(entity_type=EntityType.DASHBOARD_GROUP, databuilder_id=GROUP, title="Superset")
        )
        for dashboard in dashboards.values():
            await self.declare_dashboard(dashboard)
        for chart in charts.values():
            # A chart stands under its dashboard, once for each; one that is on none has no place in the catalog.
            for place in chart["dashboards"]:
                if place["id"] in dashboards:  # and not one that the user may not see
                    await self.declare_chart(chart, place["id"], datasets)

    async def list_all(self, path: str, columns: str, order: str) -> dict[int, Json]:
        found: dict[int, Json] = {}
        async for item in self.paginate(f"/api/v1/{path}/", RisonPages(columns, order), items="result"):
            if item["id"] in found:  # then another one has slipped through between two pages
                raise RuntimeError(f"{path} {item['id']} came twice: the listing changed while it was read; run again")
            found[item["id"]] = item
        return found

    async def declare_places(self, datasets: Collection[Json]) -> None:
        """The databases and schemas that datasets are in, once each."""
        databases = {dataset["database"]["id"]: dataset["database"]["database_name"] for dataset in datasets}
        for id_, name in databases.items():
            await self.declare_resource(
                Resource(entity_type=EntityType.DATABASE, databuilder_id=f"database.{id_}", title=name)
            )
        for database, schema in {(dataset["database"]["id"], schema_of(dataset)): None for dataset in datasets}:
            await self.declare_resource(
                Resource(
                    entity_type=EntityType.SCHEMA,
                    databuilder_id=f"schema.{database}.{schema}",
                    parent_databuilder_id=f"database.{database}",
                    title=schema,
                )
            )

    async def extract_dataset(self, listed: Json) -> None:
        # Only here are the columns, hence a request for each dataset.
        select = "(columns:!(description,columns.column_name,columns.type,columns.description))"
        reply = await self.http_get(f"/api/v1/dataset/{listed['id']}", params={"q": select})
        details = reply.raise_for_status().json()["result"]
        id_ = f"dataset.{listed['id']}"
        await self.declare_resource(
            Resource(
                entity_type=EntityType.TABLE,
                databuilder_id=id_,
                parent_databuilder_id=f"schema.{listed['database']['id']}.{schema_of(listed)}",
                title=listed["table_name"],
                description=details["description"],
                native_type="virtual dataset" if listed["sql"] else "physical dataset",
                schema=schema_of(listed),
                database=listed["database"]["database_name"],
            )
        )
        for position, column in enumerate(details["columns"]):
            await self.declare_resource(
                Resource(
                    entity_type=EntityType.COLUMN,
                    databuilder_id=f"{id_}.{column['column_name']}",
                    parent_databuilder_id=id_,
                    title=column["column_name"],
                    description=column["description"],
                    type=column["type"],
                    sort_order=position,
                )
            )
        source: ExternalTable | TablesFromSQLQuery
        if not listed["sql"]:
            # Superset calls the database by a name of its own, so Secoda finds the table without it.
            source = ExternalTable(database=listed["catalog"], schema=listed["schema"], table=listed["table_name"])
        elif "{{" in listed["sql"] or "{%" in listed["sql"]:
            return  # a Jinja template: no SQL, until Superset has filled it in for a chart
        else:
            source = TablesFromSQLQuery(sql=listed["sql"])
        await self.declare_lineage(
            DeclaredLineage(from_identifier=source, to_identifier=InternalResource(databuilder_id=id_))
        )

    async def declare_dashboard(self, dashboard: Json) -> None:
        await self.declare_resource(
            Resource(
                entity_type=EntityType.DASHBOARD,
                databuilder_id=f"dashboard.{dashboard['id']}",
                parent_databuilder_id=GROUP,
                title=dashboard["dashboard_title"],
                external_updated_at=dashboard["changed_on_utc"],
                owners=[owner["email"] for owner in dashboard["owners"]],
                group="Superset",
                product="Superset",
            )
        )

    async def declare_chart(self, chart: Json, dashboard: int, datasets: dict[int, Json]) -> None:
        id_ = f"chart.{dashboard}.{chart['id']}"
        await self.declare_resource(
            Resource(
                entity_type=EntityType.CHART,
                databuilder_id=id_,
                parent_databuilder_id=f"dashboard.{dashboard}",
                title=chart["slice_name"],
                description=chart["description"],
                native_type=chart["viz_type"],
                product="Superset",
            )
        )
        if chart["datasource_type"] == "table" and chart["datasource_id"] in datasets:
            await self.declare_lineage(
                DeclaredLineage(
                    from_identifier=InternalResource(databuilder_id=f"dataset.{chart['datasource_id']}"),
                    to_identifier=InternalResource(databuilder_id=id_),
                )
            )


def schema_of(dataset: Json) -> str:
    """Its schema's name; some databases have none."""
    return dataset["schema"] or "default"


if __name__ == "__main__":
    given = {"base_url": sys.argv[1], "username": sys.argv[2], "password": os.environ["SUPERSET_PASSWORD"]}
    Superset(credentials=given).start()
