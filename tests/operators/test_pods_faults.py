"""Every row of the outcome table over the wire: what breaks, what Airflow is told; nothing is left."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.utils.pod_manager import OnFinishAction
from podlab import DEFERRED, PodLab, faults, pods  # noqa: F401 - the fixture

SLOW = pytest.mark.slow
SYNC = pytest.mark.parametrize("mode", ["", pytest.param(DEFERRED, marks=SLOW)], ids=["sync", "deferred"])
"""Both ways of waiting; every run of the tests takes the first, for the slow ones is the other."""
LATER = pytest.mark.parametrize("mode", [pytest.param("", marks=SLOW), DEFERRED], ids=["sync", "deferred"])
"""The same, the other way round."""
HELD = "if once('started'):\n    hold()"
OWN_DISK = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "
BUSY = (
    'failed to pull and unpack image "registry/steps:1": failed to copy: httpReadSeeker: failed open: '
    "unexpected status code https://registry/v2/steps/manifests/1: 429 Too Many Requests - Server message: "
    "toomanyrequests: You have reached your pull rate limit."
)
NO_SECRET = (
    'failed to pull and unpack image "registry/steps:1": failed to resolve reference "registry/steps:1": '
    "pull access denied, repository does not exist or may require authorization: server message: "
    "insufficient_scope: authorization failed"
)


def budgets(**seconds: float) -> str:
    given = ", ".join(f"{name}=timedelta(seconds={value})" for name, value in seconds.items())
    return f"budgets=Budgets({given})"


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong.

    :param code: what Airflow is told; empty: the step succeeds.
    :param says: text of the message.
    :param pods: how many are created.
    :param deferred: the mode of every test run; the other one is for the slow ones.
    """

    id: str
    fault: faults.Fault
    code: str = ""
    kind: str = ""
    says: str = ""
    body: str = ""
    arguments: str = ""
    pods: int = 1
    deferred: bool = False


def rows(cases: list[Case], *, swapped: bool = False, slow: Container[str] = ()) -> Any:
    """Each case in both modes, one of them marked slow.

    :param swapped: the other one than the case says. :param slow: ids of cases that are slow in both.
    """
    given = [
        pytest.param(
            case,
            DEFERRED if deferred else "",
            id=f"{case.id}-{'deferred' if deferred else 'sync'}",
            marks=SLOW if case.id in slow or deferred != (case.deferred != swapped) else (),
        )
        for case in cases
        for deferred in (False, True)
    ]
    return pytest.mark.parametrize(("case", "mode"), given)


BEFORE_START = [
    Case(
        "unschedulable",
        faults.Unschedulable(),
        "SB420",
        "infra",
        "Insufficient nvidia.com/gpu",
        arguments=budgets(schedule=2),
        deferred=True,
    ),
    Case("scheduled-late", faults.Unschedulable(seconds=1.5), arguments=budgets(schedule=30), deferred=True),
    Case("quota", faults.QuotaExceeded(), "SB422", "infra", "exceeded quota", pods=0),
    Case("admission", faults.AdmissionForbidden(), "SB421", "config", "PodSecurity", pods=0),
    Case("image-typo", faults.ImagePull(), "SB423", "config", "not found", deferred=True),
    Case("image-name", faults.ImagePull(reason="InvalidImageName"), "SB423", "config", "InvalidImageName"),
    Case(
        "image-secret",
        faults.ImagePull(message=NO_SECRET),
        "SB423",
        "config",
        "pull access denied",
        deferred=True,
    ),
    Case(
        "image-busy",
        faults.ImagePull(message=BUSY),
        "SB424",
        "infra",
        "429",
        arguments=budgets(pull=2),
    ),
    Case(
        "image-busy-a-while",
        faults.ImagePull(message=BUSY, seconds=1.5),
        arguments=budgets(pull=30),
        deferred=True,
    ),
    Case(
        "config-error",
        faults.ConfigError(),
        "SB425",
        "config",
        'secret "missing" not found',
        arguments=budgets(schedule=2),
        deferred=True,
    ),
    Case(
        "create-error",
        faults.CreateError(),
        "SB428",
        "infra",
        "context deadline exceeded",
        arguments=budgets(pull=1, start=1),
        deferred=True,
    ),
    Case("create-error-a-while", faults.CreateError(seconds=1.5), arguments=budgets(pull=30)),
    Case("init", faults.InitFailure(exit_code=3), "SB426", "infra", "exit code 3"),
    Case("node-refuses", faults.NodeRejects(), "SB427", "infra", "UnexpectedAdmissionError", deferred=True),
]
"""What keeps a pod from starting."""


