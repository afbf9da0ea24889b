"""Kills and outages: Airflow stops the task, the API server or the store fails; never green, nothing left."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from podlab import DEFERRED, RUNNING, PodLab, faults, pods  # noqa: F401 - the fixture

MODES = pytest.mark.parametrize(
    "mode",
    [pytest.param("", id="sync"), pytest.param(DEFERRED, id="deferred", marks=pytest.mark.slow)],
)
HELD = "once('started')\nhold()"


def assert_killed(pods: PodLab) -> None:
    """Airflow was told of the kill: by Airflow 2 itself, whose own exception goes before all others."""
    end = pods.end()
    if pods.lab.version < (3,):
        assert end.type == "AirflowTaskTerminated"
    else:
        assert (end.code, end.kind) == ("SB405", "interrupted")


def release(pods: PodLab, *, after: float) -> None:
    time.sleep(after)
    pods.flag("go").touch()


def test_on_kill_from_another_thread(pods: PodLab) -> None:
    RUNNING.clear()

    def kill() -> None:
        pods.wait("started")
        RUNNING[-1].on_kill()

    pods.meanwhile(kill)
    header = "def known(context):\n    import podlab\n    podlab.RUNNING.append(context['ti'].task)\n"
    pods.step(HELD, "infra_retries=3, on_execute_callback=known", header=header, expect="failed")
    assert (pods.end().code, pods.end().kind) == ("SB405", "interrupted")
    assert pods.errors() == ["SB405"]
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


def test_sigterm_of_the_worker(pods: PodLab) -> None:
    worker = pods.start(pods.load(pods.source(HELD, "infra_retries=3")))
    pods.wait("started")
    worker.kill(signal.SIGTERM)
    assert worker.wait() != 0
    assert_killed(pods)
    assert pods.errors() == ["SB405"]
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


@pytest.mark.slow
def test_sigterm_while_the_pod_waits_for_a_node(pods: PodLab) -> None:
    pods.cluster.inject(faults.Unschedulable())
    worker = pods.start(pods.load(pods.source(HELD)))
    pods.wait_for_pod()
    worker.kill(signal.SIGTERM)
    assert worker.wait() != 0
    assert_killed(pods)
    pods.assert_nothing_left()


@pytest.mark.slow
def test_sigterm_that_keeps_the_pod(pods: PodLab) -> None:
    worker = pods.start(pods.load(pods.source(HELD, "on_kill_action='keep_pod'")))
    pods.wait("started")
    worker.kill(signal.SIGTERM)
    assert worker.wait() != 0
    assert_killed(pods)
    (pod,) = pods.cluster.pods()
    assert pod["status"]["phase"] == "Running"
    assert "deletionTimestamp" not in pod["metadata"]
    pods.flag("go").touch()
    pods.cluster.wait_for(lambda: pods.cluster.pods()[0]["status"]["phase"] == "Succeeded", 30)
    pods.cluster.vanish(pod["metadata"]["name"])


@MODES
def test_an_expired_token(pods: PodLab, mode: str) -> None:
    def expire() -> None:
        pods.wait("started")
        pods.cluster.expire_token()
        release(pods, after=1)

    pods.meanwhile(expire)
    assert pods.step(HELD, mode).xcom("work") == 4
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


@MODES
@pytest.mark.parametrize(
    "fault",
    [
        faults.Api(status=503, times=3),
        faults.Api(status=500, times=3),
        faults.Api(status=429, retry_after=1, times=3),
        faults.ApiCut(times=3),
    ],
    ids=["503", "500", "429", "cut"],
)
def test_a_burst_of_errors_while_it_runs(pods: PodLab, fault: faults.Fault, mode: str) -> None:
    def burst() -> None:
        pods.wait("started")
        pods.cluster.inject(fault)
        release(pods, after=0.5)

    pods.meanwhile(burst)
    assert pods.step(HELD, mode).xcom("work") == 4
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


@MODES
@pytest.mark.parametrize("status", [503, 429])
def test_a_burst_of_errors_at_the_creation(pods: PodLab, status: int, mode: str) -> None:
    pods.cluster.inject(faults.Api(status=status, times=2, methods=["POST"], path_contains="/pods"))
    assert pods.step("", mode).xcom("work") == 4
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


@MODES
def test_the_answer_of_the_creation_is_lost(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.LostCreateAnswer())
    assert pods.step("", mode).xcom("work") == 4
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


@pytest.mark.slow
def test_a_long_outage_fails_the_task_and_the_next_try_goes_on(pods: PodLab) -> None:
    outage = []

    def fail() -> None:
        pods.wait("started")
        outage.append(pods.cluster.inject(faults.Api(status=503, times=None)))
        pods.cluster.wait_for(lambda: pods.ends(), 120)
        outage[0].stop()
        pods.flag("go").touch()

    pods.meanwhile(fail)
    pods.step(HELD, "retries=1, retry_delay=timedelta(seconds=3)")
    assert [end.code for end in pods.ends()] == ["SB434"]
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


def break_store(pods: PodLab) -> None:
    """From now on every read and write of run records fails, as on a file system that does not answer."""
    runs = pods.lab.store / "runs"
    runs.rename(pods.lab.store / "away")
    runs.symlink_to(runs)


def mend_store(pods: PodLab) -> None:
    runs = pods.lab.store / "runs"
    runs.unlink()
    (pods.lab.store / "away").rename(runs)


@pytest.mark.parametrize("seconds", [2, None], ids=["a-while", "for-good"])
@MODES
def test_the_store_fails_when_the_result_is_to_be_read(
    pods: PodLab, mode: str, seconds: float | None
) -> None:
    def fail() -> None:
        pods.cluster.wait_for(lambda: pods.records("result.json"), 60)
        break_store(pods)
        if seconds is not None:
            time.sleep(seconds)
            mend_store(pods)

    pods.meanwhile(fail)
    run = pods.step("", mode, expect="success" if seconds else "failed")
    if seconds:
        assert run.xcom("work") == 4
        assert pods.ends() == []
    else:
        assert (pods.end().code, pods.end().kind) == ("SB305", "infra")
        assert run.xcom("work") is None
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deferred task looks at its running pod soon, and waits little for a store that is down."""
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__LOOK_INTERVAL", "2")
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__API_PATIENCE", "1")
    monkeypatch.setenv("AIRFLOW_VAR_COLOR", "blue")


