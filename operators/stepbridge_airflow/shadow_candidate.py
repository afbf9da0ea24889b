"""A candidate at work: a step that stores its results apart, pushes none of them and cannot fail the run."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from stepbridge.compare.kept import FOLDER
from stepbridge.contract import StoreSettings
from stepbridge.failures import StepbridgeError
from stepbridge_airflow import config, shadow_gate, shadow_outputs
from stepbridge_airflow.compat import AirflowSkipException, AirflowTaskTimeout, TaskDeferred
from stepbridge_airflow.links import DETAILS
from stepbridge_airflow.shadow_gate import Shadowed
from stepbridge_airflow.shadow_outputs import Place

if TYPE_CHECKING:
    from stepbridge_airflow.execution import Finished

End = Literal["ran", "failed", "skipped", "declined"]
_ENDS = get_args(End)


@dataclass(frozen=True)
class Note:
    """What a candidate leaves for its comparison, as XCom.

    :param end: ``ran``; ``failed``; ``skipped``: its function asked for it; ``declined``: it was not run.
    :param reason: why it was not run, or its error's message.
    :param code: the error's stable code, if it has one.
    :param run: URI of the attempt's record; empty where there is none.
    :param places: where both sides write what they do not return.
    """

    end: End
    reason: str = ""
    code: str = ""
    run: str = ""
    places: tuple[Place, ...] = ()

    @classmethod
    def of(cls, xcom: object) -> Note | None:
        """The note in what the candidate pushed; None where there is none."""
        found = xcom.get(FOLDER) if isinstance(xcom, Mapping) else None
        if not isinstance(found, Mapping) or found.get("end") not in _ENDS:
            return None
        reason, code, run = (str(found.get(name, "")) for name in ("reason", "code", "run"))
        return cls(found["end"], reason, code, run, Place.of(found.get("places")))


def enter(operator: Any, shadowed: Shadowed, context: Mapping[str, Any]) -> None:
    """Decide whether the candidate runs.

    :raises AirflowSkipException: where it does not; the note says why.
    """
    if shadow_gate.lost(operator, context):
        reason = "its try was killed, or lost with its worker; a candidate runs once"
        _leave(context, Note("failed", reason))
        raise AirflowSkipException(f"the candidate failed: {reason}")
    reason = shadow_gate.why_not(operator, shadowed, context) or _no_place(operator, shadowed, context)
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
    _make_root(settings)
    operator.step = replace(operator.step, store=store_of(settings).root)
    places: tuple[Place, ...] = ()
    try:
        if shadowed.outputs:
            places = shadow_outputs.places_of(_asked(operator, shadowed, context))
            shadow_outputs.tell(operator, shadowed.outputs, places)
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
    note = Note("ran", run=operator.step_run_uri, places=places)
    _leave(context, note, details if isinstance(details, Mapping) else {})


def _no_place(operator: Any, shadowed: Shadowed, context: Mapping[str, Any]) -> str:
    """Make the places that the candidate writes to; why it has none."""
    if not shadowed.outputs:
        return ""
    try:
        shadow_outputs.prepare(_asked(operator, shadowed, context))
    except StepbridgeError as problem:
        return str(problem)
    return ""


def _asked(operator: Any, shadowed: Shadowed, context: Mapping[str, Any]) -> shadow_outputs.Asked:
    settings = config.read(store=shadowed.store)
    ti = context["ti"]
    index = ti.map_index if ti.map_index is not None else -1
    return shadow_outputs.Asked(
        shadowed.outputs,
        shadowed.idempotent,
        store_of(settings.store),
        shadow_outputs.lead_of(ti.dag_id, operator.task_id, ti.run_id, index),
        settings.in_pods(operator.step.backend),
        shadow_outputs.renderer(operator, function_context(shadowed, context)),
        shadow_outputs.repeat_of(operator.task_id, shadowed.control),
    )


def _make_root(settings: StoreSettings) -> None:
    """Make the folder of a file store, as its first write would: the candidates' lies inside it."""
    root = Path(settings.root.removeprefix("file://"))
    if settings.root.startswith("file://") and root.parent.is_dir():
        root.mkdir(exist_ok=True)


def store_of(settings: StoreSettings) -> StoreSettings:
    """The store of candidates below the store of *settings*."""
    return replace(settings, root=f"{settings.root}/{FOLDER}")


def function_context(shadowed: Shadowed, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """The context with the control's ids where it has the candidate's."""
    return as_control(shadowed.control, context)


def as_control(control: str, context: Mapping[str, Any], map_index: int | None = None) -> Mapping[str, Any]:
    """The context with the ids of *control*, a task, and with its map index where one is given."""
    ti = _As(context["ti"], control, map_index)
    changed: dict[str, Any] = {
        "ti": ti,
        "task_instance": ti,
        "task": context["dag"].task_dict[control],
    }
    key = str(context.get("task_instance_key_str", ""))
    own = context["ti"].task_id
    if own in key:
        changed["task_instance_key_str"] = key.replace(f"__{own}__", f"__{control}__", 1)
    return ChainMap(changed, cast("MutableMapping[str, Any]", context))


class _As:
    """A task instance under another task's id, and another map index where one is given."""

    def __init__(self, ti: Any, task_id: str, map_index: int | None) -> None:
        self._ti = ti
        self.task_id = task_id
        self.map_index = ti.map_index if map_index is None else map_index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)


def _leave(context: Mapping[str, Any], note: Note, details: Mapping[str, Any] | None = None) -> None:
    said = {**asdict(note), "places": [asdict(place) for place in note.places]}
    context["ti"].xcom_push(key=DETAILS, value={**(details or {}), FOLDER: said})
