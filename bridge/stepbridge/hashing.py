"""Canonical encoding and digests: the only module that turns values into bytes for a key.

Every item is ``tag (1 byte) + length (8 bytes, big endian) + payload``; containers hold the encodings of
their items. So each encoding delimits itself, and distinct values have distinct encodings, however they nest.
Mappings and sets are sorted by the encodings of their keys, never by their own order or hash.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import math
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from stepbridge.failures import TypeProblem

_LENGTH = struct.Struct(">Q")
_FLOAT = struct.Struct(">d")
_NAN = _FLOAT.pack(math.nan)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DECIMAL = 10**4000
"""From here on an integer is written in hexadecimal: Python refuses to write longer ones in decimal."""
CHUNK = 4 * 1024 * 1024


def _item(tag: bytes, payload: bytes) -> bytes:
    return tag + _LENGTH.pack(len(payload)) + payload


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _sequence(tag: bytes, encoded: Iterable[bytes]) -> bytes:
    return _item(tag, b"".join(encoded))


def _float(value: float) -> bytes:
    return _item(b"f", _NAN if value != value else _FLOAT.pack(value))


def _instant(value: datetime) -> bytes:
    if value.tzinfo is None or value.utcoffset() is None:
        return _item(b"n", value.replace(tzinfo=None, fold=0).isoformat().encode())
    micros = (value - _EPOCH) // _MICROSECOND
    zone = getattr(value.tzinfo, "key", None) or getattr(value.tzinfo, "name", None)
    label = zone if isinstance(zone, str) else str(value.utcoffset())
    return _sequence(b"i", (_item(b"d", b"%d" % micros), _item(b"s", _text(_zone_label(label)))))


def _zone_label(label: str) -> str:
    return "UTC" if label in {"0:00:00", "UTC", "Etc/UTC", "+00:00"} else label


def _record(name: str, fields: Iterable[tuple[str, object]], place: str) -> bytes:
    parts = [_item(b"s", _text(name))]
    for key, item in fields:
        parts.append(_item(b"s", _text(key)))
        parts.append(encode(item, place=f"{place}.{key}"))
    return _sequence(b"r", parts)


def _mapping(value: Mapping[Any, Any], place: str) -> bytes:
    pairs = sorted(
        (encode(key, place=f"{place} key"), encode(item, place=f"{place}[{key!r}]"))
        for key, item in value.items()
    )
    return _sequence(b"m", (part for pair in pairs for part in pair))


def _list(value: list[Any] | tuple[Any, ...], tag: bytes, place: str) -> bytes:
    return _sequence(tag, (encode(item, place=f"{place}[{n}]") for n, item in enumerate(value)))


def _tuple(value: tuple[Any, ...], place: str) -> bytes:
    names: tuple[str, ...] | None = getattr(value, "_fields", None)
    if names is not None:
        return _record(type(value).__qualname__, zip(names, value, strict=True), place)
    return _list(value, b"t", place)


def _enum(value: enum.Enum, place: str) -> bytes:
    return _record(f"enum {type(value).__qualname__}", [("name", value.name or str(value.value))], place)


_SCALARS: tuple[tuple[type, Callable[[Any], bytes]], ...] = (
    (bool, lambda v: _item(b"b", b"1" if v else b"0")),
    (str, lambda v: _item(b"s", _text(str(v) if type(v) is str else str.__str__(v)))),
    (int, lambda v: _item(b"d", int.__repr__(int(v)).encode() if -_DECIMAL < v < _DECIMAL else b"x%x" % v)),
    (float, lambda v: _float(float(v))),
    (bytes, lambda v: _item(b"y", bytes(v))),
    (bytearray, lambda v: _item(b"y", bytes(v))),
    (datetime, _instant),
    (date, lambda v: _item(b"a", v.isoformat().encode())),
    (time, lambda v: _item(b"h", v.isoformat().encode())),
    (timedelta, lambda v: _item(b"l", b"%d" % (v // _MICROSECOND))),
    (Decimal, lambda v: _item(b"c", b"NaN" if v.is_nan() else str(v).encode())),
    (uuid.UUID, lambda v: _item(b"u", v.bytes)),
    (complex, lambda v: _sequence(b"z", (_float(v.real), _float(v.imag)))),
)

_CONTAINERS: tuple[tuple[type, Callable[[Any, str], bytes]], ...] = (
    (list, lambda v, place: _list(v, b"v", place)),
    (tuple, _tuple),
    (Mapping, _mapping),
    (set, lambda v, place: _sequence(b"e", sorted(encode(item, place=place) for item in v))),
    (frozenset, lambda v, place: _sequence(b"e", sorted(encode(item, place=place) for item in v))),
)


_EXACT: dict[type, Callable[[Any], bytes]] = {
    kind: scalar for kind, scalar in _SCALARS if kind in {bool, int, float, bytes}
}


class _NotPlain(Exception):
    """A value of another type than those of JSON and bytes, or of a type derived from them."""


def _plain(value: Any) -> bytes:
    """The same bytes as :func:`encode`, quickly, for the builtin types that nearly every value is made of."""
    kind = type(value)
    if kind is str:
        payload: bytes = value.encode("utf-8", "surrogatepass")
        return b"s" + _LENGTH.pack(len(payload)) + payload
    scalar = _EXACT.get(kind)
    if scalar is not None:
        return scalar(value)
    if kind is dict:
        pairs = sorted([(_plain(key), _plain(item)) for key, item in value.items()])
        payload = b"".join([part for pair in pairs for part in pair])
        return b"m" + _LENGTH.pack(len(payload)) + payload
    if kind is list or kind is tuple:
        payload = b"".join([_plain(item) for item in value])
        return (b"v" if kind is list else b"t") + _LENGTH.pack(len(payload)) + payload
    if value is None:
        return _item(b"0", b"")
    raise _NotPlain


def encode(value: object, *, place: str = "value") -> bytes:
    """The canonical bytes of *value*.

    Takes None, bool, int, float, complex, str, bytes, date and time types, timedelta, Decimal, UUID, Enum,
    list, tuple, named tuple, mapping, set, frozenset and dataclass instances, nested at will.

    :param value: what to encode.
    :param place: the name an error shows for it.
    :raises TypeProblem: SB105 for any other type: ``repr`` and pickle are not stable.
    """
    try:
        return _plain(value)
    except _NotPlain:
        return _encode(value, place)


def _encode(value: object, place: str) -> bytes:
    if isinstance(value, enum.Enum):
        return _enum(value, place)
    for kind, scalar in _SCALARS:
        if isinstance(value, kind):
            return scalar(value)
    for kind, container in _CONTAINERS:
        if isinstance(value, kind):
            return container(value, place)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return _record(type(value).__qualname__, fields, place)
    raise TypeProblem(
        "SB105",
        f"{type(value).__module__}.{type(value).__qualname__} has no canonical encoding",
        place=place,
        hint="pass plain values, or give the parameter a type that is stored as an artifact",
    )


def digest(value: object, *, place: str = "value") -> str:
    """The sha256 of :func:`encode`, 64 hex digits."""
    return hashlib.sha256(encode(value, place=place)).hexdigest()


def digest_bytes(data: bytes | bytearray | memoryview) -> str:
    """The sha256 of *data*, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()
