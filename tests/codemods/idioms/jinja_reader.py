# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator


def load():
    return {"n": 4}


with DAG("jinja_reader", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load) >> BashOperator(
        task_id="say", bash_command="echo n={{ ti.xcom_pull('load')['n'] }}"
    )
