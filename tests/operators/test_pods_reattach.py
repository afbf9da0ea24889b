"""A worker that dies: what the next try takes, goes on with, removes or makes anew."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from podlab import DEFERRED, TRIED, PodLab, faults, pods  # noqa: F401 - the fixture

MODES = pytest.mark.parametrize("mode", ["", DEFERRED], ids=["sync", "deferred"])
COUNTED = """
with (flags / "count").open("a") as file:
    file.write("x")
once("started")
hold()
"""
VARIABLE = "variables=['color']"


class Tries:
    """One DAG file whose step is tried again after its worker died.

    :param body: of the function; :param arguments: of the operator; :param header: what stands before both.
    """

    def __init__(self, pods: PodLab, body: str, *arguments: str, header: str = "") -> None:
        self.pods, self.body, self.arguments, self.header = pods, body, arguments, header
        self.name = f"dag_{uuid.uuid4().hex[:8]}"
        self.tries = 0

    def load(self, body: str = "") -> Any:
        """The DAG whose next try is one more than the last."""
        before = TRIED.format(tries=self.tries)
        source = self.pods.source(body or self.body, *self.arguments, header=self.header, before=before)
        source = source.replace("DAG_ID", self.name)
        self.tries += 1
        return self.pods.load(source, f"{self.name}.py")

    def killed(self, when: Callable[[], object]) -> None:
        """A try whose worker is killed when *when* is true."""
        worker = self.pods.start(self.load())
        try:
            self.pods.cluster.wait_for(when, 60)
        finally:
            worker.kill(signal.SIGKILL)
            assert worker.wait() == -signal.SIGKILL

    def again(self, body: str = "", expect: str = "success") -> Any:
        done = self.pods.again(self.load(body))
        assert done.state == expect, (done.states, self.pods.ends())
        return done


def count(pods: PodLab) -> int:
    """How often the function was called."""
    file = pods.flag("count")
    return len(file.read_text()) if file.exists() else 0


@MODES
def test_a_running_pod_is_gone_on_with(pods: PodLab, mode: str) -> None:
    tries = Tries(pods, COUNTED, mode)
    tries.killed(pods.flag("started").exists)
    assert len(pods.cluster.pods()) == 1
    pods.meanwhile(pods.flag("go").touch)
    assert tries.again().xcom("work") == 4
    assert len(pods.created()) == count(pods) == 1
    pods.assert_nothing_left()


@MODES
def test_a_result_is_taken_when_the_pod_ended_alone(pods: PodLab, mode: str) -> None:
    tries = Tries(pods, COUNTED, mode)
    tries.killed(pods.flag("started").exists)
    pods.flag("go").touch()
    pods.cluster.wait_for(lambda: pods.records("result.json"), 30)
    assert tries.again().xcom("work") == 4
    assert len(pods.created()) == count(pods) == 1
    pods.assert_nothing_left()


def test_a_result_is_taken_when_the_pod_is_gone_too(pods: PodLab) -> None:
    tries = Tries(pods, COUNTED)
    tries.killed(pods.flag("started").exists)
    pods.flag("go").touch()
    pods.cluster.wait_for(lambda: pods.records("result.json"), 30)
    pods.cluster.vanish(pods.created()[0]["metadata"]["name"])
    assert tries.again().xcom("work") == 4
    assert len(pods.created()) == count(pods) == 1
    pods.assert_nothing_left()


def test_changed_code_replaces_the_pod(pods: PodLab) -> None:
    tries = Tries(pods, COUNTED)
    tries.killed(pods.flag("started").exists)
    assert tries.again("return 40").xcom("work") == 40
    first, second = pods.created()
    assert first["metadata"]["name"] != second["metadata"]["name"]
    pods.assert_nothing_left()


def test_changed_code_replaces_a_pod_that_would_be_kept(pods: PodLab) -> None:
    tries = Tries(pods, COUNTED, "on_finish_action='keep_pod'")
    tries.killed(pods.flag("started").exists)
    assert tries.again("return 40").xcom("work") == 40
    assert not any(pod["status"]["phase"] == "Running" for pod in pods.cluster.pods())
    for pod in pods.cluster.pods():
        pods.cluster.vanish(pod["metadata"]["name"])


def test_no_reattachment_where_it_is_not_wanted(pods: PodLab) -> None:
    tries = Tries(pods, COUNTED, "reattach_on_restart=False")
    tries.killed(pods.flag("started").exists)
    pods.meanwhile(lambda: _go_when(pods, 2))
    assert tries.again().xcom("work") == 4
    assert len(pods.created()) == 2
    pods.assert_nothing_left()


def _go_when(pods: PodLab, created: int) -> None:
    pods.cluster.wait_for(lambda: len(pods.created()) == created, 60)
    pods.flag("go").touch()


def test_a_failure_nobody_took_is_tried_again(pods: PodLab) -> None:
    tries = Tries(pods, COUNTED + "if once('failed'):\n    raise ValueError('no rows')\n")
    tries.killed(pods.flag("started").exists)
    pods.flag("go").touch()
    pods.cluster.wait_for(lambda: pods.records("error.json"), 30)
    assert tries.again().xcom("work") == 4
    assert len(pods.created()) == count(pods) == 2
    pods.assert_nothing_left()


def test_cleared_after_success_runs_again(pods: PodLab) -> None:
    pods.flag("go").touch()
    tries = Tries(pods, COUNTED)
    tries.again()
    tries.again()
    assert len(pods.created()) == count(pods) == 2
    pods.assert_nothing_left()


def _has(pods: PodLab, name: str) -> Callable[[], object]:
    return lambda: pods.records(name)


SLOW = {
    "secret": faults.Slow(seconds=4, methods=["POST"], path_contains="/secrets", times=1),
    "pod": faults.Slow(seconds=4, methods=["POST"], path_contains="/pods", times=1),
}


@pytest.mark.parametrize(
    "at",
    [
        "created",
        "result",
        *(pytest.param(at, marks=pytest.mark.slow) for at in ("request", "secret", "pod", "deleting")),
    ],
)
def test_killed_at_each_step_of_a_run(pods: PodLab, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with the request written, before the Secret, before the pod, with the pod, with the result."""
    monkeypatch.setenv("AIRFLOW_VAR_COLOR", "blue")
    if at in {"result", "deleting"}:
        pods.flag("go").touch()
    tries = Tries(pods, COUNTED, VARIABLE)
    if at in SLOW:
        armed = pods.cluster.inject(SLOW[at])
        when: Callable[[], object] = lambda: armed.fired  # noqa: E731
    elif at == "deleting":
        armed = pods.cluster.inject(faults.Slow(seconds=4, methods=["DELETE"], times=1))
        when = lambda: armed.fired  # noqa: E731
    elif at == "created":
        when = lambda: pods.created()  # noqa: E731
    else:
        when = _has(pods, f"{at}.json")
    tries.killed(when)
    pods.flag("go").touch()
    assert tries.again().xcom("work") == 4
    if at in {"created", "result", "deleting"}:
        assert len(pods.created()) == 1
    assert count(pods) == 1
    if at == "pod":
        # the API server carries the dead worker's request out; without its Secret that pod cannot begin
        pods.cluster.wait_for(lambda: len(pods.created()) == 2, 10)
        late = pods.wait_for_pod(lambda pod: pod["status"].get("containerStatuses"), 10)
        waits = late["status"]["containerStatuses"][0]["state"]["waiting"]
        assert waits["reason"] == "CreateContainerConfigError"
        pods.cluster.vanish(late["metadata"]["name"])
    pods.assert_nothing_left()
    assert count(pods) == 1


