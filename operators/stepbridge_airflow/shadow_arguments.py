"""The operator arguments that keep the two tasks of a shadow out of their DAG's way."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from stepbridge.failures import OperatorProblem
from stepbridge_airflow.compat import BaseOperator, MappedOperator

_INHERITED = ("owner", "start_date", "end_date", "params", "queue", "executor", "run_as_user")
"""What both tasks have from the control: who, when, and on which workers."""
_OWN = frozenset({"self", "kwargs", "task_id", "dag", "task_group", "default_args", "resources",
                  "task_concurrency"})  # fmt: skip
_FIXED: Mapping[str, Any] = {
    "depends_on_past": False,
    "wait_for_downstream": False,
    "priority_weight": 0,
    "weight_rule": "absolute",
    "retries": 1,
    "retry_delay": timedelta(0),
    "max_retry_delay": timedelta(days=1),
    "email_on_failure": False,
    "email_on_retry": False,
}
"""One retry, for a lost worker: a candidate's second try ends at once, so neither task is left failed."""
_DEFAULT_POOL = "default_pool"
_LISTS = frozenset({"inlets", "outlets"})
_FORBIDDEN = ("trigger_rule", "depends_on_past", "wait_for_downstream", "retries", "priority_weight",
              "weight_rule", "task_id", "dag", "task_group", "outlets", "max_active_tis_per_dag",
              "max_active_tis_per_dagrun", "shadowed", "do_xcom_push", "multiple_outputs")  # fmt: skip


_TASTE = frozenset({*_INHERITED, "executor_config", "inlets", "map_index_template", "task_display_name",
                    "logger_name", "allow_nested_operators", "do_xcom_push", "multiple_outputs",
                    "trigger_rule", "doc", "doc_md", "doc_json", "doc_yaml", "doc_rst"})  # fmt: skip
"""Arguments that a step made by the user keeps."""


@cache
def neutral() -> Mapping[str, Any]:
    """Every argument of BaseOperator at a value that does nothing, so that no ``default_args`` reach."""
    found = {
        name: parameter.default
        for name, parameter in inspect.signature(BaseOperator.__init__).parameters.items()
        if name not in _OWN and not name.startswith("_") and parameter.default is not inspect.Parameter.empty
    }
    lists: dict[str, Any] = {name: [] for name in found if name in _LISTS or name.endswith("_callback")}
    return {**found, **lists, **{name: value for name, value in _FIXED.items() if name in found}}


def of_both(control: Any, *, pool: str | None) -> dict[str, Any]:
    """The arguments that candidate and comparison share.

    :param pool: None for Airflow's default pool.
    """
    inherited = {name: _of(control, name) for name in _INHERITED}
    return {
        **neutral(),
        **{name: value for name, value in inherited.items() if name in neutral() and value is not None},
        "pool": pool or _DEFAULT_POOL,
        "dag": control.dag,
        "task_group": control.task_group,
    }


def check(given: Mapping[str, Any], *, place: str) -> None:
    """Refuse step arguments with which a shadow could do harm.

    :raises OperatorProblem: SB510.
    """
    named = [name for name in _FORBIDDEN if name in given]
    if named:
        raise OperatorProblem(
            "SB510",
            f"{', '.join(named)}: a candidate's place in the DAG is fixed, so that it cannot harm the run",
            place=place,
            hint="leave it out",
        )


def quieten(candidate: Any, like: BaseOperator, *, timeout: timedelta) -> None:
    """Give a step that somebody else made the same arguments.

    :param like: a task that was made with them.
    """
    for name, value in {**neutral(), "pool": like.pool}.items():
        if name in _TASTE:
            continue
        if isinstance(candidate, MappedOperator):
            candidate.partial_kwargs[name] = value
        else:
            setattr(candidate, name, getattr(like, name, value))
    if isinstance(candidate, MappedOperator):
        candidate.partial_kwargs["execution_timeout"] = timeout
    else:
        candidate.execution_timeout = timeout


def _of(control: Any, name: str) -> Any:
    try:
        return getattr(control, name, None)
    except (AttributeError, KeyError):
        return None
