"""Steps in pods: DAG runs against the API double, or against the cluster that the environment names."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kube import faults
from kube.double import Cluster

__all__ = ["DEFERRED", "RUNNING", "Cluster", "End", "PodLab", "Worker", "faults", "pods"]

SOURCE = """
from stepbridge_airflow.budgets import Budgets
from stepbridge_airflow.escalation import Escalate
from stepbridge_airflow.placement import Placement

ENDS = {ends!r}

def note_end(context):
    import json
    error = context.get("exception")
    end = {{
        "type": type(error).__name__,
        "kind": getattr(error, "kind", ""),
        "code": getattr(error, "code", ""),
        "message": str(error),
    }}
    with open(ENDS, "a") as file:
        file.write(json.dumps(end) + chr(10))

POD = {{**{pod!r}, "on_failure_callback": note_end, "on_retry_callback": note_end}}

"""
STEP = """
{header}
def work(n):
    from pathlib import Path
    flags = Path({flags!r})
    def once(name):
        flag = flags / name
        first = not flag.exists()
        flag.touch()
        return first
    def hold(seconds=60):
        import time
        limit = time.monotonic() + seconds
        while not (flags / "go").exists() and time.monotonic() < limit:
            time.sleep(0.02)
{body}
    return n

def before():
    {before}

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    first = PythonOperator(task_id="before", python_callable=before)
    first >> StepOperator(task_id="work", python_callable=work, op_kwargs={{"n": 4}}{arguments})
"""
RUNNING: list[Any] = []
"""Operators whose step runs, where a test asks for them."""
TRIED = """
    import sqlalchemy
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    with create_session() as session:
        session.execute(
            sqlalchemy.update(TaskInstance)
            .where(TaskInstance.dag_id == "DAG_ID", TaskInstance.task_id == "work")
            .values(try_number={tries})
        )
