"""A function's interface: its parameters and output as typed shapes, checked without running or importing."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import stepbridge.annotations as shapes
from stepbridge.annotations import UNANNOTATED, Shape, describe, shape_of
from stepbridge.codecs.names import readable
from stepbridge.failures import TypeProblem

_TABLES = frozenset({"pandas.DataFrame", "pyarrow.Table", "polars.DataFrame"})
_PATHS = frozenset({"stepbridge.File", "pathlib.Path"})


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    :param kind: ``positional``, ``plain``, ``args``, ``keyword`` or ``kwargs``.
    :param annotation: resolved; ``UNANNOTATED`` where there is none or it cannot be resolved here; widened by
        None where None is the default.
    """

    name: str
    kind: str
    annotation: Any
    has_default: bool


_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "plain",
    inspect.Parameter.VAR_POSITIONAL: "args",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_KEYWORD: "kwargs",
}


@dataclass(frozen=True)
class Interface:
    """What goes into a function and what comes out."""

    parameters: tuple[Parameter, ...]
    output: Any

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Interface:
        """The interface of *function*; annotations that cannot be resolved here count as absent.

        :raises TypeProblem: SB106 where it has no signature, as some builtins.
        """
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise TypeProblem(
                "SB106",
                f"the callable has no signature: {error}",
                place=str(function),
                hint="wrap it in a def",
            ) from error
        hints = _hints(function)
        parameters = tuple(_parameter(parameter, hints) for parameter in signature.parameters.values())
        return cls(parameters, hints.get("return", UNANNOTATED))

    def parameter(self, name: str) -> Parameter | None:
        """The parameter called *name*, or the one that collects unknown keywords, or None."""
        collecting = None
        for parameter in self.parameters:
            if parameter.name == name and parameter.kind not in {"args", "kwargs"}:
                return parameter
            if parameter.kind == "kwargs":
                collecting = parameter
        return collecting

    def annotation(self, name: str) -> Any:
        """The annotation of the argument *name*; ``UNANNOTATED`` where nothing is known."""
        parameter = self.parameter(name)
        return UNANNOTATED if parameter is None else parameter.annotation

    def describe(self) -> str:
        """The canonical text of the interface: a part of the cache key."""
        inside = ", ".join(
            f"{parameter.kind} {parameter.name}: {describe(shape_of(parameter.annotation))}"
            + (" = default" if parameter.has_default else "")
            for parameter in self.parameters
        )
        return f"({inside}) -> {describe(shape_of(self.output))}"


def _parameter(parameter: inspect.Parameter, hints: dict[str, Any]) -> Parameter:
    annotation = hints.get(parameter.name, UNANNOTATED)
    if parameter.kind is parameter.VAR_KEYWORD and shapes.unsupported(shape_of(annotation)) is not None:
        annotation = UNANNOTATED  # ``**context: Context`` says what they are together, not each
    if parameter.default is None and annotation is not UNANNOTATED:
        annotation = typing.Optional[annotation]  # noqa: UP045 - the annotation may be no class
    has_default = parameter.default is not inspect.Parameter.empty
    return Parameter(parameter.name, _KINDS[parameter.kind], annotation, has_default)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = inspect.unwrap(inner)
    if isinstance(inner, types.MethodType):
        inner = inner.__func__
    if not hasattr(inner, "__code__") and not isinstance(inner, type):
        inner = getattr(type(inner), "__call__", inner)  # noqa: B004 - the function behind the instance
    raw = getattr(inner, "__annotations__", None) or {}
    scope = getattr(inner, "__globals__", {})
    return shapes.resolve_all(raw, scope, _closure(inner))


def _closure(function: Any) -> dict[str, Any]:
    cells = getattr(function, "__closure__", None) or ()
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    found = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def check_types(interface: Interface, place: str, *, skip: Collection[str] = ()) -> None:
    """Refuse annotations that no codec handles, when the DAG is parsed.

    :param skip: parameters that the runner fills in itself (Airflow's context).
    :raises TypeProblem: SB101 naming the parameter and the part of its annotation.
    """
    members = [(f"parameter {p.name!r}", p.annotation) for p in interface.parameters if p.name not in skip]
    for what, annotation in [*members, ("return annotation", interface.output)]:
        found = shapes.unsupported(shape_of(annotation))
        if found is not None:
            path, why = found
            raise TypeProblem(
                "SB101",
                f"{what} {readable(annotation)}{': at ' + path if path else ''}: {why}",
                place=place,
                hint="use a type of docs/types.md, File or Directory, Pickle[T] if pickle is acceptable, "
                "or drop the annotation to let the value decide",
            )


def check_edge(producer: Any, consumer: Any, place: str) -> None:
    """Refuse an edge on which no value can fit, when the DAG is parsed.

    :param producer: the annotation of the output, or of the member of it that is passed on.
    :param consumer: the annotation of the parameter.
    :raises TypeProblem: SB107.
    """
    if not fits(shape_of(producer), shape_of(consumer)):
        raise TypeProblem(
            "SB107",
            f"the output is {readable(producer)}, the parameter wants {readable(consumer)}",
            place=place,
            hint="change one of the two annotations, or convert in between",
        )


