# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.sdk import chain


def one():
    return 1


def load():
    return 2


with DAG("chained_calls", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    a = PythonOperator(task_id="one", python_callable=one)
    b = PythonOperator(task_id="load", python_callable=load)
    c = PythonOperator(task_id="three", python_callable=one)
    chain(a, [b, c])
    b.set_downstream(c)
