# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from idiom_jobs.loading import load as load_rows

with DAG("imported_callable", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load_rows, op_kwargs={"count": 3})
