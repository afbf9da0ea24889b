# move: g.load
from datetime import datetime

from airflow.sdk import DAG, dag, task
from airflow.sdk import task_group

with DAG("task_in_group", start_date=datetime(2026, 1, 1), schedule=None):

    @task_group
    def g(n):
        @task
        def load(n):
            return n + 1

        @task
        def more(n):
            return n + 1

        return more(load(n))

    @task
    def read(n):
        return n

    read(g(1))
