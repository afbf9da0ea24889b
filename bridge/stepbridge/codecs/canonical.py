"""The canonical digest of a column: equal data gives an equal digest whatever wrote it and however it is cut.

All of one kind of string are large strings, timestamps and durations are in the finest unit that holds them,
chunks are one, offsets begin at 0, what lies under a null is 0, every NaN is the same; -0.0 is not 0.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from stepbridge import hashing

_BLOCK = 1 << 18
_UNITS = ("ns", "us", "ms", "s")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LIMIT = 2**63 - 1


class Unhashable(Exception):
    """The Arrow type has no canonical form."""


def column_digest(data: Any) -> bytes:
    """The digest of a ``pyarrow.ChunkedArray``: its logical type, its validity, its values.

    :raises Unhashable: for unions and other types that a table file does not keep either.
    """
    return _digest(*_normal(data))


def _normal(data: Any) -> tuple[Any, str]:
    """*data* in its logical type, and that type's text."""
    import pyarrow as pa
    import pyarrow.types as t

    kind = data.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = pa.chunked_array([chunk.storage for chunk in data.chunks], kind.storage_type)
        inner, text = _normal(storage)
        return inner, f"extension {kind.extension_name} {kind} {text}"
    if t.is_dictionary(kind):
        return _normal(data.cast(kind.value_type))
    if t.is_run_end_encoded(kind):
        import pyarrow.compute as pc

        return _normal(pa.chunked_array([pc.run_end_decode(c) for c in data.chunks], kind.value_type))
    if t.is_string(kind) or _view(t, "is_string_view", kind):
        return data.cast(pa.large_string()), "string"
    if t.is_binary(kind) or _view(t, "is_binary_view", kind):
        return data.cast(pa.large_binary()), "binary"
    if t.is_timestamp(kind) or t.is_duration(kind) or t.is_time(kind):
        return data, ""
    if t.is_decimal(kind):
        wide = pa.decimal128 if kind.precision <= 38 else pa.decimal256
        return data.cast(wide(kind.precision, kind.scale)), f"decimal({kind.precision}, {kind.scale})"
    names = {
        "large_string": "string",
        "large_binary": "binary",
        "halffloat": "float16",
        "float": "float32",
        "double": "float64",
    }
    return data, names.get(str(kind), str(kind))


def _view(types: Any, name: str, kind: Any) -> bool:
    test = getattr(types, name, None)
    return bool(test and test(kind))


def _digest(data: Any, text: str) -> bytes:
    import pyarrow.types as t

    kind = data.type
    if t.is_null(kind):
        return _finish("null", len(data), [])
    if t.is_timestamp(kind) or t.is_duration(kind) or t.is_time(kind):
        return _temporal(data)
    if t.is_large_string(kind) or t.is_large_binary(kind):
        return _finish(text, len(data), [_validity(data), *_text(data)])
    if t.is_nested(kind):
        return _nested(data)
    if t.is_boolean(kind):
        return _finish(text, len(data), [_validity(data), _bits(data)])
    width = getattr(kind, "bit_width", 0) // 8
    if not width:
        raise Unhashable(str(kind))
    return _finish(text, len(data), [_validity(data), _fixed(data, width, _block_rule(t, kind))])


def _finish(text: str, length: int, parts: list[bytes]) -> bytes:
    return hashlib.sha256(hashing.encode(("stepbridge.column/1", text, length, parts))).digest()


def _block_rule(types: Any, kind: Any) -> Callable[[Any], Any] | None:
    return _one_nan if types.is_floating(kind) else None


def _one_nan(block: Any) -> Any:
    import numpy as np

    missing = np.isnan(block)
    return np.where(missing, block.dtype.type(np.nan), block) if missing.any() else block


def _valid(chunk: Any) -> Any:
    return chunk.is_valid().to_numpy(zero_copy_only=False)


def _validity(data: Any) -> bytes:
    if data.null_count == 0:
        return b""
    return _bits(data.is_valid())


def _bits(data: Any) -> bytes:
    """The digest of booleans, one bit each; False where null."""
    import numpy as np

    chunks = [chunk.fill_null(False).to_numpy(zero_copy_only=False) for chunk in data.chunks]
    joined = np.concatenate(chunks) if chunks else np.zeros(0, bool)
    return hashlib.sha256(np.packbits(joined, bitorder="little").data).digest()


def _dtype(kind: Any, width: int) -> str:
    import pyarrow.types as t

    if t.is_floating(kind):
        return f"<f{width}"
    return f"<i{width}" if width in (1, 2, 4, 8) else f"V{width}"


