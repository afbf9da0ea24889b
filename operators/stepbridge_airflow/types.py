"""The checks of types when a DAG is read: no I/O, no clock, nothing imported that the DAG did not import."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any

from stepbridge.annotations import UNANNOTATED
from stepbridge.failures import TypeProblem
from stepbridge.interface import Interface, check_edge
from stepbridge.interface import check_types as check_interface
from stepbridge_airflow.compat import KNOWN_CONTEXT_KEYS, edge_of


def check_types(function: Callable[..., Any], args: Any, kwargs: Any, *, place: str) -> None:
    """Refuse unsupported annotations (SB101) and literal edges whose types cannot fit (SB107)."""
    try:
        interface = Interface.of(function)
    except TypeProblem:
        return  # a callable without a signature: its task fails when it runs, the rest of the file must not
    check_interface(interface, place, skip=KNOWN_CONTEXT_KEYS)
    if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
        return
    positional = [one.name for one in interface.parameters if one.kind in ("positional", "plain")]
    given = [*zip(positional, args, strict=False), *kwargs.items()]
    for name, value in given:
        check_edge(produced_type(value), interface.annotation(name), f"{place}, parameter {name!r}")


def produced_type(value: object) -> Any:
    """The annotated type of what an ``XComArg`` of a step brings, or ``UNANNOTATED``."""
    edge = edge_of(value)
    if edge is None:
        return UNANNOTATED
    operator, key = edge
    partial = getattr(operator, "partial_kwargs", None) or {}
    function = getattr(operator, "python_callable", None) or partial.get("python_callable")
    if function is None or not _is_step(operator):
        return UNANNOTATED
    annotation = Interface.of(function).output
    if key != "return_value":
        annotation = member_type(annotation, key)
    if annotation is UNANNOTATED or not partial:
        return annotation
    return list.__class_getitem__(annotation)


def member_type(annotation: Any, key: str) -> Any:
    """The type of the member *key* of a mapping, named tuple or dataclass type, or ``UNANNOTATED``."""
    origin = typing.get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        members = typing.get_args(annotation)
        return members[1] if len(members) == 2 else UNANNOTATED
    if isinstance(annotation, type) and hasattr(annotation, "__annotations__"):
        try:
            return typing.get_type_hints(annotation).get(key, UNANNOTATED)
        except (NameError, TypeError):
            return UNANNOTATED
    return UNANNOTATED


def _is_step(operator: Any) -> bool:
    from stepbridge_airflow.mixin import StepMixin

    made = getattr(operator, "operator_class", None)
    return isinstance(operator, StepMixin) or (isinstance(made, type) and issubclass(made, StepMixin))
