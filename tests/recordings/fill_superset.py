"""Fills an empty Superset through its API: what tests/recordings/superset.journal was taken of.

Usage, in an environment of its own with apache-superset 6.1 (and rich, cachetools and flask-caching 2.3, which it
needs), after `superset db upgrade`, `superset fab create-admin --username analyst` and `superset init`, with
PREVENT_UNSAFE_DB_CONNECTIONS = WTF_CSRF_ENABLED = False in its configuration::

    superset run -p 8592 &
    python tests/recordings/fill_superset.py /usr/app/shop.db
    pytest --secoda-record tests/test_superset.py -k recorded
"""

import json
import sqlite3
import sys
from typing import Any
from urllib.request import Request, urlopen

PORT = 8592
URL = f"http://127.0.0.1:{PORT}"
USERNAME = "analyst"
PASSWORD = "recorded-password"  # what the recording must not hold
CHARTS = 103  # more than the 100 that one page of Superset has at most
SHOP = """
create table if not exists customer (id integer primary key, name text, country text);
create table if not exists orders (id integer primary key, customer_id integer, amount real, ordered_at timestamp);
"""
REVENUE = "select c.country, sum(o.amount) as revenue from orders o join customer c on c.id = o.customer_id group by 1"
TEMPLATED = "select * from orders where ordered_at >= '{{ from_dttm }}'"


class API:
    """What is asked of Superset, one after the other."""

    def __init__(self) -> None:
        self.headers = {"Content-Type": "application/json"}
        login = {"username": USERNAME, "password": PASSWORD, "provider": "db"}
        self.headers["Authorization"] = f"Bearer {self.post('security/login', **login)['access_token']}"

    def post(self, path: str, **body: Any) -> Any:
        return self.send("POST", path, body)

    def send(self, method: str, path: str, body: Any) -> Any:
        asked = Request(f"{URL}/api/v1/{path}", json.dumps(body).encode(), self.headers, method=method)
        with urlopen(asked) as reply:
            return json.load(reply)


def fill(database: str) -> None:
    with sqlite3.connect(database) as shop:
        shop.executescript(SHOP)
    api = API()
    database_id = api.post("database/", database_name="Shop", sqlalchemy_uri=f"sqlite:///{database}")["id"]
    place = {"database": database_id, "schema": "main"}
    datasets = [
        api.post("dataset/", table_name="orders", **place)["id"],
        api.post("dataset/", table_name="revenue", sql=REVENUE, **place)["id"],
        api.post("dataset/", table_name="recent", sql=TEMPLATED, **place)["id"],
    ]
    columns = [{"column_name": "country", "type": "TEXT", "description": "Where the customer lives."}]
    api.send("PUT", f"dataset/{datasets[1]}?override_columns=true", {"columns": columns, "description": "By country."})
    sales, orders = (
        api.post("dashboard/", dashboard_title=title, published=True)["id"] for title in ("Sales", "Größe\n& Orders")
    )
    api.post("dashboard/", dashboard_title="Empty")
    for number in range(CHARTS):
        api.post(
            "chart/",
            slice_name=f"Chart {number}",
            viz_type="table",
            datasource_id=datasets[number % 3],
            datasource_type="table",
            # The first stands on both, the second on none, the others on one.
            dashboards={0: [sales, orders], 1: []}.get(number, [sales]),
        )


if __name__ == "__main__":
    fill(sys.argv[1])
