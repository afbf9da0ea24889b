from airflow import DAG
from airflow.operators.python import PythonOperator
with DAG("bom") as dag:
    "é€"; x = PythonOperator(task_id="bé", python_callable=print)
