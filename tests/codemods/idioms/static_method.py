# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


class Jobs:
    SHIFT = 3

    @staticmethod
    def load(n):
        return n + Jobs.SHIFT

    @classmethod
    def read(cls, n):
        return n - cls.SHIFT


with DAG("static_method", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=Jobs.load, op_kwargs={"n": 1})
    PythonOperator(task_id="read", python_callable=Jobs.read, op_kwargs={"n": 1})
