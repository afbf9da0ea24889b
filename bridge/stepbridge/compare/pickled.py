"""A pickle or joblib file as arrays by name and plain values beside them; none of its code runs."""

from __future__ import annotations

import bz2
import functools
import hashlib
import lzma
import math
import mmap
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stepbridge.compare import opcodes, pickled_arrays
from stepbridge.compare.opcodes import Group, Made, Name, OldText, Span, Table
from stepbridge.compare.pickled_arrays import Unclear
from stepbridge.compare.tensors import Lazy
from stepbridge.failures import StepbridgeError

_MEMBERS = 2_000_000
"""Values up to which a pickle is unfolded, some twenty seconds; what is held twice counts twice."""
_ARRAYS = 100_000
"""Arrays and numpy scalars up to which they are compared one by one."""
_TIMES = 64
"""How often the arrays may be held, all together, in bytes of the file."""
_UNPACKED = 4 << 30
"""Bytes up to which a packed file is unpacked, to a temporary file."""
_BLOCK = 1 << 20
_SHORT = 64
"""Raw bytes that are shown as they are; longer ones are known by their digest."""
_LONG = 300
"""Characters of a key that is no text and no whole number, up to which it stands for itself."""
_FIXED = frozenset({"numpy.dtype", "numpy._core.multiarray.scalar", "_codecs.encode", "builtins.bytes"})
_HARMLESS = frozenset(
    {
        "builtins.object",
        "builtins.set",
        "builtins.frozenset",
        "copyreg.__newobj__",
        "copyreg._reconstructor",
    }
)
"""Names that old protocols look up on the way to an object."""
_LZ4 = b"\x04\x22\x4d\x18"


@dataclass(frozen=True)
class Raw:
    """Raw bytes that are too long to show; equal digests are equal bytes."""

    size: int
    digest: str
    mutable: bool = False

    def __repr__(self) -> str:
        return f"{self.size:,} {'mutable' if self.mutable else 'raw'} bytes, sha256 {self.digest[:16]}"


@dataclass(frozen=True)
class Word:
    """What has no plain value of its own: a class, the place of an array, a key of another type."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Pickled:
    """What a pickle says, in full.

    :param arrays: by the attributes, keys and places that lead to them: ``estimators_[3].tree_.values``;
        the fields of structured arrays one by one.
    :param values: everything else as plain values; objects are mappings with ``(class)`` among their keys.
    :param shared: pairs of places that hold one and the same object.
    :param notes: ``(where, why)`` of arrays that are compared as the bytes they are written in.
    :param skipped: ``(what, why)`` of what lies outside of the file.
    """

    arrays: dict[str, Lazy]
    values: Any
    shared: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]


def pickled(path: Path) -> Pickled:
    """Read the pickle at *path*, also one packed with zlib, gzip, bz2, lzma or xz.

    :raises StepbridgeError: SB704 for what is no pickle, is cut off, packed otherwise, or too large.
    """
    try:
        data = _bytes(path)
        program = opcodes.read(data, pickled_arrays.follow)
        unfolding = _Unfolding(data)
        values = unfolding.whole(program, data.tell())
    except Exception as error:  # bytes that anybody wrote may raise anything
        raise StepbridgeError(
            "SB704",
            f"the pickle cannot be read: {type(error).__name__}: {error}",
            place=str(path),
            hint="it is compared by its bytes",
        ) from error
    found = unfolding
    return Pickled(found.arrays, values, tuple(found.shared), tuple(found.notes), tuple(found.skipped))


# the file --------------------------------------------------------------------------------------------


class _Unpacker(Protocol):
    """What the decompressors of zlib, bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _bytes(path: Path) -> mmap.mmap:
    """The file's bytes, mapped; those of a packed file from a temporary one that is gone with the mapping."""
    with path.open("rb") as file:
        lead = file.read(6)
        if not lead:
            raise ValueError("it is empty")
        if lead.startswith(_LZ4):
            raise ValueError("it is packed with lz4, which is not read")
        unpacker = _unpacker(lead)
        if unpacker is None:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        file.seek(0)
        with tempfile.TemporaryFile() as target:
            size = 0
            for block in _unpacked(iter(lambda: file.read(_BLOCK), b""), unpacker):
                size += len(block)
                if size > _UNPACKED:
                    raise ValueError(f"it unpacks to more than {_UNPACKED >> 30} GiB")
                target.write(block)
            target.flush()
            if not size:
                raise ValueError("it is empty")
            return mmap.mmap(target.fileno(), 0, access=mmap.ACCESS_READ)


def _unpacker(lead: bytes) -> _Unpacker | None:
    if lead[:1] == b"\x78":
        return zlib.decompressobj(zlib.MAX_WBITS)
    if lead[:2] == b"\x1f\x8b":
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    if lead[:3] == b"BZh":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor() if lead[:3] in (b"\xfd7z", b"\x5d\x00\x00") else None


