"""Airflow's exceptions for code that runs where Airflow is not, and what each means for the task."""

from __future__ import annotations

from typing import Literal

_SIGNALS: dict[str, Literal["skip", "fail"]] = {
    "AirflowSkipException": "skip",
    "AirflowFailException": "fail",
}


class AirflowException(Exception):
    """Base of Airflow's own errors."""


class AirflowFailException(AirflowException):
    """Raised by a function to fail its task without a retry."""


class AirflowSkipException(AirflowException):
    """Raised by a function to end its task as skipped."""


def signal_of(error: BaseException) -> Literal["", "skip", "fail"]:
    """What *error* asks of Airflow; Airflow's own classes and the ones above count alike, by name."""
    for cls in type(error).__mro__:
        if cls.__name__ in _SIGNALS:
            return _SIGNALS[cls.__name__]
    return ""
