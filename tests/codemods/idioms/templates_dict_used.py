# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load(templates_dict, **kwargs):
    return [templates_dict["day"], kwargs["ds"]]


with DAG("templates_dict_used", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load, templates_dict={"day": "{{ ds_nodash }}"})
