# move: load
# may refuse
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def describe(context):
    return f"{context['dag'].dag_id}/{context['task'].task_id}/{context['ds']}"


def load(**context):
    return describe(context)


with DAG("context_to_helper", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load)
