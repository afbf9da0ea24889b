"""Steps as pods under an Airflow of its own: its triggerer, workers and scheduler are killed at work."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from throwaway import version

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from airflow_home import AirflowHome
from podlab import AWS

from kube.double import Cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(version() < (3, 3), reason="the processes and REST paths are those of Airflow 3.3"),
]

SOURCE = '''
def wait(gate, answer):
    """Say that it runs, wait until the gate's file is there, give the answer."""
    import time
    from pathlib import Path

    Path(gate + ".begun").open("a").write("x")
    print("the step waits")
    while not Path(gate).exists():
        time.sleep(0.1)
    return answer

with DAG(
    "{name}",
    start_date=START,
    schedule=None,
    default_args=dict(retries={retries}, retry_delay=timedelta(seconds=1)),
):
    StepOperator(
        task_id="wait",
        python_callable=wait,
        op_kwargs=dict(gate={gate!r}, answer={answer!r}),
        namespace="default",
        deferrable={deferrable},
        poll_interval=1,
        startup_check_interval_seconds=1,
        env_vars=dict(WHY={name!r}),
    )
'''


@dataclass(frozen=True)
class Job:
    """One DAG with one step that waits for a gate."""

    air: AirflowHome
    cluster: Cluster
    name: str
    gate: Path

    @property
    def pods(self) -> list[dict[str, Any]]:
        """Every pod that was made for it."""
        label = {"dag_id": self.name}
        return [
            one.pod
            for one in self.cluster.created
            if label.items() <= (one.pod["metadata"].get("labels") or {}).items()
        ]

    @property
    def living(self) -> list[dict[str, Any]]:
        """Its pods that are there now."""
        return [p for p in self.cluster.pods() if p["metadata"]["labels"].get("dag_id") == self.name]

    def run(self) -> str:
        return self.air.trigger(self.name)

    def until_begun(self, times: int = 1) -> None:
        """Until the step's function has begun *times* times."""
        begun = self.gate.with_name(self.gate.name + ".begun")
        self.air.wait(
            lambda: begun.exists() and begun.stat().st_size >= times,
            90,
            f"{self.name} has begun {times} times",
        )

    def open(self) -> None:
        self.gate.touch()

    def until(self, run_id: str, *states: str, seconds: float = 90) -> dict[str, Any]:
        return self.air.wait_for_state(self.name, run_id, "wait", *states, seconds=seconds)

    def until_deferred(self, run_id: str, try_number: int = 1) -> None:
        """Until the task waits for the trigger, and the scheduler has noticed the end of its process.

        Airflow fails a task whose trigger fires before its scheduler has noticed that.
        """
        self.until(run_id, "deferred")
        key = f"dag_id='{self.name}', task_id='wait', run_id='{run_id}', try_number={try_number},"
        noticed = f"Received executor event with state success for task instance TaskInstanceKey({key}"
        self.air.wait(
            lambda: noticed in self.air.log("scheduler", everything=True),
            60,
            f"noticed: {self.name} deferred",
        )

    def answer(self, run_id: str) -> Any:
        return self.air.xcom(self.name, run_id, "wait")

    def mark(self, run_id: str, state: str) -> None:
        self.air.set_state(self.name, run_id, "wait", state)

    def until_nothing_left(self, seconds: float = 40) -> None:
        """No pod, Secret or process of the DAG's is left."""

        self.air.wait(lambda: not self.living, seconds, f"the pods of {self.name} are gone")
        assert self.cluster.secrets() == []


JOBS = {
    # name: deferrable, retries
    "plain": (True, 0),
    "triggerer": (True, 0),
    "worker": (False, 2),
    "failed_deferred": (True, 0),
    "failed_running": (False, 0),
    "cleared_deferred": (True, 0),
    "cleared_running": (False, 0),
    "scheduler_sync": (False, 2),
    "scheduler_deferred": (True, 0),
}


@dataclass(frozen=True)
class Yard:
    """The Airflow, the double and the DAGs."""

    air: AirflowHome
    cluster: Cluster
    jobs: dict[str, Job]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    root = tmp_path_factory.mktemp("airflow")
    store = root / "store"
    store.mkdir()
    with Cluster(root / "cluster") as cluster:
        settings = {
            "KUBECONFIG": str(cluster.kubeconfig),
            "AIRFLOW__STEPBRIDGE__STORE": store.as_uri(),
            "AIRFLOW__STEPBRIDGE__BACKEND": "pod",
            "AIRFLOW__STEPBRIDGE__IMAGE": "registry/steps:1",
            "AIRFLOW__STEPBRIDGE__GRACE": "2",
        }
        air = AirflowHome(root / "home", settings)
        for name in AWS:
            air.environment.pop(name, None)
        jobs = {}
        for name, (deferrable, retries) in JOBS.items():
            gate = root / f"{name}.gate"
            answer = {"job": name}
            air.write(
                name,
                SOURCE.format(
                    name=name, gate=str(gate), answer=answer, deferrable=deferrable, retries=retries
                ),
            )
            jobs[name] = Job(air, cluster, name, gate)
        with air:
            air.wait_for_dags(set(JOBS))
            yield Yard(air, cluster, jobs)
    assert cluster.processes() == []


def test_a_deferred_step_succeeds_and_runs_again_when_cleared(yard: Yard) -> None:
    job = yard.jobs["plain"]
    run = job.run()
    job.until_begun()
    job.until_deferred(run)
    job.open()
    assert job.until(run, "success", "failed")["state"] == "success"
    assert job.answer(run) == {"job": "plain"}
    assert len(job.pods) == 1
    job.until_nothing_left()
    yard.air.wait(lambda: yard.air.run_state(job.name, run) == "success", 30, "the DAG run is a success")
    job.gate.unlink()
    yard.air.clear(job.name, run, "wait")
    job.until_begun(2)
    job.until_deferred(run, 2)
    job.open()
    found = job.until(run, "success", "failed")
    assert (found["state"], found["try_number"]) == ("success", 2)
    assert job.answer(run) == {"job": "plain"}
    assert len(job.pods) == 2
    job.until_nothing_left()


def test_a_killed_triggerer_costs_no_second_pod(yard: Yard) -> None:
    job = yard.jobs["triggerer"]
    run = job.run()
    job.until_begun()
    job.until_deferred(run)
    yard.air.kill("triggerer")
    yard.cluster.forget_requests()
    yard.air.start("triggerer")
    name = job.pods[0]["metadata"]["name"]
    yard.air.wait(
        lambda: any(one.path.endswith(f"/pods/{name}") for one in yard.cluster.requests),
        90,
        "the new triggerer looks at the pod",
    )
    job.open()
    assert job.until(run, "success", "failed")["state"] == "success"
    assert job.answer(run) == {"job": "triggerer"}
    assert len(job.pods) == 1
    job.until_nothing_left()


def test_the_retry_of_a_killed_worker_takes_up_its_pod(yard: Yard) -> None:
    job = yard.jobs["worker"]
    run = job.run()
    job.until_begun()
    killed = yard.air.task_processes()
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    yard.air.wait(
        lambda: yard.air.task(job.name, run, "wait")["try_number"] == 2, 60, "the task is tried again"
    )
    job.until(run, "running")
    job.open()
    found = job.until(run, "success", "failed")
    assert (found["state"], found["try_number"]) == ("success", 2), yard.air.task_log(job.name)
    assert job.answer(run) == {"job": "worker"}
    assert len(job.pods) == 1
    assert job.gate.with_name(job.gate.name + ".begun").stat().st_size == 1
    job.until_nothing_left()


def test_a_deferred_step_that_is_marked_failed_leaves_no_pod(yard: Yard) -> None:
    job = yard.jobs["failed_deferred"]
    run = job.run()
    job.until_begun()
    job.until_deferred(run)
    job.mark(run, "failed")
    job.until_nothing_left()
    assert yard.air.task(job.name, run, "wait")["state"] == "failed"
    assert len(job.pods) == 1


def test_a_running_step_that_is_marked_failed_leaves_no_pod(yard: Yard) -> None:
    job = yard.jobs["failed_running"]
    run = job.run()
    job.until_begun()
    job.until(run, "running")
    job.mark(run, "failed")
    job.until_nothing_left()
    assert yard.air.task(job.name, run, "wait")["state"] == "failed"
    assert len(job.pods) == 1


@pytest.mark.parametrize(
    ("name", "state"), [("cleared_deferred", "deferred"), ("cleared_running", "running")]
)
def test_a_step_that_is_cleared_at_work_is_done_once_more(yard: Yard, name: str, state: str) -> None:
    """Its first pod goes before the second begins to work."""
    job = yard.jobs[name]
    run = job.run()
    job.until_begun()
    deferred = state == "deferred"
    job.until_deferred(run) if deferred else job.until(run, state)
    yard.air.clear(job.name, run, "wait")
    job.until_begun(2)
    assert len(job.living) == 1
    if deferred:
        job.until_deferred(run, 2)
    job.open()
    found = job.until(run, "success", "failed")
    assert (found["state"], found["try_number"]) == ("success", 2), yard.air.task_log(job.name)
    assert job.answer(run) == {"job": name}
    assert len(job.pods) == 2
    job.until_nothing_left()


def test_a_killed_scheduler_costs_no_second_pod(yard: Yard) -> None:
    """The workers of its LocalExecutor die with it, supervisors and tasks."""
    sync, deferred = yard.jobs["scheduler_sync"], yard.jobs["scheduler_deferred"]
    sync_run, deferred_run = sync.run(), deferred.run()
    for job in (sync, deferred):
        job.until_begun()
    deferred.until_deferred(deferred_run)
    yard.air.kill("scheduler")
    deferred.open()
    yard.air.start("scheduler")
    yard.air.wait(
        lambda: yard.air.task(sync.name, sync_run, "wait")["try_number"] == 2,
        90,
        "the lost task is tried again",
    )
    sync.until(sync_run, "running")
    sync.open()
    for job, run in ((sync, sync_run), (deferred, deferred_run)):
        assert job.until(run, "success", "failed")["state"] == "success", yard.air.task_log(job.name)
        assert job.answer(run) == {"job": job.name}
        assert len(job.pods) == 1
        job.until_nothing_left()
