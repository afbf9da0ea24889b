# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.sdk import get_current_context


def load():
    context = get_current_context()
    return [context["ds"], context["ti"].task_id]


with DAG("current_context", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load)
