"""What an annotation means: one shape per family of types, worked out without importing any library."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import inspect
import types
import typing
import uuid
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from stepbridge.codecs import registry
from stepbridge.codecs.base import Codec
from stepbridge.codecs.handles import PICKLE
from stepbridge.codecs.names import full_name, lineage, readable

UNANNOTATED: Final = inspect.Parameter.empty
"""Stands where an annotation would: the value alone decides."""


@dataclass(frozen=True)
class Anything:
    """Whatever the value is; inside declared JSON NaN and non-string keys are refused."""

    json: bool = False


@dataclass(frozen=True)
class Scalar:
    """One of JSON's scalars: ``bool``, ``int``, ``float``, ``str`` or NoneType."""

    cls: type


@dataclass(frozen=True)
class Plain:
    """A standard library value type that a tagged tree holds."""

    cls: type
    declared: type


@dataclass(frozen=True)
class Choice:
    """A ``Literal``."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Member:
    """An enum's member; its plain form is the member's value."""

    cls: type[enum.Enum]


@dataclass(frozen=True)
class ListOf:
    """A list, or with ``loose`` any of list and tuple (``Sequence[T]``)."""

    item: Shape
    loose: bool = False


@dataclass(frozen=True)
class TupleOf:
    """A tuple: ``items`` one by one, or ``rest`` for all."""

    items: tuple[Shape, ...]
    rest: Shape | None = None


@dataclass(frozen=True)
class SetOf:
    """A set or frozenset of plain values."""

    item: Shape
    cls: type


@dataclass(frozen=True)
class DictOf:
    """A mapping."""

    key: Shape
    value: Shape


@dataclass(frozen=True)
class Record:
    """A class with named fields: ``dataclass``, ``pydantic``, ``typeddict`` or ``namedtuple``."""

    cls: Any
    kind: str


@dataclass(frozen=True)
class Payload:
    """What a codec stores."""

    codec: Codec
    annotation: Any


@dataclass(frozen=True)
class OneOf:
    """A union."""

    members: tuple[Shape, ...]


@dataclass(frozen=True)
class Unsupported:
    """No codec takes it."""

    annotation: Any
    reason: str = ""


Shape = (
    Anything | Scalar | Plain | Choice | Member | ListOf | TupleOf | SetOf | DictOf | Record | Payload | OneOf
) | Unsupported

_SCALARS = (bool, int, float, str)
_PLAIN: tuple[type, ...] = (datetime, date, time, timedelta, Decimal, uuid.UUID, complex, bytes, bytearray)
_SEQUENCES = (
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.MutableSequence,
)
_MAPPINGS = (
    dict,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
    collections.OrderedDict,
    collections.defaultdict,
)
_SETS = {set: set, frozenset: frozenset, collections.abc.Set: frozenset, collections.abc.MutableSet: set}


@dataclass(frozen=True)
class Field:
    """One field of a record."""

    name: str
    shape: Shape
    required: bool


def shape_of(annotation: Any, *, json: bool = False) -> Shape:
    """The shape of *annotation*; :class:`Unsupported` where there is none, never an error.

    :param json: inside a container that is declared as JSON.
    """
    if annotation is UNANNOTATED or annotation is None or annotation is Any or annotation is object:
        return Anything(json)
    if annotation is types.NoneType:
        return Scalar(types.NoneType)
    if isinstance(annotation, typing.TypeVar):
        return Anything(json)
    if hasattr(annotation, "__supertype__"):
        return shape_of(annotation.__supertype__, json=json)
    origin = typing.get_origin(annotation)
    if type(origin or annotation).__name__ == "TypeAliasType":
        return shape_of(_aliased(annotation, origin), json=json)
    if origin is typing.Annotated:
        return _annotated(annotation, json)
    if origin in (typing.Union, types.UnionType):
        return OneOf(tuple(shape_of(member, json=json) for member in typing.get_args(annotation)))
    if origin is typing.Literal:
        return Choice(typing.get_args(annotation))
    if origin in (
        typing.Required,
        typing.NotRequired,
        typing.Final,
        getattr(typing, "ReadOnly", typing.Final),
    ):
        return shape_of(typing.get_args(annotation)[0], json=json)
    return _classes(annotation, origin or annotation)


def _aliased(annotation: Any, origin: Any) -> Any:
    """What ``type Name[T] = ...`` stands for, with its arguments put in."""
    value = (origin or annotation).__value__
    if origin is None or not getattr(value, "__parameters__", ()):
        return value
    return value[typing.get_args(annotation)]


def _annotated(annotation: Any, json: bool) -> Shape:
    inner, *marks = typing.get_args(annotation)
    if any(mark is PICKLE for mark in marks):
        return Payload(registry.codec_named("pickle"), annotation)
    return shape_of(inner, json=json)


def _classes(annotation: Any, cls: Any) -> Shape:
    codec = registry.codec_for_type(annotation)
    if codec is not None:
        return Payload(codec, annotation)
    container = _container(annotation, cls)
    if container is not None:
        return container
    if not isinstance(cls, type):
        return Unsupported(annotation)
    record = record_kind(cls)
    if record:
        return Record(cls, record)
    if issubclass(cls, enum.Enum):
        return Member(cls)
    for scalar in _SCALARS:
        if cls is scalar:
            return Scalar(scalar)
    for plain in _PLAIN:
        if issubclass(cls, plain):
            return Plain(plain, cls)
    if cls.__module__.split(".")[0] == "airflow":
        return Anything()
    return Unsupported(annotation)


def _container(annotation: Any, cls: Any) -> Shape | None:
    args = typing.get_args(annotation)
    if cls is list or cls in _SEQUENCES:
        item = shape_of(args[0], json=True) if args else Anything(json=True)
        return ListOf(item, loose=cls is not list)
    if cls in _MAPPINGS:
        key = shape_of(args[0]) if args else Scalar(str)
        value = shape_of(args[1], json=True) if len(args) > 1 else Anything(json=True)
        return DictOf(Scalar(str) if isinstance(key, Anything) else key, value)
    if cls is tuple:
        if not args:
            return TupleOf((), Anything())
        if len(args) == 2 and args[1] is Ellipsis:
            return TupleOf((), shape_of(args[0]))
        return TupleOf(tuple(shape_of(item) for item in args))
    if cls in _SETS:
        return SetOf(shape_of(args[0]) if args else Anything(), _SETS[cls])
    return None


def record_kind(cls: Any) -> str:
    """Which family of records *cls* is of, or an empty string."""
    if typing.is_typeddict(cls):
        return "typeddict"
    if not isinstance(cls, type):
        return ""
    if "pydantic.main.BaseModel" in lineage(cls):
        return "pydantic"
    if dataclasses.is_dataclass(cls):
        return "dataclass"
    if issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple):
        return "namedtuple"
    return ""


@functools.lru_cache(maxsize=256)
def fields_of(record: Record) -> tuple[Field, ...]:
    """The fields of a record, in order."""
    cls = record.cls
    if record.kind == "pydantic":
        return tuple(
            Field(name, shape_of(info.annotation), bool(info.is_required()))
            for name, info in cls.model_fields.items()
        )
    hints = class_hints(cls)
    if record.kind == "typeddict":
        return tuple(
            Field(name, shape_of(hint), _required(hint, name in cls.__required_keys__))
            for name, hint in hints.items()
        )
    if record.kind == "namedtuple":
        return tuple(
            Field(name, shape_of(hints.get(name, UNANNOTATED)), name not in cls._field_defaults)
            for name in cls._fields
        )
    return tuple(
        Field(
            field.name,
            shape_of(hints.get(field.name, UNANNOTATED)),
            field.init
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
    )


def _required(hint: Any, declared: bool) -> bool:
    origin = typing.get_origin(hint)
    return origin is typing.Required or (declared and origin is not typing.NotRequired)


def class_hints(cls: Any) -> dict[str, Any]:
    """The resolved annotations of a class; those that cannot be resolved are left out."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError):
        found: dict[str, Any] = {}
        for base in reversed(getattr(cls, "__mro__", (cls,))):
            module = vars(inspect.getmodule(base) or types.ModuleType("none"))
            found.update(resolve_all(inspect.get_annotations(base), module, vars(base)))
        return found


