# move: square
from datetime import datetime

from airflow.sdk import DAG, dag, task


with DAG("task_expanded", start_date=datetime(2026, 1, 1), schedule=None):

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def square(n, power=2):
        return n**power

    @task
    def total(values):
        return sum(values)

    total(square.partial(power=3).expand(n=numbers()))
