"""How a call's arguments meet the function's signature, by the rules of PythonOperator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepbridge.failures import TypeProblem
from stepbridge_airflow.compat import KNOWN_CONTEXT_KEYS

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Named:
    """One argument with the name that errors and the cache key show."""

    name: str
    parameter: str
    value: Any


@dataclass(frozen=True)
class Arguments:
    """The arguments that a function gets, without what Airflow's context adds."""

    args: tuple[Named, ...]
    kwargs: tuple[Named, ...]


def plain_function(function: Callable[..., Any]) -> Any:
    """The function under ``functools.partial``, or *function* itself."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def place_of(function: Callable[..., Any]) -> str:
    """``file:line (name)`` of *function*, as far as it is known."""
    inner = inspect.unwrap(plain_function(function))
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    code = getattr(inner, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno} ({name})" if code else str(name)


def parameters_of(function: Callable[..., Any], *, place: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of *function*.

    :raises TypeProblem: SB106 where it has no signature.
    """
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise TypeProblem(
            "SB106", f"the callable has no signature: {error}", place=place, hint="wrap it in a def"
        ) from error


def bound(function: Callable[..., Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that ``functools.partial`` fixed."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        args = (*function.args, *args)
        kwargs = {**function.keywords, **kwargs}
        function = function.func
    return args, kwargs


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of *function* that have a default, with it."""
    parameters = parameters_of(function, place=place_of(function))
    return {
        name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty
    }


def takes_context(function: Callable[..., Any], given: frozenset[str]) -> frozenset[str]:
    """The names of context keys among the parameters that no argument fills."""
    parameters = parameters_of(function, place=place_of(function))
    return frozenset(KNOWN_CONTEXT_KEYS & (parameters.keys() - given))


def strangers(function: Callable[..., Any], names: Iterable[str], *, place: str) -> tuple[str, ...]:
    """Those of *names* that *function* never gets: no parameter has the name, and none collects the rest.

    :raises TypeProblem: SB106 where it has no signature.
    """
    parameters = parameters_of(function, place=place)
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return ()
    return tuple(sorted(set(names) - parameters.keys(), key=str))


def check(function: Callable[..., Any], args: Any, kwargs: Any, *, place: str, complete: bool = True) -> None:
    """Refuse a call that cannot work; ``args`` or ``kwargs`` known only at run time are left to it.

    :param complete: False where more arguments come at run time, as for mapped tasks.
    :raises TypeProblem: SB106.
    """
    if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
        return
    try:
        parameters = parameters_of(function, place=place)
    except TypeProblem:
        return  # the task fails when it runs; the other tasks of the file must not
    positional = [name for name, one in parameters.items() if one.kind in _POSITIONAL]
    takes_any = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters.values())
    if len(args) > len(positional) and not takes_any:
        raise _problem(f"takes {len(positional)} positional arguments, and {len(args)} are given", place)
    filled = positional[: len(args)]
    twice = sorted(set(filled) & (kwargs.keys() | KNOWN_CONTEXT_KEYS))
    if twice:
        owner = "op_kwargs" if twice[0] in kwargs else "Airflow's context"
        raise _problem(f"gets {twice[0]!r} from op_args and from {owner}", place)
    missing = [
        name
        for name, one in parameters.items()
        if one.default is inspect.Parameter.empty
        and one.kind in (*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)
        and name not in filled
        and (name not in kwargs or one.kind is inspect.Parameter.POSITIONAL_ONLY)
        and name not in KNOWN_CONTEXT_KEYS
    ]
    if missing and complete:
        raise _problem(f"needs {', '.join(map(repr, missing))}, which nothing gives", place)


def name_arguments(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, place: str
) -> Arguments:
    """The arguments of a call with their names; what the function does not take is left out, as Airflow does.

    :raises TypeProblem: SB106 where they do not fit.
    """
    check(function, list(args), kwargs, place=place)
    parameters = parameters_of(function, place=place)
    positional = [name for name, one in parameters.items() if one.kind in _POSITIONAL]
    rest = next((n for n, one in parameters.items() if one.kind is inspect.Parameter.VAR_POSITIONAL), "args")
    wild = next((n for n, one in parameters.items() if one.kind is inspect.Parameter.VAR_KEYWORD), "")
    named_args = [
        Named(positional[n], positional[n], value)
        if n < len(positional)
        else Named(f"*{rest}[{n - len(positional)}]", rest, value)
        for n, value in enumerate(args)
    ]
    named_kwargs = [
        Named(name, name if name in parameters else wild, value)
        for name, value in kwargs.items()
        if name in parameters or wild
    ]
    return Arguments(tuple(named_args), tuple(named_kwargs))


def _problem(cause: str, place: str) -> TypeProblem:
    return TypeProblem(
        "SB106", f"the function {cause}", place=place, hint="make op_args and op_kwargs fit its signature"
    )
