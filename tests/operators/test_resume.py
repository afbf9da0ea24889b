"""A failed run that goes on: what failed runs again, what succeeded stays or is served from its record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from podlab import PodLab, pods  # noqa: F401 - the fixture

from stepbridge_airflow import compat, resume

DETAILS = "stepbridge"
FLOW = """
def note(name):
    from pathlib import Path
    with (Path({flags!r}) / name).open("a") as file:
        file.write("x")

def make(n):
    note("make")
    return {{"rows": list(range(n)), "big": "x" * {big}}}

def total(made):
    note("total")
    return sum(made["rows"]) + {add}

def shaky(value):
    from pathlib import Path
    note("shaky")
    if not (Path({flags!r}) / "mended").exists():
        raise ValueError("not yet")
    return value * 2

def report(value):
    note("report")
    return value + 1

with DAG("{name}", start_date=START, schedule=None{defaults}):
    made = StepOperator(task_id="make", python_callable=make, op_kwargs={{"n": 4}}{arguments})
    summed = StepOperator(task_id="total", python_callable=total, op_kwargs={{"made": made.output}})
    doubled = StepOperator(task_id="shaky", python_callable=shaky, op_kwargs={{"value": summed.output}})
    StepOperator(task_id="report", python_callable=report, op_kwargs={{"value": doubled.output}})
"""
STEPS = ("make", "total", "shaky", "report")


class Flow:
    """Four steps after one another, the third of which fails until ``mended``."""

    def __init__(self, lab: Any, flags: Path, defaults: str = "") -> None:
        self.lab, self.flags, self.defaults = lab, flags, defaults
        self.name = f"flow_{uuid.uuid4().hex[:8]}"
        flags.mkdir(exist_ok=True)

    def load(self, **change: Any) -> Any:
        base = {"big": 10, "add": 0, "defaults": self.defaults, "arguments": "", "name": self.name}
        text = FLOW.format(**{**base, **change}, flags=str(self.flags))
        dag = self.lab.load(self.lab.write(text, f"{self.name}.py"))
        if self.lab.version < (3,):
            _make_known(dag)
        return dag

    def failed(self, dag: Any) -> Run:
        run: Run = self.lab.test(dag)
        assert run.states == {
            "make": "success",
            "total": "success",
            "shaky": "failed",
            "report": "upstream_failed",
        }
        return run

    def mend(self) -> None:
        (self.flags / "mended").touch()

    def counts(self) -> list[int]:
        """How often each step was called."""
        files = [self.flags / name for name in STEPS]
        return [len(file.read_text()) if file.exists() else 0 for file in files]


def _make_known(dag: Any) -> None:
    """Airflow 2's ``dag.test()`` does not tell the scheduler of the DAG."""
    from airflow.models.serialized_dag import SerializedDagModel

    dag.sync_to_db()
    SerializedDagModel.write_dag(dag)


@pytest.fixture
def flow(lab: Any, tmp_path: Path) -> Flow:
    return Flow(lab, tmp_path / "flags")


def finish(dag: Any, run: Run) -> Run:
    """What Airflow's scheduler does with a cleared run, as ``dag.test()`` does it with a new one."""
    from airflow.utils.state import DagRunState, TaskInstanceState

    three = compat.AIRFLOW_3
    if three:
        from airflow.sdk.definitions.dag import _run_task
    else:
        from airflow.models.dag import _run_task
    with compat.session() as session:
        found = next(one for one in compat.dag_runs(run.dag_id, session=session) if one.run_id == run.run_id)
        assert str(getattr(found.state, "value", found.state)) == "queued"
        found.state = DagRunState.RUNNING
        found.dag = _scheduled(dag) if three else dag
        session.commit()
        while found.state == DagRunState.RUNNING:
            session.expire_all()
            for ti in found.update_state(session=session)[0]:
                ti.try_number += 1
                ti.state = TaskInstanceState.SCHEDULED
            session.commit()
            for ti in found.get_task_instances(session=session):
                if ti.state != TaskInstanceState.SCHEDULED:
                    continue
                task = dag.task_dict[ti.task_id]
                try:
                    if three:
                        _run_task(ti=ti, task=task, run_triggerer=True)
                    else:
                        ti.task = task
                        _run_task(ti=ti, inline_trigger=True, session=session)
                except Exception:  # noqa: BLE001 - a failed task, as in dag.test()
                    session.rollback()
        states = {_name(ti): str(ti.state) for ti in found.get_task_instances(session=session)}
        return Run(run.dag_id, run.run_id, str(getattr(found.state, "value", found.state)), states)