def _unpacked(blocks: Iterator[bytes], unpacker: _Unpacker) -> Iterator[bytes]:
    for block in blocks:
        if unpacker.eof:
            raise ValueError("there is data after the end of what is packed")
        waiting, made = block, b""
        while not unpacker.eof and (waiting or len(made) == _BLOCK):
            made = unpacker.decompress(waiting, _BLOCK)
            yield made
            waiting = getattr(unpacker, "unconsumed_tail", b"")
        if unpacker.unused_data:
            raise ValueError("there is data after the end of what is packed")
    if not unpacker.eof:
        raise ValueError("it is cut off")


# from nodes to names ---------------------------------------------------------------------------------


@dataclass
class _Unfolding:
    """One pickle's nodes as a tree: what is held in two places stands in both."""

    data: mmap.mmap
    arrays: dict[str, Lazy] = field(default_factory=dict)
    shared: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    visited: int = 0
    held: int = 0
    first: dict[int, str] = field(default_factory=dict)
    around: dict[int, str] = field(default_factory=dict)

    def whole(self, program: opcodes.Program, end: int) -> Any:
        """The plain values of the root, with what the file does besides and what lies behind its end."""
        values = self._value(program.root, "")
        reached = _reached([program.root])
        besides = [
            one
            for one in program.effects
            if id(one) not in reached and not (isinstance(one, Name) and one.text in _HARMLESS)
        ]
        extra: dict[str, Any] = {}
        if besides:
            extra["(not part of the result)"] = [
                self._value(one, f"(not part of the result)[{n}]") for n, one in enumerate(besides)
            ]
        if end < len(self.data):
            extra["(after the end)"] = _raw(memoryview(self.data)[end:])
        return {"(result)": values, **extra} if extra else values

    def _value(self, node: Any, path: str) -> Any:
        self.visited += 1
        if self.visited > _MEMBERS:
            raise ValueError(f"it unfolds to more than {_MEMBERS:,} values")
        if isinstance(node, Group | Table | Made):
            return self._held(node, path)
        if isinstance(node, tuple):
            return tuple(self._value(one, f"{path}[{n}]") for n, one in enumerate(node))
        if isinstance(node, Name):
            return Word(node.text)
        if isinstance(node, Span):
            return _raw(memoryview(self.data)[node.offset : node.offset + node.size], node.mutable)
        return _old(node) if isinstance(node, OldText) else node

    def _held(self, node: Group | Table | Made, path: str) -> Any:
        """A container or object, once for each place that holds it; a place within itself ends there."""
        known = self.around.get(id(node))
        if known is not None:
            return Word(f"the object at {known or 'the top'} around it")
        before = self.first.setdefault(id(node), path)
        if before != path and not _fixed(node):
            self.shared.append((before, path))
        self.around[id(node)] = path
        try:
            if isinstance(node, Table):
                return self._mapping(node.pairs, path)
            return self._group(node, path) if isinstance(node, Group) else self._object(node, path)
        finally:
            del self.around[id(node)]

    def _group(self, node: Group, path: str) -> Any:
        if node.kind == "list":
            return [self._value(one, f"{path}[{n}]") for n, one in enumerate(node.items)]
        keys = [self._key(one) for one in node.items]
        return set(keys) if node.kind == "set" else frozenset(keys)

    def _mapping(self, pairs: list[tuple[Any, Any]], path: str) -> dict[Any, Any]:
        last = {self._key(key): value for key, value in pairs}
        found = {key: self._value(value, _inner(path, key)) for key, value in last.items()}
        return {key: value for key, value in found.items() if value is not _ARRAY}

    def _object(self, node: Made, path: str) -> Any:
        if node.how == "outside":
            self.skipped.append((path or "the whole", f"outside of the file: {node.maker}"))
            return Word(f"outside of the file: {_canonical(self._value(node.arguments, path))}")
        plain = pickled_arrays.raw(node, self.data)
        if plain is not None:
            return _raw(plain, _calls(node, "builtins.bytearray"))
        if node.inner is not None:
            reached = _reached([node.inner.root])
            if node.items or node.pairs or any(id(one) not in reached for one in node.inner.effects):
                raise ValueError("a pickle within it does more than make its object")
            return self._value(node.inner.root, path)
        try:
            found = pickled_arrays.array(node, self.data)
        except Unclear as problem:
            self.notes.append((path or "the whole", str(problem)))
            found = None
        if found is not None:
            return self._array(*found, path)
        objects = pickled_arrays.objects(node, self.data)
        if objects is not None:
            shape, items = objects
            inner = [self._value(one, f"{path}[{n}]") for n, one in enumerate(items)]
            return {"(array of objects)": shape, "items": inner}
        return self._instance(node, path)

    def _array(self, kind: str, array: Any, path: str) -> Any:
        name = path or "array"
        for field_name, one in _fields(array, name):
            self.held += int(one.nbytes)
            if len(self.arrays) >= _ARRAYS or self.held > _TIMES * len(self.data):
                raise ValueError(
                    f"it unfolds to more than {_ARRAYS:,} arrays, or {_TIMES} times its own size"
                )
            free, n = field_name, 1
            while free in self.arrays:
                n += 1
                free = f"{field_name}#{n}"
            self.arrays[free] = Lazy(str(one.dtype), one.shape, functools.partial(_same, one))
        if array.dtype.names is not None:
            return Word(f"{kind} with the fields {', '.join(array.dtype.names)}")
        return _ARRAY if kind == "numpy.ndarray" else Word(kind)

    def _instance(self, node: Made, path: str) -> Any:
        """An object: its class, what it is made of, its attributes by their names."""
        found: dict[Any, Any] = {}
        made_by = "(class)" if node.how == "class" else "(made by)"
        found[made_by] = self._value(node.maker, f"{path}(made by)")
        if node.arguments != ():
            found["(arguments)"] = self._value(node.arguments, f"{path}(arguments)")
        if node.keywords is not None:
            found["(keywords)"] = self._value(node.keywords, f"{path}(keywords)")
        attributes, rest = _attributes(node.states)
        for pairs, label in ((attributes, "(attributes)"), (node.pairs, "(entries)")):
            mapping = self._mapping(pairs, path)
            if found.keys() & mapping.keys() or any(_marked(key) for key in mapping):
                found[label] = mapping
            else:
                found |= mapping
        if rest:
            found["(state)"] = self._value(rest[0] if len(rest) == 1 else tuple(rest), f"{path}(state)")
        if node.items:
            found["(items)"] = [self._value(one, f"{path}[{n}]") for n, one in enumerate(node.items)]
        return found

    def _key(self, node: Any) -> Any:
        """Something hashable that is equal exactly for equal nodes: 1 is not True and not 1.0."""
        if type(node) in (str, int):
            return node
        if isinstance(node, OldText) and node.data.isascii():
            return node.data.decode()
        before = set(self.arrays), len(self.shared)
        value = self._value(node, "(key)")
        arrays = {name: self.arrays.pop(name) for name in list(self.arrays) if name not in before[0]}
        del self.shared[before[1] :]
        text = _canonical(value)
        if arrays:
            digests = [f"{one.dtype}{one.shape} {_short_array(one.load())}" for one in arrays.values()]
            text = f"{text} {', '.join(digests)}"
        return Word(text if len(text) <= _LONG else f"{text[:_SHORT]}... sha256 {_digest(text)}")


