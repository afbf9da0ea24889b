"""What a step's failure is to Airflow: one exception class a kind, for retry policies and callbacks."""

from __future__ import annotations

from stepbridge.failures import Kind
from stepbridge_airflow.compat import AirflowException, AirflowFailException


class StepError(AirflowException):
    """A step failed; ``kind`` and ``code`` say how. See docs/errors.md.

    :param message: the whole message.
    :param kind: the kind of failure.
    :param code: the stable code: ``SB402``.
    """

    def __init__(self, message: str, *, kind: Kind = "infra", code: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class StepUserError(StepError):
    """The function, or what it was given, is wrong."""


class StepConfigError(StepError, AirflowFailException):
    """The task is declared in a way that cannot work; Airflow does not retry it."""


class StepInfraError(StepError):
    """Store, network, cluster or process failed."""


class StepOutOfMemory(StepError):
    """Out of memory."""


class StepTimeout(StepError):
    """The step, or one part of its life, took longer than its limit."""


class StepPreempted(StepError):
    """The machine was taken away."""


class StepPreflightError(StepError):
    """The machine lacks what was asked for."""


class StepInterrupted(StepError):
    """Somebody or something stopped the step."""


class StepFailed(StepUserError, AirflowFailException):
    """The function asked for failure without retries, with Airflow's own exception."""


BY_KIND: dict[Kind, type[StepError]] = {
    "user": StepUserError,
    "config": StepConfigError,
    "infra": StepInfraError,
    "oom": StepOutOfMemory,
    "timeout": StepTimeout,
    "preempted": StepPreempted,
    "preflight": StepPreflightError,
    "interrupted": StepInterrupted,
}
"""The exception of each kind."""
