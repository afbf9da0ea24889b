"""The DAG with a shadow is the DAG without it: edges, weights, leaves, groups, what clearing clears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shadow_cases as cases

SOURCE = """
def one(n=1):
    return n

def choose():
    return "branch_a"

with DAG("DAG_ID", start_date=START, schedule=None, default_args={
    **ALARMS, "retries": 4, "depends_on_past": True, "pool": "gpu", "queue": "big", "email": ["a@b.c"],
    "email_on_failure": True, "trigger_rule": "all_success", "max_active_tis_per_dag": 1,
    "execution_timeout": timedelta(minutes=10),
}):
    first = PythonOperator(task_id="first", python_callable=one)
    control = PythonOperator(task_id="control", python_callable=one, op_args=[first.output])
    control_shadows = ["SHADOWS"]

    with TaskGroup("g") as group:
        a = PythonOperator(task_id="a", python_callable=one)
        b = PythonOperator(task_id="b", python_callable=one)
        a >> b
        SHADOWS_B
    with TaskGroup("h") as other:
        c = PythonOperator(task_id="c", python_callable=one)
    group >> other

    setup = PythonOperator(task_id="setup", python_callable=one).as_setup()
    work = PythonOperator(task_id="work", python_callable=one, op_args=[setup.output])
    beside = PythonOperator(task_id="beside", python_callable=one)
    clean = PythonOperator(task_id="clean", python_callable=one).as_teardown(setups=setup)
    setup >> [work, beside]
    work >> clean
    lone = PythonOperator(task_id="lone", python_callable=one).as_setup()
    lone >> PythonOperator(task_id="after_lone", python_callable=one)
    lone >> PythonOperator(task_id="also_after_lone", python_callable=one)

    with setup:
        scoped = PythonOperator(task_id="scoped", python_callable=one)
        SHADOWS_SCOPED

    @task.branch
    def branch():
        return "branch_a"
    choice = branch()
    branch_a = PythonOperator(task_id="branch_a", python_callable=one)
    branch_b = PythonOperator(task_id="branch_b", python_callable=one)
    choice >> [branch_a, branch_b]
    waiting = PythonOperator(task_id="waiting", python_callable=one, wait_for_downstream=True)
    waiting >> PythonOperator(task_id="after_waiting", python_callable=one)

    @task
    def mapped(n):
        return n
    many = mapped.partial().expand(n=[1, 2])
    classic = PythonOperator.partial(task_id="classic", python_callable=one).expand(op_args=[[1], [2]])
    SHADOWS
    first >> control >> PythonOperator(task_id="reader", python_callable=one, trigger_rule="none_failed")
    PythonOperator(task_id="late", python_callable=one) >> control
    group >> PythonOperator(task_id="after_group", python_callable=one, trigger_rule="one_success")
    PythonOperator(task_id="before_group", python_callable=one) >> group
