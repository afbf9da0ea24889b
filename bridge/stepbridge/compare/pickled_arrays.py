"""numpy's arrays, scalars and dtypes in a pickle that was read into inert nodes."""

from __future__ import annotations

import math
import mmap
import re
from typing import Any

from stepbridge.compare import opcodes
from stepbridge.compare.opcodes import Group, Made, Name, OldText, Span, Table

_RECONSTRUCT = "numpy._core.multiarray._reconstruct"
_SCALAR = "numpy._core.multiarray.scalar"
_FROM_BUFFER = "numpy._core.numeric._frombuffer"
_DTYPE = "numpy.dtype"
_PLAIN_TYPE = re.compile(r"[biufcSUVmM][0-9]{1,6}|[?]|O8?")
_UNITS = re.compile(rb"Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as|generic")
_LEVELS = 32
_FLAGS = 255
"""numpy's flags of a dtype are one byte, which numpy 1 writes with a sign."""
_ALIGNED = 128
"""numpy's flag of a structured dtype that is laid out as C does."""
_NO_BYTES = frozenset({"builtins.bytes", "builtins.bytearray"})
_WRAPPER = "joblib.numpy_pickle"


class Unclear(ValueError):
    """It looks like an array and is not understood: its parts are compared as they are."""


def follow(data: mmap.mmap, made: Made, depth: int) -> None:
    """After the state of joblib's array wrapper: find the array's bytes in the file, and go behind them.

    :raises ValueError: where they are not whole; nothing behind them could be read.
    """
    maker = made.maker
    if not (isinstance(maker, Name) and maker.module.endswith(_WRAPPER)):
        return
    if maker.name != "NumpyArrayWrapper":
        if maker.name.endswith("ArrayWrapper"):
            raise ValueError("an old joblib wrote its arrays to other files")
        return
    state = made.states[-1]
    given = members(state)
    if not isinstance(state, Table) or len(given) != len(state.pairs):
        raise ValueError("an array of joblib has a state that joblib does not write")
    if made.data is not None or made.inner is not None:
        raise ValueError("an array of joblib has its state twice")
    kind, shape = dtype(given.get("dtype"), data), _shape(given.get("shape"))
    if kind.hasobject:
        made.inner = opcodes.read(data, follow, depth + 1)
        return
    if given.get("numpy_array_alignment_bytes") is not None:
        padding = data.read(1)
        data.seek(min(data.tell() + (padding[0] if padding else 0), len(data)))
    offset, size = data.tell(), math.prod(shape) * int(kind.itemsize)
    if offset + size > len(data):
        raise ValueError(
            f"an array of {size:,} bytes should follow at byte {offset:,}, and the file ends before"
        )
    made.data = Span(offset, size)
    data.seek(offset + size)


def members(state: Any) -> dict[str, Any]:
    """The members of a state that is a dict with texts as keys; an empty dict for any other."""
    pairs = state.pairs if isinstance(state, Table) else []
    named = ((key.data.decode("latin-1") if isinstance(key, OldText) else key, value) for key, value in pairs)
    return {key: value for key, value in named if isinstance(key, str)}


def raw(node: Any, data: mmap.mmap) -> memoryview | None:
    """The bytes that *node* stands for, however they were written; None where it is something else."""
    if isinstance(node, Span):
        return memoryview(data)[node.offset : node.offset + node.size]
    if isinstance(node, OldText):
        return memoryview(node.data)
    if not isinstance(node, Made) or node.states or node.items or node.pairs or node.how != "call":
        return None
    maker = node.maker.text if isinstance(node.maker, Name) else ""
    if maker == "_codecs.encode" and _texts(node.arguments) and node.arguments[1] == "latin1":
        try:
            return memoryview(node.arguments[0].encode("latin-1"))
        except UnicodeEncodeError:
            return None
    if maker == "builtins.bytearray" and isinstance(node.arguments, tuple) and len(node.arguments) == 1:
        return raw(node.arguments[0], data) if not _is_mutable(node.arguments[0]) else None
    return memoryview(b"") if maker in _NO_BYTES and node.arguments == () else None


def _is_mutable(node: Any) -> bool:
    """A bytearray of a bytearray: nobody writes that, and it could go on without end."""
    return isinstance(node, Made) and isinstance(node.maker, Name) and node.maker.text == "builtins.bytearray"


