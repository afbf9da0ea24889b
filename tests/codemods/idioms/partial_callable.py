# move: load
# may refuse
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from functools import partial


def load(a, b):
    return a - b


with DAG("partial_callable", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=partial(load, b=2), op_kwargs={"a": 9})