"""

SHADOWED = ("control", "work", "after_lone", "branch_a", "after_waiting", "mapped", "classic")


@pytest.fixture
def pair(lab: Any, tmp_path: Path) -> tuple[Any, Any]:
    """The DAG without and with its shadows."""
    bare = SOURCE.replace('control_shadows = ["SHADOWS"]', "pass")
    without = bare.replace("SHADOWS_B", "pass").replace("SHADOWS_SCOPED", "pass")
    with_ = bare.replace("SHADOWS_B", "shadow(b)").replace("SHADOWS_SCOPED", "shadow(scoped)")
    lines = "\n".join(f"shadow({name!r})" for name in SHADOWED)
    return (
        lab.load(lab.write(cases.written(without, "", tmp_path))),
        lab.load(lab.write(cases.written(with_, lines, tmp_path))),
    )


def test_the_other_tasks_are_what_they_were(pair: tuple[Any, Any]) -> None:
    without, with_ = pair
    assert cases.shape(with_) == cases.shape(without)
    added = {task.task_id for task in with_.tasks} - {task.task_id for task in without.tasks}
    expected = {*SHADOWED, "g.b", "scoped"}
    assert added == {f"{name}{end}" for name in expected for end in ("__shadow", "__compare")}


def test_the_two_tasks_keep_out_of_the_way(pair: tuple[Any, Any]) -> None:
    dag = pair[1]
    for task in dag.tasks:
        if not cases.is_shadow(task.task_id):
            continue
        assert task.is_teardown
        assert not task.on_failure_fail_dagrun
        assert task.trigger_rule == "all_done_setup_success"
        assert (task.retries, task.priority_weight, task.pool, task.queue) == (1, 0, "default_pool", "big")
        assert (task.depends_on_past, task.wait_for_downstream) == (False, False)
        assert not task.max_active_tis_per_dag
        for name in ("failure", "success", "retry", "execute", "skipped"):
            assert not getattr(task, f"on_{name}_callback")
        assert not task.outlets
    assert dag.get_task("control__shadow").execution_timeout.total_seconds() == 1800
    assert dag.get_task("mapped__shadow").partial_kwargs["email_on_failure"] is False
    assert dag.get_task("control__shadow").email_on_failure is False


def test_a_candidate_waits_for_what_its_control_waits_for(pair: tuple[Any, Any]) -> None:
    dag = pair[1]

    def before(name: str) -> set[str]:
        return set(dag.get_task(f"{name}__shadow").upstream_task_ids)

    assert before("control") == {"first", "late"}
    assert before("g.b") == {"g.a"}
    # a setup would take it for its teardown, a branch would skip it, the third would wait for it tomorrow
    assert before("work") == {"work"}
    assert before("scoped") == {"scoped"}
    assert before("after_lone") == {"after_lone"}
    assert before("branch_a") == {"branch_a"}
    assert before("after_waiting") == {"after_waiting"}
    for name in ("control", "g.b", "work"):
        compare = dag.get_task(f"{name}__compare")
        assert set(compare.upstream_task_ids) == {name, f"{name}__shadow"}
        assert not compare.downstream_task_ids


REFUSED = {
    "shadow('nothing')": "has no task 'nothing'",
    "shadow('x*')": "has no task 'x*'",
    "shadow(empty)": "candidate=",
    "shadow(clean)": "setup or teardown",
    "shadow(decide)": "decides what runs",
    "shadow(waiting)": "wait_for_downstream",
    "shadow(one); shadow(one)": "shadowed already",
    "shadow(one, retries=2)": "retries",
    "shadow(one, trigger_rule='all_done')": "trigger_rule",
    "shadow(one, every=0)": "every=0",
    "shadow(one, compare='strict')": "compare='strict'",
    "shadow(one, compare=Compare(rtol=-1.0))": "negative",
    "shadow(one, 'two')": "candidate='two'",
    "shadow(one, StepOperator(task_id='s', python_callable=call), image='x')": "image",
    "shadow(one, read)": "would run after the candidate",
    "shadow('same')": "g.same, h.same",
    "shadow(wrapped)": "execute of its own",
    "shadow(virtual)": "python=",
}

TASKS = """
try:
    import airflow.sdk
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.python import PythonVirtualenvOperator, ShortCircuitOperator
    AIRFLOW_3 = True
except ImportError:
    AIRFLOW_3 = False
    from airflow.operators.empty import EmptyOperator
    from airflow.operators.python import PythonVirtualenvOperator, ShortCircuitOperator

class Wrapped(PythonOperator):
    def execute(self, context):
        return [super().execute(context)]

def call():
    return 1

with DAG("DAG_ID", start_date=START, schedule=None) as dag_:
    one = PythonOperator(task_id="one", python_callable=call)
    empty = EmptyOperator(task_id="empty")
    clean = PythonOperator(task_id="clean", python_callable=call).as_teardown()
    decide = ShortCircuitOperator(task_id="decide", python_callable=call)
    waiting = PythonOperator(task_id="waiting", python_callable=call, wait_for_downstream=True)
    wrapped = Wrapped(task_id="wrapped", python_callable=call)
    if AIRFLOW_3:  # Airflow 2 makes one only where virtualenv is installed
        virtual = PythonVirtualenvOperator(task_id="virtual", python_callable=call, requirements=["x"])
    read = StepOperator(task_id="read", python_callable=call)
    read >> PythonOperator(task_id="reader", python_callable=call)
    for name in "gh":
        with TaskGroup(name):
            PythonOperator(task_id="same", python_callable=call)

said = {}
for statement in STATEMENTS:
    try:
        with dag_:
            exec(statement)
    except Exception as error:
        said[statement] = str(error)
    else:
        said[statement] = "accepted"
    for name in [n for n in dag_.task_dict if "__" in n or n == "s"]:
        for other in dag_.tasks:
            other.downstream_task_ids.discard(name)
        dag_.task_dict.pop(name)
        dag_.task_group.children.pop(name, None)
        dag_.task_group.used_group_ids.discard(name)
(FOLDER / "said.json").write_text(json.dumps(said))
"""


def test_what_could_do_harm_is_refused_with_a_reason(lab: Any, tmp_path: Path) -> None:
    import json

    statements = [one for one in REFUSED if lab.version >= (3,) or "virtual" not in one]
    lab.load(lab.write(cases.written(TASKS.replace("STATEMENTS", repr(statements)), "", tmp_path)))
    said = json.loads((tmp_path / "said.json").read_text())
    assert {name: text for name, text in said.items() if REFUSED[name] not in text} == {}
    assert all("Next:" in text for text in said.values())