"""
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL")
DEFERRED = "deferrable=True, poll_interval=0.3"


@dataclass(frozen=True)
class End:
    """What Airflow was told of a failed try: the exception."""

    type: str
    kind: str
    code: str
    message: str


@dataclass
class Worker:
    """A process that runs a DAG, as a worker would.

    :param pid: of the process.
    """

    pid: int

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit status; negative: the signal that ended it."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"the worker did not end within {seconds} s")


def _forget_threads() -> None:
    """In a fork: the API server in this process that Airflow 3.3 keeps, whose threads were not forked."""
    try:
        from airflow.sdk.execution_time.supervisor import in_process_api_server
    except ImportError:
        return
    forget = getattr(in_process_api_server, "cache_clear", None)
    if forget is not None:
        forget()


@dataclass
class OneDate:
    """A DAG whose runs of one date have one run id, which Airflow 3 else makes of the time."""

    dag: Any

    def test(self, *, run_conf: dict[str, Any] | None, logical_date: Any) -> Any:
        return self.dag.test(run_conf=run_conf, logical_date=logical_date, run_after=logical_date)


@dataclass
class PodLab:
    """Runs DAGs whose steps are pods.

    :param lab: the DAGs' lab. :param cluster: the double.
    :param pod: arguments of every pod. :param flags: a folder for flags between test and step.
    """

    lab: Any
    cluster: Cluster
    pod: dict[str, Any]
    flags: Path
    threads: list[threading.Thread] = field(default_factory=list)

    # DAGs

    def run(self, source: str, *, expect: str = "success", conf: dict[str, Any] | None = None) -> Any:
        """Write, load and run a DAG; ``POD`` in it are arguments for ``default_args``."""
        dag = self.load(source)
        done = self.lab.test(dag, conf)
        assert done.state == expect, (done.states, self.ends())
        return done

    def load(self, source: str, name: str = "") -> Any:
        text = SOURCE.format(pod=self.pod, ends=str(self.flags / "ends")) + source
        return self.lab.load(self.lab.write(text, name))

    def source(self, body: str = "", *arguments: str, header: str = "", before: str = "pass") -> str:
        """A DAG of one step, ``work``; its function may call ``once(name)`` and ``hold()``.

        :param before: what the task before it does.
        """
        lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        given = "".join(f", {one}" for one in arguments if one)
        return STEP.format(header=header, body=lines, before=before, arguments=given, flags=str(self.flags))

    def step(self, body: str, *arguments: str, expect: str = "success", header: str = "") -> Any:
        """Run a DAG of one step."""
        return self.run(self.source(body, *arguments, header=header), expect=expect)

    def start(self, dag: Any) -> Worker:
        """Run *dag* in a process of its own, a fork of this one; all its runs are of one date."""
        from airflow import settings

        settings.engine.dispose()
        pid = os.fork()
        if pid:
            return Worker(pid)
        try:
            settings.engine.dispose(close=False)
            _forget_threads()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            state = self.again(dag).state
        except BaseException:  # noqa: BLE001 - the fork of a test must not go on as pytest
            (self.flags / "worker").write_text(traceback.format_exc())
            os._exit(3)
        os._exit(0 if state == "success" else 1)

    def again(self, dag: Any) -> Any:
        """Run *dag* here, for the date of :meth:`start`."""
        number, self.lab.number = self.lab.number, 1000
        done = self.lab.test(dag if self.lab.version < (3,) else OneDate(dag))
        self.lab.number = number
        return done

    # what happens meanwhile

    def flag(self, name: str) -> Path:
        return self.flags / name

    def meanwhile(self, act: Callable[[], None]) -> None:
        """Do *act* in a thread; what it raises fails the test at its end."""

        def run() -> None:
            try:
                act()
            except BaseException:  # noqa: BLE001 - told to the test's thread
                self.flag("meanwhile").write_text(traceback.format_exc())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)

    def wait(self, name: str, seconds: float = 60.0) -> None:
        """Wait for a flag."""
        self.cluster.wait_for(self.flag(name).exists, seconds)

    # what is left

    def ends(self) -> list[End]:
        """What Airflow was told of each failed try."""
        file = self.flag("ends")
        lines = file.read_text().splitlines() if file.exists() else []
        return [End(**json.loads(line)) for line in lines]

    def end(self) -> End:
        """The one failed try's."""
        (found,) = self.ends()
        return found

    def records(self, name: str = "") -> list[Path]:
        """Files of run records with this name."""
        return sorted(path for path in (self.lab.store / "runs").rglob(name or "*") if path.is_file())

    def errors(self) -> list[str]:
        """Codes of the attempts' error records, in order."""
        return [json.loads(path.read_text())["code"] for path in self.records("error.json")]

    def created(self) -> list[dict[str, Any]]:
        return [one.pod for one in self.cluster.created]

    def wait_for_pod(
        self, predicate: Callable[[dict[str, Any]], bool] = bool, seconds: float = 60.0
    ) -> dict[str, Any]:
        found = self.cluster.wait_for(lambda: [pod for pod in self.cluster.pods() if predicate(pod)], seconds)
        return found[0]

    def assert_nothing_left(self) -> None:
        """No pod and no Secret; what was asked to go gets the seconds that its containers take to stop."""
        for thread in self.threads:
            thread.join(60)
        assert not self.flag("meanwhile").exists(), self.flag("meanwhile").read_text()
        limit = time.monotonic() + 10
        while (self.cluster.pods() or self.cluster.secrets()) and time.monotonic() < limit:
            time.sleep(0.05)
        assert [pod["metadata"]["name"] for pod in self.cluster.pods()] == []
        assert self.cluster.secrets() == []


@pytest.fixture
def pods(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodLab]:
    """Steps in pods of an API double of their own, with short waits."""
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    flags = tmp_path / "flags"
    flags.mkdir()
    with Cluster(tmp_path / "cluster") as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__BACKEND", "pod")
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__IMAGE", "registry/steps:1")
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__REPEAT_DELAY", "0.1")
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__GRACE", "2")
        monkeypatch.setenv("AIRFLOW__WORKERS__API_RETRIES", "3")
        monkeypatch.setenv("AIRFLOW__STEPBRIDGE__API_PATIENCE", "5")
        pod = {"namespace": "default", "image": "registry/steps:1", "config_file": str(cluster.kubeconfig)}
        yield PodLab(lab, cluster, pod, flags)
    assert cluster.processes() == []