_ARRAY = Word("array")
"""Stands where an array is that is compared by its name."""


def _attributes(states: list[Any]) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """The attributes that a state sets, and the states that are something else."""
    if len(states) != 1:
        return [], states
    state = states[0]
    if isinstance(state, Table):
        return state.pairs, []
    slotted = isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], Table)
    if slotted and state[0] is None:
        return [*state[1].pairs, ("(slots)", True)], []
    return [], states


def _marked(key: Any) -> bool:
    return isinstance(key, str) and key.startswith("(") and key != "(slots)"


def _inner(path: str, key: Any) -> str:
    if isinstance(key, str) and key.isidentifier():
        return f"{path}.{key}" if path else key
    return f"{path}[{key!r}]"


def _fields(array: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A structured array's fields one by one, without the padding between them."""
    if array.dtype.names is None:
        yield name, array
        return
    for one in array.dtype.names:
        yield from _fields(array[one], f"{name}.{one}")


def _same(array: Any) -> Any:
    return array


def _raw(data: memoryview, mutable: bool = False) -> bytes | bytearray | Raw:
    if len(data) > _SHORT:
        return Raw(len(data), hashlib.sha256(data).hexdigest(), mutable)
    return bytearray(data) if mutable else bytes(data)


def _old(text: OldText) -> str | bytes | bytearray | Raw:
    """A text of Python 2 as Python 3 reads it, or as the bytes that it was."""
    return text.data.decode() if text.data.isascii() else _raw(memoryview(text.data))


def _calls(node: Made, name: str) -> bool:
    return isinstance(node.maker, Name) and node.maker.text == name


def _fixed(node: Group | Table | Made) -> bool:
    """What nobody can change, so that it does not matter in how many places it is one and the same."""
    if isinstance(node, Group):
        return node.kind == "frozenset"
    return isinstance(node, Made) and isinstance(node.maker, Name) and node.maker.text in _FIXED


def _short_array(array: Any) -> str:
    return repr(array.item()) if not array.shape else hashlib.sha256(array.tobytes()).hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: Any) -> str:
    """A text that is equal exactly for equal values, with their types."""
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{_canonical(k)}: {_canonical(v)}" for k, v in value.items())) + "}"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}({', '.join(sorted(map(_canonical, value)))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_canonical, value))},)"
    if isinstance(value, list):
        return f"[{', '.join(map(_canonical, value))}]"
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return repr(value)


def _reached(roots: list[Any]) -> set[int]:
    """The ids of everything that *roots* hold."""
    found: set[int] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if not isinstance(node, Group | Table | Made | Name | tuple) or id(node) in found:
            continue
        found.add(id(node))
        if isinstance(node, tuple):
            stack.extend(node)
        elif isinstance(node, Group):
            stack.extend(node.items)
        elif isinstance(node, Table):
            stack.extend(one for pair in node.pairs for one in pair)
        elif isinstance(node, Made):
            stack += [node.maker, node.arguments, node.keywords, *node.states, *node.items]
            stack.extend(one for pair in node.pairs for one in pair)
    return found
