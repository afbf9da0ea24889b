# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def fail():
    raise RuntimeError("no")


def load():
    return "after a failure"


with DAG("trigger_rules", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="fail", python_callable=fail) >> PythonOperator(
        task_id="load", python_callable=load, trigger_rule="one_failed"
    )