def fits(source: Shape, target: Shape) -> bool:
    """Whether some value of *source* may be given where *target* is declared."""
    open_ended = shapes.Anything | shapes.Unsupported
    if isinstance(source, open_ended) or isinstance(target, open_ended):
        return True
    if isinstance(source, shapes.OneOf):
        return any(fits(member, target) for member in source.members if not _is_none(member)) or (
            all(map(_is_none, source.members)) and fits(shapes.Scalar(types.NoneType), target)
        )
    if isinstance(target, shapes.OneOf):
        return any(fits(source, member) for member in target.members)
    if isinstance(source, shapes.Payload):
        return _stored_fits(source, target)
    if isinstance(target, shapes.Payload):
        return source == shapes.Scalar(str)
    return _plain_fits(source, target)


def _is_none(shape: Shape) -> bool:
    return shape == shapes.Scalar(types.NoneType)


def _stored_fits(source: shapes.Payload, target: Shape) -> bool:
    if target == shapes.Scalar(str):
        return True
    if not isinstance(target, shapes.Payload):
        return False
    made = source.codec.type_name(source.annotation)
    wanted = target.codec.type_name(target.annotation)
    if made == wanted or {made, wanted} <= _TABLES:
        return True
    if wanted == "pathlib.Path" or made == "pathlib.Path":
        return True
    if wanted in _PATHS:
        return made != "stepbridge.Directory"
    if made in _PATHS:
        return wanted in _TABLES or wanted in {"pandas.Series", "numpy.ndarray"}
    return made.startswith("Pickle") and wanted.startswith("Pickle")


def _plain_fits(source: Shape, target: Shape) -> bool:
    match source, target:
        case shapes.Scalar(), shapes.Scalar():
            return source.cls is target.cls or (source.cls is int and target.cls is float)
        case shapes.Plain(), shapes.Plain():
            return source.cls is target.cls
        case shapes.Choice(), _:
            return any(fits(_shape_of_value(value), target) for value in source.values)
        case _, shapes.Choice():
            return any(fits(source, _shape_of_value(value)) for value in target.values)
        case shapes.Member(), shapes.Member():
            return (
                source.cls is target.cls
                or {m.value for m in source.cls} & {m.value for m in target.cls} != set()
            )
        case shapes.Member(), _:
            return any(fits(_shape_of_value(member.value), target) for member in source.cls)
        case _, shapes.Member():
            return any(fits(source, _shape_of_value(member.value)) for member in target.cls)
        case _:
            return _containers_fit(source, target)


def _shape_of_value(value: Any) -> Shape:
    return shape_of(type(value))


def _containers_fit(source: Shape, target: Shape) -> bool:
    match source, target:
        case shapes.Record(), shapes.Record():
            return _records_fit(source, target)
        case shapes.Record(kind="namedtuple"), shapes.ListOf() | shapes.TupleOf():
            return True
        case (shapes.Record(), shapes.DictOf()) | (shapes.DictOf(), shapes.Record()):
            return True
        case shapes.DictOf(), shapes.DictOf():
            return fits(source.key, target.key) and fits(source.value, target.value)
        case shapes.ListOf() | shapes.TupleOf() | shapes.SetOf(), _:
            return _sequences_fit(source, target)
        case _:
            return False


def _records_fit(source: shapes.Record, target: shapes.Record) -> bool:
    if source.cls is target.cls:
        return True
    given = {field.name: field.shape for field in shapes.fields_of(source)}
    wanted = shapes.fields_of(target)
    if any(field.required and field.name not in given for field in wanted):
        return False
    return all(fits(given[field.name], field.shape) for field in wanted if field.name in given)


def _sequences_fit(source: Shape, target: Shape) -> bool:
    match source, target:
        case shapes.SetOf(), shapes.SetOf():
            return fits(source.item, target.item)
        case shapes.ListOf(), shapes.ListOf():
            return fits(source.item, target.item)
        case shapes.ListOf(), shapes.TupleOf():
            return all(fits(source.item, item) for item in _items(target))
        case shapes.TupleOf(), shapes.ListOf():
            return target.loose and all(fits(item, target.item) for item in _items(source))
        case shapes.TupleOf(), shapes.TupleOf():
            if source.rest is None and target.rest is None and len(source.items) != len(target.items):
                return False
            pairs = zip(_items(source), _items(target), strict=False)
            return all(fits(made, wanted) for made, wanted in pairs)
        case shapes.ListOf() | shapes.TupleOf(), shapes.Record(kind="namedtuple"):
            return True
        case _:
            return False


def _items(shape: shapes.TupleOf) -> tuple[Shape, ...]:
    return shape.items or ((shape.rest,) if shape.rest else ())
