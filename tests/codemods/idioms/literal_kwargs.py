# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load(rows, scale=2):
    return [row * scale for row in rows]


def read(**context):
    return sum(context["ti"].xcom_pull(task_ids="load"))


with DAG("literal_kwargs", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    first = PythonOperator(task_id="load", python_callable=load, op_kwargs={"rows": [1, 2, 3], "scale": 3})
    second = PythonOperator(task_id="read", python_callable=read)
    first >> second
