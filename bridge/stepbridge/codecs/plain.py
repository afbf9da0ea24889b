"""Plain Python values as JSON trees, exactly: strict JSON where it fits, a tagged tree for everything else.

In a tagged tree JSON's own scalars and lists stand for themselves, an object with string keys too unless it
has a key ``$``; anything else is ``{"$": tag, "v": payload}``.
"""

from __future__ import annotations

import base64
import enum
import functools
import importlib
import json
import math
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stepbridge.failures import StoreProblem, TypeProblem

JSON = "json"
PYTHON = "python"
_BIG = 8192
_ATOMS = frozenset({str, int, bool, type(None)})


@dataclass(frozen=True)
class KeptPath:
    """A path that stays a path: what lies there is neither read nor stored."""

    text: str


class NotPlain(Exception):
    """The value at ``place`` is of a type that a tree does not hold."""

    def __init__(self, value: object, place: str) -> None:
        self.value = value
        self.place = place
        super().__init__(place)


def pack(value: object, *, place: str) -> tuple[str, Any]:
    """*value* as ``("json", value)`` where it is strict JSON, else as ``("python", tagged tree)``.

    :raises NotPlain: where some part is no plain value.
    """
    return (JSON, value) if is_json(value) else (PYTHON, to_tree(value, place))


def unpack(codec: str, data: Any, *, place: str) -> Any:
    """The value that :func:`pack` took."""
    if codec == JSON:
        return data
    if codec == PYTHON:
        return from_tree(data, place)
    raise StoreProblem(
        "SB309", f"unknown inline codec {codec!r}", place=place, hint="a newer version wrote this document"
    )


