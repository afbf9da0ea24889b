"""The project's modules, found below its folders without importing them, and what their names stand for."""

from __future__ import annotations

import ast
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stepbridge_migrate.facts.importers import Importers
from stepbridge_migrate.facts.operators import is_airflow
from stepbridge_migrate.facts.scopes import (
    FUNCTIONS,
    Binding,
    Bound,
    Function,
    Scope,
    Walked,
    dotted,
    walk,
)
from stepbridge_migrate.files import is_installation
from stepbridge_migrate.source import SourceFile, Unreadable, decode, read_bytes, relative

_DEPTH = 12
_KEPT = 256
_SIDE_FOLDERS = ("dags", "plugins", "include", "src")


@dataclass(eq=False)
class Module:
    """One file of the project.

    :param name: dotted, from the project's root: what its relative imports are resolved against.
    """

    path: Path
    name: str
    package: bool
    file: SourceFile
    memo: dict[object, object] = field(default_factory=dict)

    @cached_property
    def walked(self) -> Walked:
        """Its names and calls.

        :raises Unreadable: SM402.
        """
        return walk(self.file.tree)

    @property
    def scope(self) -> Scope:
        """The scope of the file."""
        return self.walked.scope


@dataclass(frozen=True)
class Named:
    """Something outside of the project, by its qualified name."""

    name: str


@dataclass(frozen=True, eq=False)
class Defined:
    """A function or class of the project, and the scope that it stands in."""

    module: Module
    node: Function | ast.ClassDef
    scope: Scope

    @property
    def name(self) -> str:
        """``module:name``."""
        parts = [self.node.name]
        scope: Scope | None = self.scope
        while scope is not None and scope.parent is not None:
            parts.append(getattr(scope.node, "name", "<lambda>"))
            scope = scope.parent
        return f"{self.module.name}:{'.'.join(reversed(parts))}"


@dataclass(frozen=True, eq=False)
class Given:
    """A name that a statement, a loop or a caller gives a value.

    :param rest: attributes that are read of it.
    """

    module: Module
    scope: Scope
    binding: Binding
    rest: tuple[str, ...] = ()


@dataclass(frozen=True)
class Starred:
    """A name that only a star import can have brought."""

    modules: tuple[str, ...]
    chain: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Whole:
    """A module of the project itself."""

    module: Module


Target = Named | Defined | Given | Starred | Whole


