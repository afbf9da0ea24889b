"""Reads a pickle's opcodes into inert nodes: nothing that the file names is looked up, built or run."""

from __future__ import annotations

import mmap
import pickle
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, cast

_OPCODES = 8_000_000
"""Opcodes up to which a pickle is read: some ten seconds, and about a gigabyte of nodes."""
_TEXTS = 512 << 20
"""Bytes of text up to which a pickle is read; arrays and raw bytes do not count, they stay in the file."""
_NESTED = 20
"""Pickles within pickles."""
_WIDTHS = {"SHORT_BINBYTES": 1, "BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8}
_CODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_PLAIN = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"})
_WORDS = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_OLD_TEXT = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING"})
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_SETS = frozenset({"builtins.set", "builtins.frozenset"})
_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


@dataclass(frozen=True)
class Span:
    """Raw bytes of the file, left where they are.

    :param offset: of the first byte.
    :param size: in bytes.
    """

    offset: int
    size: int
    mutable: bool = False


@dataclass(frozen=True)
class OldText:
    """A text of Python 2, which was bytes there."""

    data: bytes


@dataclass(frozen=True)
class Name:
    """A class or function that the file names; old and new names of one module are the same."""

    module: str
    name: str

    @property
    def text(self) -> str:
        """As people write it."""
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Group:
    """A list, set or frozenset."""

    kind: str
    items: list[Any] = field(default_factory=list)


@dataclass(eq=False)
class Table:
    """A dict, with a pair for each time that a key was set."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(eq=False)
class Made:
    """What calling something would make, and all that the file would do to it afterwards.

    :param how: ``class`` for a new instance, ``call``, ``outside`` for what lies in no pickle.
    :param states: what it would be given as its state, one after the other.
    :param data: the raw data that follows in the file, for joblib's arrays.
    :param inner: the root of the pickle that follows in the file, for joblib's arrays of objects.
    """

    how: str
    maker: Any
    arguments: Any
    keywords: Any = None
    states: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    data: Span | None = None
    inner: Program | None = None


@dataclass(eq=False)
class Program:
    """One pickle, read.

    :param effects: everything that is named or made, in the order of the file, whether the root holds it or
        not.
    """

    root: Any
    effects: list[Made | Name]


Follow = Callable[[mmap.mmap, Made, int], None]
"""Reads what lies in the file after the state of an object; the number says how many pickles are around."""


def read(data: mmap.mmap, follow: Follow, depth: int = 0) -> Program:
    """Read the pickle that starts where *data* stands, to its end.

    :raises ValueError: for what is no pickle, is cut off, or is too large.
    """
    if depth > _NESTED:
        raise ValueError("it holds pickles in pickles without end")
    return _Machine(data, follow, depth).run()


class _Machine:
    def __init__(self, data: mmap.mmap, follow: Follow, depth: int) -> None:
        self._data, self._follow, self._depth = data, follow, depth
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._effects: list[Made | Name] = []
        self._texts = 0
        self._frame = 0

    def run(self) -> Program:
        data, codes = self._data, _CODES
        at = data.tell()
        for _ in range(_OPCODES):
            inside, at = at < self._frame, data.tell()
            if inside and at > self._frame:
                raise ValueError(f"an opcode reaches over the end of its frame at byte {self._frame:,}")
            code = data.read(1)
            if not code:
                raise ValueError("it ends before its end mark")
            opcode = codes.get(code.decode("latin-1"))
            if opcode is None:
                raise ValueError(f"at byte {data.tell() - 1:,} is {code!r}, which is no opcode")
            name = opcode.name
            if name == "STOP":
                if self._marks or len(self._stack) != 1:
                    raise ValueError("it ends with more or less than one object")
                return Program(self._stack.pop(), self._effects)
            if name in _WIDTHS:
                self._stack.append(self._span(name))
                continue
            argument = opcode.arg.reader(cast("IO[bytes]", data)) if opcode.arg is not None else None
            if name in _WORDS or name in _OLD_TEXT:
                self._text(name, argument)
            elif name in _PLAIN:
                self._stack.append(argument)
            elif name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name])
            else:
                _STEPS[name](self, argument)
        raise ValueError(f"it has more than {_OPCODES:,} opcodes")

    def _span(self, name: str) -> Span:
        size = int.from_bytes(self._data.read(_WIDTHS[name]), "little")
        offset = self._data.tell()
        if offset + size > len(self._data):
            raise ValueError(f"{size:,} bytes should follow at byte {offset:,}, and the file ends before")
        self._data.seek(offset + size)
        return Span(offset, size, mutable=name == "BYTEARRAY8")

    def _text(self, name: str, argument: object) -> None:
        text = str(argument)
        self._texts += len(text)
        if self._texts > _TEXTS:
            raise ValueError(f"it has more than {_TEXTS >> 20} MiB of text")
        self._stack.append(OldText(text.encode("latin-1")) if name in _OLD_TEXT else text)

    # stack and memo ----------------------------------------------------------------------------------

    def _pop(self) -> Any:
        if not self._stack:
            raise ValueError("an opcode takes an object and there is none")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack:
            raise ValueError("an opcode looks at an object and there is none")
        return self._stack[-1]

    def mark(self, _: Any) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _popped(self) -> list[Any]:
        if not self._marks:
            raise ValueError("an opcode looks for a mark and there is none")
        found, self._stack = self._stack, self._marks.pop()
        return found

    def pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._popped()

    def pop_mark(self, _: Any) -> None:
        self._popped()

    def dup(self, _: Any) -> None:
        self._stack.append(self._top())

    def put(self, index: Any) -> None:
        self._memo[len(self._memo) if index is None else int(index)] = self._top()

    def get(self, index: Any) -> None:
        if index not in self._memo:
            raise ValueError(f"it refers to object {index}, which it does not have")
        self._stack.append(self._memo[index])

    def nothing(self, _: Any) -> None:
        """What says how to read, and we read so anyway."""

    def protocol(self, version: int) -> None:
        if version > pickle.HIGHEST_PROTOCOL:
            raise ValueError(
                f"its protocol is {version}, and {pickle.HIGHEST_PROTOCOL} is the last one known"
            )

    def frame(self, size: int) -> None:
        start = self._data.tell()
        if start < self._frame or start + size > len(self._data):
            raise ValueError(f"a frame of {size:,} bytes starts at byte {start:,} and does not fit there")
        self._frame = start + size

    # containers --------------------------------------------------------------------------------------

    def empty(self, kind: str) -> None:
        self._stack.append(Table() if kind == "dict" else () if kind == "tuple" else Group(kind))

    def filled(self, kind: str) -> None:
        items = self._popped()
        made: Any = (
            Table(_paired(items))
            if kind == "dict"
            else tuple(items)
            if kind == "tuple"
            else Group(kind, items)
        )
        self._stack.append(made)

    def tuple_of(self, count: int) -> None:
        self._stack.append(tuple(reversed([self._pop() for _ in range(count)])))

    def extend(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, Group | Made):
            raise ValueError(f"it adds items to a {type(target).__name__}")
        target.items.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, Table | Made):
            raise ValueError(f"it sets items of a {type(target).__name__}")
        target.pairs.extend(_paired(items))

    def append(self, _: Any) -> None:
        self.extend([self._pop()])

    def appends(self, _: Any) -> None:
        self.extend(self._popped())

    def set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self.update([key, value])

    def set_items(self, _: Any) -> None:
        self.update(self._popped())

    # what would run code -----------------------------------------------------------------------------

    def _named(self, module: Any, name: Any) -> Name:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("it looks up a name that is no text")
        module = _MODULES.get(module, module)
        if module == "numpy.core" or module.startswith("numpy.core."):
            module = "numpy._core" + module.removeprefix("numpy.core")
        found = Name(module, name)
        self._effects.append(found)
        return found

    def _make(self, how: str, maker: Any, arguments: Any, keywords: Any = None) -> None:
        made = Made(how, maker, arguments, keywords)
        if how == "call" and isinstance(maker, Name) and isinstance(arguments, tuple):
            if maker.text in _SETS and len(arguments) == 1 and _list(arguments[0]):
                self._stack.append(Group(maker.name, list(arguments[0].items)))
                return
            _new(made, maker.text, arguments)
        self._effects.append(made)
        self._stack.append(made)

    def name(self, argument: Any) -> None:
        self._stack.append(self._named(*str(argument).split(" ", 1)))

    def stack_name(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(self._named(module, name))

    def extension(self, code: Any) -> None:
        self._stack.append(self._named("copyreg extension", str(code)))

    def reduce(self, _: Any) -> None:
        arguments, maker = self._pop(), self._pop()
        self._make("call", maker, arguments)

    def new(self, _: Any) -> None:
        arguments, maker = self._pop(), self._pop()
        self._make("class", maker, arguments)

    def new_keywords(self, _: Any) -> None:
        keywords, arguments, maker = self._pop(), self._pop(), self._pop()
        self._make("class", maker, arguments, keywords)

    def instance(self, argument: Any) -> None:
        arguments = tuple(self._popped())
        self._make("call", self._named(*str(argument).split(" ", 1)), arguments)

    def instance_of(self, _: Any) -> None:
        maker, *arguments = self._popped() or [None]
        self._make("call", maker, tuple(arguments))

    def build(self, _: Any) -> None:
        state, target = self._pop(), self._top()
        if not isinstance(target, Made):
            raise ValueError(f"it sets the state of a {type(target).__name__}")
        target.states.append(state)
        before = self._data.tell()
        self._follow(self._data, target, self._depth)
        if self._data.tell() != before:
            if before < self._frame:
                raise ValueError(f"an array's data starts at byte {before:,}, before the end of a frame")
            self._frame = 0

    def outside(self, argument: Any) -> None:
        self._make("outside", "persistent id", self._pop() if argument is None else str(argument))

    def buffer(self, _: Any) -> None:
        self._make("outside", "out-of-band buffer", ())


def _list(node: Any) -> bool:
    return isinstance(node, Group) and node.kind == "list"


def _new(made: Made, maker: str, arguments: tuple[Any, ...]) -> None:
    """The two old ways to make an instance, said as the new one says it."""
    if maker == "copyreg.__newobj__" and arguments:
        made.how, made.maker, made.arguments = "class", arguments[0], arguments[1:]
    elif maker == "copyreg._reconstructor" and arguments[1:] == (Name("builtins", "object"), None):
        made.how, made.maker, made.arguments = "class", arguments[0], ()


def _paired(items: list[Any]) -> list[tuple[Any, Any]]:
    if len(items) % 2:
        raise ValueError("it sets a key without a value")
    return list(zip(items[::2], items[1::2], strict=True))


def _with(step: Callable[[_Machine, Any], None], fixed: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: step(machine, fixed)


_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.protocol,
    "FRAME": _Machine.frame,
    "READONLY_BUFFER": _Machine.nothing,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    "MEMOIZE": _Machine.put,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "EMPTY_LIST": _with(_Machine.empty, "list"),
    "EMPTY_DICT": _with(_Machine.empty, "dict"),
    "EMPTY_SET": _with(_Machine.empty, "set"),
    "EMPTY_TUPLE": _with(_Machine.empty, "tuple"),
    "LIST": _with(_Machine.filled, "list"),
    "DICT": _with(_Machine.filled, "dict"),
    "TUPLE": _with(_Machine.filled, "tuple"),
    "FROZENSET": _with(_Machine.filled, "frozenset"),
    "TUPLE1": _with(_Machine.tuple_of, 1),
    "TUPLE2": _with(_Machine.tuple_of, 2),
    "TUPLE3": _with(_Machine.tuple_of, 3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "EXT1": _Machine.extension,
    "EXT2": _Machine.extension,
    "EXT4": _Machine.extension,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new,
    "NEWOBJ_EX": _Machine.new_keywords,
    "INST": _Machine.instance,
    "OBJ": _Machine.instance_of,
    "BUILD": _Machine.build,
    "PERSID": _Machine.outside,
    "BINPERSID": _Machine.outside,
    "NEXT_BUFFER": _Machine.buffer,
}
