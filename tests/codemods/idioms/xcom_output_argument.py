# move: double
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def give():
    return 21


def double(n):
    return n * 2


def read(n):
    return n + 1


with DAG("xcom_output_argument", start_date=datetime(2026, 1, 1), schedule=None):
    given = PythonOperator(task_id="give", python_callable=give)
    doubled = PythonOperator(task_id="double", python_callable=double, op_kwargs={"n": given.output})
    PythonOperator(task_id="read", python_callable=read, op_args=[doubled.output])