class Project:
    """Finds and keeps the modules of a project.

    :param root: the project's folder, absolute.
    :param texts: bytes that stand in the place of files.
    """

    def __init__(self, root: Path, texts: Mapping[Path, bytes] | None = None) -> None:
        self.root = root
        self.texts = dict(texts or {})
        self.importers = Importers(root, self.texts)
        self._listings: dict[str, frozenset[str]] = {}
        self._modules: OrderedDict[Path, Module | None] = OrderedDict()
        self._bases: dict[Path, tuple[str, ...]] = {}
        self._found: dict[tuple[str, tuple[str, ...]], tuple[Path, int] | None] = {}

    # files -------------------------------------------------------------------------------------------------

    def module(self, path: Path, data: bytes | None = None) -> Module:
        """The module at *path*, kept where *data* is not given: others import it too.

        :raises Unreadable: the file cannot be read or decoded.
        """
        known = self._modules.get(path)
        if known is not None and (data is None or data == known.file.data):
            self._modules.move_to_end(path)
            return known
        name = relative(path, self.root)
        made = Module(
            path,
            _module_name(name),
            path.name == "__init__.py",
            decode(name, self._bytes(path, name) if data is None else data),
        )
        if data is None:
            self._keep(path, made)
        return made

    def _bytes(self, path: Path, name: str) -> bytes:
        given = self.texts.get(path)
        return read_bytes(path, name) if given is None else given

    def done(self, module: Module) -> None:
        """Let go what was computed of a module that no other has asked for."""
        if self._modules.get(module.path) is not module:
            module.memo.clear()

    def _keep(self, path: Path, module: Module | None) -> None:
        self._modules[path] = module
        while len(self._modules) > _KEPT:
            self._modules.popitem(last=False)

    def try_module(self, path: Path) -> Module | None:
        """The module at *path*; None where it is no Python that can be read."""
        if path in self._modules:
            return self._modules[path]
        try:
            found = self.module(path)
            found.walked  # noqa: B018 - parses
        except (Unreadable, RecursionError):
            self._keep(path, None)
            return None
        return found

    def find(self, origin: Path, module: str, rest: tuple[str, ...] = ()) -> tuple[Path, int] | None:
        """The file of the longest prefix of *module* and *rest*, and how many of *rest* it took.

        :param origin: the file that imports it.
        :param module: dotted, with leading dots where it is relative.
        """
        level = len(module) - len(module.lstrip("."))
        parts = tuple(part for part in module.lstrip(".").split(".") if part)
        if level:
            folder = origin.parent
            for _ in range(level - 1):
                folder = folder.parent
            bases: tuple[str, ...] = (str(folder),)
        elif not parts or parts[0] in sys.stdlib_module_names or is_airflow(parts[0]):
            return None
        else:
            bases = self._bases_of(origin.parent)
        for base in bases:
            found = self._below(base, (*parts, *rest))
            if found is not None and found[1] >= len(parts) and found[0] != origin:
                return found[0], found[1] - len(parts)
        return None

    def _bases_of(self, folder: Path) -> tuple[str, ...]:
        known = self._bases.get(folder)
        if known is not None:
            return known
        above = [folder]
        while above[-1] != self.root and self.root in above[-1].parents:
            above.append(above[-1].parent)
        if self.root not in above:
            above.append(self.root)
        sides = [
            base / name
            for base in above
            for name in _SIDE_FOLDERS
            if name in self._listing(str(base)) and base / name not in above
        ]
        found = tuple(str(base) for base in (*above, *sides) if not is_installation(self._listing(str(base))))
        self._bases[folder] = found
        return found

    def _listing(self, folder: str) -> frozenset[str]:
        known = self._listings.get(folder)
        if known is None:
            try:
                known = frozenset(path.name for path in Path(folder).iterdir())
            except OSError:
                known = frozenset()
            self._listings[folder] = known
        return known

    def _below(self, base: str, parts: tuple[str, ...]) -> tuple[Path, int] | None:
        key = (base, parts)
        if key in self._found:
            return self._found[key]
        folder, best = base, None
        if not parts and "__init__.py" in self._listing(folder):
            best = (Path(folder, "__init__.py"), 0)
        for index, part in enumerate(parts):
            names = self._listing(folder)
            inner = f"{folder}/{part}"
            if part in names and self._listing(inner):
                if "__init__.py" in self._listing(inner):
                    best = (Path(inner, "__init__.py"), index + 1)
                elif f"{part}.py" in names:
                    best = (Path(folder, f"{part}.py"), index + 1)
                    break
                folder = inner
                continue
            if f"{part}.py" in names:
                best = (Path(folder, f"{part}.py"), index + 1)
            break
        self._found[key] = best
        return best

    # names -------------------------------------------------------------------------------------------------

    def resolve(
        self, module: Module, scope: Scope, chain: tuple[str, ...], depth: int = 0
    ) -> tuple[Target, ...]:
        """What ``a.b.c`` in *scope* may stand for; several where its imports depend on a condition."""
        if depth > _DEPTH or not chain:
            return ()
        found = scope.find(chain[0])
        if found is None:
            return self._starred(module, scope, chain, depth)
        home, bindings = found
        targets: list[Target] = []
        for binding in bindings:
            targets.extend(self._bound(module, home, binding, chain, depth))
        return tuple(_unique(targets))

    def _bound(
        self, module: Module, home: Scope, binding: Binding, chain: tuple[str, ...], depth: int
    ) -> Iterator[Target]:
        rest = chain[1:]
        if binding.how is Bound.IMPORT:
            yield from self.imported(module, binding, rest, depth)
        elif binding.how in (Bound.DEF, Bound.CLASS):
            yield from self.member(module, home, binding.node, rest, depth)
        elif binding.how is Bound.ASSIGN and binding.value is not None:
            if isinstance(binding.value, ast.Constant) and binding.value.value is None:
                return
            other = dotted(binding.value)
            if other and other[0] != chain[0]:
                yield from self.resolve(module, home, (*other, *rest), depth + 1)
            elif not other:
                yield Given(module, home, binding, rest)
        else:
            yield Given(module, home, binding, rest)

    def imported(
        self, module: Module, binding: Binding, rest: tuple[str, ...], depth: int = 0
    ) -> Iterator[Target]:
        """What an import and the attributes *rest* of it stand for."""
        names = (binding.attribute, *rest) if binding.attribute else rest
        found = self.find(module.path, binding.module, names)
        if found is None:
            yield Named(".".join((binding.module, *names)))
            return
        other = self.try_module(found[0])
        left = names[found[1] :]
        if other is None:
            yield Named(".".join((binding.module, *names)))
        elif not left:
            yield Whole(other)
        else:
            targets = self.resolve(other, other.scope, left, depth + 1)
            yield from targets or (Named(".".join((other.name, *left))),)

    def member(
        self, module: Module, scope: Scope, node: ast.AST, rest: tuple[str, ...], depth: int = 0
    ) -> Iterator[Target]:
        """A definition, or what a class has under the names *rest*, base classes included."""
        if not isinstance(node, ast.ClassDef) or not rest:
            if not rest and isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                yield Defined(module, node, scope)
            return
        inner = module.walked.scopes.get(id(node))
        if inner is None:
            return
        for binding in inner.names.get(rest[0], ()):
            yield from self._bound(module, inner, binding, rest, depth + 1)
        if rest[0] not in inner.names and depth < _DEPTH:
            for base in node.bases:
                for target in self.resolve(module, scope, dotted(base), depth + 1):
                    if isinstance(target, Defined):
                        yield from self.member(target.module, target.scope, target.node, rest, depth + 1)

    def _starred(
        self, module: Module, scope: Scope, chain: tuple[str, ...], depth: int
    ) -> tuple[Target, ...]:
        stars: list[str] = []
        around: Scope | None = scope
        while around is not None:
            stars += around.stars
            around = around.parent
        unknown = []
        for star in reversed(stars):
            found = self.find(module.path, star)
            other = self.try_module(found[0]) if found is not None else None
            if other is None:
                unknown.append(star)
                continue
            targets = self.resolve(other, other.scope, chain, depth + 1)
            if targets:
                return targets
        return (Starred(tuple(reversed(unknown)), chain),) if unknown else ()


def _unique(targets: list[Target]) -> Iterator[Target]:
    seen: set[object] = set()
    for target in targets:
        key: object = target
        if isinstance(target, Defined):
            key = id(target.node)
        elif isinstance(target, Given):
            key = (id(target.binding), target.rest)
        elif isinstance(target, Whole):
            key = target.module.path
        if key not in seen:
            seen.add(key)
            yield target


def _module_name(path: str) -> str:
    name = path.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__") if name != "__init__" else ""