BEGUN = """
def begun(context):
    ti = context["ti"]
    ti.start_date = ti.start_date or datetime.now().astimezone()
"""
"""The task's start, which ``dag.test()`` of Airflow 2 does not set, and without which no trigger wakes it."""


def deferred_step(pods: PodLab, body: str, *arguments: str, expect: str = "success") -> Any:
    return pods.step(body, DEFERRED, "on_execute_callback=begun", *arguments, header=BEGUN, expect=expect)


@pytest.mark.usefixtures("hasty")
def test_the_store_fails_while_a_deferred_pod_works(pods: PodLab) -> None:
    def fail() -> None:
        pods.wait("started")
        break_store(pods)

    pods.meanwhile(fail)
    run = deferred_step(pods, HELD, "variables=['color']", expect="failed")
    assert (pods.end().code, pods.end().kind) == ("SB305", "infra")
    assert run.xcom("work") is None
    pods.assert_nothing_left()


@pytest.mark.usefixtures("hasty")
def test_the_next_try_goes_on_with_a_pod_that_outlived_the_stores_outage(pods: PodLab) -> None:
    def fail() -> None:
        pods.wait("started")
        break_store(pods)
        pods.cluster.wait_for(lambda: pods.ends(), 60)
        mend_store(pods)
        release(pods, after=4)

    pods.meanwhile(fail)
    run = deferred_step(pods, HELD, "variables=['color']", "retries=1, retry_delay=timedelta(seconds=1)")
    assert run.xcom("work") == 4
    assert [end.code for end in pods.ends()] == ["SB305"]
    assert len(pods.created()) == 1
    pods.assert_nothing_left()


@pytest.mark.usefixtures("hasty")
def test_the_record_of_a_deferred_pod_is_lost(pods: PodLab) -> None:
    def lose() -> None:
        pods.wait("started")
        for record in pods.records("pod.json"):
            record.unlink()

    pods.meanwhile(lose)
    body = "if once('started'):\n    hold()\n"
    deferred_step(pods, body, "variables=['color']", "retries=1, retry_delay=timedelta(seconds=1)")
    assert [end.code for end in pods.ends()] == ["SB409"]
    assert len(pods.created()) == 2
    pods.assert_nothing_left()


@pytest.mark.usefixtures("hasty")
def test_another_pod_of_the_name_is_left_alone_when_the_store_fails(pods: PodLab) -> None:
    from kubernetes import client, config

    def swap() -> None:
        pods.wait("started")
        name = pods.created()[0]["metadata"]["name"]
        pods.cluster.vanish(name)
        break_store(pods)
        container = {"name": "base", "image": "other", "command": ["sleep", "60"]}
        other = {"metadata": {"name": name}, "spec": {"containers": [container]}}
        with config.new_client_from_config(str(pods.cluster.kubeconfig)) as api:
            client.CoreV1Api(api).create_namespaced_pod("default", other)

    pods.meanwhile(swap)
    deferred_step(pods, HELD, expect="failed")
    assert pods.end().code == "SB305"
    (pod,) = pods.cluster.pods()
    assert (pod["spec"]["containers"][0]["image"], pod["status"]["phase"]) == ("other", "Running")
    pods.cluster.vanish(pod["metadata"]["name"])
    pods.assert_nothing_left()
