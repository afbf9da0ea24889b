"""Airflow's Variables and connections as the environment that a step reads them from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepbridge.facade.variables import ASKED
from stepbridge_airflow import compat

VARIABLE = "AIRFLOW_VAR_"
CONNECTION = "AIRFLOW_CONN_"


def variables_of(names: Sequence[str]) -> dict[str, str]:
    """The texts of those Variables that there are."""
    texts = {name: compat.variable(name) for name in names}
    return {name: str(text) for name, text in texts.items() if text is not compat.MISSING}


def asked(names: Sequence[str]) -> dict[str, str]:
    """What tells the step which Variables were looked for; nothing secret."""
    return {ASKED: ",".join(names)}


def values_of(variables: Mapping[str, str], connections: Sequence[str]) -> dict[str, str]:
    """The variables' and the connections' values by the names under which Airflow reads them; secret."""
    return {
        **{f"{VARIABLE}{name.upper()}": text for name, text in variables.items()},
        **{f"{CONNECTION}{name.upper()}": compat.connection_uri(name) for name in sorted(connections)},
    }