LATE = """
def late(context, result=None):
    import time
    from pathlib import Path
    while not Path({flag!r}).exists():
        time.sleep(0.02)
"""


def test_killed_when_the_end_was_noted_but_not_told(pods: PodLab) -> None:
    """Nobody can tell this from a task that was cleared after its success: it runs again."""
    pods.flag("go").touch()
    header = LATE.format(flag=str(pods.flag("late")))
    tries = Tries(pods, COUNTED, "post_execute=late", header=header)
    tries.killed(lambda: any(json.loads(one.read_text())["taken"] for one in pods.records("pod.json")))
    assert pods.cluster.pods() == []
    pods.flag("late").touch()
    assert tries.again().xcom("work") == 4
    assert len(pods.created()) == count(pods) == 2
    pods.assert_nothing_left()


def test_a_kill_while_no_worker_has_the_task(pods: PodLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger deletes the pod, as when a deferred task is marked failed; the Secret goes with it."""
    monkeypatch.setenv("AIRFLOW_VAR_COLOR", "blue")
    tries = Tries(pods, COUNTED, DEFERRED, VARIABLE)

    def deferred() -> bool:
        owned = [one["metadata"].get("ownerReferences") for one in pods.cluster.secrets()]
        return pods.flag("started").exists() and owned != [] and all(owned)

    tries.killed(deferred)
    kill(pods)
    pods.assert_nothing_left()
    pods.flag("go").touch()
    assert tries.again().xcom("work") == 4
    assert len(pods.created()) == count(pods) == 2
    pods.assert_nothing_left()


def kill(pods: PodLab) -> None:
    """What the triggerer does to the one pod; before Airflow 3.3 it deletes it by itself."""
    from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger

    (pod,) = pods.created()
    name = pod["metadata"]["name"]
    if not hasattr(KubernetesPodTrigger, "on_kill"):
        pods.cluster.delete_pod(name)
        return
    access = yaml.safe_load(pods.cluster.kubeconfig.read_text())
    trigger = KubernetesPodTrigger(name, "default", datetime.now(UTC), "base", config_dict=access)
    asyncio.run(trigger.on_kill())


def test_what_is_kept_of_a_run_says_that_its_end_was_taken(pods: PodLab) -> None:
    pods.step("")
    (record,) = pods.records("pod.json")
    assert json.loads(Path(record).read_text())["taken"] is True
