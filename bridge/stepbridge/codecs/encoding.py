"""From a Python value to a contract value, by the annotation's shape or by the value where there is none."""

from __future__ import annotations

import dataclasses
import enum
import math
import os
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path, PurePath
from typing import Any

import stepbridge.annotations as shapes
from stepbridge.annotations import UNANNOTATED, Field, Shape, shape_of
from stepbridge.artifact import Draft
from stepbridge.codecs import plain, registry
from stepbridge.codecs.base import Codec
from stepbridge.codecs.names import lineage, readable
from stepbridge.contract import Fields, Inline, Items, Outside, Stored, Value
from stepbridge.failures import TypeProblem

Refer = Callable[[str, Any], "Stored | Outside | None"]
_ATOMS: frozenset[type] = frozenset({str, int, float, bool, type(None)})
_EXACT = (bytes, bytearray, complex, timedelta, time)


@dataclass(frozen=True)
class Loose:
    """A plain value that has not been put into a document yet."""

    value: Any


@dataclass(frozen=True)
class Encoder:
    """One call's settings.

    :param refer: asked for each string that may stand for a stored or outside object.
    :param keep_paths: path objects, and texts where one is declared, stay paths of this machine.
    """

    staging: Path
    inline_limit: int
    refer: Refer | None = None
    keep_paths: bool = False

    def encode(self, value: object, annotation: object, place: str) -> Value:
        """*value* as a contract value; drafts have their payload below ``staging`` or where it lay."""
        node = self._walk(value, shape_of(annotation), place)
        if isinstance(node, Loose) and type(node.value) is bytes:
            return self._save(registry.codec_named("bytes"), node.value, None, place)
        return self._close(node, place)

    def _close(self, node: Loose | Value, place: str) -> Value:
        if not isinstance(node, Loose):
            return node
        try:
            codec, data = plain.pack(node.value, place=place)
        except plain.NotPlain as error:
            raise no_codec(error.value, error.place) from error
        if plain.size_of(data) <= self.inline_limit:
            return Inline(codec, data)
        return self._save(registry.codec_named(codec), node.value, None, place)

    def _save(self, codec: Codec, value: object, annotation: object, place: str) -> Draft:
        import tempfile

        staging = Path(tempfile.mkdtemp(prefix="value-", dir=self.staging))
        return codec.save(value, annotation, staging, place=place)

    def _walk(self, value: Any, shape: Shape, place: str) -> Loose | Value:
        if self.refer is not None and isinstance(value, str):
            known = _referred(value, shape, self.refer)
            if known is not None:
                return known
        if self.keep_paths and _is_kept(value, shape):
            return Loose(plain.KeptPath(str(value)))
        match shape:
            case shapes.Anything():
                return self._anything(value, shape.json, place)
            case shapes.Scalar():
                return Loose(scalar(simplify(value, place), shape.cls, place))
            case shapes.Payload():
                return self._save(shape.codec, value, shape.annotation, place)
            case shapes.ListOf():
                return self._list(value, shape, place)
            case shapes.TupleOf():
                return self._tuple(value, shape, place)
            case shapes.DictOf():
                return self._dict(value, shape, place)
            case shapes.Record():
                return self._record(value, shape, place)
            case shapes.OneOf():
                return self._walk(value, choose(value, shape, place), place)
            case _:
                return Loose(leaf(value, shape, place))

    def _anything(self, value: Any, json: bool, place: str) -> Loose | Value:
        value = simplify(value, place)
        kind = type(value)
        if kind in _ATOMS:
            if kind is float and json:
                _finite(value, place)
            return Loose(value)
        inner = shapes.Anything(json)
        if kind is list:
            return self._list(value, shapes.ListOf(inner), place)
        if isinstance(value, dict):
            key = shapes.Scalar(str) if json else shapes.Anything()
            return self._dict(value, shapes.DictOf(key, inner), place)
        record = shapes.record_kind(kind)
        if record:
            return self._record(value, shapes.Record(kind, record), place)
        if kind is tuple:
            return self._tuple(value, shapes.TupleOf((), inner), place)
        codec = registry.codec_for_value(value)
        return Loose(value) if codec is None else self._save(codec, value, None, place)

    def _members(self, values: Iterable[Any], shape: Shape, place: str) -> list[Loose | Value]:
        return [self._walk(item, shape, f"{place}[{n}]") for n, item in enumerate(values)]

    def _list(self, value: Any, shape: shapes.ListOf, place: str) -> Loose | Value:
        if not isinstance(value, list | tuple if shape.loose else list):
            raise misfit(value, "a sequence" if shape.loose else "a list", place)
        if self.refer is None and bulk(value, shape.item):
            return Loose(list(value) if isinstance(value, list) else tuple(value))
        return self._sequence(value, self._members(value, shape.item, place), place)

    def _sequence(self, value: Any, nodes: list[Loose | Value], place: str) -> Loose | Value:
        listed = isinstance(value, list)
        if all(isinstance(node, Loose) for node in nodes):
            items = [node.value for node in nodes if isinstance(node, Loose)]
            return Loose(items if listed else tuple(items))
        closed = tuple(self._close(node, f"{place}[{n}]") for n, node in enumerate(nodes))
        return Items("list" if listed else "tuple", closed)

    def _tuple(self, value: Any, shape: shapes.TupleOf, place: str) -> Loose | Value:
        if not isinstance(value, tuple | list):
            raise misfit(value, "a tuple", place)
        value = tuple(value)
        if shape.rest is not None:
            return self._sequence(value, self._members(value, shape.rest, place), place)
        if len(value) != len(shape.items):
            raise misfit(value, f"a tuple of {len(shape.items)}", place, f"a tuple of {len(value)}")
        pairs = enumerate(zip(value, shape.items, strict=True))
        return self._sequence(value, [self._walk(v, item, f"{place}[{n}]") for n, (v, item) in pairs], place)

    def _dict(self, value: Any, shape: shapes.DictOf, place: str) -> Loose | Value:
        if not isinstance(value, dict):
            raise misfit(value, "a dict", place)
        keys = [self._key(key, shape.key, place) for key in value]
        nodes = [
            self._walk(item, shape.value, f"{place}[{key!r}]")
            for key, item in zip(keys, value.values(), strict=True)
        ]
        return self._mapping(dict(zip(keys, nodes, strict=True)), "", place)

    def _key(self, key: Any, shape: Shape, place: str) -> Any:
        if type(key) is str and shape == shapes.Scalar(str):
            return key
        where = f"{place} key {key!r}"
        node = self._walk(key, shape, where) if shape != shapes.Scalar(str) else Loose(simplify(key, where))
        if not isinstance(node, Loose):
            raise no_codec(key, where)
        if shape == shapes.Scalar(str) and type(node.value) is not str:
            raise TypeProblem(
                "SB104",
                f"the key {key!r} is of type {readable(type(key))}; JSON's keys are strings",
                place=place,
                hint="make the keys strings, or annotate dict[int, ...]",
            )
        return node.value

    def _mapping(self, nodes: dict[Any, Loose | Value], name: str, place: str) -> Loose | Value:
        if all(isinstance(node, Loose) for node in nodes.values()):
            return Loose({key: node.value for key, node in nodes.items() if isinstance(node, Loose)})
        for key in nodes:
            if type(key) is not str:
                raise TypeProblem(
                    "SB102",
                    f"the key {key!r} of a mapping with stored members is no string",
                    place=place,
                    hint="make the keys strings",
                )
        return Fields({key: self._close(node, f"{place}[{key!r}]") for key, node in nodes.items()}, name)

    def _record(self, value: Any, shape: shapes.Record, place: str) -> Loose | Value:
        values = record_values(value, shape, place)
        declared = {field.name: field.shape for field in shapes.fields_of(shape)}
        sub = "[{!r}]" if shape.kind == "typeddict" else ".{}"
        nodes = {
            name: self._walk(
                item,
                declared.get(name, shapes.Anything()),
                place + (sub.format(name)),
            )
            for name, item in values.items()
        }
        if shape.kind == "namedtuple" and all(isinstance(node, Loose) for node in nodes.values()):
            return Loose(tuple(node.value for node in nodes.values() if isinstance(node, Loose)))
        return self._mapping(nodes, "" if shape.kind == "typeddict" else shape.cls.__qualname__, place)


