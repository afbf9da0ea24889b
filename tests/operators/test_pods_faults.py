"""Every row of the outcome table over the wire: what breaks, what Airflow is told, and that nothing is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
    struck: dict[str, Any] = field(default_factory=dict)


BEFORE_START = [
    Case("unschedulable", faults.Unschedulable(), "SB420", "infra", "Insufficient nvidia.com/gpu",
         arguments=budgets(schedule=2)),
    Case("scheduled-late", faults.Unschedulable(seconds=1.5), arguments=budgets(schedule=30)),
    Case("quota", faults.QuotaExceeded(), "SB422", "infra", "exceeded quota", pods=0),
    Case("admission", faults.AdmissionForbidden(), "SB421", "config", "PodSecurity", pods=0),
    Case("image-typo", faults.ImagePull(), "SB423", "config", "not found"),
    Case("image-name", faults.ImagePull(reason="InvalidImageName"), "SB423", "config", "InvalidImageName"),
    Case("image-secret", faults.ImagePull(message=NO_SECRET), "SB423", "config", "pull access denied"),
    Case("image-busy", faults.ImagePull(message=BUSY), "SB424", "infra", "429", arguments=budgets(pull=2)),
    Case("image-busy-a-while", faults.ImagePull(message=BUSY, seconds=1.5), arguments=budgets(pull=30)),
    Case("config-error", faults.ConfigError(), "SB425", "config", 'secret "missing" not found'),
    Case("create-error", faults.CreateError(), "SB428", "infra", "context deadline exceeded",
         arguments=budgets(pull=1, start=1)),
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