@rows(BEFORE_START)
def test_before_the_start(pods: PodLab, case: Case, mode: str) -> None:
    pods.cluster.inject(case.fault)
    pods.step(case.body, case.arguments, mode, expect="failed" if case.code else "success")
    told(pods, case)


def told(pods: PodLab, case: Case) -> None:
    """Airflow and the record say what *case* says, and nothing is left."""
    if case.code:
        end = pods.end()
        assert (end.code, end.kind) == (case.code, case.kind), end
        assert case.says in end.message
        assert pods.errors() == [case.code]
        assert pods.records("result.json") == []
    else:
        assert pods.ends() == []
        assert len(pods.records("result.json")) == 1
    assert len(pods.created()) == case.pods
    pods.assert_nothing_left()


WHILE_RUNNING = [
    Case("oom-137", faults.OomKilled(exit_code=137), "SB406", "oom", "exit code 137", deferred=True),
    Case("oom-1", faults.OomKilled(exit_code=1), "SB406", "oom", "exit code 1", deferred=True),
    Case("oom-0", faults.OomKilled(exit_code=0), "SB406", "oom", "exit code 0"),
    Case("evicted", faults.Evicted(), "SB429", "infra", "low on resource", deferred=True),
    Case("evicted-own-disk", faults.Evicted(message=OWN_DISK), "SB430", "config", "exceeds the total limit"),
    Case("preempted", faults.Preempted(), "SB431", "preempted", "Preempt"),
    Case("spot", faults.SpotTaint(), "SB431", "preempted", "Taint"),
    Case("shutdown", faults.NodeShutdown(), "SB431", "preempted", "node shutdown", deferred=True),
    Case("deleted", faults.DeletedOutside(), "SB433", "infra", "this task did not delete it"),
    Case("vanished", faults.Vanish(), "SB433", "infra", "not there any more"),
]
"""What ends a pod that runs."""


@rows(WHILE_RUNNING)
def test_while_it_runs(pods: PodLab, case: Case, mode: str) -> None:
    pods.cluster.inject(replace(case.fault, after_file=pods.flag("started")))
    pods.step(HELD, mode, expect="failed")
    told(pods, case)


@rows(
    WHILE_RUNNING,
    swapped=True,
    slow={"oom-1", "oom-0", "evicted-own-disk", "preempted", "deleted", "shutdown"},
)
def test_infrastructure_is_repeated_within_the_try_and_nothing_else(
    pods: PodLab, case: Case, mode: str
) -> None:
    pods.cluster.inject(replace(case.fault, after_file=pods.flag("started"), times=1))
    repeated = case.kind in {"infra", "preempted"}
    run = pods.step(HELD, mode, "infra_retries=2", expect="success" if repeated else "failed")
    assert len(pods.created()) == (2 if repeated else 1)
    assert pods.errors() == [case.code]
    if repeated:
        assert pods.ends() == []
        (earlier,) = run.xcom("work", "stepbridge")["earlier"]
        assert (earlier["kind"], earlier["code"]) == (case.kind, case.code)
        assert earlier["pod"] == pods.created()[0]["metadata"]["name"]
    pods.assert_nothing_left()


