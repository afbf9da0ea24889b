"""Repeats of a candidate under real Airflow: what they add to the DAG, and what they let pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shadow_cases as cases

pytest.importorskip("airflow")
pytestmark = pytest.mark.slow

SOURCE = """
import os
import uuid
from stepbridge.compare.rules import Output

def steady(n):
    return {"n": n, "rows": [1, 2]}

def drawn(n, ti):
    # the control's id is one of a kind, and so is the candidate's
    return {"n": n, "id": uuid.uuid4().hex}

def near(n):
    return {"auc": 0.9}

def noisy(folder, name, spread):
    # each run takes the next number, whichever process it is in
    for number in range(100):
        try:
            os.close(os.open(f"{folder}/{name}{number}", os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            continue
    return {"auc": 0.9 + spread * number, "rows": [spread * number] * 30}

def near_rows(folder, name, spread):
    return {"auc": 0.9 + spread * 1.5, "rows": [spread / 2] * 30}

def far_rows(folder, name, spread):
    return {"auc": 0.9 + spread * 1.5, "rows": [spread * 50] * 30}

def typed(n):
    return {"n": float(n)} if n else {"n": 0}

def fails(n):
    raise ValueError("it broke")

def named(n):
    return {"id": uuid.uuid4().hex, "n": n}

def writes(path):
    os.makedirs(path, exist_ok=True)
    with open(f"{path}/id.json", "w") as file:
        file.write('{"id": "' + uuid.uuid4().hex + '"}')

def of_map(n):
    return {"id": uuid.uuid4().hex if n != 2 else "steady", "n": n}

def of_map_else(n):
    return {"id": uuid.uuid4().hex if n != 2 else "other", "n": n}

def cached(n: int) -> dict:
    return {"id": uuid.uuid4().hex}

FLAGS = "FOLDER_OF_THE_RUN/flags"
os.makedirs(FLAGS, exist_ok=True)

with DAG("DAG_ID", start_date=START, schedule=None, default_args=ALARMS):
    def make(task_id, function, **kwargs):
        return PythonOperator(task_id=task_id, python_callable=function, op_kwargs=kwargs)
    make("steady", steady, n=1)
    make("drawn", drawn, n=1)
    make("near", near_rows, folder=FLAGS, name="near", spread=0.01)
    make("far", far_rows, folder=FLAGS, name="far", spread=0.01)
    make("typed", typed, n=0)
    make("failing", steady, n=1)
    make("cached", cached, n=1)
    make("aa", named, n=4)
    make("aa_steady", steady, n=4)
    make("writes", writes, path="FOLDER_OF_THE_RUN/out/")
    PythonOperator.partial(task_id="many", python_callable=of_map).expand(op_args=[[1], [2], [3]])
    with TaskGroup("group"):
        inner = make("inner", drawn, n=1)
        inner >> make("reader", steady, n=1)
    SHADOWS
"""

SHADOWS = """
shadow("steady", noise=1)
shadow("drawn", noise=2)
shadow("near", noisy, noise=3)
shadow("far", noisy, noise=3, compare=Compare(samples=2))
shadow("typed", lambda n: {"n": 0.0}, noise=1)
shadow("failing", fails, noise=1)
shadow("cached", noise=1, cache="auto", single_flight=True)
shadow("aa", named, backend="local", noise=1)
shadow("aa_steady", steady, backend="local")
shadow("writes", noise=1, compare=Compare(
    outputs=(Output("out", control="FOLDER_OF_THE_RUN/out/", argument="path"),)))
shadow("many", of_map_else, noise=1)
shadow("group.inner", noise=1)
"""


def test_every_kind_of_noise(lab: Any, tmp_path: Path) -> None:
    without, with_, run = cases.both(lab, SOURCE, SHADOWS, tmp_path)
    for seen in (without, with_):
        random = [key for key in seen.xcoms if key[0] in ("drawn", "cached", "aa", "many", "group.inner")]
        for key in random:
            del seen.xcoms[key]
    assert with_ == without
    reports = {
        name: cases.report(lab, run, name)
        for name in ("steady", "drawn", "near", "far", "typed", "failing", "cached", "aa", "many")
    }
    expected = {
        "steady": "IDENTICAL",
        "drawn": "EQUIVALENT",
        "near": "EQUIVALENT",
        "far": "DIFFERENT",
        "typed": "DIFFERENT",
        "failing": "CANDIDATE_FAILED",
        "cached": "EQUIVALENT",
        "aa": "EQUIVALENT",
        "aa_steady": "IDENTICAL",
        "writes": "EQUIVALENT",
        "many": "DIFFERENT",
        "group.inner": "EQUIVALENT",
    }
    assert {name: cases.verdict(run, name) for name in expected} == expected
    assert run.states["drawn__noise_2"] == run.states["group.inner__noise_1"] == "success"
    steady = reports["steady"]["noise"]
    assert (steady["runs"], steady["parts"]) == (1, [])
    assert "0 of 1 results are not identical" in steady["note"]
    assert "thin evidence" in steady["note"]
    near = reports["near"]["parts"][0]
    (relaxed,) = near["relaxations"]
    assert (relaxed["name"], relaxed["allowed"]) == ("noise", 31)
    assert relaxed["value"].startswith("3 repeats, ")
    assert len(near["differences"]) == 10
    assert "thin" not in reports["near"]["noise"]["note"]
    assert [one["name"] for one in reports["near"]["noise"]["parts"]] == [
        f"near__noise_{n}: return_value" for n in (1, 2, 3)
    ]
    far = reports["far"]
    assert len(far["parts"][0]["differences"]) == 2
    assert far["parts"][0]["relaxations"] == []
    assert "apart, between repeats at most" in far["noise"]["note"]
    assert "no matter of noise" in reports["typed"]["noise"]["note"]
    assert reports["failing"]["noise"] is None
    many = {part["name"]: part["verdict"] for part in reports["many"]["parts"]}
    assert many == {"[0]": "EQUIVALENT", "[1]": "DIFFERENT", "[2]": "EQUIVALENT"}
    assert "[1]: $.id does not differ like that between repeats" in reports["many"]["noise"]["note"]
    assert "$.id" in reports["aa"]["parts"][0]["relaxations"][0]["value"]


FAILING = """
import os
import uuid

def old(flag):
    return {"id": uuid.uuid4().hex}

FLAG = "FOLDER_OF_THE_RUN/broken"

def breaks_second(context):
    # asked right before each candidate's function, under the candidate's own id
    Path(FLAG).unlink(missing_ok=True)
    if context["ti"].task_id.endswith("__noise_2"):
        Path(FLAG).touch()
    return True

def broken(flag):
    if os.path.exists(flag):
        raise ValueError("it broke")
    return {"id": uuid.uuid4().hex}

def not_second(context):
    return not context["ti"].task_id.endswith("__noise_2")

with DAG("DAG_ID", start_date=START, schedule=None):
    PythonOperator(task_id="control", python_callable=old, op_args=[FLAG])
    SHADOWS
"""


@pytest.mark.parametrize(
    ("condition", "why"), [("breaks_second", "it broke"), ("not_second", "run_if says no")]
)
def test_a_repeat_without_a_result_says_so_and_changes_nothing(
    lab: Any, tmp_path: Path, condition: str, why: str
) -> None:
    _, _, run = cases.both(lab, FAILING, f'shadow("control", broken, noise=3, run_if={condition})', tmp_path)
    report = cases.report(lab, run, "control")
    assert run.state == "success"
    assert [name for name, state in run.states.items() if state == "skipped"] == ["control__noise_2"]
    assert report["verdict"] == "DIFFERENT"
    assert "noise is not known: control__noise_2: " in report["noise"]["note"]
    assert why in report["noise"]["note"]
    assert report["parts"][0]["relaxations"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("noise=-1", "write how many more times"),
        ("noise=True", "write how many more times"),
        ("noise='2'", "write how many more times"),
    ],
)
def test_what_is_refused(lab: Any, tmp_path: Path, arguments: str, said: str) -> None:
    source = cases.written(FAILING, f'shadow("control", {arguments})', tmp_path)
    assert said in lab.import_error(source)


def test_a_step_of_its_own_is_not_repeated(lab: Any, tmp_path: Path) -> None:
    shadows = """
@step
def own() -> dict:
    return {}
shadow("control", own(), noise=1)
"""
    error = lab.import_error(cases.written(FAILING, shadows, tmp_path))
    assert "SB510" in error
    assert "the candidate is a step of its own" in error


def test_the_kill_switch_and_sampling_hold_for_repeats(lab: Any, tmp_path: Path) -> None:
    _, _, run = cases.both(lab, FAILING, 'shadow("control", noise=1, run_if=lambda context: False)', tmp_path)
    assert run.states["control__noise_1"] == run.states["control__shadow"] == "skipped"
    assert cases.verdict(run, "control") == "SKIPPED"


def test_repeats_change_nothing_of_the_dag(lab: Any, tmp_path: Path) -> None:
    shapes = []
    for name, text in (("without", ""), ("with", SHADOWS)):
        dag = lab.load(lab.write(cases.written(SOURCE, text, tmp_path / name)))
        shapes.append(cases.shape(dag))
    assert shapes[0] == shapes[1]
    repeat = dag.task_dict["group.inner__noise_1"]
    assert repeat.is_teardown
    assert not repeat.on_failure_fail_dagrun
    assert repeat.downstream_task_ids == {"group.inner__compare"}
    assert repeat.step.cache == dag.task_dict["cached__noise_1"].step.cache == "off"
    assert repeat.priority_weight == 0
