# move: make_b
# select: line of PythonOperator
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def work(label):
    return f"work on {label}"


def make(label, dag):
    return PythonOperator(
        task_id="make_" + label,
        python_callable=work,
        op_kwargs={"label": label},
        dag=dag,
    )


dag = DAG("factory_function", start_date=datetime(2026, 1, 1), schedule=None)
make("a", dag) >> make("b", dag)
