"""The context mapping of a step, made from the request, and the one that is current while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from stepbridge.code.airflow_names import CONTEXT_KEYS
from stepbridge.contract import ContextData, Value
from stepbridge.facade.task_instance import Pulls, TaskInstance
from stepbridge.facade.unavailable import Record, Unavailable, withheld
from stepbridge.facade.variables import Var
from stepbridge.failures import OperatorProblem

_OBJECTS = ("dag_run", "dag", "task")
KEYS = CONTEXT_KEYS - {"context"}
"""What Airflow's context can hold, for requests that do not say."""


class Context(dict[str, Any]):
    """Airflow's context: plain values, four reduced objects, and :class:`Unavailable` for the rest.

    What code sets in it stays in the step, and a line of the log says so, once for each key.
    """

    _watched: frozenset[str] | None = None

    def watch(self) -> None:
        """From here on, say what is set."""
        self._watched = frozenset()

    def __setitem__(self, key: str, value: Any) -> None:
        """Set it for the step's own code."""
        if self._watched is not None and key not in self._watched:
            import logging

            self._watched |= {key}
            logging.getLogger("airflow.task").warning(
                "context[%r] is set in the step only: Airflow, and map_index_template, do not see it", key
            )
        super().__setitem__(key, value)

    def __reduce__(self) -> tuple[object, ...]:
        """A copy says nothing."""
        return (type(self), (dict(self),))


# Code that runs in threads of the step asks for it too, so it is the process's and not a context variable.
_current: list[Context] = []


def get_current_context() -> Context:
    """The context of the step that runs.

    :raises OperatorProblem: SB504 outside a step, or where the step runs without a context.
    """
    if not _current:
        raise OperatorProblem(
            "SB504",
            "there is no current context: no step runs, or it runs without one",
            place="get_current_context()",
            hint='name the keys the function reads: context_keys=["ds", ...]',
        )
    return _current[-1]


@contextmanager
def current(context: Context | None) -> Iterator[None]:
    """Make *context* what :func:`get_current_context` gives."""
    if context is None:
        yield
        return
    _current.append(context)
    try:
        yield
    finally:
        _current.remove(context)


def build(
    data: ContextData,
    *,
    decode: Callable[[Value, str], object],
    push: Callable[[str, object], None],
) -> Context:
    """The context that *data* describes.

    :param decode: makes the object of a value; the text is a place for errors.
    :param push: takes what ``ti.xcom_push`` is given.
    """
    plain = {key: _as_airflow(decode(value, f"context[{key!r}]")) for key, value in data.values.items()}
    context = Context(plain)
    for name in _OBJECTS:
        context[name] = _record(name, plain.get(name), complete=data.complete)
    ids = _fields(plain.get("task_instance")) | _fields(plain.get("ti"))
    ti = TaskInstance(ids, Pulls(data.pulls, decode), push, context, complete=data.complete)
    context["ti"] = context["task_instance"] = ti
    context["var"] = Var()
    for name in data.names or KEYS:
        if name not in context:
            context[name] = Unavailable(name, withheld(name, complete=data.complete))
    context.watch()
    return context


def _record(name: str, values: object, *, complete: bool) -> Record:
    return Record(name, _fields(values), complete=complete)


def _fields(values: object) -> dict[str, Any]:
    return {str(key): _as_airflow(item) for key, item in values.items()} if isinstance(values, dict) else {}


def _as_airflow(value: object) -> object:
    """*value*, an instant as pendulum's where pendulum is installed: what Airflow hands out."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        return value
    try:
        import pendulum
    except ModuleNotFoundError:
        return value
    return pendulum.instance(value)
