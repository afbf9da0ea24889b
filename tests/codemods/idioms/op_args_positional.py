# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load(a, b, *rest):
    return [a, b, list(rest)]


dag = DAG("op_args_positional", start_date=datetime(2026, 1, 1), schedule=None)

load_task = PythonOperator(task_id="load", python_callable=load, op_args=[1, "{{ ds }}", 3], dag=dag)
