"""The project's own operators."""
from airflow.models import BaseOperator
from airflow.operators.python import PythonOperator
from airflow.sensors.base import BaseSensorOperator


class HousePython(PythonOperator):
    """PythonOperator with the house's defaults."""


class Loader(BaseOperator):
    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def execute(self, context):
        PythonOperator(task_id="inner", python_callable=print).execute(context)


class Waiter(BaseSensorOperator):
    def poke(self, context):
        return True
