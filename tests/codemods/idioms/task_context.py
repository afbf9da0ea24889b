# move: load
from datetime import datetime

from airflow.sdk import DAG, dag, task


with DAG("task_context", start_date=datetime(2026, 1, 1), schedule=None):

    @task
    def load(ds=None, **context):
        return [ds, context["params"], context["ti"].task_id]

    load()