def _fixed(data: Any, width: int, rule: Callable[[Any], Any] | None) -> bytes:
    """The digest of values of a fixed width, each block changed by *rule*, 0 where null."""
    import numpy as np

    digest = hashlib.sha256()
    dtype = _dtype(data.type, width)
    for chunk in data.chunks:
        buffer = chunk.buffers()[1]
        if not len(chunk):
            continue
        values = np.frombuffer(buffer, dtype, count=len(chunk), offset=chunk.offset * width)
        present = _valid(chunk) if chunk.null_count else None
        if rule is None and present is None:
            digest.update(values.view("u1").data)
            continue
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            if present is not None:
                block = block.copy()
                block[~present[start : start + _BLOCK]] = np.zeros(1, block.dtype)[0]
            block = rule(block) if rule else block
            digest.update(np.ascontiguousarray(block).view("u1").data)
    return digest.digest()


def _temporal(data: Any) -> bytes:
    """Times, timestamps and durations, in the finest unit in which all of them fit."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    kind = data.type
    ints = data.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(pa.int64())
    ends = pc.min_max(ints)
    low, high = ends["min"].as_py() or 0, ends["max"].as_py() or 0
    biggest = max(abs(low), abs(high))
    unit = next(
        u
        for u in _UNITS
        if _PER_SECOND[u] >= _PER_SECOND[kind.unit]
        and biggest * (_PER_SECOND[u] // _PER_SECOND[kind.unit]) <= _LIMIT
    )
    factor = _PER_SECOND[unit] // _PER_SECOND[kind.unit]
    family = "timestamp" if t.is_timestamp(kind) else "duration" if t.is_duration(kind) else "time"
    zone = f", {kind.tz}" if t.is_timestamp(kind) and kind.tz else ""
    rule = None if factor == 1 else (lambda block: block * factor)
    return _finish(f"{family}[{unit}{zone}]", len(data), [_validity(data), _fixed(ints, 8, rule)])


def _text(data: Any) -> list[bytes]:
    """The digests of lengths and bytes of large strings or binaries."""
    import numpy as np
    import pyarrow as pa

    empty = pa.scalar(b"" if pa.types.is_large_binary(data.type) else "", data.type)
    lengths: list[Any] = []
    content = hashlib.sha256()
    for chunk in data.chunks:
        if not len(chunk):
            continue
        full = chunk.fill_null(empty) if chunk.null_count else chunk
        _, offsets_buffer, bytes_buffer = full.buffers()
        offsets = np.frombuffer(offsets_buffer, "<i8", count=len(full) + 1, offset=full.offset * 8)
        lengths.append(_narrow(np.diff(offsets)))
        start, end = int(offsets[0]), int(offsets[-1])
        if end > start:
            content.update(memoryview(bytes_buffer)[start:end])
    widest = max((part.dtype.itemsize for part in lengths), default=1)
    digest = hashlib.sha256(b"%d" % widest)
    for part in lengths:
        digest.update(part.astype(f"<u{widest}", copy=False).data)
    return [digest.digest(), content.digest()]


def _narrow(lengths: Any) -> Any:
    most = int(lengths.max(initial=0))
    width = 1 if most < 1 << 8 else 2 if most < 1 << 16 else 4 if most < 1 << 32 else 8
    return lengths.astype(f"<u{width}")


def _nested(data: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.types as t

    kind = data.type
    for test in ("is_list_view", "is_large_list_view"):
        if _view(t, test, kind):
            return _nested(data.cast(pa.large_list(kind.value_type)))
    whole = data.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], kind)
    if t.is_struct(kind):
        names = [kind.field(n).name for n in range(kind.num_fields)]
        children = [column_digest(pa.chunked_array([child])) for child in whole.flatten()]
        return _finish("struct", len(whole), [_validity(data), hashing.encode(names), *children])
    if t.is_map(kind):
        return _lists(data, whole, "map")
    if t.is_fixed_size_list(kind):
        return _lists(data, whole, f"fixed list[{kind.list_size}]")
    if t.is_list(kind) or t.is_large_list(kind):
        return _lists(data, whole, "list")
    raise Unhashable(str(kind))


def _lists(data: Any, whole: Any, text: str) -> bytes:
    import numpy as np
    import pyarrow as pa

    offsets = getattr(whole, "offsets", None)
    parts = [_validity(data)]
    if offsets is not None:
        lengths = np.diff(offsets.to_numpy(zero_copy_only=False).astype("<i8"))
        if whole.null_count:
            lengths = np.where(_valid(whole), lengths, 0)
        parts.append(hashlib.sha256(np.ascontiguousarray(lengths).data).digest())
    if text == "map":
        whole = whole.cast(
            pa.list_(pa.struct([pa.field("key", whole.type.key_type), ("value", whole.type.item_type)]))
        )
    return _finish(text, len(whole), [*parts, column_digest(pa.chunked_array([whole.flatten()]))])
