"""How both sides ran, and whether their inputs were the same, under real Airflow."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shadow_cases as cases
from podlab import DEFERRED, PodLab, faults, pods  # noqa: F401 - the fixture

from stepbridge.compare.model import RunFacts
from stepbridge.runner.usage import GpuMeter
from throwaway import version

pytest.importorskip("airflow")

SOURCE = """
import time
from stepbridge.compare.rules import Ignore

def work(n):
    time.sleep(0.05)
    return n

def broken(n):
    raise ValueError("it broke")

def where(place, secret="", thing=None):
    return 1

class Thing:
    pass

tries = []

def second_time(n):
    tries.append(n)
    if len(tries) < 2:
        raise ValueError("not yet")
    return n

with DAG("DAG_ID", start_date=START, schedule=None, default_args={"retry_delay": timedelta(0)}):
    PythonOperator(task_id="one", python_callable=work, op_args=[4], op_kwargs={})
    PythonOperator(task_id="fails", python_callable=work, op_kwargs={"n": 3})
    PythonOperator(task_id="again", python_callable=second_time, op_args=[5], retries=2)
    PythonOperator(task_id="cached", python_callable=work, op_kwargs={"n": 1})
    PythonOperator.partial(task_id="many", python_callable=work).expand(op_args=[[1], [2], [3]])
    PythonOperator(task_id="rendered", python_callable=where, op_kwargs={"place": "{{ ds }}/{{ run_id }}"})
    PythonOperator(task_id="own_name", python_callable=where, op_args=["{{ ti.task_id }}"])
    PythonOperator(task_id="ignored", python_callable=where, op_kwargs={"place": "{{ ti.task_id }}"})
    PythonOperator(task_id="masked", python_callable=where, op_args=["x"],
                   op_kwargs={"secret": {"password": "{{ ds }}"}})
    PythonOperator(task_id="long", python_callable=where, op_args=["x" * 10000])

    @step
    def other() -> int:
        return 1
    PythonOperator(task_id="given", python_callable=where, op_args=["x"])
    SHADOWS
"""

SHADOWS = """
shadow("one")
shadow("fails", broken)
shadow("again", work)
shadow("cached", cache="auto")
shadow("many")
shadow("rendered")
shadow("own_name")
shadow("ignored", compare=Compare(ignore=(Ignore("inputs.op_kwargs.place", "its own name"),)))
shadow("masked")
shadow("long")
shadow("given", other())
"""
INPUTS = {
    "rendered": "IDENTICAL",
    "own_name": "DIFFERENT",
    "ignored": "EXPLAINED",
    "masked": "EQUIVALENT",
    "long": "EQUIVALENT",
    "many": "IDENTICAL",
    "one": "IDENTICAL",
}


@pytest.mark.slow
def test_how_they_ran(lab: Any, tmp_path: Path) -> None:
    dag = lab.load(lab.write(cases.written(SOURCE, SHADOWS, tmp_path)))
    first, run = lab.test(dag), lab.test(dag)
    assert first.state == run.state == "success"
    names = [name for name in run.states if not cases.is_shadow(name) and "[" not in name]
    reports = {name: of_run(lab, run, name) for name in [*names, "many"] if name != "other"}
    one, many, fails = (reports[name] for name in ("one", "many", "fails"))
    control, candidate = one["control"], one["candidate"]
    # dag.test of Airflow 2 notes no start of a task, as a scheduler does; 3.0 tells no task a duration
    timed = lab.version >= (3, 1)
    if timed:
        assert control["seconds"] >= 0.05
    elif lab.version < (3,):
        assert control["missing"][0]["what"] == "duration, queued"
    else:
        assert control["missing"][0]["what"] == "times"
    assert candidate["seconds"] > 0
    assert candidate["place"] == "local"
    assert candidate["tries"] == 1
    assert candidate["cache"] == "off"
    assert candidate["missing"] == []
    assert len(one["subject"]["code"]) >= 32
    assert one["subject"]["image"] == ""
    told = lab.version < (3,) or lab.version >= (3, 2)
    assert control["tries"] == (1 if told else 0)
    assert bool(control["started"]) is (told and timed)
    assert of_run(lab, first, "again")["control"]["tries"] == (2 if told else 0)
    if timed and told:
        assert [gap["what"] for gap in control["missing"]] == ["queued", "inputs"]
    assert fails["verdict"] == "CANDIDATE_FAILED"
    assert "it broke" in fails["candidate"]["error"]
    assert fails["candidate"]["seconds"] > 0
    assert fails["candidate"]["started"]
    assert fails["candidate"]["peak_memory"] > 0
    cached = reports["cached"]["candidate"]
    assert cached["cache"] == "hit"
    assert (cached["place"], cached["phases"]) == ("", [])
    assert "nothing ran: the result of runs/" in cached["missing"][0]["why"]
    phases = {phase["name"]: phase["seconds"] for phase in many["candidate"]["phases"]}
    assert many["candidate"]["seconds"] > phases["longest element"] > 0
    assert phases["run"] >= 0.15
    assert many["candidate"]["place"] == "local"
    assert many["candidate"]["peak_memory"] > 0
    assert many["candidate"]["record"].endswith(run.run_id.replace(":", "=3A").replace("+", "=2B"))
    control_phases = {phase["name"]: phase["seconds"] for phase in many["control"]["phases"]}
    if timed:
        assert many["control"]["seconds"] >= 0.15 > control_phases["longest element"] >= 0.05
    same_inputs(lab, reports)


@pytest.fixture
def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Airflow's own API server on the database of these runs, and a connection to it."""
    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps({"reader": "s3cret"}))
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "reader:viewer")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", f"http://reader:s3cret@127.0.0.1:{port}/")
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__REST_CONNECTION", "airflow_api")
    log = tmp_path / "api-server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(port)],
            env={
                **os.environ,
                "AIRFLOW__API_AUTH__JWT_ISSUER": "test",  # Airflow 3.0 and newer PyJWT need one
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        limit = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}/api/v2/version"):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < limit, log.read_text()[-3000:]
            time.sleep(0.3)
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(version() < (3,), reason="workers of Airflow 2 ask the database")
def test_inputs_and_times_through_the_rest_api(lab: Any, tmp_path: Path, api_server: None) -> None:
    del api_server
    run = lab.test(lab.load(lab.write(cases.written(SOURCE, SHADOWS, tmp_path))))
    assert run.state == "success", run.states
    reports = {name: of_run(lab, run, name) for name in [*INPUTS, "given", "again"]}
    same_inputs(lab, reports, told=True)
    assert reports["many"]["inputs"]["compared"] == 3
    assert reports["again"]["control"]["tries"] == 2
    one = reports["one"]["control"]
    assert one["started"]
    assert one["seconds"] >= 0.05
    assert "s3cret" not in json.dumps(reports)