def resolve_all(
    raw: collections.abc.Mapping[str, Any],
    scope: collections.abc.Mapping[str, Any],
    local: collections.abc.Mapping[str, Any],
) -> dict[str, Any]:
    """String annotations evaluated one by one; those that cannot be are left out."""
    found = {}
    for name, annotation in raw.items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found[name] = typing.get_type_hints(holder, dict(scope), dict(local), include_extras=True)[name]
        except (NameError, AttributeError, TypeError, SyntaxError, ValueError):
            continue
    return found


def unsupported(shape: Shape, path: str = "", seen: tuple[Any, ...] = ()) -> tuple[str, str] | None:
    """The first part that no codec takes, as ``(where, why)``, or None."""
    match shape:
        case Unsupported():
            return path, shape.reason or f"no codec takes {readable(shape.annotation)}"
        case ListOf() | SetOf():
            return unsupported(shape.item, f"{path}[item]", seen)
        case TupleOf():
            members = [*shape.items, *([shape.rest] if shape.rest else [])]
            return _first(((f"{path}[{n}]", member) for n, member in enumerate(members)), seen)
        case DictOf():
            return _first(((f"{path}[key]", shape.key), (f"{path}[value]", shape.value)), seen)
        case OneOf():
            found = _first(((path, member) for member in shape.members), seen)
            return found or _ambiguous(shape, path)
        case Record() if shape.cls not in seen:
            fields = ((f"{path}.{field.name}", field.shape) for field in fields_of(shape))
            return _first(fields, (*seen, shape.cls))
        case _:
            return None


