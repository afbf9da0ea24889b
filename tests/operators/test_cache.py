"""Whole-step caching under real Airflow: what hits, what misses, and what a hit costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DETAILS = "stepbridge"


def state(run: Any, task_id: str, map_index: int = -1) -> str:
    return str(run.xcom(task_id, DETAILS, map_index)["cache"])


FLOW = """
import pandas as pd

@step(cache="auto", multiple_outputs=True)
def make(n: int):
    print("made", n)
    return {"frame": pd.DataFrame({"x": range(n)}), "n": n, "when": pd.Timestamp("2026-01-01").isoformat()}

@step(cache="auto")
def total(frame: pd.DataFrame, verbose: bool = False) -> int:
    return int(frame.x.sum())

def old_reader(ti):
    return [int(pd.read_parquet(ti.xcom_pull("make", key="frame")).x.sum()), ti.xcom_pull("make", key="n"),
            sorted(ti.xcom_pull("make"))]

with DAG("DAG_ID", start_date=START, schedule=None):
    made = make(4)
    made >> PythonOperator(task_id="old", python_callable=old_reader)
    total(made["frame"])
"""


def test_a_hit_gives_the_xcoms_of_a_real_run(lab: Any) -> None:
    dag = lab.load(lab.write(FLOW))
    first, second = lab.test(dag), lab.test(dag)
    assert (state(first, "make"), state(second, "make")) == ("miss", "hit")
    assert (state(first, "total"), state(second, "total")) == ("miss", "hit")
    names = [("make", "return_value"), ("make", "frame"), ("make", "n"), ("total", "return_value")]
    for task_id, key in names:
        assert first.xcom(task_id, key) == second.xcom(task_id, key) is not None
    assert first.xcom("old") == second.xcom("old") == [6, 4, ["frame", "n", "when"]]
    details = second.xcom("make", DETAILS)
    assert details["key"] == first.xcom("make", DETAILS)["key"]
    assert details["source"] in first.xcom("make", DETAILS)["run"]
    result = json.loads((Path(details["run"].removeprefix("file://")) / "result.json").read_text())
    assert result["cache"] == "hit"


def test_equal_data_made_anew_is_a_hit_downstream(lab: Any) -> None:
    """The producer runs each time, and gives equal data: the consumer does not run again."""
    source = FLOW.replace('@step(cache="auto", multiple_outputs=True)', "@step(multiple_outputs=True)")
    dag = lab.load(lab.write(source))
    first, second = lab.test(dag), lab.test(dag)
    assert (state(first, "make"), state(second, "make")) == ("off", "off")
    assert (state(first, "total"), state(second, "total")) == ("miss", "hit")


VARIANT = """
import pandas as pd

LIMIT = {limit}

def helper(n):
    {comment}
    return n + LIMIT

def unrelated():
    return {unrelated}

def work(n, verbose=False):
    return helper(n)

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(task_id="t", python_callable=work, op_kwargs={{"n": {n}, "verbose": {verbose}}},
                 cache="auto", step_id="variant", ignore=["verbose"], {more})
"""


def test_what_counts_and_what_does_not(lab: Any) -> None:
    def run(**change: Any) -> str:
        base = {"limit": 1, "comment": "pass", "unrelated": 1, "n": 1, "verbose": False, "more": ""}
        return state(lab.run(VARIANT.format(**{**base, **change})), "t")

    assert run() == "miss"
    same = {
        "comment": "# a remark",
        "unrelated": 2,
        "verbose": True,
        "more": "retries=3, timeout=timedelta(hours=1), resources=Resources(cpu=2), infra_retries=1",
    }
    assert run(**{**same, "comment": "pass  # a remark"}) == "hit"
    assert run(limit=2) == "miss"
    assert run(n=2) == "miss"
    assert run(n=1.0) == "miss"
    assert run(more="salt='x'") == "miss"
    assert run(more="cache_version='1'") == "miss"
    assert run(more="cache_version='1'", limit=5) == "hit"
    assert run(more="environment={'A': 'b'}") == "miss"


CONTEXT = """
def work(**context):
    conf = context["dag_run"].conf
    return [context["ds"], conf.get("k"), context["ti"].xcom_pull(task_ids="before"), {more}]

def before(**context):
    return context["dag_run"].conf.get("before")

with DAG("DAG_ID", start_date=START, schedule=None):
    PythonOperator(task_id="before", python_callable=before) >> StepOperator(
        task_id="t", python_callable=work, cache="auto", {arguments})
"""


def test_context_that_is_read_counts(lab: Any) -> None:
    dag = lab.load(lab.write(CONTEXT.format(more="1", arguments="")))

    def run(day: int, **conf: Any) -> Any:
        lab.number = day
        done = lab.test(dag, conf)
        return state(done, "t"), done.xcom("t")

    assert run(10, k=1, before="x") == ("miss", ["2026-03-12", 1, "x", 1])
    assert run(10, k=1, before="x") == ("hit", ["2026-03-12", 1, "x", 1])
    assert run(11, k=1, before="x")[0] == "miss"
    assert run(10, k=1, before="y")[0] == "miss"
    # the code reads all of dag_run.conf, so every member of it counts
    assert run(10, k=1, before="x", unread=5)[0] == "miss"


def test_context_in_unknown_code_needs_a_declaration(lab: Any) -> None:
    escaped = "list(context.items())[:0]"
    run = lab.run(CONTEXT.format(more=escaped, arguments=""), {"before": "x"}, expect="failed")
    assert run.states["t"] == "failed"
    declared = CONTEXT.format(more="1", arguments="context_keys=['ds']")
    assert state(lab.run(declared, {"before": "x"}), "t") == "miss"


def test_variables_count(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        try:
            from airflow.sdk import Variable
        except ImportError:
            from airflow.models import Variable

        def work():
            return Variable.get("threshold", "none")

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=work, cache="auto")
        """
    dag = lab.load(lab.write(source))
    assert state(lab.test(dag), "t") == "miss"
    assert state(lab.test(dag), "t") == "hit"
    monkeypatch.setenv("AIRFLOW_VAR_THRESHOLD", "s3cr3t")
    changed = lab.test(dag)
    assert (state(changed, "t"), changed.xcom("t")) == ("miss", "s3cr3t")
    entries = "".join(one.read_text() for one in (lab.store / "cache").rglob("*.json"))
    assert '"value": "s3cr3t"' not in entries


