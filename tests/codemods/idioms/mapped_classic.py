# move: square
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def square(n, plus):
    return n * n + plus


def total(values):
    return sum(values)


with DAG("mapped_classic", start_date=datetime(2026, 1, 1), schedule=None):
    squares = PythonOperator.partial(task_id="square", python_callable=square, op_kwargs={"plus": 1}).expand(
        op_args=[[1], [2], [3]]
    )
    PythonOperator(task_id="total", python_callable=total, op_args=[squares.output])
