# move: load
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
import json
import math as m

FACTORS = {"a": 2, "b": 3}
BASE = len(FACTORS) * 10


class Scaler:
    def __init__(self, by):
        self.by = by

    def scale(self, value):
        return value * self.by


def helper(value):
    return Scaler(FACTORS["b"]).scale(value) + BASE


def load():
    return json.loads(json.dumps({"v": helper(m.floor(2.5))}))


with DAG("module_globals", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load)
