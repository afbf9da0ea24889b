# move: load
# may refuse
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


with DAG("lambda_callable", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=lambda n: n + 1, op_kwargs={"n": 1})
