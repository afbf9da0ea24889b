from datetime import datetime

from airflow.sdk import DAG
from airflow.providers.standard.operators.python import PythonOperator
from stepbridge import Resources
from stepbridge_airflow import StepOperator, shadow

with DAG("shadowed", start_date=datetime(2024, 1, 1)) as dag:
    a = PythonOperator(task_id="a", python_callable=print)
    b = StepOperator(task_id="b", python_callable=print)
    for n in "x", "y":
        PythonOperator(task_id=f"loop_{n}", python_callable=print)
    c = PythonOperator(task_id="c", python_callable=print)
    shadow("a", resources=Resources(gpu=1, memory="16Gi"))
    shadow("loop_*")
    shadow(c)
    PythonOperator(task_id="d", python_callable=print)
