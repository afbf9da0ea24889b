"""What a step's code reads of Airflow, as data: context keys, XComs, Variables, connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal as TypingLiteral


@dataclass(frozen=True)
class Literal:
    """A value that stands in the code."""

    value: str | int


@dataclass(frozen=True)
class Parameter:
    """The value of a parameter of the step's function, or of a key of its ``**kwargs``.

    :param default: what stands in its place where it is not given: ``kwargs.get("name", "default")``.
    """

    name: str
    default: str | int | None = None


@dataclass(frozen=True)
class Joined:
    """An f-string or a sum of texts."""

    parts: tuple[Literal | Parameter, ...]


@dataclass(frozen=True)
class Listed:
    """A list, tuple or set of texts."""

    items: tuple[Literal | Parameter | Joined, ...]


Text = Literal | Parameter | Joined
Expression = Text | Listed
LookupKind = TypingLiteral["variable", "connection"]


class Unresolved(Exception):
    """A value that an expression needs is not among the arguments."""


@dataclass(frozen=True)
class ResolvedPull:
    """A pull with its values.

    :param task_ids: empty where the call names no task.
    :param single: the caller gets one value, not a list.
    """

    task_ids: tuple[str, ...]
    single: bool
    key: str


@dataclass(frozen=True)
class PullCall:
    """One ``ti.xcom_pull`` in the code.

    :param task_ids: None where the call names no task.
    :param key: None where the call names no key: ``return_value``.
    :param place: file and line.
    :param options: other arguments the call gives: ``dag_id``, ``include_prior_dates``, ``map_indexes``.
    :param context: context keys whose values :meth:`resolve` needs besides the step's arguments: ``ds``.
    """

    task_ids: Expression | None
    key: Expression | None
    place: str
    options: tuple[str, ...] = ()
    context: tuple[str, ...] = ()

    def resolve(self, arguments: Mapping[str, object]) -> ResolvedPull:
        """The pull with the values of the step's arguments, and of the keys in :attr:`context`.

        :raises Unresolved: an argument that it needs is not there or is not text.
        """
        key = "return_value" if self.key is None else _text(self.key, arguments)
        if self.task_ids is None:
            return ResolvedPull((), True, key)
        if isinstance(self.task_ids, Listed):
            return ResolvedPull(tuple(_text(item, arguments) for item in self.task_ids.items), False, key)
        if isinstance(self.task_ids, Parameter):
            value = _argument(self.task_ids, arguments)
            if isinstance(value, list | tuple | set | frozenset):
                if not all(isinstance(item, str) for item in value):
                    raise Unresolved(self.task_ids.name)
                return ResolvedPull(tuple(value), False, key)
        return ResolvedPull((_text(self.task_ids, arguments),), True, key)


@dataclass(frozen=True)
class Lookup:
    """A Variable or connection that is named by an argument: ``PostgresHook(conn_id)``.

    :param kind: ``variable`` or ``connection``.
    :param what: the call in words, for errors.
    :param place: file and line.
    :param context: context keys whose values :meth:`resolve` needs besides the step's arguments: ``ds``.
    """

    kind: LookupKind
    name: Text
    what: str
    place: str
    context: tuple[str, ...] = ()

    def resolve(self, arguments: Mapping[str, object]) -> str:
        """The name with the values of the step's arguments, and of the keys in :attr:`context`.

        Empty where the argument is None: then the code names nothing.

        :raises Unresolved: an argument that it needs is not there or is not text.
        """
        if isinstance(self.name, Parameter) and _argument(self.name, arguments) is None:
            return ""
        return _text(self.name, arguments)


def parameter_names(expression: Expression | None) -> set[str]:
    """The names of the values that an expression needs."""
    match expression:
        case Parameter(name=name):
            return {name}
        case Joined(items) | Listed(items):
            return set().union(*(parameter_names(item) for item in items))
    return set()


def _argument(parameter: Parameter, arguments: Mapping[str, object]) -> object:
    if parameter.name in arguments:
        return arguments[parameter.name]
    if parameter.default is None:
        raise Unresolved(parameter.name)
    return parameter.default


def _text(expression: Expression, arguments: Mapping[str, object]) -> str:
    match expression:
        case Literal(value):
            return str(value)
        case Parameter(name=name):
            found = _argument(expression, arguments)
            if not isinstance(found, str | int):
                raise Unresolved(name)
            return str(found)
        case Joined(parts):
            return "".join(_text(part, arguments) for part in parts)
        case Listed():
            raise Unresolved("a list where one text is meant")


@dataclass(frozen=True)
class Reads:
    """What a step's function and all it reaches read of Airflow.

    :param context_keys: keys of the task's context, ``ti`` among them where it is used.
    :param attributes: what is read of ``ti`` and context values: ``ti.try_number``, ``dag_run.conf``.
    :param escapes: places where the whole context or ``ti`` goes into code that is not followed.
    :param pulls: XComs that are pulled.
    :param pushes: places of ``ti.xcom_push``.
    :param variables: names of Airflow Variables.
    :param connections: ids of Airflow connections.
    :param lookups: Variables and connections that are named by arguments.
    :param dynamic: places where a key, id, Variable, connection or module is named at run time.
    :param outside: places that read what the cache key does not see, environment variables and files:
        ``features.py:12 reads the environment variable MODE``.
    """

    context_keys: frozenset[str] = frozenset()
    escapes: tuple[str, ...] = ()
    pulls: tuple[PullCall, ...] = ()
    variables: frozenset[str] = frozenset()
    connections: frozenset[str] = frozenset()
    dynamic: tuple[str, ...] = ()
    attributes: frozenset[str] = frozenset()
    pushes: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    lookups: tuple[Lookup, ...] = ()
