# move: load
from datetime import datetime

from airflow.sdk import DAG
import sys

from airflow.providers.standard.operators.python import ExternalPythonOperator


def load(n):
    import json

    return json.loads(f"[{n}]")


with DAG("external_python", start_date=datetime(2026, 1, 1), schedule=None):
    ExternalPythonOperator(
        task_id="load", python=sys.executable, python_callable=load, op_kwargs={"n": 4}, expect_airflow=False
    )
