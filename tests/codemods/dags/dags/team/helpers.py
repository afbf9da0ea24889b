"""Callables and factories that DAG files import."""
import requests
from airflow.hooks.base import BaseHook
from airflow.models import Variable
from airflow.operators.python import PythonOperator
from airflow.providers.amazon.aws.hooks.s3 import S3Hook

LIMIT = 3


def fetch(source, ti, **context):
    limit = Variable.get("fetch_limit", default_var=LIMIT)
    rows = _page(source, limit)
    ti.xcom_push(key="rows", value=len(rows))
    ti.xcom_push(key=f"rows_{source}", value=len(rows))
    return rows


def _page(source, limit):
    password = BaseHook.get_connection("api").password
    return requests.post(source, auth=password, params={"n": limit}).json()


def store(path, **kwargs):
    rows = kwargs["ti"].xcom_pull(task_ids="fetch")
    S3Hook(aws_conn_id="lake").load_string(str(rows), path)
    with open("/tmp/rows.csv") as handle:
        return handle.read()


class Tools:
    @staticmethod
    def clean(rows):
        return [row for row in rows if row]

    def bound(self, rows):
        return rows


def make_task(name, dag, **common):
    return PythonOperator(task_id=f"made_{name}", python_callable=fetch, op_kwargs={"source": name}, dag=dag, **common)
