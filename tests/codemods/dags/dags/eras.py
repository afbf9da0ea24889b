# -*- coding: utf-8 -*-
"""Every era of import paths in one file."""
import airflow.operators.python as py_ops
from airflow import DAG
from airflow.contrib.operators.kubernetes_pod_operator import KubernetesPodOperator
from airflow.operators import PythonOperator as OldestPython
from airflow.operators.dummy_operator import DummyOperator
from airflow.operators.python_operator import PythonOperator as OldPython, BranchPythonOperator
from airflow.utils.dates import days_ago

try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

try:
    from airflow.operators.python import ShortCircuitOperator as Either
except ImportError:
    from airflow.operators.bash import BashOperator as Either

PO = PythonOperator
ops = py_ops


def work(**kwargs):
    return kwargs["ds"]


with DAG("eras", start_date=days_ago(1), schedule_interval=None) as dag:
    a = OldestPython(task_id="oldest", python_callable=work)
    b = OldPython(task_id="old", python_callable=work, provide_context=True)
    c = py_ops.PythonOperator(task_id="module_alias", python_callable=work)
    d = ops.PythonOperator(task_id="module_alias_twice", python_callable=work)
    e = PO(task_id="class_alias", python_callable=work)
    f = PythonOperator(task_id="conditional", python_callable=work)
    g = Either(task_id="either", python_callable=work)
    h = BranchPythonOperator(task_id="branch", python_callable=lambda: "old")
    i = DummyOperator(task_id="dummy")
    j = KubernetesPodOperator(task_id="pod", name="pod", image="x")


def local_import(dag):
    from airflow.operators.python import PythonOperator as Inner

    return Inner(task_id="inner", python_callable=work, dag=dag)


local_import(dag)
