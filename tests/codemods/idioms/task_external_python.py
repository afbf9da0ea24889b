# move: load
from datetime import datetime

from airflow.sdk import DAG, dag, task
import sys

with DAG("task_external_python", start_date=datetime(2026, 1, 1), schedule=None):

    @task.external_python(python=sys.executable, expect_airflow=False)
    def load(n):
        import math

        return math.factorial(n)

    load(4)
