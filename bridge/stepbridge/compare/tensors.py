"""Named arrays in model files, read without the libraries that wrote them and without running their code."""

from __future__ import annotations

import functools
import json
import math
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stepbridge.failures import StepbridgeError

_SAFE_DTYPES: Mapping[str, str] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
    "C64": "<c8",
}
_BFLOAT = "BF16"
_RAW = "pickled objects"
_MEMBERS = 5_000_000
"""Members of a checkpoint up to which its containers are followed."""
_TORCH: Mapping[str, str] = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": _BFLOAT,
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "ComplexFloatStorage": "C64",
}
_TYPED: Mapping[str, str] = {"uint16": "U16", "uint32": "U32", "uint64": "U64"}


@dataclass(frozen=True)
class Lazy:
    """An array that is read when it is compared.

    :param dtype: the file's own name of the type.
    """

    dtype: str
    shape: tuple[int, ...]
    load: Callable[[], Any]


@dataclass(frozen=True)
class Named:
    """The arrays of one file by name.

    :param skipped: ``(what, why)`` of what is in the file and is no array.
    """

    arrays: Mapping[str, Lazy]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()


def safetensors(path: Path) -> Named:
    """The format's header is JSON: names, types, shapes and offsets.

    :raises StepbridgeError: SB704 where header and file do not fit.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, 100 << 20):
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(length), object_pairs_hook=_once)
        metadata = header.pop("__metadata__", {})
        _covered([entry["data_offsets"] for entry in header.values()], size - 8 - length)
        arrays = {name: _safe(path, 8 + length, size, entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(path, "safetensors", error) from error
    return Named(arrays, metadata)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the header names something twice")
    return found


def _covered(spans: list[tuple[int, int]], size: int) -> None:
    """Every byte belongs to one array, as the format wants it: nothing is left that is not compared."""
    reached = 0
    for start, end in sorted(map(tuple, spans)):
        if start != reached:
            raise ValueError(f"the arrays leave a gap or overlap at byte {reached}")
        reached = end
    if reached != size:
        raise ValueError(f"the arrays end at byte {reached} of {size}")


def _safe(path: Path, base: int, size: int, entry: Mapping[str, Any]) -> Lazy:
    start, end = entry["data_offsets"]
    shape = tuple(int(one) for one in entry["shape"])
    kind = str(entry["dtype"])
    wanted = math.prod(shape) * _width(kind)
    if not 0 <= start <= end or base + end > size or (wanted and end - start != wanted):
        raise ValueError(f"an array of {kind} {shape} does not fit its {end - start} bytes")
    return Lazy(kind, shape, lambda: _mapped(path, base + start, kind, shape, end - start))


def _width(kind: str) -> int:
    import numpy as np

    if kind == _BFLOAT:
        return 2
    return int(np.dtype(_SAFE_DTYPES[kind]).itemsize) if kind in _SAFE_DTYPES else 0


def _mapped(path: Path, offset: int, kind: str, shape: tuple[int, ...], size: int) -> Any:
    """The array, mapped from the file; a type that numpy lacks as raw bytes, bfloat16 as float32."""
    import numpy as np

    if not size:
        return np.zeros(shape, _SAFE_DTYPES.get(kind, "u1"))
    raw: Any = np.memmap(path, "u1", "r", offset, (size,))
    return _typed(raw, kind, shape)


def _typed(raw: Any, kind: str, shape: tuple[int, ...]) -> Any:
    import numpy as np

    if kind == _BFLOAT:
        return (raw.view("<u2").astype("<u4") << np.uint32(16)).view("<f4").reshape(shape)
    if kind not in _SAFE_DTYPES:
        return raw
    return raw.view(_SAFE_DTYPES[kind]).reshape(shape)


def npz(path: Path) -> Named:
    """A zip of npy files.

    :raises StepbridgeError: SB704 for a file that is none, or a member that needs unpickling.
    """
    import numpy as np

    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no zip file")
        with np.load(path, allow_pickle=False) as archive:
            headers = {name: _npz_header(archive, name) for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise _bad(path, "npz", error) from error

    def load(name: str, objects: bool) -> Callable[[], Any]:
        def read() -> Any:
            try:
                with np.load(path, allow_pickle=False) as archive:
                    if objects:
                        return np.frombuffer(archive.zip.read(_npz_member(archive, name)), "u1")
                    return archive[name]
            except (ValueError, OSError, zipfile.BadZipFile, zlib.error, EOFError, MemoryError) as error:
                raise _bad(path, f"npz member {name!r}", error) from error

        return read

    return Named(
        {
            name: Lazy(_RAW if objects else kind, shape, load(name, objects))
            for name, (kind, shape, objects) in headers.items()
        }
    )


def _npz_member(archive: Any, name: str) -> str:
    return name if name in archive.zip.namelist() else f"{name}.npy"


def _npz_header(archive: Any, name: str) -> tuple[str, tuple[int, ...], bool]:
    """Type and shape, and whether it holds pickled objects: their bytes are compared then."""
    from numpy.lib import format as npy

    with archive.zip.open(_npz_member(archive, name)) as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    return str(dtype), tuple(shape), bool(dtype.hasobject)


def is_torch(*paths: Path) -> bool:
    """Whether all are torch's zip files."""
    return all(zipfile.is_zipfile(path) and _torch_root(path) is not None for path in paths)


def _torch_root(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name.endswith("data.pkl")]
    return found[0].removesuffix("data.pkl") if len(found) == 1 else None


