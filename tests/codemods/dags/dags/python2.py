from airflow import DAG
from airflow.operators.python_operator import PythonOperator
print "python 2"
