# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load(ds, run_id=None, threshold=0.5):
    return [ds, bool(run_id), threshold]


with DAG("named_context", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load, op_kwargs=dict(threshold=0.25))
