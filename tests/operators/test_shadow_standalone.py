"""Shadows under Airflow's own scheduler: early readers, kills, marks, clearing, fail-fast, past runs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow_home import AirflowHome

from throwaway import version

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(version() < (3, 1), reason="the parts are Airflow 3.1's and newer"),
]

SOURCE = """
import os, time
from pathlib import Path
from stepbridge_airflow import shadow

FOLDER = Path("FOLDER_OF_THE_TEST")

def train():
    return {"n": 3}

def beside():
    (FOLDER / "pid").write_text(str(os.getpid()))
    while not (FOLDER / "gate").exists():
        time.sleep(0.1)
    if (FOLDER / "fail").exists():
        raise ValueError("the candidate fails")
    return {"n": 3}

def patient():
    time.sleep(4)

with DAG("NAME", start_date=START, schedule=None, ARGUMENTS):
    control = PythonOperator(task_id="control", python_callable=train, TASK)
    control >> PythonOperator(task_id="reader", python_callable=lambda ti: ti.xcom_pull("control")["n"])
    waiting = PythonOperator(task_id="patient", python_callable=patient)
    WAITING
    shadow(control, beside)
"""

NOISY = """
import uuid
from stepbridge_airflow import shadow

def draw(n, day):
    return {"n": n, "day": day, "id": str(uuid.uuid4())}

with DAG("noisy", start_date=START, schedule=None):
    control = PythonOperator.partial(task_id="control", python_callable=draw).expand(
        op_args=[[n, "{{ run_id }}"] for n in range(3)]
    )
    control >> PythonOperator(
        task_id="reader",
        python_callable=lambda ti: sum(one["n"] for one in ti.xcom_pull("control", map_indexes=range(3))),
    )
    shadow(control, noise=2)
"""

DAGS = {
    "early": ("", ""),
    "killed": ("", ""),
    "marked": ("", ""),
    "strict": ("fail_fast=True", "depends_on_past=True"),
    "stopped": ("", ""),
}


class Scene:
    """One DAG, its runs and the files that steer its candidate."""

    def __init__(self, air: AirflowHome, name: str, folder: Path) -> None:
        self.air, self.name, self.folder = air, name, folder
        self.run = ""

    def start(self) -> None:
        self.run = self.air.trigger(self.name)

    def until(self, task_id: str, *states: str, seconds: float = 120) -> dict[str, Any]:
        return self.air.wait_for_state(self.name, self.run, task_id, *states, seconds=seconds)

    def until_beside(self) -> int:
        """The process id of the candidate's function, once it runs."""
        pid = self.air.wait(lambda: _text(self.folder / "pid"), 120, "the candidate runs")
        return int(pid)

    def until_over(self) -> str:
        def over() -> str:
            state = self.air.run_state(self.name, self.run)
            return state if state in ("success", "failed") else ""

        return self.air.wait(over, 120, f"the run of {self.name} ends")

    def verdict(self) -> str:
        return str(self.air.xcom(self.name, self.run, "control__compare", "stepbridge")["verdict"])


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def air(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    root = tmp_path_factory.mktemp("shadows")
    store = root / "store"
    store.mkdir()
    home = AirflowHome(root / "home", {"AIRFLOW__STEPBRIDGE__STORE": store.as_uri()})
    scenes = {}
    for name, (arguments, task) in DAGS.items():
        folder = root / name
        folder.mkdir()
        text = SOURCE.replace("FOLDER_OF_THE_TEST", str(folder)).replace("NAME", name)
        text = text.replace("WAITING", "waiting >> control" if name == "stopped" else "")
        text = text.replace("sleep(4)", "sleep(20)") if name == "stopped" else text
        home.write(name, text.replace("ARGUMENTS", arguments).replace("TASK", task))
        scenes[name] = Scene(home, name, folder)
    home.write("noisy", NOISY)
    scenes["noisy"] = Scene(home, "noisy", root)
    home.environment["AIRFLOW_CONN_AIRFLOW_API"] = f"http://127.0.0.1:{home.port}/"
    home.environment["AIRFLOW__STEPBRIDGE__REST_CONNECTION"] = "airflow_api"
    with home:
        home.wait_for_dags(set(scenes), seconds=180)
        yield scenes


def test_readers_do_not_wait_and_clearing_does_no_harm(air: dict[str, Scene]) -> None:
    scene = air["early"]
    scene.start()
    scene.until_beside()
    reader = scene.until("reader", "success")
    scene.until("patient", "success")
    assert scene.air.task(scene.name, scene.run, "control__shadow")["state"] == "running"
    assert scene.air.run_state(scene.name, scene.run) == "running"
    (scene.folder / "gate").touch()
    assert scene.until_over() == "success"
    assert scene.verdict() == "IDENTICAL"
    candidate = scene.air.task(scene.name, scene.run, "control__shadow")
    assert reader["end_date"] < candidate["end_date"]

    scene.air.clear(scene.name, scene.run, "control")
    scene.until("control", "success")
    assert scene.until_over() == "success"
    tries = {one: scene.air.task(scene.name, scene.run, one)["try_number"] for one in ("control", "reader")}
    assert tries == {"control": 2, "reader": 1}
    assert scene.air.task(scene.name, scene.run, "control__shadow")["try_number"] == 1
    scene.air.clear(scene.name, scene.run, "control__shadow")
    scene.until("control__shadow", "success")
    assert scene.until_over() == "success"
    again = scene.air.task(scene.name, scene.run, "control__shadow")
    assert (again["state"], again["try_number"]) == ("success", 2)


def test_a_killed_candidate_is_not_run_again_and_fails_nothing(air: dict[str, Scene]) -> None:
    scene = air["killed"]
    scene.start()
    function = scene.until_beside()
    scene.until("reader", "success")
    runner, task = psutil.Process(function).parents()[:2]
    os.kill(task.pid, signal.SIGKILL)
    assert scene.until_over() == "success"
    assert scene.verdict() == "CANDIDATE_FAILED"
    candidate = scene.air.task(scene.name, scene.run, "control__shadow")
    assert (candidate["state"], candidate["try_number"]) == ("skipped", 2)
    end = time.monotonic() + 30
    while runner.is_running() and runner.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.2)
    assert not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE


