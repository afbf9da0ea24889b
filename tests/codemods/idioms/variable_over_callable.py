# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load():
    return 8


def read(ti):
    return ti.xcom_pull(task_ids="load")


with DAG("variable_over_callable", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    load = PythonOperator(task_id="load", python_callable=load)
    read = PythonOperator(task_id="read", python_callable=read)

    load >> read
