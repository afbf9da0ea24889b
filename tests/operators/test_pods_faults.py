"""Every row of the outcome table over the wire: what breaks, what Airflow is told, and that nothing is left."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from podlab import DEFERRED, PodLab, faults, pods  # noqa: F401 - the fixture

MODES = pytest.mark.parametrize("mode", ["", DEFERRED], ids=["sync", "deferred"])
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
    """

    id: str
    fault: faults.Fault
    code: str = ""
    kind: str = ""
    says: str = ""
    body: str = ""
    arguments: str = ""
    pods: int = 1


BEFORE_START = [
    Case(
        "unschedulable",
        faults.Unschedulable(),
        "SB420",
        "infra",
        "Insufficient nvidia.com/gpu",
        arguments=budgets(schedule=2),
    ),
    Case("scheduled-late", faults.Unschedulable(seconds=1.5), arguments=budgets(schedule=30)),
    Case("quota", faults.QuotaExceeded(), "SB422", "infra", "exceeded quota", pods=0),
    Case("admission", faults.AdmissionForbidden(), "SB421", "config", "PodSecurity", pods=0),
    Case("image-typo", faults.ImagePull(), "SB423", "config", "not found"),
    Case("image-name", faults.ImagePull(reason="InvalidImageName"), "SB423", "config", "InvalidImageName"),
    Case("image-secret", faults.ImagePull(message=NO_SECRET), "SB423", "config", "pull access denied"),
    Case("image-busy", faults.ImagePull(message=BUSY), "SB424", "infra", "429", arguments=budgets(pull=2)),
    Case("image-busy-a-while", faults.ImagePull(message=BUSY, seconds=1.5), arguments=budgets(pull=30)),
    Case("config-error", faults.ConfigError(), "SB425", "config", 'secret "missing" not found'),
    Case(
        "create-error",
        faults.CreateError(),
        "SB428",
        "infra",
        "context deadline exceeded",
        arguments=budgets(pull=1, start=1),
    ),
    Case("create-error-a-while", faults.CreateError(seconds=1.5), arguments=budgets(pull=30)),
    Case("init", faults.InitFailure(exit_code=3), "SB426", "infra", "exit code 3"),
    Case("node-refuses", faults.NodeRejects(), "SB427", "infra", "UnexpectedAdmissionError"),
]
"""What keeps a pod from starting."""


@MODES
@pytest.mark.parametrize("case", BEFORE_START, ids=lambda case: case.id)
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
    Case("oom-137", faults.OomKilled(exit_code=137), "SB406", "oom", "exit code 137"),
    Case("oom-1", faults.OomKilled(exit_code=1), "SB406", "oom", "exit code 1"),
    Case("oom-0", faults.OomKilled(exit_code=0), "SB406", "oom", "exit code 0"),
    Case("evicted", faults.Evicted(), "SB429", "infra", "low on resource"),
    Case("evicted-own-disk", faults.Evicted(message=OWN_DISK), "SB430", "config", "exceeds the total limit"),
    Case("preempted", faults.Preempted(), "SB431", "preempted", "Preempt"),
    Case("spot", faults.SpotTaint(), "SB431", "preempted", "Taint"),
    Case("shutdown", faults.NodeShutdown(), "SB431", "preempted", "node shutdown"),
    Case("deleted", faults.DeletedOutside(), "SB433", "infra", "this task did not delete it"),
    Case("vanished", faults.Vanish(), "SB433", "infra", "not there any more"),
]
"""What ends a pod that runs."""


@MODES
@pytest.mark.parametrize("case", WHILE_RUNNING, ids=lambda case: case.id)
def test_while_it_runs(pods: PodLab, case: Case, mode: str) -> None:
    pods.cluster.inject(replace(case.fault, after_file=pods.flag("started")))
    pods.step(HELD, mode, expect="failed")
    told(pods, case)


@MODES
@pytest.mark.parametrize("case", WHILE_RUNNING, ids=lambda case: case.id)
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


@pytest.mark.slow
@MODES
def test_a_lost_node(pods: PodLab, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__LOOK_INTERVAL", "5")
    pods.cluster.inject(faults.NodeLost(after_file=pods.flag("started")))
    pods.step(HELD, mode, expect="failed")
    told(pods, Case("", faults.NodeLost(), "SB431", "preempted", "Taint"))


@MODES
def test_the_deadline(pods: PodLab, mode: str) -> None:
    pods.step(HELD, mode, "active_deadline_seconds=3", expect="failed")
    told(pods, Case("", faults.Fault(), "SB437", "timeout", "DeadlineExceeded"))


@MODES
def test_deleted_before_the_start(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Unschedulable())

    def delete() -> None:
        pods.cluster.delete_pod(pods.wait_for_pod()["metadata"]["name"])

    pods.meanwhile(delete)
    pods.step("", mode, expect="failed")
    told(pods, Case("", faults.Fault(), "SB433", "infra", "before its container was seen running"))


@MODES
def test_vanished_before_the_start(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Unschedulable())
    pods.cluster.inject(faults.Vanish(when="before_start", after=0.5))
    pods.step("", mode, expect="failed")
    told(pods, Case("", faults.Fault(), "SB433", "infra", "not there any more"))


@MODES
def test_vanished_when_it_had_finished(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Vanish(when="finished"))
    run = pods.step("", mode)
    assert run.xcom("work") == 4
    told(pods, Case("", faults.Fault()))


@MODES
def test_vanished_when_the_function_had_raised(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.Vanish(when="finished"))
    pods.step("raise ValueError('no rows')", mode, "infra_retries=2", expect="failed")
    told(pods, Case("", faults.Fault(), "SB402", "user", "no rows"))


@MODES
def test_a_function_that_is_killed(pods: PodLab, mode: str) -> None:
    pods.step("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", mode, expect="failed")
    told(pods, Case("", faults.Fault(), "SB408", "infra", "SIGKILL"))


@MODES
def test_green_without_a_result_is_a_failure(pods: PodLab, mode: str) -> None:
    pods.step("", mode, "python='true'", expect="failed")
    told(pods, Case("", faults.Fault(), "SB409", "infra", "neither a result nor an error"))


@MODES
def test_a_foreign_sidecar_that_never_ends(pods: PodLab, mode: str) -> None:
    pods.cluster.inject(faults.ForeignSidecar())
    assert pods.step("", mode).xcom("work") == 4
    told(pods, Case("", faults.Fault()))


@pytest.mark.parametrize("action", ["keep_pod", "delete_succeeded_pod", "delete_active_pod"])
def test_a_pod_that_is_to_stay_stays(pods: PodLab, action: str) -> None:
    pods.step("raise ValueError('no rows')", f"on_finish_action={action!r}", expect="failed")
    assert len(pods.cluster.pods()) == 1
    pods.cluster.vanish(pods.created()[0]["metadata"]["name"])
