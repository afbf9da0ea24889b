# move: load
from datetime import datetime

from airflow.sdk import DAG, dag, task


@dag(dag_id="task_closure_constant", start_date=datetime(2026, 1, 1), schedule=None)
def pipeline(scale=3):
    offset = 10

    @task
    def load(n):
        return n + offset

    load(1)


pipeline()
