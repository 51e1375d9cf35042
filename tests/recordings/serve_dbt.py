"""Builds a small project with the real dbt, and serves its artifacts: what tests/recordings/dbt.journal was taken of.

Usage, in an environment of its own with dbt-core 1.10 and dbt-duckdb 1.10 (the package needs neither)::

    python tests/recordings/serve_dbt.py /usr/app/jaffle &
    pytest --secoda-record tests/test_dbt_artifacts.py -k recorded

The folder's path stands in the manifest, so take one that says nothing.
"""

import os
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8590
FILES = {
    "dbt_project.yml": """
name: jaffle
version: "1.0"
profile: jaffle
flags: {send_anonymous_usage_stats: false}
""",
    "profiles.yml": """
jaffle:
  target: dev
  outputs:
    dev: {type: duckdb, path: shop.duckdb, threads: 1}
""",
    "seeds/raw_customers.csv": "id,name,country\n1,Ada,GB\n2,Grete,DE\n3,Émile,FR\n",
    "seeds/raw_orders.csv": "id,customer_id,amount,ordered_at\n1,1,10.50,2024-01-02\n2,2,7.25,2024-02-03\n",
    "models/stg_customers.sql": "select id as customer_id, name, country from {{ ref('raw_customers') }}",
    "models/clean_orders.sql": """
{{ config(materialized='ephemeral') }}
select id as order_id, customer_id, amount from {{ ref('raw_orders') }} where amount > 0
""",
    "models/stg_payments.sql": "select payment_id, order_id, method from {{ source('billing', 'payments') }}",
    "models/customer_orders.sql": """
{{ config(materialized='table') }}
select c.customer_id, c.name, count(o.order_id) as orders, sum(o.amount) as amount
from {{ ref('stg_customers') }} c left join {{ ref('clean_orders') }} o using (customer_id)
group by 1, 2
""",
    "models/order_payments.sql": """
{{ config(materialized='table', schema='finance') }}
select o.order_id, o.amount, p.method
from {{ ref('clean_orders') }} o left join {{ ref('stg_payments') }} p using (order_id)
""",
    "models/schema.yml": """
version: 2
sources:
  - name: billing
    tables:
      - name: payments
        description: One row a payment.
        columns: [{name: payment_id, description: Key of the billing system.}]
models:
  - name: stg_customers
    description: Customers as the shop knows them.
    columns:
      - {name: customer_id, description: Key of the customer., data_tests: [not_null, unique]}
  - name: customer_orders
    description: "What each customer ordered: **one row a customer**."
    columns: [{name: amount, description: "Sum of all orders, in euros."}]
""",
    "tests/no_negative_amounts.sql": "select * from {{ ref('customer_orders') }} where amount < 0",
}
SOURCE = """
create schema if not exists billing;
create or replace table billing.payments (payment_id integer, order_id integer, method varchar);
"""


def build(folder: Path) -> Path:
    """Have dbt make the project there; gives the folder of the artifacts."""
    import duckdb
    from dbt.cli.main import dbtRunner

    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.chdir(folder)
    with duckdb.connect("shop.duckdb") as source:
        source.execute(SOURCE)
    for command in (["build"], ["docs", "generate"]):
        if not dbtRunner().invoke(command).success:
            raise SystemExit(f"dbt {' '.join(command)} failed")
    return folder / "target"


if __name__ == "__main__":
    handler = partial(SimpleHTTPRequestHandler, directory=build(Path(sys.argv[1]).resolve()))
    ThreadingHTTPServer(("127.0.0.1", PORT), handler).serve_forever()
