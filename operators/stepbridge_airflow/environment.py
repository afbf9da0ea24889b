"""Airflow's Variables and connections as the environment that a step reads them from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from stepbridge.facade.variables import ASKED
from stepbridge.secrets import HIDDEN_FILES, HIDDEN_VARIABLES
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


def name_secrets(pod: Any, container: str) -> None:
    """Tell the runner what *pod*, a ``V1Pod``, gives it from Secrets, so that no log shows it.

    :param container: the step's.
    """
    base = next(one for one in pod.spec.containers if one.name == container)
    variables = [
        one.name for one in base.env or () if one.value_from is not None and one.value_from.secret_key_ref
    ]
    volumes = {one.name for one in pod.spec.volumes or () if _holds_secrets(one)}
    files = [one.mount_path for one in base.volume_mounts or () if one.name in volumes]
    told = {HIDDEN_VARIABLES: ",".join(variables), HIDDEN_FILES: os.pathsep.join(files)}
    base.env = [*(base.env or ()), *(_variable(name, text) for name, text in told.items() if text)]


def _holds_secrets(volume: Any) -> bool:
    sources = volume.projected.sources or () if volume.projected is not None else ()
    return volume.secret is not None or any(one.secret is not None for one in sources)


def _variable(name: str, text: str) -> Any:
    from kubernetes.client import models

    return models.V1EnvVar(name=name, value=text)
