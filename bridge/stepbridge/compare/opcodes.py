"""What a pickle holds, read from its opcodes: nothing of it is built, and none of its code runs."""

from __future__ import annotations

import hashlib
import pickletools
from dataclasses import dataclass, field
from pathlib import Path

from stepbridge.failures import StepbridgeError

_LARGEST = 2 << 30
_PLAIN = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"})
_TEXTS = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING"})
_BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "SHORT_BINSTRING"})
_WORDS = frozenset({"NONE", "NEWTRUE", "NEWFALSE"})
_MIXED = " NumpyArrayWrapper"


@dataclass(frozen=True)
class Outline:
    """The contents of a pickle in the order of the file.

    :param names: classes and functions it would look up, ``module name``.
    :param values: numbers, texts and words, and the digests of raw bytes.
    :param payloads: sizes of raw bytes: arrays' data lies there.
    :param size: of the file, bytes.
    """

    names: tuple[str, ...]
    values: tuple[object, ...]
    payloads: tuple[int, ...]
    size: int


def outline(path: Path) -> Outline:
    """Read the pickle at *path*.

    :raises StepbridgeError: SB704 for what is no pickle, and for pickles with data between their opcodes
        (joblib's own arrays).
    """
    size = path.stat().st_size
    if size > _LARGEST:
        raise _unread(path, f"{size:,} bytes are more than a pickle is read of")
    names: list[str] = []
    values: list[object] = []
    payloads: list[int] = []
    texts = _Texts()
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                name = opcode.name
                texts.see(name, argument)
                if name in _TEXTS:
                    values.append(argument)
                elif name in _BYTES:
                    data = argument if isinstance(argument, bytes | bytearray) else str(argument).encode()
                    payloads.append(len(data))
                    values.append(hashlib.sha256(data).hexdigest())
                elif name in _PLAIN:
                    values.append(argument)
                elif name in _WORDS:
                    values.append(name)
                elif name in ("GLOBAL", "INST"):
                    names.append(str(argument))
                elif name == "STACK_GLOBAL":
                    names.append(" ".join(texts.recent))
                if names and names[-1].endswith(_MIXED):
                    raise ValueError("joblib wrote arrays between the opcodes")
    except Exception as error:  # reading bytes that anybody wrote may raise anything
        raise _unread(path, f"{type(error).__name__}: {error}") from error
    return Outline(tuple(names), tuple(values), tuple(payloads), size)


@dataclass
class _Texts:
    """The two texts that were pushed last, also from the memo: what STACK_GLOBAL looks up."""

    recent: tuple[str, ...] = ()
    memo: dict[int, str | None] = field(default_factory=dict)
    last: str | None = None

    def see(self, name: str, argument: object) -> None:
        """One opcode."""
        if name in _TEXTS:
            self._push(str(argument))
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.last
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(str(argument))] = self.last
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            known = self.memo.get(int(str(argument)))
            self.last = None
            if known is not None:
                self._push(known)
        else:
            self.last = None

    def _push(self, text: str) -> None:
        self.last = text
        self.recent = (*self.recent[-1:], text)


def _unread(path: Path, why: str) -> StepbridgeError:
    return StepbridgeError(
        "SB704", f"the pickle cannot be read: {why}", place=str(path), hint="it is compared by its bytes"
    )