@SYNC
def test_a_lost_node(pods: PodLab, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__LOOK_INTERVAL", "5")
    pods.cluster.inject(faults.NodeLost(after_file=pods.flag("started")))
    pods.step(HELD, mode, "termination_grace_period=1", expect="failed")
    told(pods, Case("", faults.NodeLost(), "SB431", "preempted", "Taint"))


@LATER
def test_the_deadline(pods: PodLab, mode: str) -> None:
    pods.step(HELD, mode, "active_deadline_seconds=3", expect="failed")
    told(pods, Case("", faults.Fault(), "SB437", "timeout", "DeadlineExceeded"))


@SYNC
def test_deleted_before_the_start(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Unschedulable())

    def delete() -> None:
        pods.cluster.delete_pod(pods.wait_for_pod()["metadata"]["name"])

    pods.meanwhile(delete)
    pods.step("", mode, expect="failed")
    told(pods, Case("", faults.Fault(), "SB433", "infra", "this task did not delete it"))


@SYNC
def test_vanished_before_the_start(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Unschedulable())
    pods.cluster.inject(faults.Vanish(when="before_start", after=0.5))
    pods.step("", mode, expect="failed")
    told(pods, Case("", faults.Fault(), "SB433", "infra", "not there any more"))


@SYNC
def test_vanished_when_it_had_finished(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Vanish(when="finished"))
    run = pods.step("", mode)
    assert run.xcom("work") == 4
    told(pods, Case("", faults.Fault()))


@SYNC
def test_vanished_when_the_function_had_raised(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Vanish(when="finished"))
    pods.step("raise ValueError('no rows')", mode, "infra_retries=2", expect="failed")
    told(pods, Case("", faults.Fault(), "SB402", "user", "no rows"))


@LATER
def test_a_function_that_is_killed(pods: PodLab, mode: str) -> None:
    pods.step("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", mode, expect="failed")
    told(pods, Case("", faults.Fault(), "SB408", "infra", "SIGKILL"))


@LATER
def test_green_without_a_result_is_a_failure(pods: PodLab, mode: str) -> None:
    pods.step("", mode, "python='true'", expect="failed")
    told(pods, Case("", faults.Fault(), "SB409", "infra", "neither a result nor an error"))


@LATER
def test_a_foreign_sidecar_that_never_ends(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.ForeignSidecar())
    assert pods.step("", mode).xcom("work") == 4
    told(pods, Case("", faults.Fault()))


@LATER
def test_a_secret_that_is_not_there(pods: PodLab, mode: str) -> None:
    pods.step("", "secrets=[Secret('absent', 'key', env='KEY')]", mode, budgets(pull=2), expect="failed")
    told(pods, Case("", faults.Fault(), "SB425", "config", 'secret "absent" not found'))


@SYNC
def test_a_volume_of_a_secret_that_is_not_there(pods: PodLab, mode: str) -> None:
    given = "secrets=[Secret('absent', 'key', file='/run/absent/key')]"
    pods.step("", given, mode, budgets(pull=2), expect="failed")
    told(pods, Case("", faults.Fault(), "SB425", "config", 'secret "absent" not found'))


POST_PODS: dict[str, Any] = {"times": None, "methods": ["POST"], "path_contains": "/pods"}
REFUSED = [
    Case("401", faults.Api(status=401, **POST_PODS), "SB434", "infra", "401", pods=0),
    Case("429", faults.Api(status=429, **POST_PODS), "SB434", "infra", "429", pods=0, deferred=True),
    Case("503", faults.Api(status=503, **POST_PODS), "SB434", "infra", "503", pods=0),
    Case("400", faults.Api(status=400, **POST_PODS), "SB421", "config", "400", pods=0),
    Case("401-once", faults.Api(status=401, times=1), arguments="infra_retries=1"),
    Case("cut", faults.ApiCut(**POST_PODS)),
    Case("watch-cut", faults.WatchCut(times=5), deferred=True),
]
"""What the API server answers to the creation, or to all."""


@rows(REFUSED)
def test_what_the_api_server_answers(pods: PodLab, case: Case, mode: str) -> None:
    pods.cluster.inject(case.fault)
    pods.step("", mode, case.arguments, expect="failed" if case.code else "success")
    told(pods, case)


@SYNC
@pytest.mark.parametrize(
    ("verb", "created"), [("create", 0), ("get", 1)], ids=["creation-forbidden", "reading-forbidden"]
)
def test_a_right_that_is_missing(pods: PodLab, verb: str, created: int, mode: str) -> None:
    pods.cluster.forbid(verb, "pods")
    pods.step("hold()", mode, "infra_retries=1", expect="failed")
    assert (pods.end().code, pods.end().kind) == ("SB435", "config")
    assert f"can-i {verb} pods -n default" in pods.end().message
    # a runner that is stopped may have the last word in the store: nobody can see when it is gone
    assert set(pods.errors()) <= {"SB435", "SB405"}
    assert pods.records("result.json") == []
    assert len(pods.created()) == created
    pods.assert_nothing_left()


@pytest.mark.parametrize("resource", ["pods", "events"])
def test_a_right_that_is_not_needed(pods: PodLab, resource: str) -> None:
    pods.cluster.forbid("list", resource)
    assert pods.step("").xcom("work") == 4
    told(pods, Case("", faults.Fault()))


def test_a_pod_that_may_not_be_deleted_costs_no_result(pods: PodLab) -> None:
    pods.cluster.forbid("delete", "pods")
    assert pods.step("").xcom("work") == 4
    (pod,) = pods.cluster.pods()
    assert pod["status"]["phase"] == "Succeeded"
    pods.cluster.vanish(pod["metadata"]["name"])


@SYNC
def test_a_pod_that_does_not_go_is_removed_by_force(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.StuckDelete())
    pods.cluster.inject(faults.ImagePull())
    pods.step("", mode, "termination_grace_period=1", expect="failed")
    told(pods, Case("", faults.Fault(), "SB423", "config", "not found"))


ALL_LOGS = "container_logs=True, init_container_logs=True, full_pod_spec=POD_SPEC"
POD_SPEC = """
from kubernetes.client import models as k8s
POD_SPEC = k8s.V1Pod(spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base")], init_containers=[
    k8s.V1Container(name="fill", image="registry/steps:1", command=["sh", "-c"], args=["echo hello"])]))
"""


@LATER
@pytest.mark.parametrize("python", ["", "python='true'"], ids=["result", "no-result"])
def test_a_log_stream_that_is_cut_changes_nothing(pods: PodLab, python: str, mode: str) -> None:
    cut = pods.cluster.inject(faults.LogCut(times=None, after_bytes=3))
    pods.step(
        "print('x' * 5000)", mode, ALL_LOGS, python, header=POD_SPEC, expect="failed" if python else "success"
    )
    assert cut.fired
    code = ("SB409", "infra", "neither a result nor an error") if python else ("", "", "")
    told(pods, Case("", faults.Fault(), *code))


@LATER
@pytest.mark.parametrize("ahead", [-3000, 3000])
def test_a_cluster_whose_clock_differs(pods: PodLab, ahead: float, mode: str) -> None:
    pods.cluster.inject(faults.ClockSkew(seconds=ahead))
    pods.cluster.inject(faults.SlowPull(seconds=1))
    assert pods.step("", mode, budgets(schedule=20, pull=20, start=20)).xcom("work") == 4
    told(pods, Case("", faults.Fault()))


@pytest.mark.parametrize("action", [one.value for one in OnFinishAction if one.value != "delete_pod"])
def test_a_pod_that_is_to_stay_stays(pods: PodLab, action: str) -> None:
    pods.step("raise ValueError('no rows')", f"on_finish_action={action!r}", expect="failed")
    assert len(pods.cluster.pods()) == 1
    pods.cluster.vanish(pods.created()[0]["metadata"]["name"])
