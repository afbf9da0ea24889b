"""A task that becomes a step loses nothing silently: its writes, its Variables, the reasons when it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DETAILS = "stepbridge"
HEAD = """
import os
from pathlib import Path
try:
    from airflow.sdk import Variable
except ImportError:
    from airflow.models import Variable
"""


def message(lab: Any, run: Any) -> str:
    (error,) = (lab.store / "runs" / run.dag_id).rglob("error.json")
    return str(json.loads(error.read_text())["message"])


def test_writes_below_a_path_argument_stay(lab: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    source = (
        HEAD
        + f"""
def write(folder, declared: Path, many):
    (folder / "a.txt").write_text("a")
    (declared / "b.txt").write_text("b")
    (many["one"][0] / "c.txt").write_text("c")
    return str(folder), type(declared).__name__

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(
        task_id="write",
        python_callable=write,
        op_kwargs={{
            "folder": Path({str(out)!r}), "declared": {str(out)!r}, "many": {{"one": [Path({str(out)!r})]}},
        }},
    )
"""
    )
    run = lab.run(source)
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "b.txt", "c.txt"]
    assert run.xcom("write")[0] == str(out)


def test_a_path_that_is_not_there_yet_is_no_error(lab: Any, tmp_path: Path) -> None:
    if lab.version == (3, 1):
        pytest.skip("Airflow 3.1 itself fails where an argument is a Path of nothing, in PythonOperator too")
    out = tmp_path / "new.txt"
    source = (
        HEAD
        + f"""
def write(target):
    target.write_text("done")

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="write", python_callable=write, op_args=[Path({str(out)!r})])
"""
    )
    lab.run(source)
    assert out.read_text() == "done"


def test_what_lies_at_a_path_counts_for_the_cache(lab: Any, tmp_path: Path) -> None:
    table = tmp_path / "table.txt"
    source = (
        HEAD
        + f"""
def read(table):
    return table.read_text()

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="read", python_callable=read, op_args=[Path({str(table)!r})], cache="auto")
"""
    )
    dag = lab.load(lab.write(source))
    seen = []
    for content in ("one", "one", "two"):
        table.write_text(content)
        run = lab.test(dag)
        seen.append((run.xcom("read"), run.xcom("read", DETAILS)["cache"]))
    assert seen == [("one", "miss"), ("one", "hit"), ("two", "miss")]


UNDECLARED = (
    HEAD
    + """
def look(name):
    return Variable.get(name.lower(), "the default")

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="look", python_callable=look, op_args=["HIDDEN"]DECLARED)
"""
)


def test_a_default_never_stands_for_a_variable_nobody_looked_for(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_HIDDEN", "the value")
    failed = lab.run(UNDECLARED.replace("DECLARED", ""), expect="failed")
    assert 'variables=["hidden"]' in message(lab, failed)
    run = lab.run(UNDECLARED.replace("DECLARED", ', variables=["hidden"]'))
    assert run.xcom("look") == "the value"


def test_a_variable_that_an_argument_names_is_looked_for(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_HIDDEN", "the value")
    source = UNDECLARED.replace("DECLARED", "").replace("name.lower()", "name").replace("HIDDEN", "hidden")
    assert lab.run(source).xcom("look") == "the value"


def test_a_declared_variable_that_does_not_exist_gives_the_default(lab: Any) -> None:
    run = lab.run(UNDECLARED.replace("DECLARED", ', variables=["hidden"]'))
    assert run.xcom("look") == "the default"


def test_a_changed_variable_behind_an_alias_is_never_a_hit(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        HEAD
        + """
READ = Variable.get

def look():
    return READ("threshold")

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="look", python_callable=look, cache="auto", variables=["threshold"])
"""
    )
    dag = lab.load(lab.write(source))
    monkeypatch.setenv("AIRFLOW_VAR_THRESHOLD", "0.75")
    assert lab.test(dag).xcom("look") == "0.75"
    monkeypatch.setenv("AIRFLOW_VAR_THRESHOLD", "0.9")
    assert lab.test(dag).xcom("look") == "0.9"


def test_a_file_beside_the_source_is_named_with_what_to_do(lab: Any) -> None:
    source = (
        HEAD
        + """
def read():
    return open(os.path.join(os.path.dirname(__file__), "settings.json")).read()

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="read", python_callable=read)
"""
    )
    assert "files=['settings.json']" in message(lab, lab.run(source, expect="failed"))


def test_a_callable_without_a_signature_breaks_its_own_task_only(lab: Any) -> None:
    source = (
        HEAD
        + """
import time

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="sleep", python_callable=time.sleep, op_args=[0])
    PythonOperator(task_id="other", python_callable=lambda: 1)
"""
    )
    assert lab.run(source, expect="failed").xcom("other") == 1


def test_cached_code_that_reads_the_environment_is_warned_of(
    lab: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    source = (
        HEAD
        + """
def mode():
    return os.environ.get("MODE_OF_THE_DAY", "none")

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="mode", python_callable=mode, cache="auto")
"""
    )
    lab.run(source)
    found = capfd.readouterr()
    assert "environment variable MODE_OF_THE_DAY" in found.out + found.err


def test_a_key_made_from_the_date_is_pulled_before_the_start(lab: Any) -> None:
    source = (
        HEAD
        + """
def push(ti, ds):
    ti.xcom_push(key=f"path_{ds}", value="/data/" + ds)

def pull(ti, ds, **kwargs):
    other = ti.xcom_pull("push", key="path_" + kwargs["ds_nodash"])
    return [ti.xcom_pull(task_ids="push", key=f"path_{ds}"), other]

with DAG("DAG_ID", start_date=START, schedule=None):
    push_ = PythonOperator(task_id="push", python_callable=push)
    push_ >> StepOperator(task_id="pull", python_callable=pull, cache="auto")
"""
    )
    run = lab.run(source)
    assert run.xcom("pull") == ["/data/2026-03-02", None]


def test_a_variable_read_through_the_context_counts(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        HEAD
        + """
def look(**context):
    return [context["var"]["value"].threshold, context["var"]["value"].get("threshold")]

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="look", python_callable=look, cache="auto")
"""
    )
    dag = lab.load(lab.write(source))
    seen = []
    for value in ("0.75", "0.75", "0.9"):
        monkeypatch.setenv("AIRFLOW_VAR_THRESHOLD", value)
        run = lab.test(dag)
        seen.append((run.xcom("look"), run.xcom("look", DETAILS)["cache"]))
    assert seen == [(["0.75"] * 2, "miss"), (["0.75"] * 2, "hit"), (["0.9"] * 2, "miss")]


def test_state_changed_through_another_name_is_shipped(lab: Any) -> None:
    source = (
        HEAD
        + """
FIRST = SECOND = {}
FIRST["k"] = 1

def read():
    return SECOND

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="read", python_callable=read)
"""
    )
    assert lab.run(source).xcom("read") == {"k": 1}
