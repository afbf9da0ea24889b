"""Shadows of every kind of task: what the candidate gets, when it runs, and what the report says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shadow_cases as cases

from throwaway import version

pytest.importorskip("airflow")

from stepbridge_airflow import shadow_gate

KINDS = """
import pandas as pd
from stepbridge import documents

def extract():
    return {"rows": [1, 2, 3], "day": "x"}

def classic(rows, factor, ds, ti, templates_dict=None, **context):
    ti.xcom_push(key="count", value=len(rows))
    return {"sum": sum(rows) * factor, "ds": ds, "id": ti.task_id, "key": context["task_instance_key_str"],
            "task": context["task"].task_id,
            "template": templates_dict["day"], "param": context["params"]["p"]}

def table(n):
    return pd.DataFrame({"x": range(n), "y": ["a"] * n})

def other_table(n):
    return pd.DataFrame({"x": [0, 1, 5], "y": ["a"] * n})

def nothing():
    pass

def plus(n):
    return n + 1

def plus_wrong(n):
    return n + 1 if n < 3 else n

with DAG("DAG_ID", start_date=START, schedule=None, params={"p": 7}, render_template_as_native_obj=True):
    first = PythonOperator(task_id="extract", python_callable=extract, multiple_outputs=True)
    PythonOperator(task_id="classic", python_callable=classic, op_args=[first.output["rows"]],
                   op_kwargs={"factor": "{{ params.p }}"}, templates_dict={"day": "{{ ds }}"})
    PythonOperator(task_id="table", python_callable=table, op_args=[3])
    PythonOperator(task_id="table_2", python_callable=table, op_args=[3])
    PythonOperator(task_id="nothing", python_callable=nothing)
    PythonOperator(task_id="silent", python_callable=extract, do_xcom_push=False)

    @task
    def flow(rows: list[int], n: int = 2) -> dict[str, int]:
        return {"a": rows[0] * n, "b": len(rows)}
    flow(first.output["rows"])

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def mapped(n, by):
        return n * by
    many = mapped.partial(by=2).expand(n=numbers())
    wrong = PythonOperator.partial(task_id="wrong", python_callable=plus).expand(op_args=[[1], [2], [3]])

    with TaskGroup("outer"), TaskGroup("inner"):
        for name in ("red", "blue"):
            PythonOperator(task_id=f"made_{name}", python_callable=plus, op_args=[1])

    @step
    def own(n: int) -> int:
        return n + 1
    PythonOperator(task_id="against_own", python_callable=plus, op_args=[1])
    given = own(1)
    SHADOWS
"""

SHADOWS = """
shadow("classic")
shadow("table")
shadow("table_2", other_table)
shadow("nothing")
shadow("silent")
shadow("flow")
shadow(many)
shadow("wrong", plus_wrong)
shadow("outer.inner.made_*")
shadow("against_own", given)
"""


@pytest.mark.slow
def test_every_kind_of_task(lab: Any, tmp_path: Path) -> None:
    tables = lab.version >= (3,)  # Airflow 2.11 cannot push a table of pandas 3
    source = "\n".join(line for line in KINDS.splitlines() if tables or 'task_id="table' not in line)
    shadows = "\n".join(line for line in SHADOWS.splitlines() if tables or "table" not in line)
    without, with_, run = cases.both(lab, source, shadows, tmp_path)
    del with_.states["own"], with_.xcoms["own", -1, "stepbridge"]
    own = ("own", -1, "return_value"), ("own", -1, "stepbridge")
    for key in own:
        without.xcoms.pop(key, None)
    without.states.pop("own")
    assert with_ == without
    expected = {
        **dict.fromkeys(("classic", "nothing", "flow", "mapped", "against_own"), "IDENTICAL"),
        **dict.fromkeys(("outer.inner.made_red", "outer.inner.made_blue"), "IDENTICAL"),
        **({"table": "IDENTICAL", "table_2": "DIFFERENT"} if tables else {}),
        "silent": "SKIPPED",
        "wrong": "DIFFERENT",
    }
    assert {name: cases.verdict(run, name) for name in expected} == expected
    assert "[2]" in cases.rule(run, "wrong")
    assert [part["name"] for part in cases.report(lab, run, "classic")["parts"]] == ["return_value", "count"]
    assert run.states["silent__compare"] == "skipped"
    classic = run.xcom("classic")
    assert (classic["id"], classic["param"], classic["sum"]) == ("classic", 7, 42)
    assert not (lab.store / "runs" / run.dag_id).exists()
    assert not (lab.store / "artifacts").exists()
    facts = cases.report(lab, run, "classic")
    assert facts["control"]["state"] == facts["candidate"]["state"] == "success"
    assert facts["control"]["seconds"] is not None or facts["control"]["missing"]
    assert facts["candidate"]["seconds"] > 0
    assert facts["candidate"]["peak_memory"] > 0
    assert "run" in {phase["name"] for phase in facts["candidate"]["phases"]}


FLOWS = """
try:
    from airflow.providers.standard.operators.python import ShortCircuitOperator
except ImportError:
    from airflow.operators.python import ShortCircuitOperator

def one():
    return 1

def yes(context):
    return context["ds"] > "2000"

