"""Finds what code reads that no cache key sees: environment variables and files named in the text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from stepbridge.code.bound import Chain, dotted
from stepbridge.code.nodes import absolute, is_main_guard
from stepbridge.code.region import Region
from stepbridge.code.signs import OUTSIDE
from stepbridge.code.source import Source

_PATH_READS = frozenset({"read_text", "read_bytes", "open"})


def region_outside(region: Region) -> list[str]:
    """What the selected statements of *region* read, each with its place."""
    found = selected_code(region)
    return list(_Finder(region.source, region.facts.module, region.facts.package).all(found))


def selected_code(region: Region) -> list[ast.AST]:
    """The selected statements of *region*; of compound ones the headers."""
    found: list[ast.AST] = []
    for node in region.parts_first():
        if node.alias is not None:
            continue
        if node.header:
            found += [getattr(node.stmt, name) for name in ("test", "iter") if hasattr(node.stmt, name)]
            found += [item.context_expr for item in getattr(node.stmt, "items", ())]
        else:
            found.append(node.stmt)
    return found


def whole_outside(source: Source, module: str, package: bool) -> list[str]:
    """What the code of a file that ships whole reads, each with its place."""
    if OUTSIDE not in source.signs:
        return []
    return list(_Finder(source, module, package).all(whole_statements(source)))


def whole_statements(source: Source) -> list[ast.AST]:
    """The statements of a file that run when it is imported."""
    return [
        statement
        for statement in source.tree.body
        if not (isinstance(statement, ast.If) and is_main_guard(statement))
    ]


class _Finder:
    def __init__(self, source: Source, module: str, package: bool) -> None:
        self.source = source
        self.imports: dict[str, tuple[str, str]] = {}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    self._import(alias, *absolute(node, alias, module, package))
        self.texts = _texts(source.tree)
        self.written = {
            self._text(node.args[0])
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Call) and node.args and _opens_to_write(node)
        }

    def _import(self, alias: ast.alias, module: str, attribute: str) -> None:
        plain = not attribute and not alias.asname
        name = alias.asname or (attribute or module.partition(".")[0])
        self.imports[name] = (module.partition(".")[0] if plain else module, attribute)

    def all(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        """What *nodes* read, in their order."""
        inner: set[int] = set()
        for node in nodes:
            for child in ast.walk(node):
                if id(child) in inner:
                    continue
                what = self._environment(child, inner) or self._file(child)
                if what:
                    yield f"{self.source.place(child)} {what}"

    def _name(self, node: ast.AST) -> Chain:
        """The full name of what an imported name or chain stands for."""
        found = dotted(node) if isinstance(node, ast.expr) else None
        if found is None or found[0] not in self.imports:
            return ()
        module, attribute = self.imports[found[0]]
        return (module, *([attribute] if attribute else []), *found[1])

    def _environment(self, node: ast.AST, inner: set[int]) -> str:
        match node:
            case ast.Subscript(value=owner, slice=key) if self._name(owner) == ("os", "environ"):
                inner.update(id(child) for child in ast.walk(owner))
                return self._variable(key) if isinstance(node.ctx, ast.Load) else ""
            case ast.Call(func=ast.Attribute(value=owner, attr=method), args=[key, *_]) if self._name(
                owner
            ) == ("os", "environ"):
                inner.update(id(child) for child in ast.walk(owner))
                return self._variable(key) if method in ("get", "pop", "setdefault", "__getitem__") else ""
            case ast.Call(func=function, args=[key, *_]) if self._name(function) == ("os", "getenv"):
                return self._variable(key)
            case ast.Compare(left=key, comparators=[owner]) if self._name(owner) == ("os", "environ"):
                inner.update(id(child) for child in ast.walk(owner))
                return self._variable(key)
            case ast.Name() | ast.Attribute() if self._name(node) == ("os", "environ"):
                return "reads the environment"
        return ""

    def _variable(self, key: ast.expr) -> str:
        name = self._text(key)
        return f"reads the environment variable {name}" if name else "reads the environment"

    def _file(self, node: ast.AST) -> str:
        match node:
            case ast.Call(func=ast.Name(id="open"), args=[first, *_]) if "open" not in self.imports:
                path = self._text(first)
                return "" if _writes(node, 1) or path in self.written else self._reads(path)
            case ast.Call(func=ast.Attribute(attr=method, value=ast.Call(func=function, args=[first]))) if (
                method in _PATH_READS and self._name(function)[-1:] == ("Path",)
            ):
                return "" if method == "open" and _writes(node, 0) else self._reads(self._text(first))
            case ast.Call(func=function, args=[first, *_]) if self._name(function)[-1:] and self._name(
                function
            )[-1].startswith("read_"):
                return (
                    self._reads(self._text(first)) if self._name(function)[0] in ("pandas", "polars") else ""
                )
        return ""

    @staticmethod
    def _reads(path: str) -> str:
        return f"reads the file {path}" if path else ""

    def _text(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self.texts.get(node.id, "")
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _opens_to_write(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "open" and _writes(call, 1)


def _writes(call: ast.Call, position: int) -> bool:
    modes: list[ast.expr] = [word.value for word in call.keywords if word.arg == "mode"]
    modes += call.args[position : position + 1]
    return any(isinstance(mode, ast.Constant) and set("wax") & set(str(mode.value)) for mode in modes)


def _texts(tree: ast.Module) -> Mapping[str, str]:
    """The constants of a module that are text."""
    found: dict[str, str] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)):
                found[name] = text
    return found
