# move: load
from datetime import datetime

from airflow.sdk import DAG
from airflow.sdk import task as airflow_task


@airflow_task(task_id="load")
def job(n):
    """A task made at module level."""
    return n * 3


with DAG("task_attribute", start_date=datetime(2026, 1, 1), schedule=None):
    job(2)
