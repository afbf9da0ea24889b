"""``ti`` for code that runs where Airflow is not: ids, pulls that were answered before the start, pushes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stepbridge.contract import Pull, Value
from stepbridge.facade.unavailable import Record
from stepbridge.failures import OperatorProblem

if TYPE_CHECKING:
    from stepbridge.facade.context import Context

RETURN_KEY = "return_value"


class Pulls:
    """The answers to ``xcom_pull`` that came with the request.

    :param decode: makes the object of a value; called at every pull, so that each gives a fresh object.
    """

    def __init__(self, pulls: tuple[Pull, ...], decode: Callable[[Value, str], object]) -> None:
        self._whole = {(pull.task_ids, pull.single, pull.key): pull for pull in pulls}
        self._decode = decode

    def answer(self, task_ids: tuple[str, ...], single: bool, key: str) -> object:
        """The value of one pull.

        :raises OperatorProblem: SB505 where it was not resolved before the start.
        """
        pull = self._whole.get((task_ids, single, key))
        if pull is not None:
            return self._value(pull)
        if single:
            return self._member(task_ids, key)
        return [self._member((task_id,), key) for task_id in task_ids]

    def _value(self, pull: Pull) -> object:
        value = self._decode(pull.value, f"xcom_pull({_shown(pull.task_ids)}, key={pull.key!r})")
        return copy.deepcopy(value) if isinstance(value, list | dict) else value

    def _member(self, task_ids: tuple[str, ...], key: str) -> object:
        alone = self._whole.get((task_ids, True, key))
        if alone is not None:
            return self._value(alone)
        for (together, single, other), pull in self._whole.items():
            if not single and other == key and task_ids[0:1] and task_ids[0] in together:
                values = self._value(pull)
                if isinstance(values, list) and len(values) == len(together):
                    return values[together.index(task_ids[0])]
        raise _unresolved(task_ids, key)


def _shown(task_ids: tuple[str, ...]) -> str:
    return ", ".join(repr(task_id) for task_id in task_ids) if task_ids else "task_ids=None"


def _unresolved(task_ids: tuple[str, ...], key: str, why: str = "") -> OperatorProblem:
    task = task_ids[0] if task_ids else "TASK"
    return OperatorProblem(
        "SB505",
        why or "this pull was not found in the code with a plain task id and key, so nobody answered it",
        place=f"xcom_pull({_shown(task_ids)}, key={key!r})",
        hint=f'bind it as an argument: op_kwargs={{"x": from_xcom("{task}", key="{key}")}}; where id or key '
        "differ from run to run, by a template: '{{ ti.xcom_pull(task_ids=..., key=...) }}'",
    )


class TaskInstance(Record):
    """Airflow's task instance, as far as a step can have it.

    :param push: takes what ``xcom_push`` is given.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        pulls: Pulls,
        push: Callable[[str, object], None],
        context: Context,
        *,
        complete: bool,
    ) -> None:
        super().__init__("ti", values, complete=complete)
        self._pulls = pulls
        self._push = push
        self._context = context

    def xcom_pull(
        self,
        task_ids: str | Iterable[str] | None = None,
        dag_id: str | None = None,
        key: str = RETURN_KEY,
        include_prior_dates: bool = False,
        session: object = None,  # noqa: ARG002 - Airflow 2 passes it
        *,
        map_indexes: int | Iterable[int] | None = None,
        default: Any = None,
        run_id: str | None = None,
    ) -> Any:
        """What another task of this run pushed; a list for several task ids, as in Airflow.

        :param default: returned where the value is None.
        :raises OperatorProblem: SB505 where the pull was not resolved before the start, or reaches into
            another DAG, run or map index.
        """
        single = task_ids is None or isinstance(task_ids, str)
        names = _names(task_ids)
        self._check(names, key, dag_id, run_id, include_prior_dates or _is_given(map_indexes))
        value = self._pulls.answer(names, single, key)
        if single:
            return default if value is None else value
        return [default if item is None else item for item in value] if isinstance(value, list) else value

    def _check(
        self, names: tuple[str, ...], key: str, dag_id: str | None, run_id: str | None, wider: bool
    ) -> None:
        own_dag, own_run = self._values.get("dag_id"), self._values.get("run_id")
        if wider or (dag_id is not None and dag_id != own_dag) or (run_id is not None and run_id != own_run):
            raise _unresolved(names, key, "a step can pull only from its own DAG run, and not by map index")

    def xcom_push(
        self,
        key: str,
        value: Any,
        execution_date: object = None,  # noqa: ARG002 - Airflow 2 passes it
        session: object = None,  # noqa: ARG002 - Airflow 2 passes it
    ) -> None:
        """Keep *value* for the operator to push under *key* when the step has succeeded."""
        self._push(key, value)

    def get_template_context(self, session: object = None) -> Context:  # noqa: ARG002 - as in Airflow 2
        """The context of this run."""
        return self._context

    @property
    def log(self) -> Any:
        """A logger, whose lines go to the step's log."""
        import logging

        return logging.getLogger("airflow.task")

    @property
    def dag_run(self) -> Any:
        """The context's ``dag_run``."""
        return self._context["dag_run"]

    @property
    def task(self) -> Any:
        """The context's ``task``."""
        return self._context["task"]

    def get_dagrun(self, session: object = None) -> Any:  # noqa: ARG002 - as in Airflow 2
        """The context's ``dag_run``."""
        return self._context["dag_run"]


def _names(task_ids: str | Iterable[str] | None) -> tuple[str, ...]:
    if task_ids is None:
        return ()
    return (task_ids,) if isinstance(task_ids, str) else tuple(task_ids)


def _is_given(map_indexes: object) -> bool:
    return map_indexes is not None and type(map_indexes).__name__ not in {"ArgNotSet", "NotSetType"}
