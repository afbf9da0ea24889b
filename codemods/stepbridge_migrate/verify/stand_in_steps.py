"""What stands for stepbridge itself in an Airflow that has it not: the same tasks and edges, and no step.

Used by ``stand_ins.py`` in the project's interpreter (Python 3.8 and newer), where ``stepbridge_airflow``
cannot be found and stand-ins were asked for. So the structure that an edit leads to can be proved before
anything is installed, and under versions of Airflow that stepbridge does not run with.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

_STEP_NAMES = {
    "resources",
    "cache",
    "cache_version",
    "ignore",
    "max_age",
    "salt",
    "single_flight",
    "context_keys",
    "variables",
    "connections",
    "files",
    "roots",
    "code",
    "backend",
    "store",
    "timeout",
    "budgets",
    "placement",
    "infra_retries",
    "on_oom",
    "xcom",
    "secrets",
    "step_id",
    "environment",
    "python",
    "image",
    "namespace",
}


def names(used: Callable[[], None]) -> dict[str, Any]:
    """What ``stepbridge_airflow`` gives a DAG file; ``task.step`` of Airflow's ``task`` is there from now on.

    :param used: is called where a decorator is.
    """
    operator = _first(
        ("airflow.providers.standard.operators.python", "airflow.operators.python"), "PythonOperator"
    )
    step = _decorator(used)
    for home in ("airflow.sdk", "airflow.decorators"):
        try:
            importlib.import_module(home).task.step = step
        except (ImportError, AttributeError):
            continue
    made = _without_step_arguments(operator, "StepOperator", "stepbridge_airflow.operator")
    return {"StepOperator": made, "EksStepOperator": made, "step": step, "shadow": shadow}


def _first(homes: Iterable[str], name: str) -> Any:
    for home in homes:
        try:
            return getattr(importlib.import_module(home), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"this Airflow has no {name}")


def _without_step_arguments(base: Any, name: str, module: str) -> Any:
    """A class like *base* that takes the arguments of a step as well, and leaves them."""
    known = {"default_args"}
    for kind in base.__mro__:
        if "__init__" in vars(kind):
            known |= set(inspect.signature(kind.__init__).parameters)

    def start(self: Any, **options: Any) -> None:
        base.__init__(self, **{key: value for key, value in options.items() if key in known})

    made = type(base)(name, (base,), {"__init__": start, "__module__": module})
    made.__init__._BaseOperatorMeta__param_names = known | _STEP_NAMES
    return made


def _decorator(used: Callable[[], None]) -> Callable[..., Any]:
    base = _first(
        ("airflow.providers.standard.decorators.python", "airflow.decorators.python"),
        "_PythonDecoratedOperator",
    )
    factory = _first(("airflow.sdk.bases.decorator", "airflow.decorators.base"), "task_decorator_factory")
    made = _without_step_arguments(base, "DecoratedStepOperator", "stepbridge_airflow.decorator")
    made.custom_operator_name = "@task.step"

    def step(python_callable: Any = None, multiple_outputs: Any = None, **options: Any) -> Any:
        used()
        return factory(
            python_callable=python_callable,
            multiple_outputs=multiple_outputs,
            decorated_operator_class=made,
            **options,
        )

    return step


def shadow(control: Any, *_candidate: Any, dag: Any = None, **_: Any) -> None:
    """Add the two tasks that a shadow adds, for each task that *control* names."""
    empty = _first(("airflow.providers.standard.operators.empty", "airflow.operators.empty"), "EmptyOperator")
    named = control if isinstance(control, str) else getattr(control, "operator", control).task_id
    scope = dag if dag is not None else _dag_in_scope(control)
    for task in [one for one in scope.tasks if fnmatchcase(one.task_id, named)]:
        above = list(task.upstream_list)
        pair = [
            empty(task_id=f"{task.label}__{end}", task_group=task.task_group, dag=scope)
            for end in ("shadow", "compare")
        ]
        for one in above:
            one.set_downstream(pair[0])
        task.set_downstream(pair[1])
        pair[0].set_downstream(pair[1])


def _dag_in_scope(control: Any) -> Any:
    own = getattr(getattr(control, "operator", control), "dag", None)
    if own is not None:
        return own
    context = _first(("airflow.sdk.definitions._internal.contextmanager", "airflow.models.dag"), "DagContext")
    getter = getattr(context, "get_current", None) or context.get_current_dag
    return getter()
