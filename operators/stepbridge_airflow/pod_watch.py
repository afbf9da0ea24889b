"""KubernetesPodOperator as the watcher of a step's pod: steered from outside, in slices while it waits."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from stepbridge_airflow.budgets import Budgets
from stepbridge_airflow.compat import TaskDeferred
from stepbridge_airflow.pod_facts import PodFacts
from stepbridge_airflow.pod_trigger import bounded

_BACKSTOP = timedelta(minutes=10)
"""How long after a task's time limit Airflow itself ends a deferral that no triggerer has answered."""
Over = Literal["", "schedule", "pull", "start", "run", "total"]


class WaitOver(Exception):
    """A pod has not ended, and there is something to decide."""


@contextlib.contextmanager
def steered(
    operator: Any,
    context: Mapping[str, Any],
    *,
    seconds: int,
    label: tuple[str, str],
    check: float,
    await_end: Callable[[Any], None],
) -> Iterator[None]:
    """Let *operator*'s KubernetesPodOperator watch without acting: it adds no sidecar and deletes nothing.

    ``do_xcom_push`` means a second container to it, ``on_finish_action`` a deletion before the end could be
    read, ``reattach_on_restart`` a pod of the same task whatever is in it. The log comes from the store, and
    other containers' logs are shown at the end: older providers wait for those of init containers for ever.

    :param seconds: how long it waits for a pending pod.
    :param label: of the one pod that is the attempt's.
    :param await_end: waits for the end of a pod that has started, in the place of its own wait.
    :param check: seconds after which a deferred task is woken even where the trigger sees nothing new.
    """
    values: dict[str, Any] = {
        "do_xcom_push": False,
        "on_finish_action": type(operator.on_finish_action)("keep_pod"),
        "get_logs": False,
        "init_container_logs": None,
        "log_events_on_failure": False,
        "log_events_on_startup": False,
        "log_pod_spec_on_failure": False,
        "reattach_on_restart": False,
        "skip_on_exit_code": [],
        "schedule_timeout_seconds": seconds,
        "startup_timeout_seconds": seconds,
        "labels": {**(operator.labels or {}), label[0]: label[1]},
        "execution_timeout": _woken_after(operator, context, check),
    }
    before = {name: operator.__dict__[name] for name in values if name in operator.__dict__}
    operator.__dict__.update({name: values[name] for name in before})
    # a label on a pod that is about to go; nothing here looks for it
    operator.__dict__["patch_already_checked"] = _leave_unmarked
    operator.__dict__["await_pod_completion"] = await_end
    try:
        yield
    except TaskDeferred as deferred:
        # the trigger wakes the task at the limit; Airflow's own limit would end it without a look at the pod
        limit = before["execution_timeout"]
        left = _left(limit, context)
        deferred.timeout = None if left is None else left + _BACKSTOP
        wake = check if left is None else min(check, left.total_seconds())
        deferred.trigger = bounded(deferred.trigger, wake)
        raise
    finally:
        del operator.__dict__["patch_already_checked"], operator.__dict__["await_pod_completion"]
        operator.__dict__.update(before)


def _leave_unmarked(pod: Any, *, reraise: bool = True) -> None:
    """In the place of KubernetesPodOperator's ``patch_already_checked``."""
    del pod, reraise


def grace_of(pod: Any) -> float:
    """Seconds that the containers of a ``V1Pod`` may take to stop; None stands for a usual one."""
    given = pod.metadata.deletion_grace_period_seconds if pod is not None else None
    if given is None and pod is not None and pod.spec is not None:
        given = pod.spec.termination_grace_period_seconds
    return 30.0 if given is None else float(given)


def named_pod(name: str, namespace: str) -> Any:
    """A ``V1Pod`` of which only the name is known: enough to wait for it, and none is created."""
    from kubernetes.client import V1ObjectMeta, V1Pod

    return V1Pod(metadata=V1ObjectMeta(name=name, namespace=namespace))


def _woken_after(operator: Any, context: Mapping[str, Any], check: float) -> timedelta | None:
    """The ``execution_timeout`` that makes KubernetesPodOperator's trigger look up after *check* seconds."""
    start = context["ti"].start_date
    if not operator.deferrable or start is None:
        limit: timedelta | None = operator.execution_timeout
        return limit
    woken: timedelta = datetime.now(UTC) - start + timedelta(seconds=check)
    return min(woken, operator.execution_timeout or woken)


def _left(limit: timedelta | None, context: Mapping[str, Any]) -> timedelta | None:
    start = context["ti"].start_date
    if limit is None or start is None:
        return limit
    spent: timedelta = datetime.now(UTC) - start
    return max(limit - spent, timedelta())


@dataclass(frozen=True)
class Clock:
    """How far a pod has come, in seconds, free of differences between clocks.

    :param elapsed: since the pod was asked for, by the worker's clock.
    :param scheduled: from its creation to its node, by the cluster's clock; None while it has none.
    """

    elapsed: float
    scheduled: float | None = None

    @classmethod
    def of(cls, pod: Any, asked: str) -> Clock:
        """The clock of a ``V1Pod`` that was asked for at *asked*, ISO 8601."""
        elapsed = (datetime.now(UTC) - datetime.fromisoformat(asked)).total_seconds()
        created = pod.metadata.creation_timestamp if pod is not None else None
        conditions = (pod.status.conditions if pod is not None and pod.status else None) or []
        for one in conditions:
            if one.type == "PodScheduled" and one.status == "True" and one.last_transition_time and created:
                return cls(elapsed, max(0.0, (one.last_transition_time - created).total_seconds()))
        return cls(elapsed)


def over(facts: PodFacts, clock: Clock, budgets: Budgets) -> Over:
    """Which budget of a pod that has not started is used up.

    :param budgets: with every default in place.
    """
    pull, start = _seconds(budgets.pull), _seconds(budgets.start)
    if not facts.scheduled:
        return "schedule" if clock.elapsed >= _seconds(budgets.schedule) else ""
    since = clock.elapsed - (clock.scheduled or 0.0)
    if not facts.pulled:
        return "pull" if since >= pull else ""
    return "start" if since >= pull + start else ""


def slice_of(facts: PodFacts | None, clock: Clock, budgets: Budgets, *, deferrable: bool) -> int:
    """Seconds until a pending pod is looked at again: longer the longer it waits, never past a budget's end.

    A look of a deferred task costs a worker's start, so it is rarer there.
    """
    shortest, longest = (20.0, 600.0) if deferrable else (10.0, 60.0)
    wait = min(longest, max(shortest, clock.elapsed))
    if facts is None or not facts.scheduled:
        left = min(_seconds(budgets.schedule) - clock.elapsed, _seconds(budgets.pull))
    else:
        since = clock.elapsed - (clock.scheduled or 0.0)
        left = _seconds(budgets.pull) - since
        if facts.pulled:
            left += _seconds(budgets.start)
    return max(1, math.ceil(min(wait, left)))


def whole(budgets: Budgets) -> int:
    """Seconds of all budgets before the start together."""
    return math.ceil(sum(map(_seconds, (budgets.schedule, budgets.pull, budgets.start))))


def _seconds(budget: timedelta | None) -> float:
    return budget.total_seconds() if budget is not None else math.inf


def is_pending(event: Mapping[str, Any]) -> bool:
    """Whether the trigger's *event* says that it stopped waiting, not that the pod ended."""
    return event.get("status") not in {"success", "failed"}
