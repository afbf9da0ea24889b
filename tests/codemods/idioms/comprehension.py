# move: t_*
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def work(n):
    return n * n


with DAG("comprehension", start_date=datetime(2026, 1, 1), schedule=None):
    tasks = [PythonOperator(task_id=f"t_{n}", python_callable=work, op_kwargs={"n": n}) for n in range(3)]
    tasks[0] >> tasks[1:]
