# move: load
from datetime import datetime

from airflow.sdk import DAG, dag, task


@dag(dag_id="task_bare", start_date=datetime(2026, 1, 1), schedule=None)
def pipeline():
    @task
    def give():
        return [1, 2]

    @task
    def load(rows):
        return len(rows)

    @task
    def read(n):
        return n + 1

    read(load(give()))


pipeline()
