"""stepbridge's operators for Airflow; names are imported when first asked for, so discovery is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepbridge_airflow.bindings import from_context, from_variable, from_xcom
    from stepbridge_airflow.budgets import Budgets
    from stepbridge_airflow.decorator import step
    from stepbridge_airflow.eks import EksStepOperator
    from stepbridge_airflow.escalation import Escalate
    from stepbridge_airflow.operator import StepOperator
    from stepbridge_airflow.placement import Placement
    from stepbridge_airflow.retries import step_retry_policy
    from stepbridge_airflow.shadow_declaring import shadow

__all__ = [
    "Budgets",
    "EksStepOperator",
    "Escalate",
    "Placement",
    "StepOperator",
    "from_context",
    "from_variable",
    "from_xcom",
    "shadow",
    "step",
    "step_retry_policy",
]

_HOMES = {
    "Budgets": "stepbridge_airflow.budgets",
    "EksStepOperator": "stepbridge_airflow.eks",
    "Escalate": "stepbridge_airflow.escalation",
    "Placement": "stepbridge_airflow.placement",
    "StepOperator": "stepbridge_airflow.operator",
    "from_context": "stepbridge_airflow.bindings",
    "from_variable": "stepbridge_airflow.bindings",
    "from_xcom": "stepbridge_airflow.bindings",
    "shadow": "stepbridge_airflow.shadow_declaring",
    "step": "stepbridge_airflow.decorator",
    "step_retry_policy": "stepbridge_airflow.retries",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
