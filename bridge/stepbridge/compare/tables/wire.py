"""The few Arrow types in which cells are compared, and how every other type gets there without loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Wire:
    """How a column is compared.

    :param kind: the logical Arrow type that both sides are brought to.
    :param type: the Arrow type that stands for it: booleans, integers, floats, decimals of 128 bits, large
        strings and binaries, days, timestamps of micro- and nanoseconds, structs and large lists of those.
    :param scale: seconds in one unit, for times; 0 for anything else.
    :param text: the values have no such type and are compared as the text of their Python values.
    """

    kind: Any
    type: Any
    scale: float = 0.0
    text: bool = False


def logical(kind: Any) -> Any:
    """*kind* without what says how it is stored: dictionaries, long offsets, views, extensions."""
    import pyarrow as pa
    import pyarrow.types as t

    if isinstance(kind, pa.BaseExtensionType):
        return logical(kind.storage_type)
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        return logical(kind.value_type)
    if t.is_string(kind) or t.is_large_string(kind) or str(kind) == "string_view":
        return pa.large_string()
    if t.is_binary(kind) or t.is_large_binary(kind) or str(kind) == "binary_view":
        return pa.large_binary()
    if t.is_fixed_size_list(kind):
        return pa.list_(logical(kind.value_type), kind.list_size)
    if t.is_map(kind):
        return pa.map_(logical(kind.key_type), logical(kind.item_type))
    if t.is_struct(kind):
        return pa.struct([pa.field(f.name, logical(f.type)) for f in kind])
    if t.is_list(kind) or t.is_large_list(kind) or "list_view" in str(kind):
        return pa.large_list(logical(kind.value_type))
    return kind


def type_name(kind: Any) -> str:
    """A type as people read it: ``float64``, ``string``, ``timestamp[us, tz=UTC]``."""
    import pyarrow as pa
    import pyarrow.types as t

    if isinstance(kind, pa.BaseExtensionType):
        return f"{kind.extension_name}<{type_name(kind.storage_type)}>"
    if t.is_dictionary(kind):
        return f"dictionary<{type_name(kind.value_type)}>"
    names = {"double": "float64", "float": "float32", "halffloat": "float16", "date32[day]": "date"}
    text = str(logical(kind)).replace("large_", "")
    return names.get(text, text)


def wire_of(kind: Any) -> Wire:
    """How columns of the logical type *kind* are compared."""
    import pyarrow as pa
    import pyarrow.types as t

    made = _type(kind)
    if made is not None and castable(kind, made):
        timed = t.is_timestamp(kind) or t.is_time(kind) or t.is_duration(kind)
        return Wire(kind, made, _SECONDS[kind.unit] if timed else 0.0)
    return Wire(kind, pa.large_string(), text=True)


def _type(kind: Any) -> Any:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_struct(kind):
        return _struct(kind)
    if t.is_map(kind):
        return _listed(pa.struct([pa.field("key", kind.key_type), pa.field("value", kind.item_type)]))
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return _listed(kind.value_type)
    if t.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else pa.large_string()
    if t.is_timestamp(kind) and kind.tz is None and kind.unit in {"us", "ns"}:
        return kind
    rules: tuple[tuple[Callable[[Any], bool], Any], ...] = (
        (t.is_timestamp, pa.int64()),
        (t.is_time, pa.int64()),
        (t.is_duration, pa.int64()),
        (t.is_float16, pa.float32()),
        (t.is_date, pa.date32()),
        (t.is_fixed_size_binary, pa.large_binary()),
    )
    found = next((made for test, made in rules if test(kind)), None)
    if found is not None:
        return found
    known = t.is_primitive(kind) or t.is_large_string(kind) or t.is_large_binary(kind) or t.is_null(kind)
    return kind if known else None


def _listed(kind: Any) -> Any:
    import pyarrow as pa

    inner = _type(kind)
    return None if inner is None or inner == pa.null() else pa.large_list(inner)


def _struct(kind: Any) -> Any:
    import pyarrow as pa

    fields = [(f.name, _type(f.type)) for f in kind]
    plain = all(inner is not None and inner != pa.null() and name for name, inner in fields)
    if not fields or not plain or len({name.lower() for name, _ in fields}) < len(fields):
        return None
    return pa.struct([pa.field(name, inner) for name, inner in fields])


def castable(kind: Any, target: Any) -> bool:
    """Whether Arrow casts one type to the other, told on no values."""
    import pyarrow as pa

    try:
        _cast(pa.array([], kind), target)
    except pa.ArrowException:
        return False
    return True


def native(kind: Any, wire: Wire) -> bool:
    """Whether DuckDB reads a Parquet column of the Arrow type *kind* as just the wire's type."""
    import pyarrow as pa
    import pyarrow.types as t

    if isinstance(kind, pa.BaseExtensionType) or wire.text or t.is_null(wire.type):
        return False
    return bool(logical(kind) == wire.type)


def to_wire(array: Any, wire: Wire) -> Any:
    """*array*, of any type that casts to the wire's kind, in the wire's type.

    :raises pyarrow.ArrowException: where a value does not fit, as a large integer in a float.
    """
    import pyarrow as pa
    import pyarrow.types as t

    if array.type == wire.type:
        return array
    if isinstance(array.type, pa.BaseExtensionType):
        return to_wire(array.storage, wire)
    if t.is_run_end_encoded(array.type):
        import pyarrow.compute as pc

        array = pc.run_end_decode(array)
    if t.is_dictionary(array.type):
        return to_wire(array.dictionary_decode(), wire)
    if wire.text:
        return pa.array([None if v is None else repr(v) for v in array.to_pylist()], pa.large_string())
    return _cast(_cast(array, wire.kind), wire.type)


def _cast(array: Any, kind: Any) -> Any:
    import pyarrow as pa
    import pyarrow.types as t

    if array.type == kind:
        return array
    if t.is_time32(array.type) and t.is_int64(kind):
        array = array.cast(pa.int32())
    if t.is_map(array.type) and not t.is_map(kind):
        entry = pa.struct([pa.field("key", array.type.key_type), pa.field("value", array.type.item_type)])
        array = array.cast(pa.list_(entry))
    return array.cast(kind)


def shown(value: Any, wire: Wire) -> str:
    """One value of a wire array, an Arrow scalar, as people read it."""
    import pyarrow as pa

    if not value.is_valid:
        return "null"
    if wire.scale and value.type == pa.int64():
        try:
            return str(value.cast(wire.kind).as_py())
        except (pa.ArrowException, ValueError, OverflowError):
            return f"{value.as_py()} ({wire.kind})"
    try:
        plain = value.as_py()
    except (ValueError, OverflowError):
        return str(value)
    if isinstance(plain, str):
        return plain if wire.text else repr(plain)
    return repr(plain) if isinstance(plain, float | bytes | list | dict) else str(plain)
