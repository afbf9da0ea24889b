# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
import os
import tempfile


def load():
    path = os.path.join(tempfile.mkdtemp(), "rows.txt")
    with open(path, "w") as sink:
        sink.write("a\nb\n")
    with open(path) as source:
        return source.read().count("\n")


with DAG("local_file_written", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load)
