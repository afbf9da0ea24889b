# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load(conf, n):
    return [type(conf).__name__, type(n).__name__, n + 1]


with DAG("native_rendering", start_date=datetime(2026, 1, 1), schedule=None, params={"n": 4}, render_template_as_native_obj=True):
    PythonOperator(
        task_id="load",
        python_callable=load,
        op_kwargs={"conf": "{{ dag_run.conf }}", "n": "{{ params.n }}"},
    )
