# move: load_*
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

NAMES = ["a", "b", "c"]


def load(name):
    return name.upper()


def gather(ti):
    return [ti.xcom_pull(task_ids=f"load_{name}") for name in NAMES]


with DAG("looped_tasks", start_date=datetime(2026, 1, 1), schedule=None):
    done = PythonOperator(task_id="gather", python_callable=gather)
    for name in NAMES:
        one = PythonOperator(
            task_id=f"load_{name}", python_callable=load, op_kwargs={"name": name}
        )
        one >> done
