# move: inner.load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.sdk import TaskGroup


def load():
    return 5


def read(ti):
    return ti.xcom_pull(task_ids="inner.load") + 1


with DAG("task_group", start_date=datetime(2026, 1, 1), schedule=None):
    with TaskGroup("inner") as inner:
        PythonOperator(task_id="load", python_callable=load)
    after = PythonOperator(task_id="read", python_callable=read)
    inner >> after
