"""What a task says of its step, beside Airflow's own arguments: one frozen value, checked at parse time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from stepbridge.failures import OperatorProblem
from stepbridge.resources import Resources
from stepbridge.secrets import Secret
from stepbridge_airflow.budgets import Budgets
from stepbridge_airflow.config import gpu_models
from stepbridge_airflow.escalation import Escalate
from stepbridge_airflow.placement import Placement

if TYPE_CHECKING:
    from stepbridge_airflow.shadow_gate import Shadowed

Cache = Literal["off", "auto", "refresh"]
CodeSource = Literal["ship", "image"]
XComForm = Literal["auto", "value"]
BackendName = Literal["local", "pod"]
OWNED = ("cmds", "arguments")
"""Arguments of KubernetesPodOperator that say what runs in the pod: the step says that."""
DEAD = {
    "is_delete_operator_pod": "use on_finish_action='delete_pod', 'keep_pod' or 'delete_succeeded_pod'",
    "progress_callback": "leave it out; callbacks=... takes a KubernetesPodOperatorCallback",
    "xcom_sidecar_container_security_context": "leave it out; container_security_context is the step's own",
}
"""Arguments of KubernetesPodOperator that have no effect, there or on a step, and what to do instead."""


@dataclass(frozen=True)
class StepOptions:
    """The step arguments of :class:`stepbridge_airflow.StepOperator`; see there."""

    resources: Resources = field(default_factory=Resources)
    cache: Cache = "off"
    cache_version: str = ""
    ignore: tuple[str, ...] = ()
    max_age: timedelta | None = None
    salt: str = ""
    single_flight: bool = False
    context_keys: tuple[str, ...] | None = None
    variables: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    code: CodeSource = "ship"
    backend: BackendName | None = None
    store: str | None = None
    timeout: timedelta | None = None
    infra_retries: int = 0
    xcom: XComForm = "auto"
    secrets: tuple[Secret, ...] = ()
    step_id: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    budgets: Budgets = field(default_factory=Budgets)
    placement: Placement = field(default_factory=Placement)
    on_oom: Escalate | None = None
    python: str = ""
    shadowed: Shadowed | None = None
    """Set by ``shadow()``: the step is the candidate beside an old task."""

    @property
    def filled_budgets(self) -> Budgets:
        """The budgets with the default of each time that is not said."""
        return self.budgets.filled(gpus=self.resources.amounts().gpu.count)


def check(options: StepOptions, *, place: str) -> None:
    """Refuse what cannot work, before anything runs.

    :raises OperatorProblem: SB502 for a value that is none of the allowed ones; SB601 for a cache rule that
        nothing would use.
    """
    for name, value, allowed in (
        ("cache", options.cache, get_args(Cache)),
        ("code", options.code, get_args(CodeSource)),
        ("xcom", options.xcom, get_args(XComForm)),
        ("backend", options.backend, (None, *get_args(BackendName))),
    ):
        if value not in allowed:
            raise _invalid(
                name, value, f"write one of {', '.join(repr(one) for one in allowed if one)}", place
            )
    for name, given, kind in (
        ("resources", options.resources, Resources),
        ("timeout", options.timeout, (timedelta, type(None))),
        ("max_age", options.max_age, (timedelta, type(None))),
        ("infra_retries", options.infra_retries, int),
        ("single_flight", options.single_flight, bool),
        ("environment", options.environment, Mapping),
        ("budgets", options.budgets, Budgets),
        ("placement", options.placement, Placement),
        ("on_oom", options.on_oom, (Escalate, type(None))),
        ("python", options.python, str),
    ):
        if not isinstance(given, kind):
            raise _invalid(name, given, f"it takes {_named(kind)}", place)
    if options.single_flight and options.cache != "auto":
        raise OperatorProblem(
            "SB601",
            f"single_flight has nothing to share with cache={options.cache!r}",
            place=place,
            hint="set cache='auto', or leave single_flight out",
        )
    options.resources.amounts(known_gpus=gpu_models())
    _check_times(options, place)
    _check_texts(options, place)
    options.budgets.check(place=place)
    if options.on_oom is not None:
        options.on_oom.check(place=place)


def _check_times(options: StepOptions, place: str) -> None:
    for name, value in (("timeout", options.timeout), ("max_age", options.max_age)):
        if value is not None and value <= timedelta(0):
            raise _invalid(name, value, "write a time above zero", place)
    if options.infra_retries < 0:
        raise _invalid("infra_retries", options.infra_retries, "write zero or more", place)


def _check_texts(options: StepOptions, place: str) -> None:
    for name in ("ignore", "context_keys", "variables", "connections", "files", "roots"):
        for item in getattr(options, name) or ():
            if not isinstance(item, str) or not item:
                raise _invalid(name, item, "write a list of names", place)
    for key, value in options.environment.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise _invalid("environment", {key: value}, "names and values are text", place)


def names(given: Sequence[str] | None, *, name: str, place: str) -> tuple[str, ...]:
    """A list of names as a tuple; a single text is refused, for it would be taken letter by letter."""
    if given is None:
        return ()
    if isinstance(given, str):
        raise _invalid(name, given, f"write {name}=[{given!r}]", place)
    return tuple(given)


def budgets_of(
    given: Budgets | None,
    *,
    timeout: timedelta | None,
    schedule_timeout_seconds: float | None,
    startup_timeout_seconds: float | None,
    place: str,
) -> Budgets:
    """The budgets with what older arguments say of the same times.

    :param timeout: the same as ``run``.
    :param schedule_timeout_seconds: KubernetesPodOperator's name for ``schedule``.
    :param startup_timeout_seconds: KubernetesPodOperator's name for the time from there, of which images take
        the most: ``pull``. ``start`` keeps its own.
    :raises OperatorProblem: SB502 where two arguments say different things of one time.
    """
    budgets = Budgets() if given is None else given
    if not isinstance(budgets, Budgets):
        raise _invalid("budgets", budgets, "it takes Budgets", place)
    run = _one_time("timeout", timeout, "run", budgets.run, place)
    schedule = _seconds("schedule_timeout_seconds", schedule_timeout_seconds, place)
    pull = _seconds("startup_timeout_seconds", startup_timeout_seconds, place)
    return replace(
        budgets,
        run=run,
        schedule=_one_time("schedule_timeout_seconds", schedule, "schedule", budgets.schedule, place),
        pull=_one_time("startup_timeout_seconds", pull, "pull", budgets.pull, place),
    )


def _seconds(name: str, value: float | None, place: str) -> timedelta | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise _invalid(name, value, "write seconds above zero", place)
    return timedelta(seconds=value)


def _one_time(
    name: str, value: timedelta | None, budget: str, other: timedelta | None, place: str
) -> timedelta | None:
    if value is not None and other is not None and value != other:
        raise OperatorProblem(
            "SB502",
            f"{name} says {value} and budgets.{budget} says {other}, and both are one time",
            place=place,
            hint=f"leave {name} out",
        )
    return other if value is None else value


def refuse_owned(given: Mapping[str, Any], *, place: str) -> None:
    """Refuse the arguments that stepbridge sets itself, and those that do nothing.

    :raises OperatorProblem: SB501 for the first, SB502 for the second.
    """
    for name, hint in DEAD.items():
        if given.get(name) is not None:
            raise OperatorProblem("SB502", f"{name!r} has no effect on a step", place=place, hint=hint)
    for name in OWNED:
        if given.get(name):
            raise OperatorProblem(
                "SB501",
                f"{name!r} says what the container runs, and a step's container runs the step",
                place=place,
                hint=f"leave {name} out; for a container with its own command use KubernetesPodOperator",
            )


def _named(kind: object) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join("None" if one is type(None) else getattr(one, "__name__", str(one)) for one in kinds)


def _invalid(name: str, value: object, hint: str, place: str) -> OperatorProblem:
    return OperatorProblem("SB502", f"{name}={value!r} is not valid", place=place, hint=hint)
