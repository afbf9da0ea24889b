"""How a step ends when it does not end well: kills, timeouts, lost runners, stores that fail."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

SLEEPER = """
import os, time
from pathlib import Path

def sleep():
    Path("{mark}").write_text(str(os.getpid()))
    time.sleep(120)

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="t", python_callable=sleep, {more})
"""


def gone(mark: Path) -> bool:
    """Whether the step's own process is no more."""
    pid = int(mark.read_text())
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.1)
    return False


def error_of(lab: Any, run: Any, number: int = 1) -> dict[str, Any]:
    (found,) = (lab.store / "runs" / run.dag_id).glob(f"*/t/-1/{number}/error.json")
    document: dict[str, Any] = json.loads(found.read_text())
    return document


def test_on_kill_ends_the_step(lab: Any, tmp_path: Path) -> None:
    from stepbridge_airflow.mixin import StepMixin

    mark = tmp_path / "mark"

    def kill() -> None:
        while not mark.exists() or not mark.read_text():
            time.sleep(0.05)
        for found in gc.get_objects():
            # isinstance would ask lazy proxies, whose answer costs a database request
            if issubclass(type(found), StepMixin) and found._execution is not None:
                found.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    run = lab.run(SLEEPER.format(mark=mark, more=""), expect="failed")
    killer.join()
    assert gone(mark)
    assert error_of(lab, run)["kind"] == "interrupted"


def test_airflows_timeout_ends_the_step(lab: Any, tmp_path: Path) -> None:
    from stepbridge_airflow.compat import AirflowTaskTimeout

    mark = tmp_path / "mark"
    # Airflow 2 lets the timeout out of dag.test()
    with contextlib.suppress(AirflowTaskTimeout):
        lab.run(SLEEPER.format(mark=mark, more="execution_timeout=timedelta(seconds=6)"), expect="failed")
    assert gone(mark)


def test_the_steps_own_timeout(lab: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run = lab.run(SLEEPER.format(mark=mark, more="timeout=timedelta(seconds=1)"), expect="failed")
    assert gone(mark)
    assert (error_of(lab, run)["kind"], error_of(lab, run)["code"]) == ("timeout", "SB404")


KILLED = """
import os, signal
from pathlib import Path

def work():
    mark = Path("{mark}")
    count = len(mark.read_text()) if mark.exists() else 0
    mark.write_text("x" * (count + 1))
    if count < {times}:
        os.kill({victim}, signal.SIGKILL)
    return count

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="t", python_callable=work, {more})
"""


@pytest.mark.parametrize("victim", ["os.getpid()", "os.getppid()"])
def test_a_killed_process_is_repeated_within_the_attempt(lab: Any, tmp_path: Path, victim: str) -> None:
    mark = tmp_path / "mark"
    run = lab.run(KILLED.format(mark=mark, times=1, victim=victim, more="infra_retries=2"))
    assert run.xcom("t") == 1
    records = sorted(one.name for one in (lab.store / "runs" / run.dag_id).glob("*/t/-1/*"))
    assert records == ["1", "2"]
    assert run.xcom("t", "stepbridge")["run"].endswith("/t/-1/2/")


def test_a_killed_runner_is_no_success(lab: Any, tmp_path: Path) -> None:
    source = KILLED.format(mark=tmp_path / "mark", times=9, victim="os.getppid()", more="")
    run = lab.run(source, expect="failed")
    assert run.xcom("t") is None
    assert not list((lab.store / "runs").rglob("result.json"))


def test_the_same_try_again_gets_a_record_of_its_own(lab: Any) -> None:
    """A run of the same name and try number, as after a cleared database: no result of the past is taken."""
    source = """
        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=lambda: {n})
        """
    first = lab.run(source.format(n=1))
    (prefix,) = (lab.store / "runs" / first.dag_id).glob("*/t/-1")
    dag = lab.load(lab.write(source.format(n=2).replace("DAG_ID", first.dag_id)))
    from stepbridge.contract import Attempt
    from stepbridge_airflow import execution

    real = execution.attempt_of
    try:
        execution.attempt_of = lambda *_: Attempt(first.dag_id, first.run_id, "t")  # type: ignore[assignment]
        second = lab.test(dag)
    finally:
        execution.attempt_of = real
    assert second.xcom("t") == 2
    assert sorted(one.name for one in prefix.iterdir()) == ["1", "2"]


@pytest.mark.parametrize(
    ("store", "says"),
    [("file:///proc/no/such", "SB30"), ("gs://bucket/x", "SB502")],
)
def test_stores_that_cannot_work(lab: Any, capfd: Any, store: str, says: str) -> None:
    run = lab.run(
        f"""
        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=lambda: 1, store="{store}", retries=3)
        """,
        expect="failed",
    )
    assert run.states == {"t": "failed"}
    out = capfd.readouterr()
    assert says in out.out + out.err


@pytest.mark.parametrize(
    ("body", "arguments", "says"),
    [
        ("return open", "", "SB102"),
        ("return n", "op_kwargs={'n': open}", "SB102"),
        ("return n", "op_kwargs={'n': from_variable('no_such')}", "SB503"),
        ("return n", "op_kwargs={'n': from_context('macros')}", "SB503"),
        ("return n", "op_kwargs={'n': 1}, secrets=[Secret('n', 'k', env='NOT_THERE')]", "SB439"),
        ("return n", "op_kwargs={'n': 1}, code='image', cache='auto'", "SB5|SB6"),
    ],
)
def test_what_only_the_run_can_refuse(lab: Any, capfd: Any, body: str, arguments: str, says: str) -> None:
    import re

    lab.run(
        f"""
        def work(n=1):
            {body}

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=work, {arguments})
        """,
        expect="failed",
    )
    out = capfd.readouterr()
    assert re.search(says, out.out + out.err)


def test_a_vanished_input_is_named(lab: Any, capfd: Any) -> None:
    run = lab.run(
        """
        import shutil
        from pathlib import Path

        def make():
            Path("a.txt").write_text("x")
            return File("a.txt")

        def vanish(ti):
            Path(ti.xcom_pull("make").removeprefix("file://")).unlink()

        def use(file):
            return Path(file).read_text()

        with DAG("DAG_ID", start_date=START, schedule=None):
            made = StepOperator(task_id="make", python_callable=make)
            made >> PythonOperator(task_id="vanish", python_callable=vanish) >> StepOperator(
                task_id="t", python_callable=use, op_kwargs={"file": from_xcom("make")})
        """,
        expect="failed",
    )
    error = error_of(lab, run)
    assert error["code"] == "SB302"
    assert "a.txt" in error["message"]