def _referred(text: str, shape: Shape, refer: Refer) -> Stored | Outside | None:
    """What *text* refers to where *shape* wants something other than a text."""
    match shape:
        case shapes.Payload():
            return refer(text, shape.annotation)
        case shapes.Scalar(cls=cls) if cls is str:
            return None
        case shapes.Choice() | shapes.Member():
            return None
        case shapes.OneOf():
            if any(fit(text, member) for member in shape.members if not isinstance(member, shapes.Payload)):
                return None
            payloads = [member.annotation for member in shape.members if isinstance(member, shapes.Payload)]
            found = (refer(text, annotation) for annotation in [*payloads, UNANNOTATED])
            return next((known for known in found if known is not None), None)
        case _:
            return refer(text, UNANNOTATED)


def bulk(value: Any, item: Shape) -> bool:
    """Whether all items are atoms that fit, told without walking them one by one."""
    kinds = set(map(type, value))
    match item:
        case shapes.Anything():
            allowed = set(_ATOMS)
        case shapes.Scalar():
            allowed = {int, float} if item.cls is float else {item.cls}
        case _:
            return False
    if not kinds <= allowed:
        return False
    if float not in kinds or item == shapes.Anything(json=False):
        return True
    return all(math.isfinite(number) for number in value if type(number) is float)


