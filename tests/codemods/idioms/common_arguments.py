# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

COMMON = {"retries": 1, "op_kwargs": {"n": 3}}


def load(n):
    return n


with DAG("common_arguments", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load, **COMMON)