def _scheduled(dag: Any) -> Any:
    try:
        from airflow.serialization.serialized_objects import DagSerialization
    except ImportError:  # before Airflow 3.2
        from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization
    to_dict = DagSerialization.serialize_dag
    return DagSerialization.deserialize_dag(to_dict(dag))


def _name(ti: Any) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def states(run: Run, *names: str) -> list[str]:
    return [str((run.xcom(name, DETAILS) or {}).get("cache")) for name in names or STEPS]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "stepbridge.cli", "resume", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_failed_runs_again_and_the_rest_stays(flow: Flow) -> None:
    dag = flow.load()
    run = flow.failed(dag)
    flow.mend()
    done = command(run.dag_id, run.run_id)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "make success stays",
        "total success stays",
        "shaky failed runs again",
        "report upstream_failed runs again",
        "2 of 4 task instances cleared; Airflow's scheduler goes on with the run",
    ):
        assert line in lines
    ended = finish(dag, run)
    assert (ended.state, flow.counts()) == ("success", [1, 1, 2, 1])
    assert ended.xcom("report") == 13


def test_all_of_it_is_served_from_its_record(flow: Flow, capfd: Any) -> None:
    dag = flow.load(big=2_000_000)
    run = flow.failed(dag)
    before = run.xcom("make"), run.xcom("total")
    assert before[0].startswith("file://")
    flow.mend()
    assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
    capfd.readouterr()
    ended = finish(dag, run)
    assert (ended.state, flow.counts()) == ("success", [1, 1, 2, 1])
    assert states(ended) == ["resumed", "resumed", "off", "off"]
    assert (ended.xcom("make"), ended.xcom("total"), ended.xcom("report")) == (*before, 13)
    details = ended.xcom("make", DETAILS)
    assert details["source"].endswith("/make/-1/1/")
    assert details["run"].endswith("/make/-1/2/")
    result = json.loads((Path(details["run"].removeprefix("file://")) / "result.json").read_text())
    assert (result["cache"], result["source"]) == ("resumed", details["source"])
    assert f"resumed: the result of {details['source']} stands" in "".join(capfd.readouterr())


def test_a_second_resume_serves_again_and_clearing_by_hand_runs(flow: Flow) -> None:
    dag = flow.load()
    run = flow.failed(dag)
    for _ in range(2):
        assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
        ended = finish(dag, run)
        assert states(ended, "make", "total") == ["resumed", "resumed"]
    assert flow.counts() == [1, 1, 3, 0]
    _clear_by_hand(run, "make")
    ended = finish(dag, run)
    assert states(ended, "make") == ["off"]
    assert flow.counts()[:2] == [2, 1]


def _clear_by_hand(run: Run, *names: str) -> None:
    with compat.session() as session:
        found = next(one for one in compat.dag_runs(run.dag_id, session=session) if one.run_id == run.run_id)
        chosen = [ti for ti in found.get_task_instances(session=session) if ti.task_id in names]
        compat.clear(chosen, session=session)


def test_a_success_that_was_cleared_without_resume_runs(flow: Flow) -> None:
    dag = flow.load()
    run = flow.failed(dag)
    flow.mend()
    _clear_by_hand(run, *STEPS)
    assert finish(dag, run).state == "success"
    assert flow.counts() == [2, 2, 2, 1]