def same_inputs(lab: Any, reports: dict[str, Any], *, told: bool = False) -> None:
    if lab.version >= (3,) and not told:
        for name in INPUTS:
            assert reports[name]["inputs"] is None
            said = {gap["what"]: gap["why"] for gap in reports[name]["control"]["missing"]}
            assert "what the templates of another became" in said["inputs"]
    else:
        unknown = {name: report["rule"] for name, report in reports.items() if not report["inputs"]}
        assert set(unknown) <= {*reports} - {*INPUTS}, (unknown, reports["one"]["control"])
        assert {name: reports[name]["inputs"]["verdict"] for name in INPUTS} == INPUTS
        assert reports["own_name"]["verdict"] == "INCOMPARABLE"
        assert "the inputs are not the same" in reports["own_name"]["rule"]
        assert "Airflow masks secrets" in json.dumps(reports["masked"]["inputs"]["skipped"])
        assert "only the beginning" in json.dumps(reports["long"]["inputs"]["skipped"])
    assert "arguments of its own" in json.dumps(reports["given"]["control"]["missing"])


def of_run(lab: Any, run: Any, task_id: str) -> Any:
    """The report of this run, for the DAG ran twice."""
    uri = run.xcom(f"{task_id}__compare", cases.DETAILS)["report"]
    return json.loads(Path(uri.removeprefix("file://")).read_text())


POD = """
from stepbridge_airflow import shadow

def work(n):
    return {{"n": n}}

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD):
    control = PythonOperator(task_id="control", python_callable=work, op_args=[4])
    shadow(control, resources=Resources(memory="64Mi"){arguments})
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["", DEFERRED], ids=["sync", "deferred"])
def test_in_a_pod(pods: PodLab, mode: str) -> None:
    run = pods.run(POD.format(arguments=f", {mode}" if mode else ""), expect="success")
    assert cases.verdict(run, "control") == "IDENTICAL", cases.rule(run, "control")
    report = of_run(pods, run, "control")
    candidate = report["candidate"]
    (pod,) = pods.created()
    assert candidate["place"] == f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
    phases = [phase["name"] for phase in candidate["phases"]]
    assert phases[0] == "queue, pull, start"
    assert "run" in phases
    (image,) = {one["image"] for one in pod["spec"]["containers"] if one["name"] == "base"}
    assert report["subject"]["image"].startswith(image)


def test_what_a_gpu_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\n"
        'echo "$*" | /bin/grep -q "memory.used,utilization.gpu,name" || exit 3\n'
        "echo '2048, 40, NVIDIA H100 80GB HBM3'\n"
        "echo '1024, [N/A], NVIDIA H100 80GB HBM3'\n"
        "echo '1024, 60, NVIDIA A10G'\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    meter = GpuMeter()
    assert meter._ask()
    assert meter.model == "NVIDIA H100 80GB HBM3, NVIDIA A10G"
    assert (meter.peak_memory, meter.utilisation) == (4 << 30, 50.0)


def test_many_are_added_up() -> None:
    from stepbridge_airflow.shadow_facts import _merged

    def one(n: int, **more: Any) -> RunFacts:
        made = RunFacts("t", "", tries=n, started=f"2026-01-0{n}", seconds=float(n), cpu_seconds=1.0)
        return dataclasses.replace(made, peak_memory=n << 20, gpu_seconds=0.5, cache="off", **more)

    assert _merged("t", [one(1)], 1) == one(1)
    several = [
        one(1, place="pod a/x", gpu_model="A"),
        one(2, place="pod a/y", gpu_model="B"),
        one(3, place="pod a/z", gpu_model="A"),
    ]
    made = _merged("t", several, 250)
    assert (made.tries, made.started, made.seconds, made.cpu_seconds) == (3, "2026-01-01", 6.0, 3.0)
    assert (made.peak_memory, made.gpu_seconds, made.gpu_model) == (3 << 20, 1.5, "A, B")
    assert (made.place, made.cache) == ("3 pods", "off")
    assert (made.phases[0].name, made.phases[0].seconds) == ("longest element", 3.0)
    assert made.missing[0].amount == 247
