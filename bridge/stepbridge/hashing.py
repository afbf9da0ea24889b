"""Canonical encoding and digests: the only module that turns values into bytes for a key.

Every item is ``tag (1 byte) + length (8 bytes, big endian) + payload``; containers hold the encodings of
their items. So each encoding delimits itself, and distinct values have distinct encodings, however they nest.
Mappings and sets are sorted by the encodings of their keys, never by their own order or hash.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import itertools
import math
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
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
    (complex, lambda v: _sequence(b"z", (_float(v.real), _float(v.imag)))),
)

_OF_MODULES: tuple[tuple[str, str, Callable[[Any], bytes]], ...] = (
    ("decimal", "Decimal", lambda v: _item(b"c", b"NaN" if v.is_nan() else str(v).encode())),
    ("uuid", "UUID", lambda v: _item(b"u", v.bytes)),
)
"""Types of modules that take long to import: where nothing has imported one, no value is of its type."""

_CONTAINERS: tuple[tuple[type, Callable[[Any, str], bytes]], ...] = (
    (list, lambda v, place: _list(v, b"v", place)),
    (tuple, _tuple),
    (Mapping, _mapping),
    (set, lambda v, place: _sequence(b"e", sorted(encode(item, place=place) for item in v))),
    (frozenset, lambda v, place: _sequence(b"e", sorted(encode(item, place=place) for item in v))),
)


class _NotPlain(Exception):
    """A value of another type than those of JSON and bytes, or of a type derived from them."""


_HEADS = {tag: tuple(tag + _LENGTH.pack(size) for size in range(256)) for tag in (b"s", b"d", b"y")}
_TEXT_HEADS, _INT_HEADS, _BYTES_HEADS = _HEADS[b"s"], _HEADS[b"d"], _HEADS[b"y"]
_FLOAT_HEAD = b"f" + _LENGTH.pack(8)
_FLOAT_ITEM = struct.Struct(">9sd").pack
_FLOAT_ITEM_OF = functools.partial(_FLOAT_ITEM, _FLOAT_HEAD)
_NAN_ITEM = _FLOAT_HEAD + _NAN
_NONE_ITEM = _item(b"0", b"")
_BOOL_ITEMS = (_item(b"b", b"0"), _item(b"b", b"1"))
_ONLY_TEXT, _ONLY_FLOATS = {str}, {float}
_SMALL = 1 << 62
_FEW = 32
"""Up to so many keys of a mapping, the order of the keys is remembered for the next one of the same keys."""


def _plain_text(value: str) -> bytes:
    try:
        payload = value.encode()
    except UnicodeEncodeError:
        payload = _text(value)
    size = len(payload)
    return (_TEXT_HEADS[size] if size < 256 else b"s" + _LENGTH.pack(size)) + payload


def _plain_int(value: int) -> bytes:
    if -_SMALL < value < _SMALL:
        payload = b"%d" % value
        return _INT_HEADS[len(payload)] + payload
    return _item(b"d", int.__repr__(value).encode() if -_DECIMAL < value < _DECIMAL else b"x%x" % value)


def _plain_float(value: float) -> bytes:
    return _FLOAT_ITEM(_FLOAT_HEAD, value) if value == value else _NAN_ITEM


def _plain_bytes(value: bytes) -> bytes:
    size = len(value)
    return (_BYTES_HEADS[size] if size < 256 else b"y" + _LENGTH.pack(size)) + value


@functools.lru_cache(maxsize=256, typed=True)
def _layout(*keys: Any) -> tuple[tuple[str, bytes], ...]:
    """Each of the keys of a mapping, with its bytes, in the order of the bytes."""
    if not all(type(key) is str for key in keys):
        raise _NotPlain
    return tuple(sorted([(key, _plain_text(key)) for key in keys], key=lambda pair: pair[1]))


def _plain_dict(value: dict[Any, Any]) -> bytes:
    if len(value) > _FEW:
        pairs = sorted(zip(_items(value.keys()), _items(value.values()), strict=True))
        payload = b"".join(itertools.chain.from_iterable(pairs))
    else:
        table = _PLAIN
        parts: list[bytes] = []
        for key, encoded in _layout(*value):
            item = value[key]
            parts.append(encoded)
            parts.append(table[type(item)](item))
        payload = b"".join(parts)
    return b"m" + _LENGTH.pack(len(payload)) + payload


def _items(values: Collection[Any]) -> list[bytes]:
    """The bytes of each of *values*; those all texts or all floats without a call of ours for each."""
    kinds = set(map(type, values))
    if kinds == _ONLY_TEXT:
        try:
            heads = _TEXT_HEADS
            return [heads[len(payload)] + payload for payload in map(str.encode, values)]
        except (UnicodeEncodeError, IndexError):
            return list(map(_plain_text, values))
    if kinds == _ONLY_FLOATS and not math.isnan(sum(values)):
        return list(map(_FLOAT_ITEM_OF, values))
    table = _PLAIN
    return [table[type(item)](item) for item in values]


def _plain_list(value: list[Any]) -> bytes:
    payload = b"".join(_items(value))
    return b"v" + _LENGTH.pack(len(payload)) + payload


def _plain_tuple(value: tuple[Any, ...]) -> bytes:
    table = _PLAIN
    payload = b"".join([table[type(item)](item) for item in value])
    return b"t" + _LENGTH.pack(len(payload)) + payload


class _Plain(dict[type, Callable[[Any], bytes]]):
    """How the builtin types are encoded that nearly every value is made of."""

    def __missing__(self, kind: type) -> Callable[[Any], bytes]:
        raise _NotPlain


_PLAIN = _Plain(
    {
        str: _plain_text,
        int: _plain_int,
        float: _plain_float,
        bytes: _plain_bytes,
        bool: _BOOL_ITEMS.__getitem__,
        type(None): lambda _: _NONE_ITEM,
        dict: _plain_dict,
        list: _plain_list,
        tuple: _plain_tuple,
    }
)
"""Gives the same bytes as :func:`_encode`, quickly."""


def encode(value: object, *, place: str = "value") -> bytes:
    """The canonical bytes of *value*.

    Takes None, bool, int, float, complex, str, bytes, date and time types, timedelta, Decimal, UUID, Enum,
    list, tuple, named tuple, mapping, set, frozenset and dataclass instances, nested at will.

    :param value: what to encode.
    :param place: the name an error shows for it.
    :raises TypeProblem: SB105 for any other type: ``repr`` and pickle are not stable.
    """
    try:
        return _PLAIN[type(value)](value)
    except _NotPlain:
        return _encode(value, place)


def _encode(value: object, place: str) -> bytes:
    if isinstance(value, enum.Enum):
        return _enum(value, place)
    for kind, scalar in _SCALARS:
        if isinstance(value, kind):
            return scalar(value)
    for module, name, scalar in _OF_MODULES:
        if module in sys.modules and isinstance(value, getattr(sys.modules[module], name)):
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
