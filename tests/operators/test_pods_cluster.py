"""What must hold on a real Kubernetes too: run on the double here, on a cluster by ``make test-cluster``."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from clusters import ClusterLab, moto_endpoint, real_pods  # noqa: F401 - the fixtures

pytestmark = pytest.mark.cluster
DEFERRED = "deferrable=True, poll_interval=1"
MODES = pytest.mark.parametrize(
    "mode",
    [pytest.param("", id="sync"), pytest.param(DEFERRED, id="deferred", marks=pytest.mark.slow)],
)
SYNC = pytest.mark.parametrize(
    "mode", ["", pytest.param(DEFERRED, marks=pytest.mark.slow)], ids=["sync", "deferred"]
)
"""The same; without a cluster only the slow tests take the second."""
LATER = pytest.mark.parametrize(
    "mode", [pytest.param("", marks=pytest.mark.slow), DEFERRED], ids=["sync", "deferred"]
)
"""The same; without a cluster only the slow tests take the first."""
SLEEPER = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(3600)"


def budgets(**seconds: float) -> str:
    given = ", ".join(f"{name}=timedelta(seconds={value})" for name, value in seconds.items())
    return f"budgets=Budgets({given})"


def running(pod: dict[str, Any]) -> bool:
    return pod["status"].get("phase") == "Running"


def told(lab: ClusterLab, code: str, kind: str, *says: str, pods: int = 1) -> None:
    """Airflow and the record say this of the one failed try, and nothing is left."""
    end = lab.end()
    assert (end.code, end.kind) == (code, kind), end
    for one in says:
        assert one in end.message
    assert lab.errors()[-1] == code
    assert lab.keys("result.json") == []
    assert len(lab.created()) == pods
    lab.assert_nothing_left()


# success ---------------------------------------------------------------------------------------------------

FLOW = """
import pandas as pd

def make(n):
    print("making", n)
    return {{"n": n, "twice": n * 2}}

def old(ti):
    return ti.xcom_pull("make")["twice"]

@step
def table(n: int) -> pd.DataFrame:
    return pd.DataFrame({{"x": range(n), "name": ["é"] * n}})

@step
def note(frame: pd.DataFrame) -> File:
    from pathlib import Path
    Path("note.txt").write_text(f"{{int(frame.x.sum())}} {{frame.name[0]}}")
    return File("note.txt")

@step
def read(file: File) -> str:
    return file.open().read()

with DAG("DAG_ID", start_date=START, schedule=None, default_args={{**POD, {mode}}}) as d:
    made = StepOperator(task_id="make", python_callable=make, op_kwargs={{"n": 4}})
    made >> PythonOperator(task_id="old", python_callable=old)
    read(note(table(5)))
"""


@pytest.mark.parametrize("mode", ["", '"deferrable": True, "poll_interval": 1'], ids=["sync", "deferred"])
def test_values_tables_and_files_go_from_pod_to_pod(real_pods: ClusterLab, mode: str) -> None:
    run = real_pods.run(FLOW.format(mode=mode))
    assert run.xcom("old") == 8
    assert run.xcom("table").startswith(real_pods.settings.root)
    assert run.xcom("read") == "10 é"
    made = real_pods.created()
    assert len(made) == 4
    assert run.xcom("make", "pod_name") in {pod["metadata"]["name"] for pod in made}
    assert all(len(pod["spec"]["containers"]) == 1 for pod in made)
    assert len(real_pods.keys("result.json")) == 4
    real_pods.assert_nothing_left()


@pytest.mark.slow
def test_mapped(real_pods: ClusterLab) -> None:
    run = real_pods.run(
        f"""
def double(n):
    return n * 2

with DAG("DAG_ID", start_date=START, schedule=None, default_args=POD) as d:
    StepOperator.partial(task_id="m", python_callable=double, {DEFERRED}).expand(
        op_kwargs=[{{"n": n}} for n in range(10)])
