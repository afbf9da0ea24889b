"""The local backend: the same runner in a subprocess, and nothing left of it whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from runner_harness import HERE, Harness

from stepbridge.backends.base import Backend, outcome, python_path
from stepbridge.backends.local import LocalBackend
from stepbridge.contract import ErrorDocument, Result, StoreSettings
from stepbridge.failures import RunProblem
from stepbridge.runner.processes import descendants


@pytest.fixture
def harness(file_settings: StoreSettings, tmp_path: Path) -> Harness:
    return Harness(file_settings, tmp_path / "work")


@pytest.fixture
def environment(harness: Harness) -> dict[str, str]:
    return {
        "PYTHONPATH": str(HERE),
        "STEPBRIDGE_WORKDIR": str(harness.scratch),
        "STEPBRIDGE_TERMINATION_LOG": str(harness.termination),
    }


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def wait_until_gone(pids: list[int], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not all(map(is_gone, pids)):
        assert time.monotonic() < deadline, pids
        time.sleep(0.02)


def steps_alive() -> list[int]:
    """Every process of a runner or of its child below this process; other tests run beside this one."""
    found = []
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            if b"stepbridge.runner" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_is_a_backend() -> None:
    backend: Backend = LocalBackend()
    backend.cancel()


def test_runs_and_streams(harness: Harness, environment: dict[str, str]) -> None:
    request = harness.request("says", "tea")
    lines: list[str] = []
    status = LocalBackend().run(*harness.put(request), environment=environment, on_line=lines.append)
    assert status == 0
    assert sorted(lines) == ["tea", "to stderr"]
    found = outcome(harness.store, request.attempt)
    assert isinstance(found, Result)
    assert LocalBackend().run(*harness.put(harness.request("trivial")), environment=environment) == 0


def test_failure_is_the_exit_status_and_the_error(harness: Harness, environment: dict[str, str]) -> None:
    request = harness.request("raises")
    assert outcome(harness.store, request.attempt) is None
    assert LocalBackend().run(*harness.put(request), environment=environment, on_line=None) == 1
    found = outcome(harness.store, request.attempt)
    assert isinstance(found, ErrorDocument)
    assert found.code == "SB402"


def test_variables_and_secrets_go_by_the_environment_only(
    harness: Harness, environment: dict[str, str]
) -> None:
    environment |= {"AIRFLOW_VAR_TOKEN": "s3cr3t-value", "AIRFLOW_CONN_DB": "postgres://u:s3cr3t-value@h/d"}
    request = harness.request("environment", "AIRFLOW_CONN_NONE")
    secret = harness.request("leaves_thread")
    for one in (request, secret):
        assert LocalBackend().run(*harness.put(one), environment=environment, on_line=None) == 0
    root = Path(harness.settings.root.removeprefix("file://"))
    for path in root.rglob("*"):
        assert path.is_dir() or b"s3cr3t-value" not in path.read_bytes()
    shown = harness.request("environment", "AIRFLOW_VAR_TOKEN")
    assert LocalBackend().run(*harness.put(shown), environment=environment, on_line=None) == 0
    assert "AIRFLOW_VAR_TOKEN" not in os.environ


def test_settings_that_the_environment_does_not_know(moto_settings: StoreSettings, tmp_path: Path) -> None:
    harness = Harness(moto_settings, tmp_path / "work")
    request = harness.request("makes_file", "to moto")
    backend = LocalBackend(moto_settings)
    lines: list[str] = []
    assert (
        backend.run(*harness.put(request), environment={"PYTHONPATH": str(HERE)}, on_line=lines.append) == 0
    ), lines
    assert isinstance(outcome(harness.store, request.attempt), Result)


def test_endless_line_and_noise_are_text_in_pieces(harness: Harness, environment: dict[str, str]) -> None:
    longest = 0
    total = 0

    def take(line: str) -> None:
        nonlocal longest, total
        longest = max(longest, len(line))
        total += len(line)

    status = LocalBackend().run(
        *harness.put(harness.request("noise", 3)), environment=environment, on_line=take
    )
    assert status == 0
    assert longest <= 4 * 64 * 1024
    assert total > 2**20


def test_interpreter_that_is_not_there(harness: Harness) -> None:
    backend = LocalBackend(python="/no/such/python")
    with pytest.raises(RunProblem, match="SB410"):
        backend.run(*harness.put(harness.request("trivial")), environment={}, on_line=None)


def test_cancel_from_another_thread(harness: Harness, environment: dict[str, str]) -> None:
    backend = LocalBackend()
    request = harness.request("sleeps", 60)
    seen = threading.Event()
    threading.Thread(target=lambda: (seen.wait(30), backend.cancel()), daemon=True).start()
    began = time.monotonic()
    status = backend.run(*harness.put(request), environment=environment, on_line=lambda _: seen.set())
    assert status == 8
    assert time.monotonic() - began < 20
    found = outcome(harness.store, request.attempt)
    assert isinstance(found, ErrorDocument)
    assert found.kind == "interrupted"


class Timeout(BaseException):
    """As Airflow's, which a signal handler raises."""