def _texts(arguments: Any) -> bool:
    return (
        isinstance(arguments, tuple)
        and len(arguments) == 2
        and all(isinstance(one, str) for one in arguments)
    )


def array(made: Made, data: mmap.mmap) -> tuple[str, Any] | None:
    """The array or scalar that *made* would be, and the name of its class; None for other objects.

    Arrays of objects are no arrays here. The array reads from the file.

    :raises Unclear: for an array that is written in a way that is not known.
    """
    maker = made.maker.text if isinstance(made.maker, Name) else ""
    try:
        if made.items or made.pairs or made.keywords is not None:
            return None
        if maker.endswith(f"{_WRAPPER}.NumpyArrayWrapper"):
            return _wrapped(made, data)
        if made.how != "call":
            return None
        if maker == _RECONSTRUCT:
            return _reconstructed(made, data)
        if maker == _SCALAR and len(made.arguments) == 2 and not made.states:
            kind = dtype(made.arguments[0], data)
            return "numpy scalar", _of(made.arguments[1], kind, (), "C", data)
        if maker == _FROM_BUFFER and len(made.arguments) in (4, 5) and not made.states:
            source, kind, shape, order, *axes = made.arguments
            made_of = _of(source, dtype(kind, data), _shape(shape), "C" if order == "K" else order, data)
            return "numpy.ndarray", made_of.transpose(_shape(axes[0])) if order == "K" else made_of
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
        raise Unclear(f"{type(error).__name__}: {error}") from error
    return None


def _wrapped(made: Made, data: mmap.mmap) -> tuple[str, Any] | None:
    if made.data is None:
        return None
    given = members(made.states[-1])
    order = given.get("order")
    if order not in ("C", "F"):
        raise ValueError(f"order {order!r}")
    kind = given.get("subclass")
    return _class(kind), _of(
        made.data, dtype(given.get("dtype"), data), _shape(given.get("shape")), order, data
    )


def _class(node: Any) -> str:
    if not isinstance(node, Name):
        raise ValueError("its class is no name")
    return node.text


def _reconstructed(made: Made, data: mmap.mmap) -> tuple[str, Any] | None:
    kind, shape, type_, order, source = _state(made, data)
    return None if isinstance(source, Group) else (kind, _of(source, type_, shape, order, data))


def _state(made: Made, data: mmap.mmap) -> tuple[str, tuple[int, ...], Any, str, Any]:
    """Class, shape, dtype, order and data of an array that numpy wrote.

    :raises ValueError: where it is not written as numpy writes arrays.
    """
    if len(made.arguments) != 3 or len(made.states) != 1:
        raise ValueError("it is not made as numpy makes arrays")
    kind, start, letter = made.arguments
    state = made.states[0]
    if repr(start) != "(0,)" or bytes(raw(letter, data) or b"") != b"b":
        raise ValueError("it is not made as numpy makes arrays")
    if (
        not isinstance(state, tuple)
        or len(state) != 5
        or repr(state[0]) != "1"
        or state[3] not in (True, False)
    ):
        raise ValueError("its state is not known")
    return _class(kind), _shape(state[1]), dtype(state[2], data), "F" if state[3] else "C", state[4]


def objects(made: Made, data: mmap.mmap) -> tuple[tuple[int, ...], list[Any]] | None:
    """Shape and items of an array of objects; None for anything else."""
    maker = made.maker.text if isinstance(made.maker, Name) else ""
    if maker != _RECONSTRUCT or made.how != "call" or made.items or made.pairs or made.keywords is not None:
        return None
    try:
        kind, shape, type_, order, source = _state(made, data)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    plain = kind == "numpy.ndarray" and type_.hasobject and (order == "C" or len(shape) < 2)
    fits = plain and isinstance(source, Group) and math.prod(shape) == len(source.items)
    return (shape, source.items) if fits else None


def _of(source: Any, kind: Any, shape: tuple[int, ...], order: Any, data: mmap.mmap) -> Any:
    import numpy as np

    found = raw(source, data)
    if found is None or kind.hasobject or order not in ("C", "F"):
        raise ValueError("its data is not bytes")
    if not kind.itemsize or len(found) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{len(found):,} bytes are no {kind} of shape {shape}")
    return np.frombuffer(found, kind).reshape(shape, order=order)


