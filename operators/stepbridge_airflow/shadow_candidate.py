"""A candidate at work: a step that stores its results apart, pushes none of them and cannot fail the run."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from stepbridge.contract import StoreSettings
from stepbridge.failures import StepbridgeError
from stepbridge_airflow import config, shadow_gate
from stepbridge_airflow.compat import AirflowSkipException, AirflowTaskTimeout, TaskDeferred
from stepbridge_airflow.links import DETAILS
from stepbridge_airflow.shadow_gate import Shadowed

if TYPE_CHECKING:
    from stepbridge_airflow.execution import Finished

FOLDER = "shadow"
"""Below the store's root: all that candidates write, and the reports."""

End = Literal["ran", "failed", "skipped", "declined"]
_ENDS = get_args(End)


@dataclass(frozen=True)
class Note:
    """What a candidate leaves for its comparison, as XCom.

    :param end: ``ran``; ``failed``; ``skipped``: its function asked for it; ``declined``: it was not run.
    :param reason: why it was not run, or its error's message.
    :param code: the error's stable code, if it has one.
    :param run: URI of the attempt's record; empty where there is none.
    """

    end: End
    reason: str = ""
    code: str = ""
    run: str = ""

    @classmethod
    def of(cls, xcom: object) -> Note | None:
        """The note in what the candidate pushed; None where there is none."""
        found = xcom.get(FOLDER) if isinstance(xcom, Mapping) else None
        if not isinstance(found, Mapping) or found.get("end") not in _ENDS:
            return None
        return cls(**{name: str(found.get(name, "")) for name in ("end", "reason", "code", "run")})  # type: ignore[arg-type]


def enter(operator: Any, shadowed: Shadowed, context: Mapping[str, Any]) -> None:
    """Decide whether the candidate runs.

    :raises AirflowSkipException: where it does not; the note says why.
    """
    if shadow_gate.lost(operator, context):
        reason = "its try was killed, or lost with its worker; a candidate runs once"
        _leave(context, Note("failed", reason))
        raise AirflowSkipException(f"the candidate failed: {reason}")
    reason = shadow_gate.why_not(operator, shadowed, context)
    if reason:
        _leave(context, Note("declined", reason))
        raise AirflowSkipException(f"the candidate is not run: {reason}")
    left = shadow_gate.time_left(context)
    if left is not None:
        step = operator.step
        limit = min(one for one in (left / 2, step.timeout) if one is not None)
        operator.step = replace(step, timeout=limit, budgets=replace(step.budgets, run=limit, total=left / 2))


def carry_out(
    operator: Any, shadowed: Shadowed, context: Mapping[str, Any], run: Callable[[], Finished]
) -> None:
    """Run the step; whatever it raises ends it as skipped, for a failed task can stop a run or the next one.

    Nothing is returned or pushed under the function's own keys: before Airflow 3 a reader that pulls without
    a task id takes the newest value of any task.

    :raises AirflowSkipException: where the step failed or skipped itself.
    :raises TaskDeferred: where a trigger waits.
    """
    settings = config.read(store=shadowed.store).store
    operator.step = replace(operator.step, store=store_of(settings).root)
    try:
        finished = run()
    except TaskDeferred:
        raise
    except AirflowSkipException as skip:
        _leave(context, Note("skipped", str(skip), run=operator.step_run_uri))
        raise
    except (Exception, AirflowTaskTimeout) as error:
        code = error.code.id if isinstance(error, StepbridgeError) else str(getattr(error, "code", "") or "")
        message = str(error) or type(error).__name__
        operator.log.exception("The candidate failed; the run goes on without it")
        _leave(context, Note("failed", message, code, operator.step_run_uri))
        raise AirflowSkipException(f"the candidate failed: {message}") from error
    details = finished.pushed.get(DETAILS)
    _leave(context, Note("ran", run=operator.step_run_uri), details if isinstance(details, Mapping) else {})


def store_of(settings: StoreSettings) -> StoreSettings:
    """The store of candidates below the store of *settings*."""
    return replace(settings, root=f"{settings.root}/{FOLDER}")


def function_context(shadowed: Shadowed, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """The context with the control's ids where it has the candidate's."""
    ti = _As(context["ti"], shadowed.control)
    changed: dict[str, Any] = {
        "ti": ti,
        "task_instance": ti,
        "task": context["dag"].task_dict[shadowed.control],
    }
    key = str(context.get("task_instance_key_str", ""))
    own = context["ti"].task_id
    if own in key:
        changed["task_instance_key_str"] = key.replace(f"__{own}__", f"__{shadowed.control}__", 1)
    return ChainMap(changed, cast("MutableMapping[str, Any]", context))


class _As:
    """A task instance under another task's id."""

    def __init__(self, ti: Any, task_id: str) -> None:
        self._ti = ti
        self.task_id = task_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)


def _leave(context: Mapping[str, Any], note: Note, details: Mapping[str, Any] | None = None) -> None:
    context["ti"].xcom_push(key=DETAILS, value={**(details or {}), FOLDER: asdict(note)})
