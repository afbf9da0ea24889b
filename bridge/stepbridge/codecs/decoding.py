"""From a contract value back to what the function's parameter says it wants."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import stepbridge.annotations as shapes
from stepbridge.annotations import Shape, shape_of
from stepbridge.artifact import Artifact, Draft, Manifest
from stepbridge.codecs import encoding, plain, registry
from stepbridge.codecs.encoding import misfit
from stepbridge.codecs.handles import Directory, File
from stepbridge.codecs.names import readable
from stepbridge.contract import Fields, Inline, Items, Outside, Stored, Value
from stepbridge.failures import TypeProblem

DOCUMENTS = frozenset({plain.JSON, plain.PYTHON, "bytes"})
_PATHS = frozenset({"file", "directory", "path"})


@dataclass(frozen=True)
class Located:
    """A payload that was fetched.

    :param manifest: None for an outside object.
    :param path: the payload file, or the directory.
    """

    manifest: Manifest | None
    path: Path


Locate = Callable[["Stored | Outside"], Located]


@dataclass(frozen=True)
class Decoder:
    """One call's settings."""

    locate: Locate

    def decode(self, value: Value, annotation: object, place: str) -> Any:
        """*value* as *annotation* wants it."""
        return self._walk(value, shape_of(annotation), place)

    def _walk(self, value: Value, shape: Shape, place: str) -> Any:
        match value:
            case Inline():
                return rebuild(plain.unpack(value.codec, value.data, place=place), shape, place)
            case Stored() | Outside():
                return self._stored(value, shape, place)
            case Items():
                return self._items(value, shape, place)
            case Fields():
                return self._fields(value, shape, place)
            case Draft():
                raise TypeError(f"{place}: a draft is not published yet")

    def _stored(self, value: Stored | Outside, shape: Shape, place: str) -> Any:
        kind = value.artifact if isinstance(value, Stored) else None
        if isinstance(shape, shapes.OneOf):
            shape = _stored_member(kind, shape, place)
        if shape == shapes.Scalar(str) and not (kind and kind.format in DOCUMENTS):
            return kind.uri if kind else value.uri  # type: ignore[union-attr]
        located = self.locate(value)
        return _loaded(located, shape, kind.uri if kind else "", place)

    def _items(self, value: Items, shape: Shape, place: str) -> Any:
        if isinstance(shape, shapes.OneOf):
            shape = next((m for m in shape.members if isinstance(m, shapes.ListOf | shapes.TupleOf)), shape)
        inner: tuple[Shape, ...]
        count = len(value.items)
        match shape:
            case shapes.ListOf():
                inner = (shape.item,) * count
            case shapes.TupleOf():
                inner = shape.items if shape.rest is None else (shape.rest,) * count
            case shapes.Record(kind="namedtuple"):
                inner = tuple(field.shape for field in shapes.fields_of(shape))
            case shapes.Anything():
                inner = (shape,) * count
            case _:
                raise misfit(value, shapes.describe(shape), place, f"a {value.type} with stored items")
        if len(inner) != count:
            raise misfit(value, f"{len(inner)} items", place, f"{count} items")
        members = [
            self._walk(item, sub, f"{place}[{n}]")
            for n, (item, sub) in enumerate(zip(value.items, inner, strict=True))
        ]
        if isinstance(shape, shapes.Record):
            return shape.cls(*members)
        as_list = isinstance(shape, shapes.ListOf) and not shape.loose
        as_list = as_list or (value.type == "list" and not isinstance(shape, shapes.TupleOf))
        return members if as_list else tuple(members)

    def _fields(self, value: Fields, shape: Shape, place: str) -> Any:
        if isinstance(shape, shapes.OneOf):
            shape = _fields_member(value, shape, place)
        match shape:
            case shapes.Record():
                encoding.check_names(dict(value.fields), shape, place)
                inner = {field.name: field.shape for field in shapes.fields_of(shape)}
            case shapes.DictOf():
                inner = dict.fromkeys(value.fields, shape.value)
            case shapes.Anything():
                inner = {}
            case _:
                raise misfit(value, shapes.describe(shape), place, "a mapping with stored members")
        members = {
            name: self._walk(item, inner.get(name, shapes.Anything()), f"{place}[{name!r}]")
            for name, item in value.fields.items()
        }
        return construct(shape, members, place) if isinstance(shape, shapes.Record) else members


def _stored_member(kind: Artifact | None, union: shapes.OneOf, place: str) -> Shape:
    payloads = [member for member in union.members if isinstance(member, shapes.Payload)]
    if kind is None:
        found: list[Shape] = [*payloads]
    elif kind.format in DOCUMENTS:
        return union
    else:
        found = [m for m in payloads if m.codec.type_name(m.annotation) == kind.type]
        found = found or [m for m in payloads if m.codec.name == kind.format or m.codec.name in _PATHS]
    found = found or [m for m in union.members if m == shapes.Scalar(str) or isinstance(m, shapes.Anything)]
    if not found:
        raise misfit(kind, shapes.describe(union), place, kind.type if kind else "an outside object")
    return found[0]


def _fields_member(value: Fields, union: shapes.OneOf, place: str) -> Shape:
    records = [m for m in union.members if isinstance(m, shapes.Record)]
    named = [m for m in records if value.name and m.cls.__qualname__ == value.name]
    fitting = [m for m in records if encoding.fit(dict(value.fields), m)]
    others = [m for m in union.members if isinstance(m, shapes.DictOf | shapes.Anything)]
    for candidates in (named, fitting, others):
        if candidates:
            return candidates[0]
    raise misfit(value, shapes.describe(union), place, "a mapping with stored members")