def _shape(node: Any) -> tuple[int, ...]:
    items = node if isinstance(node, tuple) else (node,)
    if not all(type(one) is int and one >= 0 for one in items):
        raise ValueError("its shape is not made of whole numbers")
    return items


def dtype(node: Any, data: mmap.mmap, level: int = 0) -> Any:
    """The numpy dtype that *node* would be, made anew from its parts.

    :raises ValueError: for one that is not known.
    """
    import numpy as np

    if not (isinstance(node, Made) and isinstance(node.maker, Name) and node.maker.text == _DTYPE):
        raise ValueError("its dtype is not numpy's")
    if level > _LEVELS or not (isinstance(node.arguments, tuple) and node.arguments) or len(node.states) > 1:
        raise ValueError("its dtype is not made as numpy makes them")
    text = node.arguments[0]
    text = text.data.decode("latin-1") if isinstance(text, OldText) else text
    if not (isinstance(text, str) and _PLAIN_TYPE.fullmatch(text)):
        raise ValueError(f"dtype {text!r} is not known")
    state = node.states[0] if node.states else (3, "=", None, None, None, -1, -1, 0)
    if not isinstance(state, tuple) or not 8 <= len(state) <= 9:
        raise ValueError("its dtype's state is not known")
    version, order, sub, names, fields, size, _, flags = state[:8]
    made_so = repr(node.arguments[1:]) in ("(False, True)", "(0, 1)")
    if node.items or node.pairs or node.keywords is not None or ((names or sub) and text[0] != "V"):
        raise ValueError("its dtype is not made as numpy makes them")
    if repr(version) not in ("3", "4") or type(flags) is not int or not made_so:
        raise ValueError("its dtype is not made as numpy makes them")
    order = order.data.decode("latin-1") if isinstance(order, OldText) else order
    if order not in ("<", ">", "|", "="):
        raise ValueError(f"byte order {order!r} is not known")
    if sub is not None:
        made = np.dtype((dtype(sub[0], data, level + 1), _shape(sub[1])))
    elif names is not None:
        made = _structured(names, fields, size, data, level)
    elif text[0] in "mM":
        made = np.dtype(f"{order}{text}{_unit(state, data)}")
    else:
        made = np.dtype(text) if order == "|" else np.dtype(f"{order}{text}")
    if node.states and _odd(state, made):
        raise ValueError(f"a state of {made} is not as numpy writes it")
    return made


def _odd(state: tuple[Any, ...], made: Any) -> bool:
    """Whether size, alignment or flags are not those of the dtype; a structured one may be aligned or not."""
    size, alignment, flags = state[5:8]
    expected = made.__reduce__()[2]
    unlike = (flags ^ expected[7]) & _FLAGS
    if made.names is None:
        return bool((size, alignment) != expected[5:7] or unlike)
    return bool(size != made.itemsize or unlike & ~_ALIGNED or alignment not in (1, 2, 4, 8, 16))


def _structured(names: Any, fields: Any, size: Any, data: mmap.mmap, level: int) -> Any:
    import numpy as np

    found = members(fields)
    if not isinstance(names, tuple) or set(names) != set(found) or type(size) is not int:
        raise ValueError("a dtype's fields are not named as numpy names them")
    placed = [found[name] for name in names]
    return np.dtype(
        {
            "names": list(names),
            "formats": [dtype(one[0], data, level + 1) for one in placed],
            "offsets": [one[1] for one in placed],
            "itemsize": size,
        }
    )


def _unit(state: tuple[Any, ...], data: mmap.mmap) -> str:
    """The unit of a type of times: ``[ns]``, ``[25us]``."""
    found = state[8][1] if len(state) == 9 and isinstance(state[8], tuple) and len(state[8]) == 2 else None
    if not (isinstance(found, tuple) and len(found) == 4 and found[2:] == (1, 1) and type(found[1]) is int):
        raise ValueError("a dtype of times has no unit")
    unit = bytes(raw(found[0], data) or b"")
    if not _UNITS.fullmatch(unit):
        raise ValueError(f"the unit {unit!r} of times is not known")
    return "" if unit == b"generic" else f"[{found[1]}{unit.decode()}]"