def test_changed_code_runs_and_says_so(flow: Flow, capfd: Any) -> None:
    run = flow.failed(flow.load())
    flow.mend()
    assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
    capfd.readouterr()
    ended = finish(flow.load(add=100), run)
    assert states(ended) == ["resumed", "off", "off", "off"]
    assert (ended.xcom("total"), flow.counts()) == (106, [1, 2, 2, 1])
    assert "/total/-1/1/ is not taken: the code changed" in "".join(capfd.readouterr())


def test_changed_input_runs_and_says_so(flow: Flow, capfd: Any) -> None:
    run = flow.failed(flow.load())
    flow.mend()
    assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
    capfd.readouterr()
    assert states(finish(flow.load(big=11), run)) == ["off", "off", "off", "off"]
    assert "/total/-1/1/ is not taken: input `made` changed" in "".join(capfd.readouterr())


def test_a_vanished_result_runs(flow: Flow, capfd: Any) -> None:
    dag = flow.load(big=2_000_000)
    run = flow.failed(dag)
    flow.mend()
    Path(run.xcom("make").removeprefix("file://")).unlink()
    assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
    capfd.readouterr()
    ended = finish(dag, run)
    assert states(ended) == ["off", "resumed", "off", "off"]
    assert "is not there" in "".join(capfd.readouterr())


