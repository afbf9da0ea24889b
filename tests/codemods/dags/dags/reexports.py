"""Callables and operators of the project's own modules."""
from datetime import datetime

from airflow.models.dag import DAG
from airflow.operators.python import PythonOperator
from house import HousePython, Loader
from house.operators import Waiter as W
from team import helpers
from team.helpers import Tools, fetch, make_task, store as keep

tools = Tools()
dag = DAG(dag_id="reexports", start_date=datetime(2024, 1, 1), default_args={"owner": "me", "retries": 2})

one = PythonOperator(task_id="fetch", python_callable=fetch, op_kwargs={"source": "a"}, dag=dag)
two = PythonOperator(task_id="keep", python_callable=keep, op_args=["s3://b/k"], dag=dag)
three = PythonOperator(task_id="module", python_callable=helpers.store, op_kwargs=dict(path="x"), dag=dag)
four = PythonOperator(task_id="static", python_callable=Tools.clean, op_args=[[1]], dag=dag)
five = PythonOperator(task_id="bound", python_callable=tools.bound, op_args=[[1]], dag=dag)
six = HousePython(task_id="house", python_callable=fetch, dag=dag)
seven = Loader(task_id="load", table="t", dag=dag)
eight = W(task_id="wait", dag=dag)
nine = make_task("imported", dag)
one >> [two, three] >> four >> five >> six >> seven >> eight >> nine
