"""Writes torch's checkpoint format, a zip of a pickle and raw storages, opcode by opcode, without torch."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_STORAGES = {
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<i8": "LongStorage",
    "|u1": "ByteStorage",
    "|b1": "BoolStorage",
}


@dataclass(frozen=True)
class Tensor:
    """What the pickle says of a tensor.

    :param raw: the storage's bytes, where they are not those of *array*.
    :param storage: the storage class, where it is not that of the array's dtype.
    """

    array: Any
    raw: bytes | None = None
    storage: str = ""
    offset: int = 0
    strides: tuple[int, ...] | None = None
    parameter: bool = False


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    opcodes: bytes


@dataclass(frozen=True)
class StateDict:
    """An OrderedDict as ``module.state_dict()`` gives it, with its ``_metadata``."""

    items: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Writer:
    """Protocol 2, as ``torch.save`` writes it."""

    def __init__(self) -> None:
        self.storages: list[bytes] = []

    def dumps(self, value: Any) -> bytes:
        return b"\x80\x02" + self.value(value) + b"."

    def value(self, value: Any) -> bytes:
        if isinstance(value, Raw):
            return value.opcodes
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, StateDict):
            head = b"ccollections\nOrderedDict\n)R" + self.pairs(value.items)
            return head + b"}" + self.pairs({"_metadata": dict(value.metadata)}) + b"b"
        if isinstance(value, dict):
            return b"}" + self.pairs(value)
        if isinstance(value, list):
            return b"](" + b"".join(map(self.value, value)) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.value, value)) + b"t"
        return _plain(value)

    def pairs(self, value: Mapping[Any, Any]) -> bytes:
        return b"(" + b"".join(self.value(key) + self.value(item) for key, item in value.items()) + b"u"

    def tensor(self, tensor: Tensor) -> bytes:
        array = np.asarray(tensor.array)
        kind = tensor.storage or _STORAGES[array.dtype.str]
        self.storages.append(array.tobytes() if tensor.raw is None else tensor.raw)
        identifier = b"(" + _plain("storage") + b"ctorch\n" + kind.encode() + b"\n"
        identifier += _plain(str(len(self.storages) - 1)) + _plain("cpu") + _plain(array.size) + b"tQ"
        steps = tensor.strides
        if steps is None:
            steps = tuple(step // array.itemsize for step in array.copy("C").strides)
        rest = (tensor.offset, array.shape, steps, False)
        hooks = b"ccollections\nOrderedDict\n)R"
        made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + identifier
        made += b"".join(map(self.value, rest)) + hooks + b"tR"
        if tensor.parameter:
            made = b"ctorch._utils\n_rebuild_parameter\n(" + made + b"\x88" + hooks + b"tR"
        return made


def _plain(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    text = str(value).encode()
    return b"X" + struct.pack("<I", len(text)) + text


def write(path: Path, value: Any, *, byteorder: str = "little") -> Path:
    """*value* as a checkpoint at *path*."""
    writer = Writer()
    pickled = writer.dumps(value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", byteorder)
        for n, storage in enumerate(writer.storages):
            archive.writestr(f"archive/data/{n}", storage)
        archive.writestr("archive/version", "3\n")
    return path
