# move: first
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def work(n=1, **_):
    return n


with DAG("shared_callable", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="first", python_callable=work) >> PythonOperator(
        task_id="second", python_callable=work, op_kwargs={"n": 2}
    )
