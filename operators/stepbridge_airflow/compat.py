"""All that differs between Airflow versions, and every name of Airflow's that the other modules use.

Names come through ``airflow.providers.common.compat.sdk`` where it has them.
"""

from __future__ import annotations

import contextlib
import enum
import importlib.metadata
import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    DecoratedOperator,
    MappedOperator,
    Stats,
    TaskDeferred,
    Variable,
    XCom,
    XComArg,
    task_decorator_factory,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent

try:
    from airflow.sdk.bases.decorator import _TaskDecorator as TaskDecorator
except ImportError:  # Airflow 2
    from airflow.decorators.base import _TaskDecorator as TaskDecorator

    AIRFLOW_3 = False
else:
    AIRFLOW_3 = True

try:
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS
except ImportError:  # before Airflow 3.1
    from airflow.utils.context import KNOWN_CONTEXT_KEYS

try:
    from airflow.sdk.definitions._internal.contextmanager import DagContext
except ImportError:  # Airflow 2
    from airflow.models.dag import DagContext

try:
    from airflow.sdk.definitions._internal.setup_teardown import SetupTeardownContext
except ImportError:  # before Airflow 3.1
    from airflow.utils.setup_teardown import SetupTeardownContext

try:
    from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
except ImportError:  # before Airflow 3.3
    ExceptionRetryPolicy = RetryAction = RetryRule = None

__all__ = [
    "AIRFLOW_3",
    "KNOWN_CONTEXT_KEYS",
    "MISSING",
    "UNTOLD",
    "AirflowException",
    "AirflowFailException",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseTrigger",
    "DecoratedOperator",
    "ExceptionRetryPolicy",
    "MappedOperator",
    "RetryAction",
    "RetryRule",
    "TaskDecorator",
    "TaskDeferred",
    "Times",
    "TriggerEvent",
    "XComArg",
    "airflow_version",
    "bundle_folder",
    "clear",
    "code_folders",
    "conf",
    "connection",
    "connection_uri",
    "count",
    "dag_in_scope",
    "dag_runs",
    "downstream_of",
    "edge_of",
    "outside_of_setups",
    "rendered_fields",
    "session",
    "task_decorator_factory",
    "task_durations",
    "task_states",
    "task_times",
    "unguarded",
    "variable",
    "xcom_keys",
    "xcom_of",
]


class Missing(enum.Enum):
    """The type of :data:`MISSING`: an enum, so that copies and pickles stay the one value."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing.MISSING
"""Stands where no value was given or found."""
_NO_VARIABLE = "stepbridge: there is no such Variable"
"""A text, for Airflow 3.0 masks the default and takes only what JSON can say."""


def variable(name: str, *, deserialize_json: bool = False) -> Any:
    """The Airflow Variable *name*, or :data:`MISSING`."""
    default = {"default" if AIRFLOW_3 else "default_var": _NO_VARIABLE}
    found = Variable.get(name, deserialize_json=deserialize_json, **default)
    return MISSING if found == _NO_VARIABLE else found


def connection(name: str) -> Any:
    """The Airflow connection *name*.

    :raises Exception: Airflow's own, where there is no such connection.
    """
    return BaseHook.get_connection(name)


def connection_uri(name: str) -> str:
    """The Airflow connection *name* as the URI that ``AIRFLOW_CONN_*`` takes; a secret.

    :raises Exception: Airflow's own, where there is no such connection.
    """
    return str(connection(name).get_uri())


def code_folders() -> tuple[Path, ...]:
    """The folders whose modules are the project's own: DAGs and plugins."""
    named = (conf.get("core", option, fallback="") for option in ("dags_folder", "plugins_folder"))
    return tuple(Path(folder) for folder in named if folder)


def airflow_version() -> str:
    """The version of Airflow that runs here."""
    return importlib.metadata.version("apache-airflow")


