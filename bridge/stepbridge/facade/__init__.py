"""What a step's code sees in place of Airflow: the context, ``ti``, ``Variable`` and three exceptions."""

from __future__ import annotations

from stepbridge.facade.context import Context, get_current_context
from stepbridge.facade.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from stepbridge.facade.unavailable import Unavailable
from stepbridge.facade.variables import Variable

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowSkipException",
    "Context",
    "Unavailable",
    "Variable",
    "get_current_context",
]
