"""What a task says of its step, beside Airflow's own arguments: one frozen value, checked at parse time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args

from stepbridge.failures import OperatorProblem
from stepbridge.resources import Resources
from stepbridge.secrets import Secret

Cache = Literal["off", "auto", "refresh"]
CodeSource = Literal["ship", "image"]
XComForm = Literal["auto", "value"]
BackendName = Literal["local", "pod"]
OWNED = ("cmds", "arguments")
"""Arguments of KubernetesPodOperator that say what runs in the pod: the step says that."""


@dataclass(frozen=True)
class StepOptions:
    """The step arguments of :class:`stepbridge_airflow.StepOperator`; see there."""

    resources: Resources = field(default_factory=Resources)
    cache: Cache = "off"
    cache_version: str = ""
    ignore: tuple[str, ...] = ()
    max_age: timedelta | None = None
    salt: str = ""
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


def check(options: StepOptions, *, place: str) -> None:
    """Refuse what cannot work, before anything runs.

    :raises OperatorProblem: SB502 for a value that is none of the allowed ones; SB507 for a backend that this
        version does not have; SB601 for a cache rule that nothing would use.
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
        ("environment", options.environment, Mapping),
    ):
        if not isinstance(given, kind):
            raise _invalid(name, given, f"it takes {_named(kind)}", place)
    _check_times(options, place)
    _check_texts(options, place)
    check_backend(options.backend, place=place)


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


def check_backend(backend: str | None, *, place: str) -> None:
    """Refuse a backend that this version does not have.

    :raises OperatorProblem: SB507.
    """
    if backend not in (None, "local"):
        raise OperatorProblem(
            "SB507",
            f"backend {backend!r} is not in this version",
            place=place,
            hint="use backend='local', which runs the same request on the worker",
        )


def names(given: Sequence[str] | None, *, name: str, place: str) -> tuple[str, ...]:
    """A list of names as a tuple; a single text is refused, for it would be taken letter by letter."""
    if given is None:
        return ()
    if isinstance(given, str):
        raise _invalid(name, given, f"write {name}=[{given!r}]", place)
    return tuple(given)


def refuse_owned(given: Mapping[str, Any], *, place: str) -> None:
    """Refuse the arguments that stepbridge sets itself.

    :raises OperatorProblem: SB501.
    """
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