def test_refresh_age_and_vanished_artifacts(lab: Any) -> None:
    source = """
        import time, uuid

        def work():
            return {"id": uuid.uuid4().hex, "big": "x" * %d}

        with DAG("DAG_ID", start_date=START, schedule=None):
            StepOperator(task_id="t", python_callable=work, step_id="aged", %s)
        """
    big = 2_000_000

    def run(more: str) -> Any:
        return lab.run(source % (big, more))

    first = run("cache='auto'")
    assert first.xcom("t").startswith("file://")
    assert run("cache='auto'").xcom("t") == first.xcom("t")
    refreshed = run("cache='refresh'")
    assert refreshed.xcom("t") != first.xcom("t")
    assert run("cache='auto'").xcom("t") == refreshed.xcom("t")
    aged = run("cache='auto', max_age=timedelta(microseconds=1)")
    assert "max_age" in aged.xcom("t", DETAILS)["reason"]
    assert run("cache='auto'").xcom("t") == aged.xcom("t")
    Path(aged.xcom("t").removeprefix("file://")).unlink()
    again = run("cache='auto'")
    assert state(again, "t") == "miss"
    assert "is not there" in again.xcom("t", DETAILS)["reason"]
    assert run("cache='auto'").xcom("t") == again.xcom("t")


def test_cost_of_a_hit(lab: Any) -> None:
    """In a process of its own: no pandas, no pyarrow, two store requests and one for each artifact."""
    path = lab.write(
        FLOW.replace("import pandas as pd\n", "")
        .replace("def make(n: int):\n", "def make(n: int):\n    import pandas as pd\n")
        .replace("frame: pd.DataFrame", "frame")
        .replace("def old_reader(ti):", "def old_reader(ti):\n    return None")
    )
    first = lab.test(lab.load(path))
    assert state(first, "total") == "miss"
    code = """
import json, sys, logging
from datetime import datetime, UTC
import airflow
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1])
when = "execution_date" if airflow.__version__.startswith("2.") else "logical_date"
dag, = bag.dags.values()

import stepbridge.store.local as local
requests = []
for name in ("get", "put", "head", "list", "delete", "upload", "download"):
    def counted(self, *args, _name=name, _real=getattr(local.LocalStore, name), **more):
        requests.append(_name)
        return _real(self, *args, **more)
    setattr(local.LocalStore, name, counted)

import stepbridge_airflow.mixin as mixin
seen = {}
real = mixin.StepMixin.execute
def heavy():
    return {m for m in ("pandas", "pyarrow") if m in sys.modules}
def watched(self, context):
    before = heavy()
    del requests[:]
    out = real(self, context)
    seen[self.task_id] = [list(requests), sorted(heavy() - before)]
    return out
mixin.StepMixin.execute = watched
run = dag.test(**{when: datetime(2026, 4, 1, tzinfo=UTC)})
print("SEEN" + json.dumps([str(run.state), seen, sorted(heavy())]))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True, timeout=180
    )
    assert "SEEN" in done.stdout, done.stdout[-2000:] + done.stderr[-3000:]
    _, seen, modules = json.loads(done.stdout.rpartition("SEEN")[2].splitlines()[0])
    assert seen["total"][0] == ["get", "put"], seen
    assert sorted(seen["make"][0]) == ["get", "list", "put"], seen
    assert seen["make"][1] == seen["total"][1] == []
    assert modules == []


def test_the_log_tells_what_has_no_effect_and_what_the_key_does_not_see(lab: Any, capfd: Any) -> None:
    """A name that no parameter has is dropped as PythonOperator drops it; only the log can say so."""
    source = """
        import os

        def work(n=1):
            return [n, os.environ.get("SHOP")]

        def anything(**kwargs):
            return sorted(kwargs)[:0]

        with DAG("DAG_ID", start_date=START, schedule=None):
            typo, right = {"op_kwargs": {"m": 3}, "ignore": ["nn"]}, {"op_kwargs": {"n": 3}, "ignore": ["n"]}
            StepOperator(task_id="typo", python_callable=work, cache="auto", **typo)
            StepOperator(task_id="right", python_callable=work, cache="refresh", **right)
            StepOperator(task_id="off", python_callable=work, ignore=["nn"])
            more = {"op_kwargs": {"m": 3}, "ignore": ["m"], "context_keys": []}
            StepOperator(task_id="free", python_callable=anything, cache="auto", **more)
        """
    run = lab.run(source)
    said = "".join(capfd.readouterr())
    assert run.xcom("typo") == [1, None]
    assert said.count("op_kwargs names 'm', which is no parameter of ") == 1
    assert said.count("ignore names 'nn', which is no parameter of ") == 1
    assert said.count("Next: correct the name, or leave it out") == 2
    assert "reads the environment variable SHOP. Next: pass it as an argument, or declare it" in said
    assert said.count("cache: not asked: cache='refresh', this run replaces the entry (key ") == 1
    key = run.xcom("right", DETAILS)["key"]
    assert f"replaces the entry (key {key[:12]})" in said
