# move: load
from datetime import datetime

from airflow.sdk import DAG, dag, task


with DAG("task_with_arguments", start_date=datetime(2026, 1, 1), schedule=None):

    @task(
        task_id="load",
        retries=1,
        multiple_outputs=True,
    )
    def load_rows(limit: int = 2) -> dict:
        return {"rows": list(range(limit)), "count": limit}

    @task()
    def read(count):
        return count * 10

    read(load_rows(4)["count"])