"""
    )
    assert [run.xcom("m", map_index=n) for n in range(10)] == [n * 2 for n in range(10)]
    assert len({pod["metadata"]["name"] for pod in real_pods.created()}) == 10
    real_pods.assert_nothing_left()


# the function's own ends -----------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize(
    ("body", "arguments", "code", "kind", "says"),
    [
        ("raise ValueError('no rows')", "", "SB402", "user", "no rows"),
        ("import sys\nsys.exit(3)", "", "SB403", "user", "3"),
        ("hold()", "timeout=timedelta(seconds=2)", "SB404", "timeout", "timeout"),
    ],
    ids=["raises", "exits", "timeout"],
)
def test_the_functions_own_ends(
    real_pods: ClusterLab, body: str, arguments: str, code: str, kind: str, says: str, mode: str
) -> None:
    real_pods.step(f"print('about to end')\n{body}", arguments, "infra_retries=2", mode, expect="failed")
    told(real_pods, code, kind, says, "about to end")


# before the start ------------------------------------------------------------------------------------------


@SYNC
def test_an_image_that_is_not_there(real_pods: ClusterLab, mode: str) -> None:
    real_pods.step("", "image='stepbridge-test/not-there:1'", mode, expect="failed")
    told(real_pods, "SB423", "config", "ErrImageNeverPull")


@pytest.mark.slow
@MODES
def test_a_missing_secret(real_pods: ClusterLab, mode: str) -> None:
    real_pods.step("", "secrets=[Secret('stepbridge-test-missing', 'key', env='KEY')]", mode, expect="failed")
    told(real_pods, "SB425", "config", "stepbridge-test-missing")


@MODES
def test_an_init_container_that_fails(real_pods: ClusterLab, mode: str) -> None:
    init = {
        "name": "prepare",
        "image": real_pods.image,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", "raise SystemExit(3)"],
    }
    real_pods.step("", f"init_containers=[{init!r}]", mode, expect="failed")
    told(real_pods, "SB426", "infra", "prepare", "3")


@SYNC
def test_no_node_for_the_pod(real_pods: ClusterLab, mode: str) -> None:
    real_pods.step(
        "", "node_selector={'stepbridge-test/none': 'yes'}", budgets(schedule=4), mode, expect="failed"
    )
    told(real_pods, "SB420", "infra", "node")


def test_a_quota_that_is_used_up(real_pods: ClusterLab) -> None:
    if not real_pods.eyes.real:
        pytest.skip("the double has no quotas; test_pods_faults.py injects their answer")
    real_pods.eyes.add_quota({"requests.nvidia.com/gpu": "0"})
    real_pods.step("", "resources=Resources(gpu=1)", expect="failed")
    told(real_pods, "SB422", "infra", "exceeded quota", pods=0)


# what strikes a running pod --------------------------------------------------------------------------------

ALLOCATE = """
blocks = []
for one in range(32):
    blocks.append(bytearray(os.urandom(1 << 20) * 8))
