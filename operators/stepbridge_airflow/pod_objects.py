"""Arguments of KubernetesPodOperator that describe parts of a pod: objects of its client or mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepbridge.failures import OperatorProblem

_LISTS = (
    "env_from",
    "host_aliases",
    "image_pull_secrets",
    "init_containers",
    "pod_runtime_info_envs",
    "ports",
    "tolerations",
    "volume_mounts",
    "volumes",
)
_SINGLE = (
    "affinity",
    "container_resources",
    "container_security_context",
    "dns_config",
    "full_pod_spec",
    "security_context",
)
_NAMES = (
    "image_pull_policy",
    "priority_class_name",
    "runtime_class_name",
    "schedulername",
    "service_account_name",
    "subdomain",
)
TEMPLATED = (*_LISTS, *_SINGLE, *_NAMES)
"""What a step renders beside the provider's own templated arguments, where the provider takes it."""


def check(given: Mapping[str, Any], *, place: str) -> None:
    """Refuse what no version of the provider takes, when the DAG is read.

    A text may be a template, and any other object may become a value when the task runs: both are left.

    :raises OperatorProblem: SB502 for one object where a list is due, and for numbers among objects.
    """
    for name in _LISTS:
        value = given.get(name)
        if isinstance(value, Mapping) or hasattr(value, "openapi_types"):
            raise _invalid(name, value, f"write {name}=[...]", place)
        for one in value if isinstance(value, list | tuple) else ():
            if one is None or isinstance(one, bool | int | float | list | tuple | set):
                raise _invalid(
                    name, one, "give objects of the kubernetes client, or mappings as in YAML", place
                )
    for name in _SINGLE:
        value = given.get(name)
        if isinstance(value, bool | int | float | list | tuple | set):
            raise _invalid(
                name, value, "give an object of the kubernetes client, or a mapping as in YAML", place
            )


def _invalid(name: str, value: object, hint: str, place: str) -> OperatorProblem:
    return OperatorProblem("SB502", f"{name}={value!r} is not valid", place=place, hint=hint)
