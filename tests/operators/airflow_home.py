"""A real Airflow of its own: its scheduler, triggerer and other parts as processes to kill and restart."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil
from conftest import PRELUDE, _register_provider

T = TypeVar("T")
PARTS = {
    "api-server": ["api-server", "--workers", "1", "--host", "127.0.0.1", "--port"],
    "dag-processor": ["dag-processor"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
HURRY = {
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PARALLELISM": "4",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "8",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


class AirflowHome:
    """Airflow's own processes over a sqlite database in a folder.

    :param root: a new folder. :param settings: more of the environment, ``AIRFLOW__*`` and others.
    """

    def __init__(self, root: Path, settings: Mapping[str, str]) -> None:
        self.root = root
        self.dags = root / "dags"
        self.dags.mkdir(parents=True)
        self.port = _free_port()
        _register_provider()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
        self.environment = {
            **kept,
            **HURRY,
            "AIRFLOW_HOME": str(root),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__INTERNAL_API_SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{root}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(root / "logs"),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONPYCACHEPREFIX": str(root / "bytecode"),
            **settings,
        }
        # every task is a process that imports all of Airflow
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""

    # -- processes

    def __enter__(self) -> AirflowHome:
        self._run("db", "migrate")
        for name in PARTS:
            self.start(name)
        self.wait(self._healthy, 120, "all parts are healthy")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in ("scheduler", "triggerer", "dag-processor", "api-server"):
            if name in self._processes:
                self.kill(name)

    def start(self, name: str) -> None:
        """Start one of :data:`PARTS`."""
        arguments = [*PARTS[name], str(self.port)] if name == "api-server" else PARTS[name]
        with (self.root / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """SIGKILL for a part and everything that it started, as when its machine is lost."""
        process = self._processes.pop(name)
        for child in [*self._below(process.pid), process.pid]:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait(10)

    def task_processes(self) -> list[int]:
        """The processes in which tasks run now: children of the executor's workers."""
        scheduler = self._processes["scheduler"].pid
        found = []
        for worker in self._below(scheduler):
            if "LocalExecutor" in _title(worker):
                found += self._below(worker)
        return found

    def _below(self, pid: int) -> list[int]:
        try:
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def _healthy(self) -> bool:
        try:
            health = self.api("GET", "monitor/health")
        except (OSError, urllib.error.HTTPError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health[part]["status"] == "healthy" for part in parts)

    def log(self, name: str, *, everything: bool = False) -> str:
        """A part's output, or its end."""
        return (self.root / f"{name}.log").read_text(errors="replace")[0 if everything else -4000 :]

    def task_log(self, dag_id: str) -> str:
        """The logs of a DAG's tasks, one after another."""
        files = sorted((self.root / "logs").rglob("*.log"))
        return "\n".join(f"--- {f.name}\n{f.read_text(errors='replace')}" for f in files if dag_id in str(f))

    # -- REST API

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """One call of Airflow's REST API. :raises urllib.error.HTTPError: as it answers."""
        if not self._token and not path.startswith("monitor"):
            self._token = self._ask("GET", "auth/token", None)["access_token"]
        return self._ask(method, f"api/v2/{path}", body)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace")[:2000])
            raise

    # -- DAGs

    def write(self, name: str, source: str) -> None:
        """A DAG file with the usual imports."""
        (self.dags / f"{name}.py").write_text(PRELUDE + source)

    def wait_for_dags(self, names: set[str], seconds: float = 90) -> None:
        """Until the DAG processor knows these DAGs."""

        def known() -> bool:
            errors = self.api("GET", "importErrors")["import_errors"]
            assert not errors, errors
            return names <= {dag["dag_id"] for dag in self.api("GET", "dags")["dags"]}

        self.wait(known, seconds, f"the DAGs {names} are known")

    def trigger(self, dag_id: str) -> str:
        """A new run; its id."""
        return str(self.api("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"])

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """The task instance as the REST API tells it."""
        found: dict[str, Any] = self.api("GET", _task_path(dag_id, run_id, task_id))
        return found

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a DAG run."""
        path = f"dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}"
        return str(self.api("GET", path)["state"])

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task instance, as a person does in the UI."""
        self.api("PATCH", _task_path(dag_id, run_id, task_id), {"new_state": state})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task instance, as a person does in the UI."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self.api("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """The XCom's value. :raises urllib.error.HTTPError: 404 where there is none."""
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries/{key}?deserialize=true"
        return self.api("GET", path)["value"]

    # -- waiting

    def wait(self, predicate: Callable[[], T], seconds: float, what: str) -> T:
        """What *predicate* gives once it is true.

        :raises TimeoutError: with the ends of the parts' logs.
        """
        end = time.monotonic() + seconds
        while not (found := predicate()):
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)}"
            if time.monotonic() > end:
                logs = "\n".join(f"=== {name}\n{self.log(name)}" for name in self._processes)
                raise TimeoutError(f"not so after {seconds} s: {what}\n{logs}")
            time.sleep(0.2)
        return found

    def wait_for_state(
        self, dag_id: str, run_id: str, task_id: str, *states: str, seconds: float = 90
    ) -> dict[str, Any]:
        """The task instance once it is in one of these states."""
        seen: list[str] = []

        def there() -> dict[str, Any] | None:
            found = self.task(dag_id, run_id, task_id)
            state = str(found["state"])
            if not seen or seen[-1] != state:
                seen.append(state)
            return found if state in states else None

        try:
            return self.wait(there, seconds, f"{dag_id}.{task_id} is {states}") or {}
        except TimeoutError as error:
            error.add_note(f"seen: {seen}\n{self.task_log(dag_id)[-6000:]}")
            raise


def _task_path(dag_id: str, run_id: str, task_id: str) -> str:
    return f"dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}/taskInstances/{task_id}"


def _title(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
