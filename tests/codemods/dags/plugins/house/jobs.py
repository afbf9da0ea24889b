# tasks of this house, called where the dags are
from airflow.decorators import task
from airflow.models import Variable

@task(multiple_outputs = True)
def pull_rows(source, **kwargs):
    where = Variable.get( "rows_at" )
    return {"rows": [where, source], "day": kwargs["ds"]}

@task
def weigh(rows,factor = 2): return len(rows)*factor

@task(task_id="tell")
def say(text=None, ti=None):
    ti.xcom_push(key='said',value=text)
    if not text: raise ValueError(text)

@task
def nobody_calls_it(): return 0

def weigh_twice(rows):
    return weigh(rows), weigh.override(task_id='weigh_again')(rows)
