# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load(day, run):
    return {"day": day, "kind": run.split("__")[0]}


def read(got):
    return str(got)


with DAG("templated_kwargs", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    load_it = PythonOperator(
        task_id="load",
        python_callable=load,
        op_kwargs={"day": "{{ ds }}", "run": "{{ run_id }}"},  # rendered by Airflow
    )
    read_it = PythonOperator(
        task_id="read", python_callable=read, op_kwargs={"got": "{{ ti.xcom_pull('load') }}"}
    )
    load_it >> read_it
