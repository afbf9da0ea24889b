"""Airflow's retries by the kind of a step's failure: a retry policy for Airflow 3.3 and newer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stepbridge.failures import OperatorProblem
from stepbridge_airflow import compat
from stepbridge_airflow.exceptions import (
    StepInfraError,
    StepOutOfMemory,
    StepPreempted,
    StepPreflightError,
    StepUserError,
)

_PLACE = "step_retry_policy"


def step_retry_policy(
    *,
    retry_user_errors: bool = True,
    retry_out_of_memory: bool = False,
    infra_delay: timedelta = timedelta(seconds=30),
) -> Any:
    """A policy for a task's ``retry_policy=``: what the kind of the failure says about another try.

    Failures of machine and cluster are retried after *infra_delay* instead of the task's ``retry_delay``;
    they come here only when ``infra_retries`` is used up. A wrong declaration is never retried: Airflow ends
    such a task without asking a policy. Timeouts and kills follow the task's own ``retries`` and
    ``retry_delay``, as do exceptions that are no step's. A policy cannot give more than ``retries``.

    :param retry_user_errors: False: a function that raised is not called again.
    :param retry_out_of_memory: True: retried as any failure; for steps whose memory grows by other means.
    :raises OperatorProblem: SB502 where Airflow has no retry policies, or the delay is none.
    """
    if compat.ExceptionRetryPolicy is None:
        raise OperatorProblem(
            "SB502",
            f"retry policies came with Airflow 3.3, and this is Airflow {compat.airflow_version()}",
            place=_PLACE,
            hint="leave retry_policy out; wrong declarations are not retried here either",
        )
    if not isinstance(infra_delay, timedelta) or infra_delay < timedelta(0):
        raise OperatorProblem(
            "SB502", f"infra_delay={infra_delay!r} is not valid", place=_PLACE, hint="write a timedelta"
        )
    rules = [
        compat.RetryRule(
            exception=[StepPreempted, StepInfraError, StepPreflightError],
            action=compat.RetryAction.RETRY,
            retry_delay=infra_delay,
            reason="machine or cluster failed, not the step",
        )
    ]
    if not retry_out_of_memory:
        rules.append(_fail(StepOutOfMemory, "the same step needs the same memory again"))
    if not retry_user_errors:
        rules.append(_fail(StepUserError, "the function raised, and retry_user_errors is False"))
    return compat.ExceptionRetryPolicy(rules=rules)


def _fail(exception: type[Exception], reason: str) -> Any:
    return compat.RetryRule(exception=exception, action=compat.RetryAction.FAIL, reason=reason)
