"""What the end of a run means to Airflow: one table from ``error.json`` to a task's exception."""

from __future__ import annotations

from typing import Any

from stepbridge.contract import ErrorDocument
from stepbridge.failures import Kind, StepbridgeError
from stepbridge_airflow.compat import AirflowException, AirflowFailException, AirflowSkipException

RETRIED: dict[Kind, bool] = {
    "user": True,
    "config": False,
    "infra": True,
    "oom": True,
    "timeout": True,
    "preempted": True,
    "preflight": True,
    "interrupted": True,
}
"""Whether Airflow's own retries apply: a declaration that cannot work does not get better by repetition."""

REPEATED: frozenset[Kind] = frozenset({"infra", "preempted"})
"""Kinds that ``infra_retries`` repeats within one attempt of Airflow's."""


def exception_of(error: ErrorDocument) -> Exception:
    """The exception of Airflow's that says what *error* says."""
    if error.signal == "skip":
        return _made(AirflowSkipException(error.message))
    text = _message(error)
    if error.signal == "fail" or not RETRIED[error.kind]:
        return _made(AirflowFailException(text))
    return _made(AirflowException(text))


def exception_for(error: StepbridgeError) -> Exception:
    """The same for an error that the operator itself met."""
    if RETRIED[error.kind]:
        return _made(AirflowException(str(error)))
    return _made(AirflowFailException(str(error)))


def repeats(error: ErrorDocument) -> bool:
    """Whether the infrastructure, not the step, is to blame."""
    return error.kind in REPEATED and not error.signal


def _message(error: ErrorDocument) -> str:
    return f"step failed ({error.kind}, {error.code}): {error.type}: {error.message}"


def _made(exception: Any) -> Exception:
    made: Exception = exception
    return made