with DAG("DAG_ID", start_date=START, schedule=None, default_args=ALARMS):
    @task.branch
    def branch():
        return "taken"
    choice = branch()
    choice >> [PythonOperator(task_id="taken", python_callable=one),
               PythonOperator(task_id="left", python_callable=one)]
    stop = ShortCircuitOperator(task_id="stop", python_callable=lambda: False)
    stop >> PythonOperator(task_id="stopped", python_callable=one)
    ready = PythonOperator(task_id="ready", python_callable=one).as_setup()
    used = PythonOperator(task_id="used", python_callable=one)
    ready >> used >> PythonOperator(task_id="gone", python_callable=one).as_teardown(setups=ready)
    for name in ("off", "yes", "no", "jinja", "breaks"):
        PythonOperator(task_id=name, python_callable=one)

    @task
    def pick():
        return [5, 6]

    @task
    def in_group(n):
        return n + 1
    SHADOWS
"""

FLOW_SHADOWS = """
shadow("taken")
shadow("left")
shadow("stopped")
shadow("used")
shadow("off")
shadow("yes", run_if=yes)
shadow("no", run_if=lambda context: False)
shadow("jinja", run_if="{{ ds < '2000' }}")
shadow("breaks", run_if=lambda context: context["no such key"])
"""


@pytest.mark.slow
def test_when_a_candidate_runs(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_STEPBRIDGE_SHADOW", '{"*": "on", "*.off": "off"}')
    without, with_, run = cases.both(lab, FLOWS, FLOW_SHADOWS, tmp_path)
    assert with_ == without
    names = ("taken", "left", "stopped", "used", "off", "yes", "no", "jinja", "breaks")
    ran = {name for name in names if cases.verdict(run, name) != "SKIPPED"}
    assert ran == {"taken", "used", "yes"}
    assert {cases.verdict(run, name) for name in ran} == {"IDENTICAL"}
    said = {name: cases.rule(run, name) for name in names}
    assert said["left"] == said["stopped"] == "the control did not run: skipped"
    assert "stepbridge_shadow says '*.off': 'off'" in said["off"]
    assert said["no"] == "run_if says no"
    assert "run_if says" in said["jinja"]
    assert said["breaks"].startswith("run_if failed: ")
    assert not list((lab.store / "shadow" / "runs").rglob("off__shadow*"))


GROUPED = """
from stepbridge_airflow import shadow as beside
try:
    from airflow.sdk import task_group
except ImportError:
    from airflow.decorators import task_group

with DAG("DAG_ID", start_date=START, schedule=None, dagrun_timeout=timedelta(days=TIMEOUT)):
    @task_group
    def pair(n):
        @task
        def half(n):
            return n + 10

        @task
        def twice(n):
            return n * 2
        done = twice(half(n))
        SHADOWS
    pair.expand(n=[1, 2])
"""


def test_a_task_in_a_mapped_group_has_a_report_for_each_element(lab: Any, tmp_path: Path) -> None:
    source = GROUPED.replace("TIMEOUT", "36500")
    without, with_, run = cases.both(lab, source, "beside(done)", tmp_path)
    assert with_ == without
    reports = sorted((lab.store / "shadow" / run.dag_id / "pair.twice").rglob("report.json"))
    assert [path.parent.name for path in reports] == ["0", "1"]
    found = [run.xcom("pair.twice__compare", "stepbridge", index)["verdict"] for index in (0, 1)]
    assert found == ["IDENTICAL", "IDENTICAL"]


def test_the_first_run_of_all_makes_the_stores_folder(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "fresh"
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__STORE", store.as_uri())
    run = lab.run(
        """
        from stepbridge_airflow import shadow

        def give():
            return 5

        with DAG("DAG_ID", start_date=START, schedule=None):
            PythonOperator(task_id="give", python_callable=give)
            shadow("give")
        """
    )
    assert run.xcom("give__compare", "stepbridge")["verdict"] == "IDENTICAL"
    assert [one.name for one in store.iterdir()] == ["shadow"]


def test_no_candidate_starts_when_the_run_is_out_of_time(lab: Any, tmp_path: Path) -> None:
    source = GROUPED.replace("TIMEOUT", "0.000001")
    without, with_, run = cases.both(lab, source, "beside(done)", tmp_path)
    assert with_ == without
    assert "dagrun_timeout" in run.xcom("pair.twice__compare", "stepbridge", 0)["rule"]


def test_sampling_is_the_same_in_every_process_and_near_its_rate() -> None:
    runs = [f"scheduled__{n}" for n in range(4000)]
    taken = [run for run in runs if shadow_gate.sampled("dag", "task", run, 4)]
    assert 900 < len(taken) < 1100
    assert taken == [run for run in runs if shadow_gate.sampled("dag", "task", run, 4)]
    assert shadow_gate.sampled("dag", "task", "manual__2026-01-01", 1)


@pytest.mark.parametrize(
    ("value", "off"),
    [
        (None, False),
        ("on", False),
        ("OFF", True),
        ("0", True),
        ("{}", False),
        ('{"d.t": false}', True),
        ('{"d.*": "off"}', True),
        ('{"d.*": "off", "d.t": "on"}', False),
        ('{"e.*": "off"}', False),
        ("nonsense", True),
        ("[1]", True),
    ],
)
def test_the_switch(monkeypatch: pytest.MonkeyPatch, value: str | None, off: bool) -> None:
    monkeypatch.delenv("AIRFLOW_VAR_STEPBRIDGE_SHADOW", raising=False)
    if value is not None:
        monkeypatch.setenv("AIRFLOW_VAR_STEPBRIDGE_SHADOW", value)
    elif (3,) <= version() < (3, 1):
        pytest.skip("Airflow 3.0 reads its database's Variables only inside of a task")
    assert bool(shadow_gate.switched_off("d.t")) is off
