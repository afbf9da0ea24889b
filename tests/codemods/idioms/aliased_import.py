# move: load
from datetime import datetime

import airflow.providers.standard.operators.python as ops
from airflow.providers.standard.operators.python import PythonOperator as Po
from airflow.sdk import DAG


def load():
    return 1


with DAG("aliased_import", start_date=datetime(2026, 1, 1), schedule=None):
    ops.PythonOperator(task_id="load", python_callable=load)
    Po(task_id="other", python_callable=load)
