"""``from_xcom``, ``from_variable``, ``from_context``: arguments that are looked up when the step runs.

A binding keeps its native type, never goes through Jinja text and creates no edge between tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepbridge.failures import OperatorProblem
from stepbridge_airflow import compat
from stepbridge_airflow.compat import MISSING


@dataclass(frozen=True)
class FromXCom:
    """What another task pushed; see :func:`from_xcom`."""

    task_id: str | tuple[str, ...]
    key: str = "return_value"
    map_indexes: int | tuple[int, ...] | None = None

    def look_up(self, context: Mapping[str, Any]) -> object:
        """The value, or None where nothing was pushed, as ``ti.xcom_pull`` gives it."""
        tasks = self.task_id if isinstance(self.task_id, str) else list(self.task_id)
        where = {} if self.map_indexes is None else {"map_indexes": _plain(self.map_indexes)}
        found: object = context["ti"].xcom_pull(task_ids=tasks, key=self.key, **where)
        return found


@dataclass(frozen=True)
class FromVariable:
    """An Airflow Variable; see :func:`from_variable`."""

    name: str
    default: Any = MISSING
    deserialize_json: bool = False

    def look_up(self, context: Mapping[str, Any]) -> object:  # noqa: ARG002 - all bindings look up alike
        """The variable's value, or the default.

        :raises OperatorProblem: SB503 where neither is there.
        """
        found: object = compat.variable(self.name, deserialize_json=self.deserialize_json)
        if found is not MISSING:
            return found
        if self.default is MISSING:
            raise OperatorProblem(
                "SB503",
                f"there is no Variable {self.name!r}",
                place=f"from_variable({self.name!r})",
                hint="create it, or give from_variable a default",
            )
        return self.default


@dataclass(frozen=True)
class FromContext:
    """A key of Airflow's context; see :func:`from_context`."""

    key: str

    def look_up(self, context: Mapping[str, Any]) -> object:
        """The key's plain value.

        :raises OperatorProblem: SB503 where the context has no such key, or its value is not plain data.
        """
        from stepbridge_airflow.context import plain_path

        found = plain_path(context, self.key)
        if found is MISSING:
            raise OperatorProblem(
                "SB503",
                f"Airflow's context has no plain value {self.key!r} in this run",
                place=f"from_context({self.key!r})",
                hint="use a key that holds plain data, such as ds, run_id, params or dag_run.conf",
            )
        return found


Binding = FromXCom | FromVariable | FromContext


def from_xcom(
    task_id: str | Sequence[str],
    key: str = "return_value",
    *,
    map_indexes: int | Sequence[int] | None = None,
) -> Any:
    """What the task *task_id* pushed under *key*, when the step starts.

    Unlike an ``XComArg`` it creates no edge: the order of the tasks is the DAG's business.

    :param task_id: one task, or several for a list.
    :param map_indexes: of a mapped task: which instances; None for what ``ti.xcom_pull`` takes by itself.
    """
    tasks = task_id if isinstance(task_id, str) else tuple(task_id)
    indexes = map_indexes if map_indexes is None or isinstance(map_indexes, int) else tuple(map_indexes)
    return FromXCom(tasks, key, indexes)


def from_variable(name: str, default: Any = MISSING, *, deserialize_json: bool = False) -> Any:
    """The Airflow Variable *name*, when the step starts.

    :param default: what to take where there is no such Variable; without it that is an error.
    :param deserialize_json: read the Variable's text as JSON.
    """
    return FromVariable(name, default, deserialize_json)


def from_context(key: str) -> Any:
    """The value under *key* in Airflow's context, when the step starts: ``ds``, ``params``, ``dag_run.conf``.

    :param key: a context key; dots go into its parts.
    """
    return FromContext(key)


def resolve(value: Any, context: Mapping[str, Any]) -> Any:
    """*value* with every binding in it, however deep in lists, tuples and dicts, looked up."""
    if isinstance(value, Binding):
        return resolve_lazy(value.look_up(context))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(resolve(item, context) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(resolve(item, context) for item in value)
    if isinstance(value, dict):
        return {key: resolve(item, context) for key, item in value.items()}
    return resolve_lazy(value)


def resolve_lazy(value: Any) -> Any:
    """Airflow's lazy sequence of a mapped task's results as a list; anything else as it is."""
    module = type(value).__module__
    if module.startswith("airflow.") and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    return value


def _plain(indexes: int | tuple[int, ...]) -> int | list[int]:
    return indexes if isinstance(indexes, int) else list(indexes)
