"""Stand-ins for what a step cannot have of Airflow's context: they can be passed on, not used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from stepbridge.code.airflow_names import LIVE_KEYS
from stepbridge.failures import OperatorProblem


def withheld(name: str, *, complete: bool) -> OperatorProblem:
    """The error for the context key or attribute *name*.

    :param complete: whether all plain keys are here: then this one is no plain data.
    """
    key = name.partition(".")[0]
    if key in LIVE_KEYS:
        cause = f"what a step writes to {key!r} of Airflow's context would reach nothing"
        hint = "return what it is to say, and let a task that stays in Airflow write it"
    elif complete:
        cause = f"{name!r} of Airflow's context is not plain data, so it cannot leave the worker"
        hint = _INSTEAD.get(key) or "pass what you need of it as an argument, rendered by a template"
    else:
        cause = f"the analysis of the code did not see that it reads {name!r} of Airflow's context"
        hint = f'declare it, context_keys=["{key}"], or bind it as an argument, from_context("{name}")'
    return OperatorProblem("SB504", cause, place=f"context[{key!r}]", hint=hint)


_INSTEAD = {
    "conn": "read it by BaseHook.get_connection('ID') with a literal id, or declare connections=['ID']",
    "macros": "render it in Airflow: op_kwargs={'x': '{{ macros.ds_add(ds, 7) }}'}",
    "inlets": "pass the URIs as arguments",
    "outlets": "pass the URIs as arguments",
}


class Unavailable:
    """A context value that any use of refuses with SB504; only ``repr`` and ``is`` work.

    :param problem: what a use raises.
    """

    __slots__ = ("_name", "_problem")

    def __init__(self, name: str, problem: OperatorProblem) -> None:
        self._name = name
        self._problem = problem

    def _refuse(self, *_: object) -> NoReturn:
        raise self._problem

    def __repr__(self) -> str:
        """Usable, because a context is often printed whole."""
        return f"<unavailable: {self._name}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._problem

    def __setattr__(self, name: str, value: object) -> None:
        if name not in Unavailable.__slots__:
            raise self._problem
        object.__setattr__(self, name, value)

    def __getitem__(self, key: object) -> NoReturn:
        raise self._at(key)

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise self._at(key)

    def _at(self, key: object) -> OperatorProblem:
        problem = self._problem
        return OperatorProblem(
            problem.code.id, problem.cause, place=f"context[{self._name!r}][{key!r}]", hint=problem.hint
        )

    def __str__(self) -> str:
        raise self._problem

    def __format__(self, spec: str) -> str:
        raise self._problem

    def __eq__(self, other: object) -> bool:
        raise self._problem

    def __hash__(self) -> int:
        raise self._problem

    __bool__ = __len__ = __iter__ = __next__ = __contains__ = __call__ = _refuse
    __delitem__ = __enter__ = __exit__ = __await__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __floordiv__ = __mod__ = __rmod__ = __pow__ = __neg__ = __abs__ = __or__ = __ror__ = __and__ = _refuse
    __int__ = __float__ = __index__ = __bytes__ = __fspath__ = _refuse


class Record:
    """An object of Airflow's context reduced to its plain attributes; any other attribute raises SB504.

    :param name: the context key, for errors.
    :param values: the attributes.
    :param complete: see :func:`withheld`.
    """

    def __init__(self, name: str, values: Mapping[str, Any], *, complete: bool) -> None:
        self._name = name
        self._values = dict(values)
        self._complete = complete

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._values:
            return self._values[name]
        raise withheld(f"{self._name}.{name}", complete=self._complete)

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise OperatorProblem(
                "SB504",
                f"{name!r} that a step sets on {self._name!r} of Airflow's context would reach nothing",
                place=f"{self._name}.{name}",
                hint="keep it in a variable of the function, or return it",
            )
        object.__setattr__(self, name, value)

    def __dir__(self) -> Iterator[str]:
        """The attributes that are there."""
        return iter(sorted(self._values))

    def __repr__(self) -> str:
        """The attributes that are there."""
        inside = ", ".join(f"{key}={value!r}" for key, value in sorted(self._values.items()))
        return f"<{self._name}: {inside}>"
