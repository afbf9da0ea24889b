# -*- coding: latin-1 -*-
from airflow import DAG
from airflow.operators.python import PythonOperator


def f():
	return "é"

with DAG("crlf") as dag:
	x = PythonOperator(task_id="crlf", # é
		python_callable=f)