def simplify(value: Any, place: str) -> Any:
    """*value* with what only looks like a plain value made one: numpy scalars, subclasses, timestamps.

    :raises TypeProblem: SB102 where that would lose something.
    """
    kind = type(value)
    if kind in _ATOMS or kind in _EXACT or kind in (list, dict, tuple, datetime, date):
        return value
    if isinstance(value, enum.Enum):
        return value
    home = kind.__module__.partition(".")[0]
    if home == "numpy" and "numpy.generic" in lineage(kind):
        return _numpy_scalar(value, place)
    if home == "pandas":
        return _pandas_scalar(value, place)
    if isinstance(value, datetime):
        return datetime(
            value.year,
            value.month,
            value.day,
            value.hour,
            value.minute,
            value.second,
            value.microsecond,
            value.tzinfo,
            fold=value.fold,
        )
    for base in (str, int, float):
        if isinstance(value, base):
            return base.__str__(value) if base is str else base(value)
    if isinstance(value, list):
        return list(value)
    return value


def _numpy_scalar(value: Any, place: str) -> Any:
    plain_value = value.item()
    kind = value.dtype.kind
    exact = type(plain_value) in (bool, int, float, complex, str, bytes) and kind in "biufcUS"
    if exact or (kind in "Mm" and isinstance(plain_value, date | timedelta)):
        return plain_value
    raise TypeProblem(
        "SB102",
        f"a {readable(type(value))} of dtype {value.dtype} has no exact plain form",
        place=place,
        hint="convert it to a datetime, timedelta, int or float first",
    )


def _pandas_scalar(value: Any, place: str) -> Any:
    name = type(value).__qualname__
    if name in {"NaTType", "NAType"}:
        raise TypeProblem("SB102", f"{value!r} has no plain form", place=place, hint="return None instead")
    if name in {"Timestamp", "Timedelta"}:
        if value.nanosecond if name == "Timestamp" else value.nanoseconds:
            raise TypeProblem(
                "SB102",
                f"{value!r} has nanoseconds, which datetime and timedelta cannot hold",
                place=place,
                hint="round it to microseconds, or return its .value",
            )
        return value.to_pydatetime() if name == "Timestamp" else value.to_pytimedelta()
    return value


def no_codec(value: object, place: str) -> TypeProblem:
    """SB102 for *value*."""
    kind = type(value)
    hint = (
        "write it to a file and return File(...), return plain values or a supported type, "
        f"or annotate it Pickle[{kind.__qualname__}] if pickle is acceptable"
    )
    if kind.__qualname__ == "LazyFrame":
        hint = "call .collect() first"
    elif isinstance(value, types.GeneratorType | types.CoroutineType) or kind.__qualname__ in {
        "map",
        "filter",
    }:
        hint = "return a list of its items"
    return TypeProblem("SB102", f"no codec takes a {readable(kind)}", place=place, hint=hint)