def dumps(data: Any) -> bytes:
    """A tree or JSON value as compact JSON in its own order."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode()


def size_of(data: Any) -> int:
    """Bytes that :func:`dumps` would give."""
    return len(dumps(data))


def is_json(value: object) -> bool:
    """Whether *value* is exactly JSON: its types, finite numbers, string keys."""
    kind = type(value)
    if kind in _ATOMS:
        return kind is not int or -(1 << _BIG) < value < 1 << _BIG  # type: ignore[operator]
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if kind is list:
        return _all_json(value)  # type: ignore[arg-type]
    if kind is dict:
        return {str}.issuperset(map(type, value)) and _all_json(value.values())  # type: ignore[call-overload, attr-defined]
    return False


def _all_json(items: Iterable[object]) -> bool:
    kinds = set(map(type, items))
    if kinds <= {str, bool, type(None)}:
        return True
    if kinds == {float}:
        return all(map(math.isfinite, items))  # type: ignore[arg-type]
    return all(map(is_json, items))


def _zone(info: tzinfo | None) -> str | None:
    if info is None or type(info) is timezone:
        return None
    for name in ("key", "zone", "name"):
        label = getattr(info, name, None)
        if isinstance(label, str) and label:
            return label
    return None


def _iso(value: datetime | time) -> list[Any]:
    text = value.isoformat()
    zone = _zone(value.tzinfo)
    out: list[Any] = [text] if zone is None else [text, zone]
    if value.fold:
        out = [text, zone, 1]
    return out


def _enum(value: enum.Enum, place: str) -> dict[str, Any]:
    cls = type(value)
    if value.name is None or "<locals>" in cls.__qualname__:
        raise NotPlain(value, place)
    return {
        "$": "enum",
        "v": [f"{cls.__module__}:{cls.__qualname__}", value.name, to_tree(value.value, place)],
    }


def _sorted_set(value: Iterable[object], place: str) -> list[Any]:
    return sorted((to_tree(item, place) for item in value), key=lambda tree: dumps(tree))


def _pairs(value: dict[Any, Any], place: str) -> list[Any]:
    return [
        [to_tree(key, f"{place} key {key!r}"), to_tree(item, f"{place}[{key!r}]")]
        for key, item in value.items()
    ]


_LEAVES: dict[type, tuple[str, Callable[[Any], Any]]] = {
    float: ("float", repr),
    int: ("int", hex),
    bytes: ("bytes", lambda v: base64.b64encode(v).decode()),
    bytearray: ("bytearray", lambda v: base64.b64encode(v).decode()),
    complex: ("complex", lambda v: [repr(v.real), repr(v.imag)]),
    datetime: ("datetime", _iso),
    date: ("date", date.isoformat),
    time: ("time", _iso),
    timedelta: ("timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    Decimal: ("decimal", str),
    uuid.UUID: ("uuid", str),
    KeptPath: ("path", lambda v: v.text),
}


def to_tree(value: Any, place: str) -> Any:
    """*value* as a tagged tree.

    :raises NotPlain: where some part is no plain value.
    """
    kind = type(value)
    if is_json(value) and kind not in (list, dict):
        return value
    if kind in _LEAVES:
        tag, dump = _LEAVES[kind]
        return {"$": tag, "v": dump(value)}
    if kind is list or kind is tuple:
        items = [to_tree(item, f"{place}[{n}]") for n, item in enumerate(value)]
        return items if kind is list else {"$": "tuple", "v": items}
    if kind is dict:
        if {str}.issuperset(map(type, value)) and "$" not in value:
            return {key: to_tree(item, f"{place}[{key!r}]") for key, item in value.items()}
        return {"$": "dict", "v": _pairs(value, place)}
    if kind is set or kind is frozenset:
        return {"$": kind.__name__, "v": _sorted_set(value, place)}
    if isinstance(value, enum.Enum):
        return _enum(value, place)
    raise NotPlain(value, place)


def _load_zone(name: str, place: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        if name == "UTC":
            return UTC
        raise TypeProblem(
            "SB103",
            f"the time zone {name!r} is not known here",
            place=place,
            hint="install tzdata in the step's image",
        ) from error


def _load_datetime(data: list[Any], place: str) -> datetime:
    value = datetime.fromisoformat(data[0])
    if len(data) > 1 and data[1] is not None:
        value = value.replace(tzinfo=_load_zone(data[1], place))
    return value.replace(fold=1) if len(data) > 2 else value


def _load_time(data: list[Any], place: str) -> time:
    value = time.fromisoformat(data[0])
    if len(data) > 1 and data[1] is not None:
        value = value.replace(tzinfo=_load_zone(data[1], place))
    return value.replace(fold=1) if len(data) > 2 else value


def _load_enum(data: list[Any], place: str) -> Any:
    module, _, qualname = str(data[0]).partition(":")
    try:
        cls = functools.reduce(getattr, qualname.split("."), importlib.import_module(module))
        return cls[data[1]]  # type: ignore[index]
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        raise TypeProblem(
            "SB103",
            f"the enum {qualname}.{data[1]} cannot be found here",
            place=place,
            hint="annotate the parameter with the enum",
        ) from error


def _trees(items: list[Any], place: str) -> list[Any]:
    return [from_tree(item, place) for item in items]


_LOADERS: dict[str, Callable[[Any, str], Any]] = {
    "float": lambda v, _: float(v),
    "int": lambda v, _: int(v, 16),
    "bytes": lambda v, _: base64.b64decode(v, validate=True),
    "bytearray": lambda v, _: bytearray(base64.b64decode(v, validate=True)),
    "complex": lambda v, _: complex(float(v[0]), float(v[1])),
    "datetime": _load_datetime,
    "date": lambda v, _: date.fromisoformat(v),
    "time": _load_time,
    "timedelta": lambda v, _: timedelta(*v),
    "decimal": lambda v, _: Decimal(v),
    "uuid": lambda v, _: uuid.UUID(v),
    "tuple": lambda v, place: tuple(_trees(v, place)),
    "set": lambda v, place: set(_trees(v, place)),
    "frozenset": lambda v, place: frozenset(_trees(v, place)),
    "dict": lambda v, place: {from_tree(key, place): from_tree(item, place) for key, item in v},
    "enum": _load_enum,
    "path": lambda v, _: Path(v),
}


def from_tree(data: Any, place: str) -> Any:
    """The value of a tagged tree.

    :raises StoreProblem: SB309 for a tree this version does not know.
    """
    if isinstance(data, list):
        return _trees(data, place)
    if not isinstance(data, dict):
        return data
    if "$" not in data:
        return {key: from_tree(item, place) for key, item in data.items()}
    loader = _LOADERS.get(data["$"])
    if loader is None or "v" not in data:
        raise StoreProblem("SB309", f"unknown tag {data['$']!r} in a value", place=place)
    try:
        return loader(data["v"], place)
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise StoreProblem("SB309", f"a {data['$']} cannot be read: {error}", place=place) from error


def view(data: Any) -> Any:
    """The value of a tagged tree as old readers of an XCom get it: an enum is its value, the rest itself."""
    if isinstance(data, list):
        return [view(item) for item in data]
    if not isinstance(data, dict):
        return data
    tag = data.get("$")
    if tag is None:
        return {key: view(item) for key, item in data.items()}
    if tag == "enum":
        return view(data["v"][2])
    if tag == "tuple":
        return tuple(map(view, data["v"]))
    if tag in {"set", "frozenset"}:
        return (set if tag == "set" else frozenset)(map(view, data["v"]))
    if tag == "dict":
        return {view(key): view(item) for key, item in data["v"]}
    return from_tree(data, "value")
