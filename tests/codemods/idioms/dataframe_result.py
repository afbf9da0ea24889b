# move: load
# xcom of load: differs
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def load():
    import pandas as pd

    return pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def read(ti):
    import pandas as pd

    got = ti.xcom_pull(task_ids="load")
    frame = pd.read_parquet(got.removeprefix("file://")) if isinstance(got, str) else got
    return int(frame["a"].sum())


with DAG("dataframe_result", start_date=datetime(2026, 1, 1), schedule=None):
    PythonOperator(task_id="load", python_callable=load) >> PythonOperator(task_id="read", python_callable=read)
