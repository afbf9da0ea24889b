# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
import idiom_jobs.loading

with DAG("imported_module_attribute", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=idiom_jobs.loading.load, op_kwargs={"count": 2})