def test_dry_run_changes_nothing(flow: Flow, capfd: Any) -> None:
    run = flow.failed(flow.load())
    capfd.readouterr()
    assert resume.main([run.dag_id, run.run_id, "--all", "--dry-run"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "make success served from runs/" in out
    assert "shaky failed runs again" in out
    assert "4 of 4 task instances would be cleared" in out
    assert not (flow.lab.store / "resume").exists()
    with compat.session() as session:
        (found,) = compat.dag_runs(run.dag_id, session=session)
        assert str(getattr(found.state, "value", found.state)) == "failed"


def test_errors_name_the_next_step(flow: Flow, capfd: Any) -> None:
    dag = flow.load()
    run = flow.failed(dag)

    def fails(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        return resume.main(arguments), capfd.readouterr().err

    assert fails("no_such_dag", "x") == (1, fails("no_such_dag", "x")[1])
    assert "Airflow knows no run of DAG 'no_such_dag'" in fails("no_such_dag", "x")[1]
    code, said = fails(run.dag_id, "manual")
    assert (code, run.run_id in said) == (1, True)
    _set_state(run, "running")
    code, said = fails(run.dag_id, run.run_id)
    assert code == 2
    assert "SB605" in said
    assert "wait for its end" in said
    _set_state(run, "failed")
    flow.mend()
    assert resume.main([run.dag_id, run.run_id]) == 0
    finish(dag, run)
    code, said = fails(run.dag_id, run.run_id)
    assert (code, "nothing failed; --all runs all of it again" in said) == (1, True)


def _set_state(run: Run, state: str) -> None:
    from airflow.utils.state import DagRunState

    with compat.session() as session:
        found = next(one for one in compat.dag_runs(run.dag_id, session=session) if one.run_id == run.run_id)
        found.state = DagRunState(state)


MAPPED = """
def work(n):
    from pathlib import Path
    flags = Path({flags!r})
    with (flags / str(n)).open("a") as file:
        file.write("x")
    if n == 2 and not (flags / "mended").exists():
        raise ValueError("not yet")
    return n

with DAG("{name}", start_date=START, schedule=None):
    mapped = StepOperator.partial(task_id="work", python_callable=work).expand(
        op_kwargs=[{{"n": 1}}, {{"n": 2}}, {{"n": 3}}])
    mapped >> PythonOperator(task_id="after", python_callable=len, op_args=["abc"])
"""


def test_mapped_steps(flow: Flow) -> None:
    dag = flow.lab.load(flow.lab.write(MAPPED.format(flags=str(flow.flags), name=flow.name)))
    if flow.lab.version < (3,):
        _make_known(dag)
    run = flow.lab.test(dag)
    assert run.states["work[1]"] == "failed"
    flow.mend()
    assert resume.main([run.dag_id, run.run_id]) == 0
    ended = finish(dag, run)
    assert (ended.state, ended.xcom("after")) == ("success", 3)
    assert [len((flow.flags / name).read_text()) for name in "123"] == [1, 2, 1]
    assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
    ended = finish(dag, run)
    assert [ended.xcom("work", DETAILS, n)["cache"] for n in range(3)] == ["resumed"] * 3
    assert [len((flow.flags / name).read_text()) for name in "123"] == [1, 2, 1]


SKIPPED = """
def shaky():
    from pathlib import Path
    if not (Path({flags!r}) / "mended").exists():
        raise ValueError("not yet")

def skip():
    import sys
    sys.exit(99)

with DAG("{name}", start_date=START, schedule=None):
    shaky = StepOperator(task_id="shaky", python_callable=shaky)
    behind = PythonOperator(task_id="behind", python_callable=len, op_args=["abc"],
                            trigger_rule="all_skipped")
    shaky >> behind
    StepOperator(task_id="skipped", python_callable=skip, skip_on_exit_code=99)
"""


def test_what_was_skipped_because_of_a_failure_runs_again(flow: Flow) -> None:
    dag = flow.lab.load(flow.lab.write(SKIPPED.format(flags=str(flow.flags), name=flow.name)))
    if flow.lab.version < (3,):
        _make_known(dag)
    run = flow.lab.test(dag)
    assert run.states == {"shaky": "failed", "behind": "skipped", "skipped": "skipped"}
    flow.mend()
    parts = {part.name: part.again for part in resume.resume(run.dag_id, run.run_id)}
    assert parts == {"shaky": True, "behind": True, "skipped": False}
    ended = finish(dag, run)
    assert (ended.state, ended.states["shaky"]) == ("success", "success")


def test_steps_in_pods(pods: PodLab) -> None:
    flow = Flow(pods.lab, pods.flags, defaults=f", default_args={pods.pod!r}")
    dag = flow.load()
    run = flow.failed(dag)
    assert len(pods.created()) == 3
    flow.mend()
    assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
    ended = finish(dag, run)
    assert (ended.state, states(ended)) == ("success", ["resumed", "resumed", "off", "off"])
    assert (len(pods.created()), flow.counts()) == (5, [1, 1, 2, 1])
    pods.assert_nothing_left()


def test_a_cached_step_says_that_it_is_resumed(flow: Flow) -> None:
    """The run's own record comes before the cache, so that `refresh` does not run again either."""
    dag = flow.load(arguments=", cache='refresh'")
    run = flow.failed(dag)
    flow.mend()
    assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
    ended = finish(dag, run)
    assert states(ended, "make") == ["resumed"]
    assert ended.xcom("make", DETAILS)["key"] == run.xcom("make", DETAILS)["key"] != ""


def test_explain_tells_of_a_resumed_step(flow: Flow) -> None:
    from stepbridge.cache import records
    from stepbridge.store.opening import store_at

    dag = flow.load(arguments=", cache='auto'")
    run = flow.failed(dag)
    flow.mend()
    assert resume.main([run.dag_id, run.run_id, "--all"]) == 0
    ended = finish(dag, run)
    found = records.find(store_at(flow.lab.store.as_uri()), f"{run.dag_id}/{run.run_id}/make")
    assert (found.key, found.source) == (ended.xcom("make", DETAILS)["key"], run_prefix(run, "make"))


def run_prefix(run: Run, task_id: str) -> str:
    from stepbridge.contract import Attempt

    return Attempt(run.dag_id, run.run_id, task_id).prefix
