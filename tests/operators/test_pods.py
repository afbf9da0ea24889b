"""Steps as pods under real Airflow against the API double: what a working day looks like."""

from __future__ import annotations

from podlab import PodLab, pods  # noqa: F401 - the fixture

DAG = """
def make(n):
    print("making", n)
    return {"n": n, "twice": n * 2}

def old(ti):
    return ti.xcom_pull("make")["twice"]

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    made = StepOperator(task_id="make", python_callable=make, op_kwargs={"n": 4}%s)
    made >> PythonOperator(task_id="old", python_callable=old)
"""


def test_a_step_runs_in_a_pod_and_old_tasks_read_it(pods: PodLab) -> None:
    run = pods.run(DAG % "")
    assert run.xcom("old") == 8
    (pod,) = pods.created()
    assert run.xcom("make", "pod_name") == pod["metadata"]["name"]
    assert len(pod["spec"]["containers"]) == 1
    pods.assert_nothing_left()


def test_deferrable(pods: PodLab) -> None:
    run = pods.run(DAG % ", deferrable=True, poll_interval=0.5")
    assert run.xcom("old") == 8
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


def test_a_failing_function(pods: PodLab) -> None:
    run = pods.run(
        """
def bad():
    print("about to fail")
    raise ValueError("no rows")

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator(task_id="bad", python_callable=bad, infra_retries=3)
""",
        expect="failed",
    )
    assert run.states == {"bad": "failed"}
    assert len(pods.created()) == 1
    pods.assert_nothing_left()