def bundle_folder(ti: Any) -> Path | None:
    """The folder of the DAG bundle that the task runs from, where Airflow has bundles."""
    path = getattr(getattr(ti, "bundle_instance", None), "path", None)
    return Path(path) if path else None


def edge_of(value: object) -> tuple[Any, str] | None:
    """``(producing operator, XCom key)`` where *value* is a task's output as it stands, not a derived one."""
    if not isinstance(value, XComArg) or not hasattr(value, "operator") or not hasattr(value, "key"):
        return None
    return value.operator, value.key


def xcom_of(ti_key: Any, key: str) -> Any:
    """The XCom *key* that the task instance *ti_key* pushed, or None."""
    if not AIRFLOW_3:
        return XCom.get_value(ti_key=ti_key, key=key)
    return XCom.get_one(
        key=key,
        dag_id=ti_key.dag_id,
        task_id=ti_key.task_id,
        run_id=ti_key.run_id,
        map_index=ti_key.map_index,
    )


def task_states(context: Any, task_id: str, map_index: int | None = None) -> dict[int, str]:
    """The states of a task's instances in this run by map index; -1 where it is not mapped.

    :param map_index: only of this one, for tasks in a mapped group.
    """
    ti = context["ti"]
    if not AIRFLOW_3:
        found = {
            one.map_index: str(getattr(one.state, "value", one.state))
            for one in context["dag_run"].get_task_instances()
            if one.task_id == task_id
        }
        return {index: state for index, state in found.items() if map_index is None or index == map_index}
    asked = {} if map_index is None else {"map_index": map_index}
    answer = ti.get_task_states(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id], **asked)
    states = answer.get(ti.run_id) or {}
    return {
        -1 if name == task_id else int(name.removeprefix(f"{task_id}_")): str(getattr(state, "value", state))
        for name, state in states.items()
    }


def task_durations(context: Any, task_id: str) -> dict[int, float | None] | None:
    """How long each finished instance of a task took, seconds, by map index; None where it is not told.

    An instance that never ran, for it was marked, has None.
    """
    ti = context["ti"]
    if not AIRFLOW_3:
        found = [one for one in context["dag_run"].get_task_instances() if one.task_id == task_id]
        return {one.map_index: one.duration for one in found}
    if not hasattr(ti, "get_task_breadcrumbs"):  # before Airflow 3.1
        return None
    crumbs = ti.get_task_breadcrumbs(dag_id=ti.dag_id, run_id=ti.run_id)
    return {one["map_index"]: one["duration"] for one in crumbs if one["task_id"] == task_id}


@dataclass(frozen=True)
class Times:
    """When and how often a task instance ran; None where Airflow does not tell another task.

    :param started: of the last try, ISO 8601; empty where it is not told.
    :param seconds: that it took. :param queued: seconds between being queued and started.
    """

    tries: int | None = None
    started: str = ""
    seconds: float | None = None
    queued: float | None = None


UNTOLD = "Airflow tells no more of another task" if AIRFLOW_3 else "Airflow kept none"


def task_times(context: Any, task_id: str, map_indexes: Collection[int]) -> dict[int, Times]:
    """What Airflow tells of these instances of a task in this run; without those it tells nothing of."""
    ti = context["ti"]
    if not AIRFLOW_3:
        found = {
            one.map_index: one for one in context["dag_run"].get_task_instances() if one.task_id == task_id
        }
        return {index: _times_of(found[index]) for index in map_indexes if index in found}
    durations = task_durations(context, task_id) or {}
    times = {index: Times(seconds=durations[index]) for index in map_indexes if index in durations}
    date = context.get("logical_date")
    if date is None or not hasattr(ti, "get_previous_ti"):  # before Airflow 3.2, or a run without a date
        return times
    other = ti.model_copy(update={"task_id": task_id})
    for index in map_indexes:
        before = other.get_previous_ti(logical_date=date + timedelta(microseconds=1), map_index=index)
        if before is not None and before.run_id == ti.run_id:
            times[index] = _times_of(before)
    return times


