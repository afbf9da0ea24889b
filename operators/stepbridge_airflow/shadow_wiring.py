"""Where the two tasks of a shadow stand in their DAG, also after the DAG file has gone on adding edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def join(control: Any, candidates: Sequence[Any], comparison: Any) -> None:
    """Make candidates and comparison teardowns that the run's state does not count, and put them in order."""
    for task in (*candidates, comparison):
        task.as_teardown(on_failure_fail_dagrun=False)
    comparison.set_upstream([control, *candidates])
    for candidate in candidates:
        settle(control.dag, control.task_id, candidate.task_id)


def settle(dag: Any, control_id: str, candidate_id: str) -> None:
    """Give the candidate the edges from what its control waits for.

    It runs after its control instead of beside it where such an edge would change what the task before it
    does: a branch would skip the candidate; a setup would take it for its own teardown; a task with
    ``wait_for_downstream`` would wait for it in the next run.
    """
    control, candidate = dag.task_dict.get(control_id), dag.task_dict.get(candidate_id)
    if control is None or candidate is None:
        return  # a part of the DAG, as Airflow makes one to clear tasks
    before = [dag.task_dict[one] for one in sorted(control.upstream_task_ids) if one in dag.task_dict]
    if any(_minds(one) for one in before):
        for one in before:
            _cut(one, candidate)
        before = [control]
    missing = [one for one in before if one.task_id not in candidate.upstream_task_ids]
    if missing:
        candidate.set_upstream(missing)


def decides(task: Any) -> bool:
    """Whether *task* skips what comes after it: a branch, a short circuit."""
    names = {one.__name__ for one in _class_of(task).__mro__}
    return "SkipMixin" in names and "BaseSensorOperator" not in names


def waits(task: Any) -> bool:
    """Whether *task* is a sensor."""
    return "BaseSensorOperator" in {one.__name__ for one in _class_of(task).__mro__}


def _class_of(task: Any) -> Any:
    return getattr(task, "operator_class", None) or type(task)


def _minds(task: Any) -> bool:
    return bool(task.is_setup or getattr(task, "wait_for_downstream", False) or decides(task))


def _cut(before: Any, after: Any) -> None:
    before.downstream_task_ids.discard(after.task_id)
    after.upstream_task_ids.discard(before.task_id)