def misfit(value: object, expected: str, place: str, found: str = "") -> TypeProblem:
    """SB103: *value* is not what was declared."""
    shown = repr(value)
    what = found or (readable(type(value)) if len(shown) > 60 else f"{readable(type(value))} {shown}")
    return TypeProblem(
        "SB103",
        f"expected {expected}, found {what}",
        place=place,
        hint="change the value or the annotation so that they agree",
    )


def _finite(value: float, place: str) -> float:
    if not math.isfinite(value):
        raise TypeProblem(
            "SB104",
            f"{value!r} is not JSON",
            place=place,
            hint="use None for a missing number, or drop the annotation to carry it as it is",
        )
    return value


def scalar(value: Any, cls: type, place: str) -> Any:
    """*value*, a JSON scalar of the class; an int may stand for a float.

    :raises TypeProblem: SB103 for another type, SB104 for NaN and infinities.
    """
    kind = type(value)
    if kind is cls or (cls is float and kind is int):
        return _finite(value, place) if kind is float else value
    raise misfit(value, "None" if cls is types.NoneType else cls.__name__, place)


def leaf(value: Any, shape: Shape, place: str) -> Any:
    """*value* as the plain form of a shape without stored members.

    :raises TypeProblem: SB103 where it does not fit.
    """
    match shape:
        case shapes.Plain():
            return plain_value(value, shape, place)
        case shapes.Choice():
            value = simplify(value, place) if not isinstance(value, enum.Enum) else value
            for choice in shape.values:
                if type(choice) is type(value) and choice == value:
                    return choice
            raise misfit(value, f"one of {', '.join(map(repr, shape.values))}", place)
        case shapes.Member():
            return _member(value, shape.cls, place)
        case shapes.SetOf():
            return _set(value, shape, place)
        case _:
            annotation = shape.annotation if isinstance(shape, shapes.Unsupported) else shape
            raise TypeProblem(
                "SB101",
                f"no codec takes {readable(annotation)}",
                place=place,
                hint="use a supported type, File, Directory, or Pickle[...]",
            )


def plain_value(value: Any, shape: shapes.Plain, place: str) -> Any:
    """*value*, an instance of the declared standard type.

    :raises TypeProblem: SB103 where it is not.
    """
    value = simplify(value, place)
    right = isinstance(value, shape.cls)
    if shape.cls is date and isinstance(value, datetime):
        right = False
    if not right:
        raise misfit(value, shape.declared.__name__, place)
    return value


def _member(value: Any, cls: type[enum.Enum], place: str) -> Any:
    if isinstance(value, enum.Enum):
        if isinstance(value, cls):
            return simplify(value.value, place)
        raise misfit(value, readable(cls), place)
    value = simplify(value, place)
    for member in cls:
        if type(member.value) is type(value) and member.value == value:
            return value
    raise misfit(value, f"{readable(cls)} or one of its values", place)


def _set(value: Any, shape: shapes.SetOf, place: str) -> Any:
    if not isinstance(value, set | frozenset):
        raise misfit(value, f"a {shape.cls.__name__}", place)
    if isinstance(shape.item, shapes.Anything):
        return shape.cls(simplify(item, place) for item in value)
    if isinstance(shape.item, shapes.Scalar):
        return shape.cls(scalar(simplify(item, place), shape.item.cls, place) for item in value)
    return shape.cls(leaf(item, shape.item, place) for item in value)


def record_values(value: Any, shape: shapes.Record, place: str) -> dict[str, Any]:
    """The fields of a record instance, or of the plain form that old tasks pass in its place."""
    if shape.kind != "typeddict" and isinstance(value, shape.cls):
        return _instance_values(value, shape)
    if shape.kind == "namedtuple" and isinstance(value, list | tuple):
        names = shape.cls._fields
        if len(value) != len(names):
            raise misfit(value, f"{readable(shape.cls)} of {len(names)} fields", place, f"{len(value)} items")
        return dict(zip(names, value, strict=True))
    if not isinstance(value, dict):
        raise misfit(value, readable(shape.cls), place)
    check_names(value, shape, place)
    return value


