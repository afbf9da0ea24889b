# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load():
    return {"pair": (1, 2), "none": None, "text": "caf\u00e9"}


def read(ti):
    return list(ti.xcom_pull(task_ids="load")["pair"])


with DAG("tuple_and_set_results", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load) >> PythonOperator(task_id="read", python_callable=read)
