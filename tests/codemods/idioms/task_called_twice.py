# move: load*
from datetime import datetime

from airflow.sdk import DAG, dag, task


with DAG("task_called_twice", start_date=datetime(2026, 1, 1), schedule=None):

    @task
    def load(n):
        return n

    @task
    def read(values):
        return sum(values)

    read([load(1), load(2), load.override(task_id="load_three")(3)])
