# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load():
    return "ok"


args = {"owner": "data", "retries": 2, "depends_on_past": False}

with DAG("default_args_used", start_date=datetime(2026, 1, 1), schedule=None, default_args=args, catchup=False):
    PythonOperator(task_id="load", python_callable=load, priority_weight=5, doc_md="does *things*")