def torch(path: Path) -> Named:
    """A torch checkpoint: its pickle is read with nothing in reach but tensors and containers.

    :raises StepbridgeError: SB704 where the zip is damaged.
    """
    root = _torch_root(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
                raise ValueError("its numbers are stored with the most significant byte first")
            with archive.open(f"{root}data.pkl") as file:
                found = _Unpickler(file).load()
        members = _Members(path, str(root))
        members.collect("", found)
    except Exception as error:  # reading bytes that anybody wrote may raise anything
        raise _bad(path, "torch checkpoint", error) from error
    why = "an object that only running the file's code could build"
    return Named(members.arrays, members.rest, tuple((name, why) for name in members.unknown))


@dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unknown:
    """Stands for an object of a class that is not looked up; takes whatever the pickle does to it."""

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.state = (key, value)

    def append(self, item: object) -> None:
        self.state = item

    def extend(self, items: object) -> None:
        self.state = items


def _rebuilt(storage: Any, offset: int, shape: Any, strides: Any, *_: object) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    if len(shape) != len(strides) or any(side < 0 for side in shape):
        raise pickle.UnpicklingError(f"a tensor of shape {shape} and strides {strides}")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _parameter(data: Any, *_: object) -> Any:
    return data


class _Kind:
    """A storage class, named and never built."""

    def __init__(self, name: str) -> None:
        self.name = name


def _rebuilt_typed(
    storage: Any, offset: int, shape: Any, strides: Any, _grad: Any, _hooks: Any, dtype: Any, *_: object
) -> _Tensor:
    made = _rebuilt(storage, offset, shape, strides)
    kind = dtype.name if isinstance(dtype, _Kind) else "?"
    return replace(made, storage=replace(made.storage, kind=_TYPED.get(kind, kind)))


class _Unpickler(pickle._Unpickler):
    """Finds nothing but stand-ins, new ones each time: the file cannot name code that runs, nor change ours.

    In Python, for the one in C takes memory for as many memo entries as one opcode of the file asks for.
    """

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for every name."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return functools.partial(_rebuilt)
        if (module, name) == ("torch._utils", "_rebuild_tensor_v3"):
            return functools.partial(_rebuilt_typed)
        if module == "torch" and name[:1].islower():
            return _Kind(name)
        if module == "torch._utils" and name.startswith("_rebuild_parameter"):
            return functools.partial(_parameter)
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return _Kind(name)
        return type("_Unknown", (_Unknown,), {})

    def persistent_load(self, pid: Any) -> Any:
        """A tensor's storage: ``("storage", kind, key, location, count)``."""
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError(f"{pid!r} is no storage")
        kind = _TORCH.get(pid[1].name, pid[1].name) if isinstance(pid[1], _Kind) else "?"
        return _Storage(kind, str(pid[2]), int(pid[4]))


@dataclass
class _Members:
    """What is in a checkpoint, by names that are put together from its containers' keys."""

    path: Path
    root: str
    arrays: dict[str, Lazy] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    visited: int = 0

    def collect(self, name: str, value: Any) -> None:
        """Sort *value* and all that it holds into arrays, plain values and what is unknown."""
        self.visited += 1
        if self.visited > _MEMBERS:
            raise ValueError(f"it has more than {_MEMBERS:,} members")
        if isinstance(value, _Tensor):
            load = functools.partial(_tensor, value, self.path, self.root)
            self.arrays[self._free(name or "tensor")] = Lazy(value.storage.kind, value.shape, load)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.collect(f"{name}.{key}" if name else str(key), item)
            for key, item in vars(value).items() if isinstance(value, OrderedDict) else ():
                self.collect(f"{name}@{key}", item)
        elif isinstance(value, list | tuple):
            for n, item in enumerate(value):
                self.collect(f"{name}[{n}]", item)
        elif isinstance(value, _Kind):
            self.rest[self._free(name)] = f"torch.{value.name}"
        elif value is None or isinstance(value, str | int | float | bool | bytes):
            self.rest[self._free(name)] = value
        else:
            self.unknown.append(name or "the whole")

    def _free(self, name: str) -> str:
        """A name that is not taken: ``{"a.b": x, "a": {"b": y}}`` and ``{1: x, "1": y}`` keep both."""
        taken, n = name, 1
        while taken in self.arrays or taken in self.rest:
            n += 1
            taken = f"{name}#{n}"
        return taken


def _tensor(tensor: _Tensor, path: Path, root: str) -> Any:
    """The tensor's numbers; the whole storage's bytes where its type is not known.

    :raises StepbridgeError: SB704 where the storage is damaged or too short.
    """
    import numpy as np

    storage = tensor.storage
    try:
        with zipfile.ZipFile(path) as archive:
            raw = np.frombuffer(archive.read(f"{root}data/{storage.key}"), "u1")
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _bad(path, "torch checkpoint", error) from error
    width = _width(storage.kind)
    if not width:
        return raw
    if not math.prod(tensor.shape):
        return _typed(raw[:0], storage.kind, tensor.shape)
    flat = _typed(raw[: len(raw) // width * width], storage.kind, (-1,))
    reach = sum((side - 1) * step for side, step in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.offset, *tensor.strides, 0) < 0 or tensor.offset + reach >= flat.size:
        raise _bad(path, "torch checkpoint", ValueError("a tensor reaches beyond its storage"))
    steps = tuple(step * flat.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps, writeable=False)


def _bad(path: Path, form: str, error: Exception) -> StepbridgeError:
    return StepbridgeError(
        "SB704",
        f"not a {form} file: {type(error).__name__}: {error}",
        place=str(path),
        hint="it may be cut off; write it again, or give it another suffix to compare its bytes",
    )
