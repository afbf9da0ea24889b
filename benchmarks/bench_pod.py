"""A trivial step in a pod, and a cache hit, against KubernetesPodOperator with default settings.

``python benchmarks/bench_pod.py [--rounds N]``. Each is one task of a DAG under real Airflow, against the
same API double, whose containers are processes of this machine and start after 0.8 s, as a kubelet needs (on
a real cluster a bare pod of this kind took 1.1 s). The times are the task instances' own, from start to end.
The peer runs ``python -c pass`` without its XCom sidecar, which would cost it more (5.26 s instead of 5.12 s
on a real cluster). Rounds are interleaved, the figures are medians. Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tests" / "operators")]

import conftest as airflow_home  # noqa: E402 - prepares a throw-away Airflow before it is imported

from kube.double import Cluster  # noqa: E402
from kube.faults import SlowPull  # noqa: E402

START = 0.8
STEP_BOUND = 0.4
HIT_BOUND = 50.0
DAG = """
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

def trivial(n):
    return n + 1

POD = {pod!r}
with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    {task}
"""
STEP = 'StepOperator(task_id="t", python_callable=trivial, op_kwargs={"n": 1}%s)'
TASKS = {
    "KubernetesPodOperator": 'KubernetesPodOperator(task_id="t", image="i", cmds=["python", "-c", "pass"])',
    "step in a pod": STEP % "",
    "step in a pod, deferrable": STEP % ", deferrable=True",
    "cache hit": STEP % ', cache="auto", step_id="hit"',
}


def seconds(lab: Any, dag: Any) -> float:
    """How long the DAG's one task took, by its task instance."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    run = lab.test(dag)
    if run.state != "success":
        raise SystemExit(f"the run ended as {run.states}")
    with create_session() as session:
        ti = session.query(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.run_id).one()
        return float((ti.end_date - ti.start_date).total_seconds())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    airflow_home.airflow_database.__wrapped__()
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder) / "cluster") as cluster:
        store = Path(folder) / "store"
        store.mkdir()
        os.environ.update(
            AIRFLOW__STEPBRIDGE__STORE=store.as_uri(),
            AIRFLOW__STEPBRIDGE__BACKEND="pod",
            AIRFLOW__STEPBRIDGE__IMAGE="i",
        )
        cluster.inject(SlowPull(seconds=START))
        lab = airflow_home.Lab(store)
        pod = {"namespace": "default", "config_file": str(cluster.kubeconfig)}
        dags = {
            name: lab.load(lab.write(DAG.replace("{pod!r}", repr(pod)).replace("{task}", task)))
            for name, task in TASKS.items()
        }
        times: dict[str, list[float]] = {name: [] for name in TASKS}
        for dag in dags.values():
            seconds(lab, dag)
        asked = 0
        for _ in range(rounds):
            for name, dag in dags.items():
                before = len(cluster.requests)
                times[name].append(seconds(lab, dag))
                if name == "cache hit":
                    asked += len(cluster.requests) - before
    return report(times, asked)


def report(times: dict[str, list[float]], asked: int) -> int:
    medians = {name: statistics.median(all_of) for name, all_of in times.items()}
    for name, median in medians.items():
        print(f"{name:30} {median:8.3f} s   {min(times[name]):.3f} to {max(times[name]):.3f}")
    ratio = medians["step in a pod"] / medians["KubernetesPodOperator"]
    faster = medians["KubernetesPodOperator"] / medians["cache hit"]
    print(f"step / KubernetesPodOperator   {ratio:8.2f}     (bound {STEP_BOUND})")
    print(f"KubernetesPodOperator / hit    {faster:8.1f}     (bound {HIT_BOUND})")
    print(f"step in a pod / hit            {medians['step in a pod'] / medians['cache hit']:8.1f}")
    print(f"requests to the API server for the hits: {asked}     (bound 0)")
    return int(ratio > STEP_BOUND or faster < HIT_BOUND or asked > 0)


if __name__ == "__main__":
    sys.exit(main())