def _instance_values(value: Any, shape: shapes.Record) -> dict[str, Any]:
    if shape.kind == "pydantic":
        values = {name: getattr(value, name) for name in type(value).model_fields}
        return {**values, **(value.model_extra or {})}
    if shape.kind == "namedtuple":
        return dict(zip(type(value)._fields, value, strict=True))
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def check_names(value: dict[Any, Any], shape: shapes.Record, place: str) -> None:
    """Refuse unknown and missing field names of a mapping that stands for a record (SB103)."""
    fields: dict[str, Field] = {field.name: field for field in shapes.fields_of(shape)}
    unknown = [key for key in value if key not in fields]
    missing = [name for name, field in fields.items() if field.required and name not in value]
    extra_allowed = shape.kind == "pydantic"
    if missing or (unknown and not extra_allowed):
        what = f"fields {missing} missing" if missing else f"unknown fields {unknown}"
        raise TypeProblem(
            "SB103",
            f"the mapping does not fit {readable(shape.cls)}: {what}",
            place=place,
            hint=f"its fields are {', '.join(fields)}",
        )


def choose(value: Any, union: shapes.OneOf, place: str) -> Shape:
    """The member of a union that takes *value*: an exact one first.

    :raises TypeProblem: SB103 where none does.
    """
    simple = simplify(value, place) if type(value).__module__.startswith("numpy") else value
    for rank in (2, 1):
        for member in union.members:
            if fit(simple, member) >= rank:
                return member
    names = " or ".join(shapes.describe(member) for member in union.members)
    raise misfit(value, names, place)


def fit(value: Any, shape: Shape) -> int:
    """How well *value* fits *shape*, looking at its outside: 2 exactly, 1 by conversion, 0 not."""
    match shape:
        case shapes.Anything():
            return 1
        case shapes.Scalar():
            return 2 if type(value) is shape.cls else int(shape.cls is float and type(value) is int)
        case shapes.Choice():
            return 2 if any(type(c) is type(value) and c == value for c in shape.values) else 0
        case shapes.Member():
            by_value = any(type(m.value) is type(value) and m.value == value for m in shape.cls)
            return 2 if isinstance(value, shape.cls) else int(by_value)
        case shapes.Plain():
            exact = type(value) is shape.cls
            return 2 if exact else int(isinstance(value, shape.cls) and not isinstance(value, datetime))
        case shapes.Payload():
            return _fits_payload(value, shape)
        case shapes.Record():
            return _fits_record(value, shape)
        case shapes.OneOf():
            return max((fit(value, member) for member in shape.members), default=0)
        case _:
            return _fits_container(value, shape)


def _is_kept(value: Any, shape: Shape) -> bool:
    declared = isinstance(shape, shapes.Payload) and shape.codec.name == "path"
    if isinstance(value, PurePath):
        return declared or isinstance(shape, shapes.Anything)
    return declared and isinstance(value, str)


def _fits_payload(value: Any, shape: shapes.Payload) -> int:
    if shape.codec.handles_value(value):
        wanted = shape.codec.type_name(shape.annotation)
        return 2 if wanted in {shape.codec.type_name(type(value)), "pathlib.Path"} else 0
    if shape.codec.name == "pickle" and not isinstance(value, str):
        return 1
    return int(shape.codec.name in {"file", "directory", "path"} and isinstance(value, str | os.PathLike))


def _fits_record(value: Any, shape: shapes.Record) -> int:
    if shape.kind != "typeddict" and isinstance(value, shape.cls):
        return 2
    if shape.kind == "namedtuple" and isinstance(value, list | tuple):
        return int(len(value) == len(shape.cls._fields))
    if not isinstance(value, dict):
        return 0
    fields = shapes.fields_of(shape)
    names = {field.name for field in fields}
    return int(names >= set(value) and {field.name for field in fields if field.required} <= set(value))


def _fits_container(value: Any, shape: Shape) -> int:
    match shape:
        case shapes.ListOf():
            return 2 if isinstance(value, list) else int(shape.loose and isinstance(value, tuple))
        case shapes.TupleOf():
            sized = shape.rest is not None or (
                isinstance(value, tuple | list) and len(value) == len(shape.items)
            )
            return (2 if isinstance(value, tuple) else int(isinstance(value, list))) if sized else 0
        case shapes.DictOf():
            return 2 if isinstance(value, dict) else 0
        case shapes.SetOf():
            return 2 if isinstance(value, set | frozenset) else 0
        case _:
            return 0
