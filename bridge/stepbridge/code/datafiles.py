"""Finds the data files that code reads beside its source, by the literal text of their paths."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepbridge.code.bound import bound_in, dotted, parameters
from stepbridge.code.nodes import absolute
from stepbridge.code.resolve import Module
from stepbridge.code.signs import PATHS
from stepbridge.code.source import Source

BESIDE = "looks for files beside its source: declare them, files=[...]"
LARGEST = 16 << 20
"""Bytes of a file that ships without being declared."""

_SAME = frozenset({"resolve", "absolute", "expanduser", "as_posix", "__str__", "__fspath__"})
_SAME_CALLS = frozenset({"abspath", "realpath", "normpath", "fspath", "str", "Path", "PurePath", "PosixPath"})
_WRITES = frozenset({"write_text", "write_bytes", "touch", "mkdir", "unlink", "rmdir"})
_NAMED = frozenset(
    {"read_text", "read_binary", "open_text", "open_binary", "path", "get_data", "is_resource"}
)

Frame = Mapping[str, "ast.expr | None"]


@dataclass(frozen=True)
class Spot:
    """A place in the project.

    :param base: the directory that becomes the bundle's root.
    """

    path: Path
    base: Path

    def down(self, *parts: str) -> Spot:
        """A place below, or beside where a part is ``..``."""
        return Spot(Path(os.path.normpath(self.path.joinpath(*parts))), self.base)


Found = Spot | str | None

Asked = tuple[str, ...]
Answer = bool | tuple[str, ...]


class Disk:
    """What a search asks of the disk, with the answers, so that it can be asked again later."""

    def __init__(self) -> None:
        self.seen: dict[Asked, Answer] = {}

    def is_file(self, path: Path) -> bool:
        """True for a file."""
        return self.ask(("file", str(path))) is True

    def ships(self, path: Path) -> bool:
        """True for a file that is small enough to ship without being declared."""
        return self.ask(("ships", str(path))) is True

    def matches(self, directory: Path, pattern: str, way: str) -> list[Path]:
        """The files that ``glob`` or ``rglob`` (the *way*) finds."""
        found = self.ask((way, str(directory), pattern))
        return [Path(item) for item in found] if isinstance(found, tuple) else []

    def ask(self, asked: Asked) -> Answer:
        """The answer to a question of these, looked up now."""
        path = Path(asked[1])
        answer: Answer
        match asked[0]:
            case "file":
                answer = path.is_file()
            case "ships":
                answer = path.is_file() and path.stat().st_size <= LARGEST
            case way:
                answer = _matches(path, asked[2], way)
        self.seen[asked] = answer
        return answer


def _matches(directory: Path, pattern: str, way: str) -> tuple[str, ...]:
    try:
        hits = sorted(directory.rglob(pattern) if way == "rglob" else directory.glob(pattern))
    except (ValueError, NotImplementedError, OSError):
        return ()
    return tuple(str(hit) for hit in hits if hit.is_file() and "__pycache__" not in hit.parts)


@dataclass(frozen=True)
class File:
    """One Python file whose code is searched.

    :param module: the name it is imported by.
    :param base: the directory that becomes the bundle's root.
    :param imported: the full names that it imports.
    """

    source: Source
    module: str
    package: bool
    base: Path
    imported: frozenset[str]


@dataclass
class DataFiles:
    """What is read beside the sources.

    :param find: gives first-party modules by name.
    :param open_file: gives the file of a first-party module, and *read* its source.
    :param spots: the data files.
    :param unclear: places where the name of a file is computed, the file is missing, or is not shipped.
    :param packages: packages that code names to find files in, with the place.
    :param disk: what was asked of the disk.
    """

    find: Callable[[str], Module | None]
    open_file: Callable[[Module], File]
    read: Callable[[Module], Source]
    spots: dict[Path, Spot] = field(default_factory=dict)
    unclear: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    disk: Disk = field(default_factory=Disk)
    _constants: dict[str, _Constants] = field(default_factory=dict)
    _holding: dict[str, bool] = field(default_factory=dict)

    def search(self, file: File, nodes: Callable[[], Iterable[ast.AST]]) -> None:
        """Add what *nodes* of *file* read; they are asked for only where the text shows signs of paths."""
        if PATHS not in file.source.signs and not self._imports_places(file):
            return
        visitor = _Visitor(self, self.constants(file))
        for node in nodes():
            visitor.visit_in(node, {}, frozenset())

    def constants(self, file: File) -> _Constants:
        """What the module-level names of *file* stand for."""
        if file.module not in self._constants:
            self._constants[file.module] = _Constants(file)
        return self._constants[file.module]

    def _imports_places(self, file: File) -> bool:
        """True where *file* imports a module that may hold the path of a directory."""
        return any(self._holds_places(name) for name in file.imported)

    def _holds_places(self, name: str) -> bool:
        known = self._holding.get(name)
        if known is None:
            found = self.find(name)
            known = found is not None and found.path is not None and PATHS in self.read(found).signs
            self._holding[name] = known
        return known


class _Constants:
    """The imports and the single assignments of a module."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.imports: dict[str, tuple[str, str]] = {}
        for node in ast.walk(file.source.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    module, attribute = absolute(node, alias, file.module, file.package)
                    plain = not attribute and not alias.asname
                    name = alias.asname or (attribute or module.partition(".")[0])
                    self.imports[name] = (module.partition(".")[0] if plain else module, attribute)
        self.frame: Frame = assigned(file.source.tree.body)


def assigned(body: Iterable[ast.stmt]) -> dict[str, ast.expr | None]:
    """The expression of each name that statements bind; None where there is more than one."""
    found: dict[str, ast.expr | None] = {}
    body = list(body)
    for name in bound_in(body):
        found[name] = None
    seen: set[str] = set()
    for node in _own(body):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = None if name in seen else value
                seen.add(name)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = None if name in seen else value
                seen.add(name)
            case ast.NamedExpr(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
                found[name] = None
                seen.add(name)
    return found


def _own(body: Iterable[ast.AST]) -> Iterable[ast.AST]:
    """Every node below *body* that belongs to the same scope."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _own(ast.iter_child_nodes(node))


class _Visitor:
    def __init__(self, files: DataFiles, constants: _Constants) -> None:
        self.files = files
        self.constants = constants
        self.file = constants.file
        self.depth = 0

    # the walk ----------------------------------------------------------------------------------------------

    def visit_in(self, node: ast.AST, frame: Frame, hidden: frozenset[str]) -> None:
        """Visit *node*; *frame* holds the locals around it."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._function(node, frame, hidden)
                return
            case ast.Call() if self._call(node, frame):
                return
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if self._settled(name, value, frame):
                return
            case ast.expr():
                found = self.value(node, frame)
                if isinstance(found, Spot):
                    self._use(node, found)
                    return
        for child in ast.iter_child_nodes(node):
            self.visit_in(child, frame, hidden)

    def _function(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        frame: Frame,
        hidden: frozenset[str],
    ) -> None:
        body: list[ast.stmt] = [] if isinstance(node, ast.Lambda) else node.body
        inner = {**frame, **assigned(body), **{item.arg: None for item in parameters(node.args)}}
        for child in ast.iter_child_nodes(node):
            self.visit_in(child, inner if child is not node.args else frame, hidden)

    def _settled(self, name: str, value: ast.expr, frame: Frame) -> bool:
        """True for a directory that gets a name: what counts is how the name is used."""
        found = self.value(value, frame)
        known = frame.get(name) or self.constants.frame.get(name)
        return isinstance(found, Spot) and known is value and not self.files.disk.is_file(found.path)

    def _call(self, node: ast.Call, frame: Frame) -> bool:
        """Calls that list a directory, or write; True where nothing is left to visit."""
        match node:
            case ast.Call(func=ast.Attribute(value=owner, attr="glob" | "rglob" as way), args=[pattern]):
                place, text = self.value(owner, frame), self.value(pattern, frame)
                if isinstance(place, Spot) and isinstance(text, str) and text:
                    self._glob(node, place, text, way)
                    return True
            case ast.Call(func=ast.Attribute(value=owner, attr="iterdir"), args=[]):
                place = self.value(owner, frame)
                if isinstance(place, Spot):
                    self._glob(node, place, "*", "glob")
                    return True
            case ast.Call(func=ast.Attribute(value=owner, attr=method)) if method in _WRITES or (
                method == "open" and _writes(node, 0)
            ):
                return isinstance(self.value(owner, frame), Spot)
            case ast.Call(func=ast.Name(id="open"), args=[first, *_]) if _writes(node, 1):
                return isinstance(self.value(first, frame), Spot)
        return False

    def _glob(self, node: ast.AST, place: Spot, pattern: str, way: str) -> None:
        hits = self.files.disk.matches(place.path, pattern, way)
        if not hits or not place.path.is_relative_to(place.base):
            self._unclear(node)
        for hit in hits:
            self._use(node, Spot(hit, place.base))

    def _use(self, node: ast.AST, place: Spot) -> None:
        path = place.path
        if (
            path.suffix in (".py", ".pyc")
            or not path.is_relative_to(place.base)
            or not self.files.disk.ships(path)
        ):
            self._unclear(node)
        else:
            self.files.spots[path] = place

    def _unclear(self, node: ast.AST) -> None:
        self.files.unclear.append(f"{self.file.source.place(node)} {BESIDE}")

    # values ------------------------------------------------------------------------------------------------

    def value(self, node: ast.expr, frame: Frame) -> Found:
        """The place or text that an expression stands for, None where that is not known."""
        self.depth += 1
        try:
            return self._value(node, frame) if self.depth < 40 else None
        finally:
            self.depth -= 1

    def _value(self, node: ast.expr, frame: Frame) -> Found:
        match node:
            case ast.Constant(value=str() as text):
                return text
            case ast.Name(id=name):
                return self._name(name, frame)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return _joined(self.value(left, frame), [self.value(right, frame)])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _added([self.value(left, frame), self.value(right, frame)])
            case ast.JoinedStr(values=values):
                return _added(
                    [
                        self.value(item.value if isinstance(item, ast.FormattedValue) else item, frame)
                        for item in values
                    ]
                )
            case ast.Attribute(value=owner, attr="parent"):
                found = self.value(owner, frame)
                return found.down("..") if isinstance(found, Spot) else None
            case ast.Subscript(
                value=ast.Attribute(value=owner, attr="parents"), slice=ast.Constant(value=int() as number)
            ):
                found = self.value(owner, frame)
                return found.down(*[".."] * (number + 1)) if isinstance(found, Spot) and number >= 0 else None
            case ast.Attribute() | ast.Subscript():
                return self._member(node, frame)
            case ast.Call(func=ast.Attribute(value=owner, attr=method)) if isinstance(
                place := self.value(owner, frame), Spot
            ):
                return self._method(place, method, node, frame)
            case ast.Call():
                return self._function_value(node, frame)
        return None

    def _name(self, name: str, frame: Frame) -> Found:
        file = self.file
        if name in frame:
            inner = frame[name]
            return self.value(inner, {**frame, name: None}) if inner is not None else None
        if name == "__file__":
            return Spot(file.source.path, file.base)
        if name == "__name__":
            return file.module
        if name == "__package__":
            return file.module if file.package else file.module.rpartition(".")[0]
        inner = self.constants.frame.get(name)
        if inner is not None:
            return self.value(inner, {name: None})
        if name in self.constants.imports:
            module, attribute = self.constants.imports[name]
            return self._constant_of(module, attribute) if attribute else None
        return None

    def _constant_of(self, module: str, name: str) -> Found:
        found = self.files.find(module)
        if found is None or found.path is None or found.name == self.file.module:
            return None
        other = _Visitor(self.files, self.files.constants(self.files.open_file(found)))
        other.depth = self.depth
        if name == "__file__":
            return Spot(other.file.source.path, other.file.base)
        return other.value(ast.Name(name, ast.Load()), {}) if name in other.constants.frame else None

    def _member(self, node: ast.expr, frame: Frame) -> Found:
        """``config.HERE``, ``pkg.mod.__file__``, ``pkg.__path__[0]``."""
        match node:
            case ast.Subscript(value=ast.Attribute(attr="__path__") as inner, slice=ast.Constant(value=0)):
                full = self._full(inner, frame)
                found = self.files.find(".".join(full[:-1])) if full else None
                return Spot(found.search[0], found.base) if found is not None and found.search else None
            case ast.Attribute():
                full = self._full(node, frame)
                return self._constant_of(".".join(full[:-1]), full[-1]) if len(full) > 1 else None
        return None

    def _full(self, node: ast.expr, frame: Frame) -> tuple[str, ...]:
        """The full dotted name of what an imported name stands for."""
        found = dotted(node)
        if found is None or found[0] in frame or found[0] not in self.constants.imports:
            return ()
        module, attribute = self.constants.imports[found[0]]
        return (*module.split("."), *([attribute] if attribute else []), *found[1])

    def _method(self, owner: Spot, method: str, node: ast.Call, frame: Frame) -> Found:
        texts = [self.value(item, frame) for item in node.args]
        if method in _SAME:
            return owner
        if method == "joinpath":
            return _joined(owner, texts)
        if method == "with_name" and len(texts) == 1:
            return _joined(owner.down(".."), texts)
        if method == "with_suffix" and len(texts) == 1 and isinstance(texts[0], str):
            return owner.down("..", owner.path.stem + texts[0])
        return None

    def _function_value(self, node: ast.Call, frame: Frame) -> Found:
        name = self._full(node.func, frame) or (dotted(node.func) or ("",))[:1]
        last = name[-1]
        given = [self.value(item, frame) for item in node.args]
        first = given[0] if given else None
        if name[:2] == ("importlib", "resources") or name[:1] == ("pkgutil",):
            return self._resource(node, last, given)
        if name in (("open",), ("io", "open")):
            return None
        if last in _SAME_CALLS and isinstance(first, Spot):
            return _joined(first, given[1:])
        if last == "dirname" and isinstance(first, Spot):
            return first.down("..")
        if last == "join" and name[:2] == ("os", "path") and isinstance(first, Spot):
            return _joined(first, given[1:])
        return None

    def _resource(self, node: ast.Call, last: str, given: list[Found]) -> Found:
        package = given[0] if given and isinstance(given[0], str) else ""
        if node.args and not package:
            chain = dotted(node.args[0])
            imported = self.constants.imports.get(chain[0]) if chain else None
            if chain and imported:
                package = ".".join([part for part in (*imported, *chain[1]) if part])
        if not node.args and last == "files":
            name = self.file.module
            package = name if self.file.package else name.rpartition(".")[0]
        found = self.files.find(package) if package else None
        if found is None or not found.search:
            return None
        self.files.packages.setdefault(found.name, self.file.source.place(node))
        place = Spot(found.search[0], found.base)
        if last == "files":
            return place
        if last in _NAMED and len(given) > 1:
            return _joined(place, given[1:2]) or place
        return None


def _joined(start: Found, parts: Iterable[Found]) -> Found:
    texts = []
    for part in parts:
        if not isinstance(part, str):
            return None
        texts.append(part)
    return start.down(*texts) if isinstance(start, Spot) else None


def _added(parts: list[Found]) -> Found:
    """Text put together; a place may come first: ``HERE + "/x.sql"``."""
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == len(parts):
        return "".join(texts)
    first = parts[0]
    if isinstance(first, Spot) and len(texts) == len(parts) - 1:
        return Spot(Path(os.path.normpath(str(first.path) + "".join(texts))), first.base)
    return None


def _writes(call: ast.Call, position: int) -> bool:
    modes: list[ast.expr] = [word.value for word in call.keywords if word.arg == "mode"]
    modes += call.args[position : position + 1]
    return any(isinstance(mode, ast.Constant) and set("wax") & set(str(mode.value)) for mode in modes)
