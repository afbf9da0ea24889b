# move: work
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator


def choose():
    return "work"


def work():
    return 1


with DAG("branch_neighbour", start_date=datetime(2026, 1, 1), schedule=None):
    branch = BranchPythonOperator(task_id="choose", python_callable=choose)
    go = PythonOperator(task_id="work", python_callable=work)
    stop = EmptyOperator(task_id="stop")
    join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
    branch >> [go, stop] >> join
