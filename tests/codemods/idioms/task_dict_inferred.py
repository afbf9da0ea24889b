# move: load
from datetime import datetime

from airflow.sdk import DAG, dag, task


with DAG("task_dict_inferred", start_date=datetime(2026, 1, 1), schedule=None):

    @task
    def load() -> dict[str, int]:
        return {"a": 1, "b": 2}

    @task
    def read(a: int, b: int):
        return a + b

    got = load()
    read(got["a"], got["b"])
