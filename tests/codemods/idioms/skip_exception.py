# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.exceptions import AirflowSkipException


def load(n):
    if n < 1:
        raise AirflowSkipException("nothing to do")
    return n


def read():
    return "read"


with DAG("skip_exception", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load, op_kwargs={"n": 0}) >> PythonOperator(
        task_id="read", python_callable=read, trigger_rule="none_failed"
    )