def test_exception_of_a_signal_handler_leaves_nothing(harness: Harness, environment: dict[str, str]) -> None:
    def raise_timeout(*_: object) -> None:
        raise Timeout

    backend = LocalBackend(grace=10)
    request = harness.request("sleeps", 60)
    before = set(steps_alive())
    kept = signal.signal(signal.SIGALRM, raise_timeout)
    pids: list[int] = []

    def armed(_: str) -> None:
        pids.extend(set(steps_alive()) - before)
        signal.setitimer(signal.ITIMER_REAL, 0.3)

    try:
        with pytest.raises(Timeout):
            backend.run(*harness.put(request), environment=environment, on_line=armed)
    finally:
        signal.signal(signal.SIGALRM, kept)
    assert len(pids) >= 2
    wait_until_gone(pids, 1)
    found = outcome(harness.store, request.attempt)
    assert isinstance(found, ErrorDocument)
    assert found.kind == "interrupted"


def test_exception_of_the_listener_leaves_nothing(harness: Harness, environment: dict[str, str]) -> None:
    before = set(steps_alive())
    pids: list[int] = []

    def refuse(_: str) -> None:
        pids.extend(set(steps_alive()) - before)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        LocalBackend().run(
            *harness.put(harness.request("sleeps", 60)), environment=environment, on_line=refuse
        )
    assert pids
    wait_until_gone(pids, 1)


def test_runner_that_does_not_stop_is_killed_with_all_it_started(
    harness: Harness, environment: dict[str, str]
) -> None:
    before = set(steps_alive())
    pids: list[int] = []

    def refuse(_: str) -> None:
        pids.extend(set(steps_alive()) - before)
        raise RuntimeError("no more")

    began = time.monotonic()
    with pytest.raises(RuntimeError, match="no more"):
        LocalBackend(grace=0.2).run(
            *harness.put(harness.request("stubborn")), environment=environment, on_line=refuse
        )
    assert time.monotonic() - began < 10
    wait_until_gone(pids, 2)


def test_killed_worker_leaves_no_orphan(
    harness: Harness, environment: dict[str, str], tmp_path: Path
) -> None:
    uri, digest = harness.put(harness.request("sleeps", 60))
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import sys\n"
        "from stepbridge.backends.local import LocalBackend\n"
        "show = lambda line: print(line, flush=True)\n"
        "LocalBackend().run(sys.argv[1], sys.argv[2], environment={}, on_line=show)\n"
    )
    before = set(steps_alive())
    process = subprocess.Popen(
        [sys.executable, str(worker), uri, digest], env=harness.environment(), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"sleeping\n"
    pids = [pid for pid in steps_alive() if pid not in before]
    assert len(pids) == 2
    process.kill()
    process.communicate()
    wait_until_gone(pids)


def test_python_path_is_absolute_and_finds_this_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = python_path(os.pathsep.join(["dags", "", "/opt/lib"])).split(os.pathsep)
    assert parts[-2:] == [str(tmp_path / "dags"), "/opt/lib"]
    assert all(Path(part).is_absolute() for part in parts)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import stepbridge"], env={"PYTHONPATH": python_path("")}, check=False
    )
    assert done.returncode == 0
