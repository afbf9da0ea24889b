"""Frozen dataclasses to JSON documents and back, strictly: every other module's records go through here."""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from stepbridge.failures import StoreProblem

if TYPE_CHECKING:
    from stepbridge.store.base import Store

T = TypeVar("T")
Json = None | bool | int | float | str | list[Any] | dict[str, Any]


def dump(document: object) -> bytes:
    """*document*, a dataclass instance, as UTF-8 JSON with a closing newline; keys keep their order."""
    return (json.dumps(to_json(document), allow_nan=False, indent=1) + "\n").encode()


def load(cls: type[T], data: bytes, *, place: str) -> T:
    """The document of type *cls* in *data*.

    :param place: where the bytes come from, for the error.
    :raises StoreProblem: SB309 with the path of the field that is wrong.
    """
    try:
        found: T = from_json(cls, json.loads(data), place=place)
        return found
    except (ValueError, UnicodeDecodeError) as error:
        raise StoreProblem("SB309", f"not a JSON document: {error}", place=place) from error


def read(cls: type[T], store: Store, key: str) -> T:
    """The document of type *cls* that lies in *store* under *key*.

    :raises ObjectMissing: SB302 where there is none.
    :raises StoreProblem: SB309 where it is none of that type; or what reading it raises.
    """
    return load(cls, store.get(key), place=store.uri(key))


def to_json(value: object) -> Any:
    """*value* with dataclasses as objects; a dataclass that has a ``TAG`` carries it as ``"kind"``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        tag = getattr(type(value), "TAG", None)
        return {"kind": tag, **out} if tag else out
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(cls: Any, data: Any, *, place: str) -> Any:
    """*data* as *cls*: a dataclass, ``tuple[X, ...]``, ``Mapping[str, X]``, a union, or a plain JSON type."""
    origin = typing.get_origin(cls)
    if cls is Any or cls is object:
        return data
    if origin in (typing.Union, types.UnionType):
        return _union(cls, data, place)
    if origin is tuple:
        return tuple(
            from_json(typing.get_args(cls)[0], item, place=f"{place}[{n}]")
            for n, item in enumerate(_expect(list, data, place))
        )
    if origin is typing.Literal:
        return data if data in typing.get_args(cls) else _fail(f"{data!r} is not one of {cls}", place)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item_type = typing.get_args(cls)[1]
        members = _expect(dict, data, place).items()
        return {key: from_json(item_type, item, place=f"{place}.{key}") for key, item in members}
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, data, place)
    if isinstance(cls, type) and issubclass(cls, enum.Enum):
        known = [member.value for member in cls]
        return cls(data) if data in known else _fail(f"{data!r} is not one of {known}", place)
    if cls is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    return _expect(cls, data, place)


def _expect(kind: Any, data: Any, place: str) -> Any:
    if kind is type(None):
        kind = types.NoneType
    if not isinstance(data, kind) or (isinstance(data, bool) and kind in (int, float)):
        return _fail(f"expected {getattr(kind, '__name__', kind)}, found {type(data).__name__}", place)
    return data


def _fail(cause: str, place: str) -> Any:
    raise StoreProblem("SB309", cause, place=place, hint="the document was not written by this version")


def _union(cls: Any, data: Any, place: str) -> Any:
    members = typing.get_args(cls)
    if data is None and type(None) in members:
        return None
    tagged = {m.TAG: m for m in members if getattr(m, "TAG", None)}
    if tagged:
        kind = _expect(dict, data, place).get("kind")
        if kind not in tagged:
            return _fail(f"kind {kind!r} is not one of {sorted(tagged)}", place)
        return _dataclass(tagged[kind], data, place)
    plain = [m for m in members if m is not type(None)]
    if len(plain) == 1:
        return from_json(plain[0], data, place=place)
    for member in plain:
        if isinstance(member, type) and isinstance(data, member):
            return data
    return _fail(f"{type(data).__name__} fits none of {members}", place)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _dataclass(cls: Any, data: Any, place: str) -> Any:
    members = dict(_expect(dict, data, place))
    if getattr(cls, "TAG", None):
        members.pop("kind", None)
    hints = _hints(cls)
    values = {}
    for field in dataclasses.fields(cls):
        if field.name in members:
            values[field.name] = from_json(
                hints[field.name], members.pop(field.name), place=f"{place}.{field.name}"
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            return _fail(f"field {field.name!r} is missing", place)
    if members:
        return _fail(f"unknown fields {sorted(members)}", place)
    return cls(**values)
