# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load(**kwargs):
    return {"ds": kwargs["ds"], "task": kwargs["ti"].task_id, "n": kwargs["params"].get("n", 0)}


with DAG("context_kwargs", start_date=datetime(2026, 1, 1), schedule=None, params={"n": 7}):
    PythonOperator(task_id="load", python_callable=load)