def test_a_candidate_that_is_marked_ends_and_the_run_with_it(air: dict[str, Scene]) -> None:
    scene = air["marked"]
    scene.start()
    scene.until_beside()
    scene.until("reader", "success")
    scene.until("patient", "success")
    scene.air.set_state(scene.name, scene.run, "control__shadow", "failed")
    assert scene.until_over() == "success"
    assert scene.verdict() == "CANDIDATE_FAILED"


def test_a_failing_candidate_stops_no_run_and_not_the_next_one(air: dict[str, Scene]) -> None:
    scene = air["strict"]
    (scene.folder / "gate").touch()
    (scene.folder / "fail").touch()
    for _ in range(2):
        scene.start()
        assert scene.until_over() == "success"
        assert scene.verdict() == "CANDIDATE_FAILED"
        states = {one: scene.air.task(scene.name, scene.run, one)["state"] for one in ("reader", "patient")}
        assert states == {"reader": "success", "patient": "success"}


def test_a_run_that_is_marked_failed_ends_once_its_shadow_has(air: dict[str, Scene]) -> None:
    """The limit that docs/shadow.md names: Airflow takes the state from the last tasks, here skipped ones."""
    scene = air["stopped"]
    scene.start()
    scene.until("patient", "running")
    scene.air.api("PATCH", f"dags/{scene.name}/dagRuns/{scene.run}", {"state": "failed"})
    assert scene.until_over() == "success"
    states = {one: scene.air.task(scene.name, scene.run, one)["state"] for one in ("patient", "control")}
    assert states == {"patient": "failed", "control": "skipped"}
    assert scene.verdict() == "SKIPPED"
    assert not (scene.folder / "pid").exists()


def test_noise_of_a_mapped_control_and_the_inputs_of_its_elements(air: dict[str, Scene]) -> None:
    scene = air["noisy"]
    scene.start()
    assert scene.until_over() == "success"
    assert scene.verdict() == "EQUIVALENT"
    assert scene.air.xcom(scene.name, scene.run, "reader") == 3
    for name in ("control__shadow", "control__noise_1", "control__noise_2"):
        states = [scene.air.task(scene.name, scene.run, f"{name}/{index}")["state"] for index in range(3)]
        assert states == ["success"] * 3
    (file,) = (scene.folder / "store" / "shadow" / "noisy" / "control").rglob("report.json")
    report = json.loads(file.read_text())
    assert [part["name"] for part in report["parts"]] == ["[0]", "[1]", "[2]"]
    assert [part["verdict"] for part in report["parts"]] == ["EQUIVALENT"] * 3
    assert all("noise" in json.dumps(part["relaxations"]) for part in report["parts"])
    assert (report["inputs"]["verdict"], report["inputs"]["compared"]) == ("IDENTICAL", 3)
    assert report["control"]["missing"] == []
    phases = [phase["name"] for phase in report["control"]["phases"]]
    assert phases == ["longest element", "queued"]
    assert report["control"]["tries"] == 1
