# move: middle
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def first(ti):
    ti.xcom_push(key="rows", value=[1, 2, 3])
    return "done"


def middle(**context):
    ti = context["ti"]
    rows = ti.xcom_pull(task_ids="first", key="rows")
    ti.xcom_push(key="total", value=sum(rows))
    return {"word": ti.xcom_pull(task_ids="first")}


def last(ti):
    return [ti.xcom_pull(task_ids="middle", key="total"), ti.xcom_pull(task_ids="middle")["word"]]


with DAG("pull_and_push", start_date=datetime(2026, 1, 1), schedule=None):
    a = PythonOperator(task_id="first", python_callable=first)
    b = PythonOperator(task_id="middle", python_callable=middle)
    c = PythonOperator(task_id="last", python_callable=last)
    a >> b >> c