def _times_of(ti: Any) -> Times:
    started, queued = ti.start_date, getattr(ti, "queued_dttm", None)
    return Times(
        ti.try_number,
        started.isoformat() if started else "",
        ti.duration,
        (started - queued).total_seconds() if started and queued else None,
    )


def rendered_fields(context: Any, task_id: str) -> dict[int, dict[str, Any]]:
    """What the templates of a task became in this run, by map index; on Airflow 2 alone.

    As Airflow shows them: secrets masked, long ones cut off, other objects as text.
    """
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Fields

    ti = context["ti"]
    with session() as opened:
        rows = opened.query(Fields.map_index, Fields.rendered_fields).filter_by(
            dag_id=ti.dag_id, task_id=task_id, run_id=ti.run_id
        )
        return {index: dict(fields) for index, fields in rows}


def xcom_keys(context: Any, task_id: str, map_index: int) -> list[str] | None:
    """The keys under which a task pushed in this run; None where Airflow does not tell another task."""
    if AIRFLOW_3:
        return None
    ti = context["ti"]
    with session() as opened:
        found = opened.query(XCom.key).filter_by(
            dag_id=ti.dag_id, task_id=task_id, run_id=ti.run_id, map_index=map_index
        )
        return sorted(key for (key,) in found)


def dag_in_scope() -> Any:
    """The DAG in whose ``with`` block or function this is called, or None."""
    return DagContext.get_current() if AIRFLOW_3 else DagContext.get_current_dag()


@contextlib.contextmanager
def outside_of_setups() -> Iterator[None]:
    """Tasks that are made here do not join the ``with setup_task:`` block around them."""
    before = SetupTeardownContext.active
    SetupTeardownContext.active = False
    try:
        yield
    finally:
        SetupTeardownContext.active = before


def count(name: str, **tags: str) -> None:
    """Add one to a counter of Airflow's metrics."""
    Stats.incr(name, tags=tags)


def session() -> AbstractContextManager[Any]:
    """A session of Airflow's database, committed at its end. Workers of Airflow 3 have none."""
    from airflow.utils.session import create_session

    found: AbstractContextManager[Any] = create_session()
    return found


def dag_runs(dag_id: str, *, session: Any) -> list[Any]:
    """The DAG's runs, the newest first."""
    from airflow.models.dagrun import DagRun

    when = DagRun.start_date if AIRFLOW_3 else DagRun.execution_date
    found = session.query(DagRun).filter(DagRun.dag_id == dag_id).order_by(when.desc())
    return list(found)


def downstream_of(dag_id: str, task_ids: Collection[str], *, session: Any) -> frozenset[str]:
    """All tasks behind these in the DAG as the scheduler knows it; none of a DAG that it does not know."""
    from airflow.models.serialized_dag import SerializedDagModel

    dag = SerializedDagModel.get_dag(dag_id, session=session)
    known = dag.task_dict if dag is not None else {}
    behind = (known[one].get_flat_relative_ids(upstream=False) for one in task_ids if one in known)
    return frozenset().union(*behind)


def clear(instances: Collection[Any], *, session: Any) -> None:
    """Let the scheduler run these task instances again, and their runs on, with the newest code."""
    from airflow.models.taskinstance import clear_task_instances

    known = inspect.signature(clear_task_instances).parameters
    newest = {"run_on_latest_version": True} if "run_on_latest_version" in known else {}
    clear_task_instances(list(instances), session, **newest)


def unguarded(method: Any) -> Callable[..., Any]:
    """A bound ``execute`` of a parent class, without Airflow's guard against calls from outside of a task.

    Airflow wraps the ``execute`` of every operator class; called by a subclass's own, the guard of 2.11 sees
    a stranger.
    """
    plain: Callable[..., Any] = inspect.unwrap(method.__func__).__get__(method.__self__)
    return plain
