# move: load
from datetime import datetime

try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator
try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG


def load():
    return 1


with DAG("conditional_import", start_date=datetime(2026, 1, 1), schedule=None):
    task = PythonOperator(task_id="load", python_callable=load)
