"""``Variable`` and ``var`` for code that runs where Airflow is not: they read ``AIRFLOW_VAR_*``."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from stepbridge.failures import OperatorProblem

_UNSET: Any = object()
ASKED = "STEPBRIDGE_VARIABLES"
"""The environment variable that names, by commas, the variables that the worker looked for."""


class VariableMissing(OperatorProblem, KeyError):
    """No variable of this name reached the step; a ``KeyError`` as in Airflow."""

    def __str__(self) -> str:
        """The message, without the quotes of ``KeyError``."""
        return self.describe()


class Variable:
    """Airflow's ``Variable``, as far as a step can have it: reading."""

    @staticmethod
    def get(
        key: str, default: Any = _UNSET, deserialize_json: bool = False, *, default_var: Any = _UNSET
    ) -> Any:
        """The variable's text, or what its JSON says.

        :param default: returned where there is no such variable; ``default_var`` is Airflow 2's name for it.
        :raises VariableMissing: SB506, a ``KeyError``, where there is none and no default was given.
        """
        text = os.environ.get(f"AIRFLOW_VAR_{key.upper()}")
        if text is None:
            fallback = default_var if default is _UNSET else default
            if fallback is _UNSET or not _was_asked(key):
                raise VariableMissing(
                    "SB506",
                    f"Variable {key} does not exist, or its name was not seen in the code",
                    place=f"Variable.get({key!r})",
                    hint=f'create it in Airflow, or declare it: variables=["{key}"]',
                )
            return fallback
        if deserialize_json:
            import json

            return json.loads(text)
        return text

    @staticmethod
    def set(key: str, *_: Any, **__: Any) -> NoReturn:
        """Refused: a step cannot change Airflow's variables.

        :raises OperatorProblem: SB506.
        """
        raise _read_only(f"Variable.set({key!r})")

    @staticmethod
    def update(key: str, *_: Any, **__: Any) -> NoReturn:
        """Refused as :meth:`set` is."""
        raise _read_only(f"Variable.update({key!r})")

    @staticmethod
    def delete(key: str, *_: Any, **__: Any) -> NoReturn:
        """Refused as :meth:`set` is."""
        raise _read_only(f"Variable.delete({key!r})")

    @staticmethod
    def setdefault(key: str, *_: Any, deserialize_json: bool = False) -> Any:
        """The variable where it exists; creating it is refused as :meth:`set` is."""
        found = Variable.get(key, None, deserialize_json)
        if found is None:
            raise _read_only(f"Variable.setdefault({key!r})")
        return found


def _was_asked(key: str) -> bool:
    """Whether the worker looked for the variable: a default may stand only for one that does not exist."""
    asked = os.environ.get(ASKED)
    return asked is None or key in asked.split(",")


def _read_only(place: str) -> OperatorProblem:
    return OperatorProblem(
        "SB506",
        "a step cannot change Airflow's variables",
        place=place,
        hint="return the value and let a task that stays in Airflow set the variable",
    )


class _Accessor:
    """``var.value`` or ``var.json``."""

    def __init__(self, *, deserialize_json: bool) -> None:
        self._json = deserialize_json

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Variable.get(name, deserialize_json=self._json)

    def __getitem__(self, name: str) -> Any:
        return Variable.get(name, deserialize_json=self._json)

    def get(self, name: str, default: Any = None) -> Any:
        """The variable, or *default*."""
        return Variable.get(name, default, deserialize_json=self._json)

    def __repr__(self) -> str:
        """Names no value."""
        return f"<var.{'json' if self._json else 'value'}>"


class Var(dict[str, _Accessor]):
    """The context's ``var``: ``var["value"].x`` as in Airflow, and ``var.value.x`` as in templates."""

    def __init__(self) -> None:
        super().__init__(
            value=_Accessor(deserialize_json=False),
            json=_Accessor(deserialize_json=True),
        )

    def __getattr__(self, name: str) -> _Accessor:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None
