# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load():
    raise ValueError("broken on purpose")


def clean():
    return "cleaned"


with DAG("failing_task", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load, retries=0) >> PythonOperator(
        task_id="clean", python_callable=clean, trigger_rule="all_done"
    )
