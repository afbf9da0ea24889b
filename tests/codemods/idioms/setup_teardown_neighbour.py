# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def make():
    return "made"


def load():
    return "loaded"


def drop():
    return "dropped"


with DAG("setup_teardown_neighbour", start_date=datetime(2026, 1, 1), schedule=None):
    made = PythonOperator(task_id="make", python_callable=make).as_setup()
    work = PythonOperator(task_id="load", python_callable=load)
    gone = PythonOperator(task_id="drop", python_callable=drop).as_teardown(setups=made)
    made >> work >> gone
