"""The retry policy: what real Airflow does with it, and that older ones say why they cannot."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stepbridge.failures import OperatorProblem
from stepbridge_airflow import compat, exceptions
from stepbridge_airflow.retries import step_retry_policy

HAS_POLICIES = compat.ExceptionRetryPolicy is not None
needs_policies = pytest.mark.skipif(not HAS_POLICIES, reason="this Airflow has no retry policies")

RAISES = """
from pathlib import Path
from stepbridge_airflow.retries import step_retry_policy

def work():
    mark = Path("{mark}")
    mark.write_text((mark.read_text() if mark.exists() else "") + "x")
    {body}

with DAG("DAG_ID", start_date=START, schedule=None):
    StepOperator(
        task_id="t", python_callable=work, infra_retries=0, retries={retries},
        retry_delay=timedelta(seconds={wait}), retry_policy=step_retry_policy({policy}),
    )
"""
DIES = "import os, signal; len(mark.read_text()) > 1 or os.kill(os.getpid(), signal.SIGKILL)"


@needs_policies
def test_a_failure_of_the_machine_is_retried_soon(lab: Any, tmp_path: Path) -> None:
    mark, began = tmp_path / "mark", time.monotonic()
    policy = "infra_delay=timedelta(seconds=1)"
    run = lab.run(RAISES.format(mark=mark, body=DIES, retries=1, wait=90, policy=policy))
    assert run.states == {"t": "success"}
    assert mark.read_text() == "xx"
    assert time.monotonic() - began < 60, "the task's own delay was taken"


@needs_policies
@pytest.mark.parametrize(
    ("policy", "calls"), [("retry_user_errors=False", 1), ("", 2)], ids=["never again", "as the task says"]
)
def test_what_the_function_raises(lab: Any, tmp_path: Path, policy: str, calls: int) -> None:
    mark = tmp_path / "mark"
    source = RAISES.format(mark=mark, body="raise ValueError('bad')", retries=1, wait=1, policy=policy)
    lab.run(source, expect="failed")
    assert len(mark.read_text()) == calls


@needs_policies
@pytest.mark.parametrize(
    ("exception", "options", "action", "seconds"),
    [
        (exceptions.StepPreempted, {}, "retry", 30),
        (exceptions.StepInfraError, {}, "retry", 30),
        (exceptions.StepPreflightError, {"infra_delay": timedelta(minutes=2)}, "retry", 120),
        (exceptions.StepOutOfMemory, {}, "fail", None),
        (exceptions.StepOutOfMemory, {"retry_out_of_memory": True}, "default", None),
        (exceptions.StepUserError, {}, "default", None),
        (exceptions.StepUserError, {"retry_user_errors": False}, "fail", None),
        (exceptions.StepTimeout, {}, "default", None),
        (exceptions.StepInterrupted, {}, "default", None),
        (ConnectionError, {}, "default", None),
    ],
)
def test_decisions(
    exception: type[Exception], options: dict[str, Any], action: str, seconds: int | None
) -> None:
    policy = step_retry_policy(**options)
    for one in (policy, type(policy).deserialize(policy.serialize())):
        found = one.evaluate(exception("x"), try_number=1, max_tries=3)
        assert found.action.value == action
        assert (found.retry_delay.total_seconds() if found.retry_delay else None) == seconds


@needs_policies
def test_a_delay_that_is_none() -> None:
    for delay in (timedelta(seconds=-1), 30):
        with pytest.raises(OperatorProblem, match="infra_delay"):
            step_retry_policy(infra_delay=delay)  # type: ignore[arg-type]


@pytest.mark.skipif(HAS_POLICIES, reason="this Airflow has retry policies")
def test_older_airflow_is_named() -> None:
    with pytest.raises(OperatorProblem, match=rf"SB502.*Airflow 3\.3.*{compat.airflow_version()}"):
        step_retry_policy()
