"""A sync every night, as a DAG of Airflow 2.9 and later.

The integration runs as a process of its own: it owns its event loop and its signals, and a task that is stopped ends
it in order. Airflow's connection `warehouse` and variable `secoda_api_key` hold the secrets, which reach it by its
environment.
"""

from datetime import UTC, datetime, timedelta

from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG(
    dag_id="catalog",
    schedule="15 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two syncs at once would remove what the other brought
) as dag:
    BashOperator(
        task_id="sync",
        cwd="/srv/catalog",  # where .secoda-async is kept from night to night
        bash_command=(
            "secoda-async run warehouse.py:Warehouse --credential-env token=WAREHOUSE_TOKEN "
            "--upload --integration-id 4f6c0000 --report report.json"
        ),
        env={
            "WAREHOUSE_TOKEN": "{{ conn.warehouse.password }}",
            "SECODA_API_KEY": "{{ var.value.secoda_api_key }}",
        },
        append_env=True,
        retries=1,  # what was refused is refused again; somebody has to look
        retry_delay=timedelta(minutes=15),
        execution_timeout=timedelta(hours=2),
    )
