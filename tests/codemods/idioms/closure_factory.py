# move: load
# may refuse
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def make(n):
    def inner():
        return n + 1

    return inner


with DAG("closure_factory", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=make(4))