def _loaded(located: Located, shape: Shape, uri: str, place: str) -> Any:
    manifest = located.manifest
    if manifest is not None and manifest.format in DOCUMENTS and not _wants_path(shape):
        raw = registry.codec_named(manifest.format).load(manifest, located.path, None, place=place)
        return rebuild(raw, shape, place)
    if isinstance(shape, shapes.Payload):
        loaded = shape.codec.load(manifest, located.path, shape.annotation, place=place)
    elif isinstance(shape, shapes.Anything):
        name = manifest.format if manifest else "file"
        loaded = registry.codec_named(name).load(manifest, located.path, None, place=place)
    else:
        found = manifest.type if manifest else "an outside object"
        raise misfit(located.path, shapes.describe(shape), place, f"a stored {found}")
    return type(loaded)(loaded.path, uri=uri) if isinstance(loaded, File | Directory) else loaded


def _wants_path(shape: Shape) -> bool:
    return isinstance(shape, shapes.Payload) and shape.codec.name in _PATHS


def rebuild(raw: Any, shape: Shape, place: str) -> Any:
    """A plain value as *shape* wants it: checked, records and enums made again.

    :raises TypeProblem: SB103 where it does not fit.
    """
    match shape:
        case shapes.Anything():
            return raw
        case shapes.OneOf():
            return rebuild(raw, encoding.choose(raw, shape, place), place)
        case shapes.Member():
            return _member(raw, shape.cls, place)
        case shapes.Record():
            return _record(raw, shape, place)
        case shapes.ListOf() | shapes.TupleOf() | shapes.DictOf():
            return _container(raw, shape, place)
        case shapes.Plain():
            value = encoding.plain_value(raw, shape, place)
            make = getattr(shape.declared, "instance", None)
            return make(value) if make and not isinstance(value, shape.declared) else value
        case shapes.Scalar():
            return encoding.scalar(raw, shape.cls, place)
        case shapes.Payload():
            return _no_payload(raw, shape, place)
        case _:
            return encoding.leaf(raw, shape, place)


def _no_payload(raw: Any, shape: shapes.Payload, place: str) -> Any:
    if shape.codec.name == "path" and isinstance(raw, PurePath):
        return raw
    raise TypeProblem(
        "SB103",
        f"expected {readable(shape.annotation)}, found {readable(type(raw))}",
        place=place,
        hint="pass the value itself, a path or a URI",
    )


def _member(raw: Any, cls: type[enum.Enum], place: str) -> Any:
    if isinstance(raw, cls):
        return raw
    for member in cls:
        if type(member.value) is type(raw) and member.value == raw:
            return member
    raise misfit(raw, readable(cls), place)


def _container(raw: Any, shape: shapes.ListOf | shapes.TupleOf | shapes.DictOf, place: str) -> Any:
    if isinstance(shape, shapes.DictOf):
        if not isinstance(raw, dict):
            raise misfit(raw, "a dict", place)
        return {
            rebuild(key, shape.key, place): rebuild(item, shape.value, f"{place}[{key!r}]")
            for key, item in raw.items()
        }
    loose = isinstance(shape, shapes.TupleOf) or shape.loose
    if not isinstance(raw, list | tuple if loose else list):
        raise misfit(raw, shapes.describe(shape), place)
    if isinstance(shape, shapes.TupleOf):
        inner = shape.items if shape.rest is None else (shape.rest,) * len(raw)
        if len(inner) != len(raw):
            raise misfit(raw, f"{len(inner)} items", place, f"{len(raw)} items")
        pairs = enumerate(zip(raw, inner, strict=True))
        return tuple(rebuild(item, sub, f"{place}[{n}]") for n, (item, sub) in pairs)
    if encoding.bulk(raw, shape.item):
        return raw
    items = [rebuild(item, shape.item, f"{place}[{n}]") for n, item in enumerate(raw)]
    return items if isinstance(raw, list) else tuple(items)


def _record(raw: Any, shape: shapes.Record, place: str) -> Any:
    values = encoding.record_values(raw, shape, place)
    declared = {field.name: field.shape for field in shapes.fields_of(shape)}
    members = {
        name: rebuild(item, declared.get(name, shapes.Anything()), f"{place}.{name}")
        for name, item in values.items()
    }
    return construct(shape, members, place)


def construct(shape: shapes.Record, members: dict[str, Any], place: str) -> Any:
    """An instance of the record from its fields.

    :raises TypeProblem: SB103 where its own checks refuse them.
    """
    try:
        return _MAKERS[shape.kind](shape.cls, members)
    except (ValueError, TypeError) as error:
        raise TypeProblem(
            "SB103",
            f"{readable(shape.cls)} refuses its fields: {error}",
            place=place,
            hint="the value was made for another version of the class",
        ) from error


def _make_dataclass(cls: Any, members: dict[str, Any]) -> Any:
    given = {f.name for f in dataclasses.fields(cls) if f.init}
    made = cls(**{name: item for name, item in members.items() if name in given})
    for name, item in members.items():
        if name not in given:
            object.__setattr__(made, name, item)
    return made


def _make_pydantic(cls: Any, members: dict[str, Any]) -> Any:
    def outer(name: str) -> str:
        info = cls.model_fields.get(name)
        alias = info and (info.validation_alias or info.alias)
        return alias if isinstance(alias, str) else name

    return cls.model_validate({outer(name): item for name, item in members.items()})


_MAKERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "dataclass": _make_dataclass,
    "pydantic": _make_pydantic,
    "namedtuple": lambda cls, members: cls(**members),
    "typeddict": lambda _, members: dict(members),
}
