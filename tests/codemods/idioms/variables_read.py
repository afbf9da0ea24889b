# move: load
# variable: idiom_table={"name": "t"}
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.sdk import Variable


def load():
    return [Variable.get("idiom_limit", default=3), Variable.get("idiom_table", deserialize_json=True)["name"]]


with DAG("variables_read", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load)
