"""Decorated tasks: variants, overrides, groups, mapping, repeated calls."""
from datetime import datetime

from airflow.decorators import dag, setup, task, task_group, teardown
from airflow.operators.python import get_current_context
from airflow.utils.task_group import TaskGroup

LIMIT = 10


@task
def shared(x):
    return x


@task(task_id="renamed", retries=2, multiple_outputs=True)
def pair(x: int, ds=None, **context) -> dict:
    return {"a": x + LIMIT, "b": ds}


@task.virtualenv(requirements=["scipy==1.11.0"], system_site_packages=False)
def venv():
    import scipy

    return scipy.__version__


@dag(start_date=datetime(2024, 1, 1), schedule=None, tags=["t"])
def taskflow():
    factor = 3

    @task()
    def scaled(x):
        return x * factor

    @task.branch
    def choose():
        return "shared"

    @task.kubernetes(image="python:3.11")
    def pod(**params):
        return params

    @task.external_python(python="/opt/py/bin/python")
    def outside():
        return get_current_context()["ti"].try_number

    @setup
    def begin():
        return 1

    @teardown
    def end():
        return 2

    @task_group(group_id="inner")
    def group(x):
        first = shared(x)
        return scaled(first)

    start = begin()
    p = pair(1)
    one = shared(p["a"])
    two = shared.override(task_id="other", pool="x")(p["b"])
    group(one)
    group.override(group_id="again")(two)
    with TaskGroup("outer"):
        with TaskGroup("flat", prefix_group_id=False):
            shared(3)
        with TaskGroup("deep") as deep:
            scaled(4)
    numbers = [shared(i) for i in range(2)]
    scaled.expand(x=[1, 2, 3])
    shared.partial().expand(x=numbers)
    for word in ["p", "q"]:
        @task(task_id=f"late_{word}")
        def late():
            return word

        late()
    task(len)([1])
    task(task_id="functional")(str)(1)
    choose() >> pod(a=1)
    outside()
    venv()
    start >> end()


taskflow()
