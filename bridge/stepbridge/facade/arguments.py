"""How a function's arguments are made of its own and of the context: as Airflow's PythonOperator does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from stepbridge.failures import TypeProblem


def arrange(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    context: Mapping[str, Any] | None,
    *,
    place: str,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What to call *function* with.

    A function with ``**kwargs`` gets the whole context under its own arguments; any other gets what it names.

    :param kwargs: ``op_kwargs``; they win over context keys.
    :raises TypeProblem: SB106 where a positional argument has the name of a context key or keyword, or where
        the function cannot be called so.
    """
    merged: dict[str, Any] = {**(context or {}), **kwargs}
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return args, dict(kwargs)
    parameters = signature.parameters
    _check_positional(parameters, len(args), merged, place)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        merged = {name: merged[name] for name in parameters if name in merged}
    try:
        signature.bind(*args, **merged)
    except TypeError as error:
        raise TypeProblem(
            "SB106",
            f"the function {_name(function)}{signature} cannot be called: {error}",
            place=place,
            hint="pass what is missing in op_args or op_kwargs, or give the parameter a default",
        ) from None
    return args, merged


def _check_positional(
    parameters: Mapping[str, inspect.Parameter], count: int, merged: Mapping[str, Any], place: str
) -> None:
    for name, parameter in list(parameters.items())[:count]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return
        if name in merged and parameter.kind in (
            parameter.POSITIONAL_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        ):
            raise TypeProblem(
                "SB106",
                f"the positional argument {name!r} is also a context key or keyword argument",
                place=place,
                hint=f"pass it by name, op_kwargs={{{name!r}: ...}}, or rename the parameter",
            )


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or function)