def _first(
    members: collections.abc.Iterable[tuple[str, Shape]], seen: tuple[Any, ...]
) -> tuple[str, str] | None:
    for path, member in members:
        found = unsupported(member, path, seen)
        if found is not None:
            return found
    return None


def _family(shape: Shape) -> str:
    match shape:
        case Payload():
            return f"stored as {shape.codec.name}:{shape.codec.type_name(shape.annotation)}"
        case Record():
            return "a record of " + ", ".join(field.name for field in fields_of(shape))
        case ListOf() | TupleOf() | SetOf() | DictOf():
            return type(shape).__name__
        case Member():
            return ""
        case _:
            return ""


def _ambiguous(shape: OneOf, path: str) -> tuple[str, str] | None:
    families: dict[str, int] = {}
    for member in shape.members:
        family = _family(member)
        if family:
            families[family] = families.get(family, 0) + 1
    double = [family for family, count in families.items() if count > 1]
    values = {type(m.value) for member in shape.members if isinstance(member, Member) for m in member.cls}
    scalars = {member.cls for member in shape.members if isinstance(member, Scalar)}
    if double:
        return path, f"the union is ambiguous: more than one member is {double[0]}"
    if values & scalars:
        return path, "the union is ambiguous: an enum and the plain type of its values"
    return None


def describe(shape: Shape, seen: tuple[Any, ...] = ()) -> str:
    """The shape as text, equal on every Python and library version: a part of the cache key."""
    match shape:
        case Anything():
            return "json" if shape.json else "any"
        case Scalar():
            return "none" if shape.cls is types.NoneType else shape.cls.__name__
        case Plain():
            return shape.cls.__name__
        case Choice():
            return f"literal[{','.join(f'{type(v).__name__}:{v!s}' for v in shape.values)}]"
        case Member():
            return f"enum {shape.cls.__qualname__}[{','.join(m.name for m in shape.cls)}]"
        case ListOf():
            return f"{'sequence' if shape.loose else 'list'}[{describe(shape.item, seen)}]"
        case SetOf():
            return f"{shape.cls.__name__}[{describe(shape.item, seen)}]"
        case TupleOf():
            inner = [describe(item, seen) for item in shape.items]
            return f"tuple[{','.join([*inner, describe(shape.rest, seen) + '...'] if shape.rest else inner)}]"
        case _:
            return _describe_rest(shape, seen)


def _describe_rest(shape: Shape, seen: tuple[Any, ...]) -> str:
    match shape:
        case DictOf():
            return f"dict[{describe(shape.key, seen)},{describe(shape.value, seen)}]"
        case Payload():
            return shape.codec.type_name(shape.annotation)
        case OneOf():
            return "|".join(sorted(describe(member, seen) for member in shape.members))
        case Record():
            if shape.cls in seen:
                return f"{shape.kind} {shape.cls.__qualname__}"
            inside = (*seen, shape.cls)
            fields = ",".join(f"{f.name}:{describe(f.shape, inside)}" for f in fields_of(shape))
            return f"{shape.kind} {shape.cls.__qualname__}[{fields}]"
        case Unsupported():
            return f"unsupported {full_name(shape.annotation) or readable(shape.annotation)}"
        case _:
            return type(shape).__name__
