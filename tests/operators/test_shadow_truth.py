"""The truth table: whatever control, candidate and comparison do, the run is as without the shadow."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import shadow_cases as cases

CONTROLS = ("success", "failed", "skipped", "upstream_failed", "retried")
CANDIDATES = {
    "same": "shadow('c_same', same)",
    "differs": "shadow('c_differs', differs)",
    "raises": "shadow('c_raises', raises)",
    "skips": "shadow('c_skips', skips)",
    "killed": "shadow('c_killed', killed)",
    "slow": "shadow('c_slow', slow, timeout=timedelta(seconds=2))",
    "storeless": "shadow('c_storeless', same, store='file:///proc/none')",
    "crash": "shadow('c_crash', crashes)",
}

SOURCE = """
OUTCOME = "THE_OUTCOME"

def before():
    if OUTCOME == "upstream_failed":
        raise ValueError("the task before failed")
    return 3

def control(n, ti):
    if OUTCOME == "failed":
        raise ValueError("the control failed")
    if OUTCOME == "skipped":
        raise AirflowSkipException("nothing to do")
    if OUTCOME == "retried" and ti.try_number == 1:
        raise ValueError("the control failed once")
    ti.xcom_push(key="best", value=n)
    return {"n": n, "x": 0.5}

def same(n, ti):
    ti.xcom_push(key="best", value=n)
    return {"n": n, "x": 0.5}

def differs(n, ti):
    ti.xcom_push(key="best", value=n)
    return {"n": n + 1, "x": 0.5}

def crashes(n):
    return {"n": n, "crash": True}

def raises(n):
    raise ValueError("the candidate failed")

def skips(n):
    raise AirflowSkipException("nothing to do here")

def killed(n):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)

def slow(n):
    time.sleep(60)

def read(ti, name):
    return [ti.xcom_pull("c_" + name), ti.xcom_pull("c_" + name, key="best"), ti.xcom_pull(key="best")]

with DAG("DAG_ID", start_date=START, schedule=None, default_args=ALARMS):
    first = PythonOperator(task_id="before", python_callable=before)
    for name in NAMES:
        one = PythonOperator(task_id="c_" + name, python_callable=control, op_kwargs={"n": first.output},
                             retries=1 if OUTCOME == "retried" else 0)
        one >> PythonOperator(task_id="reader_" + name, python_callable=read, op_kwargs={"name": name})
        one >> PythonOperator(task_id="always_" + name, python_callable=read, op_kwargs={"name": name},
                              trigger_rule="all_done")
    SHADOWS
"""

EXPECTED = {
    "same": ("IDENTICAL", "CONTROL_FAILED"),
    "differs": ("DIFFERENT", "CONTROL_FAILED"),
    "raises": ("CANDIDATE_FAILED", "BOTH_FAILED"),
    "skips": ("DIFFERENT", "CONTROL_FAILED"),
    "killed": ("CANDIDATE_FAILED", "BOTH_FAILED"),
    "slow": ("CANDIDATE_FAILED", "BOTH_FAILED"),
    "storeless": ("CANDIDATE_FAILED", "BOTH_FAILED"),
    "crash": ("TOOL_ERROR", "CONTROL_FAILED"),
}


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparator by entry point that kills its process."""
    site = tmp_path / "site"
    info = site / "crashing-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crashing\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[stepbridge.comparators]\ncrash = crashing_comparator:Crash\n")
    (site / "crashing_comparator.py").write_text(
        "import os, signal\n\nclass Crash:\n    name = 'crash'\n"
        "    def takes(self, control, candidate):\n"
        "        return isinstance(candidate.value, dict) and 'crash' in candidate.value\n"
        "    def compare(self, control, candidate, rules, name):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))


def check(lab: Any, folder: Path, outcome: str, names: tuple[str, ...]) -> None:
    source = cases_source(outcome, names)
    without, with_, run = cases.both(lab, source, "\n".join(CANDIDATES[name] for name in names), folder)
    assert with_ == without
    assert without.state == ("success" if outcome in ("success", "retried", "skipped") else "failed")
    found = {name: cases.verdict(run, f"c_{name}") for name in names}
    if outcome in ("skipped", "upstream_failed"):
        assert set(found.values()) == {"SKIPPED"}, found
    else:
        column = 1 if outcome == "failed" else 0
        said = {name: cases.rule(run, f"c_{name}") for name in names}
        assert found == {name: EXPECTED[name][column] for name in names}, said
    assert "failed" not in {state for name, state in run.states.items() if cases.is_shadow(name)}


def cases_source(outcome: str, names: tuple[str, ...]) -> str:
    return SOURCE.replace("THE_OUTCOME", outcome).replace("NAMES", repr(names))


@pytest.mark.parametrize("outcome", ["success", "failed"])
def test_the_run_is_what_it_is_without_the_shadow(lab: Any, tmp_path: Path, outcome: str) -> None:
    check(lab, tmp_path / "notes", outcome, ("same", "raises"))


@pytest.mark.slow
@pytest.mark.usefixtures("crashing")
@pytest.mark.parametrize("outcome", CONTROLS)
def test_the_whole_table(lab: Any, tmp_path: Path, outcome: str) -> None:
    check(lab, tmp_path / "notes", outcome, tuple(CANDIDATES))