time.sleep(1)
"""


def test_out_of_memory(real_pods: ClusterLab) -> None:
    real_pods.eyes.expect_oom()
    real_pods.step(ALLOCATE, "resources=Resources(memory='128Mi')", "infra_retries=2", expect="failed")
    told(real_pods, "SB406", "oom", "128Mi")


@LATER
def test_out_of_memory_and_again_with_more(real_pods: ClusterLab, mode: str) -> None:
    real_pods.eyes.expect_oom()
    run = real_pods.step(
        ALLOCATE, "resources=Resources(memory='128Mi')", "on_oom=Escalate(factor=6, max='1Gi')", mode
    )
    assert run.xcom("work") == 4
    limits = [pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in real_pods.created()]
    assert limits == ["128Mi", "768Mi"]
    assert run.xcom("work", "stepbridge")["earlier"][0]["kind"] == "oom"
    real_pods.assert_nothing_left()


@pytest.mark.slow
def test_more_scratch_disk_than_the_limit(real_pods: ClusterLab) -> None:
    real_pods.eyes.expect_eviction(
        "Pod ephemeral local storage usage exceeds the total limit of containers 50Mi. "
    )
    fill = (
        "with open('fill', 'wb') as file:\n    for one in range(200):\n        file.write(bytes(1 << 20))\n"
    )
    limit = "resources=Resources(ephemeral_storage='50Mi')"
    real_pods.step(fill + "hold(300)", limit, expect="failed")
    told(real_pods, "SB430", "config", "ephemeral")


@LATER
def test_the_pods_deadline(real_pods: ClusterLab, mode: str) -> None:
    real_pods.step("hold()", "active_deadline_seconds=4", mode, expect="failed")
    told(real_pods, "SB437", "timeout")


@MODES
def test_deleted_from_outside_and_again(real_pods: ClusterLab, mode: str) -> None:
    def delete() -> None:
        real_pods.wait("started")
        real_pods.eyes.delete_pod(real_pods.wait_for_pod(running)["metadata"]["name"])

    real_pods.meanwhile(delete)
    run = real_pods.step("if once('started'):\n    hold()", "infra_retries=1", mode)
    assert run.xcom("work") == 4
    earlier = run.xcom("work", "stepbridge")["earlier"]
    assert [(one["code"], one["kind"]) for one in earlier] == [("SB433", "infra")], earlier
    assert len(real_pods.created()) == 2
    real_pods.assert_nothing_left()


def test_deleted_by_force(real_pods: ClusterLab) -> None:
    def delete() -> None:
        real_pods.wait("started")
        real_pods.eyes.delete_pod(real_pods.wait_for_pod(running)["metadata"]["name"], grace=0)

    real_pods.meanwhile(delete)
    real_pods.step("if once('started'):\n    hold()", expect="failed")
    told(real_pods, "SB433", "infra")


@pytest.mark.slow
def test_a_killed_task_takes_its_pod_along(real_pods: ClusterLab) -> None:
    dag = real_pods.load(real_pods.source("once('started')\nhold()", "infra_retries=2"))
    worker = real_pods.worker(dag)
    try:
        real_pods.wait("started")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(90) != 0, (real_pods.flags / "worker.log").read_text()
    finally:
        worker.kill()
        worker.wait()
    assert len(real_pods.created()) == 1
    assert real_pods.keys("result.json") == []
    real_pods.assert_nothing_left()


# others in the pod -----------------------------------------------------------------------------------------


@LATER
@pytest.mark.parametrize("native", [False, True], ids=["container", "native"])
def test_a_sidecar_that_never_ends(real_pods: ClusterLab, native: bool, mode: str) -> None:
    side = {
        "name": "mesh",
        "image": real_pods.image,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", SLEEPER],
    }
    spec = (
        {"containers": [{"name": "base"}], "initContainers": [{**side, "restartPolicy": "Always"}]}
        if native
        else {"containers": [{"name": "base"}, side]}
    )
    began = time.monotonic()
    run = real_pods.step("", f"pod_template_dict={{'spec': {spec!r}}}", mode)
    assert run.xcom("work") == 4
    assert time.monotonic() - began < 60
    (pod,) = real_pods.created()
    assert len(pod["spec"]["containers"]) == (1 if native else 2)
    real_pods.assert_nothing_left()


# GPUs ------------------------------------------------------------------------------------------------------


def test_a_gpu_that_does_not_answer(real_pods: ClusterLab) -> None:
    real_pods.step(
        "", "resources=Resources(gpu=1), env_vars={'STEPBRIDGE_GPU_PATIENCE': '1'}", expect="failed"
    )
    told(real_pods, "SB407", "preflight")


def test_a_gpu_without_the_check(real_pods: ClusterLab) -> None:
    real_pods.step("", "resources=Resources(gpu=1), environment={'STEPBRIDGE_GPU_CHECK': 'off'}")
    (pod,) = real_pods.created()
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    real_pods.assert_nothing_left()


# secrets ---------------------------------------------------------------------------------------------------


def test_kubernetes_secrets(real_pods: ClusterLab) -> None:
    name = real_pods.eyes.add_secret("db", {"password": "Wq7-secret-of-the-test", "token": "Tk5-secret"})
    file = f"{real_pods.folder}/password"
    run = real_pods.step(
        f"n = [len(os.environ['DB_TOKEN']), len(Path({file!r}).read_text())]",
        f"secrets=[Secret({name!r}, 'password', file={file!r}), Secret({name!r}, 'token', env='DB_TOKEN')]",
    )
    assert run.xcom("work") == [10, 22]
    (pod,) = real_pods.created()
    assert "secret-of-the-test" not in str(pod)
    real_pods.assert_nothing_left()


def test_variables_and_connections(real_pods: ClusterLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_GREETING", "hello from the test")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgres://me:pass-of-the-test@db/shop")
    owners: list[Any] = []

    def look() -> None:
        real_pods.wait("started")
        limit = time.monotonic() + 30
        while not owners and time.monotonic() < limit:
            (secret,) = real_pods.eyes.secrets()
            owners.extend(secret["metadata"].get("ownerReferences") or [])
            time.sleep(0.2)
        real_pods.go()

    real_pods.meanwhile(look)
    names = ("AIRFLOW_VAR_GREETING", "AIRFLOW_CONN_SHOP")
    body = f"once('started')\nhold()\nn = [len(os.environ[one]) for one in {names}]"
    run = real_pods.step(body, "variables=['greeting'], connections=['shop']")
    assert run.xcom("work")[0] == len("hello from the test")
    (pod,) = real_pods.created()
    assert [(one["kind"], one["name"]) for one in owners] == [("Pod", pod["metadata"]["name"])]
    assert "of-the-test" not in str(pod)
    real_pods.assert_nothing_left()


# rights ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "verbs"),
    [
        ("pods", ["create", "get", "list", "watch", "patch", "delete"]),
        ("pods/log", ["get"]),
        ("events", ["list"]),
        ("secrets", ["create", "get", "patch", "delete"]),
    ],
)
def test_the_worker_may_do_what_docs_say_it_needs(
    real_pods: ClusterLab, resource: str, verbs: list[str]
) -> None:
    assert [verb for verb in verbs if not real_pods.eyes.allowed(verb, resource)] == []
