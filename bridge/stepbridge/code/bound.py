"""Which names a body binds in its own scope, and what an expression names: scoping before any analysis."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from stepbridge.code.literal import global_name

Chain = tuple[str, ...]
Import = ast.Import | ast.ImportFrom


def dotted(node: ast.expr) -> tuple[str, Chain] | None:
    """``("a", ("b", "c"))`` for ``a.b.c``, None for anything that is not a chain from a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, tuple(reversed(parts))) if isinstance(node, ast.Name) else None


def root(node: ast.expr) -> str | None:
    """The name at the bottom of attributes, subscripts and method calls: ``a`` of ``a.b["c"].d().e``."""
    while True:
        named = global_name(node)
        if named is not None:
            return named
        if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Await):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return node.id if isinstance(node, ast.Name) else None


def targets(node: ast.expr) -> Iterator[ast.expr]:
    """The single targets in a target: tuples, lists and stars taken apart."""
    if isinstance(node, ast.Tuple | ast.List):
        for item in node.elts:
            yield from targets(item)
    elif isinstance(node, ast.Starred):
        yield from targets(node.value)
    else:
        yield node


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets and values of an assignment, element by element, each option of a condition by itself."""
    match target, value:
        case (
            (ast.Tuple(elts=left) | ast.List(elts=left)),
            (ast.Tuple(elts=right) | ast.List(elts=right)),
        ) if len(left) == len(right) and not any(isinstance(item, ast.Starred) for item in (*left, *right)):
            for one, other in zip(left, right, strict=True):
                yield from pairs(one, other)
        case _, ast.IfExp(body=first, orelse=second):
            yield from pairs(target, first)
            yield from pairs(target, second)
        case _, ast.BoolOp(values=options):
            for option in options:
                yield from pairs(target, option)
        case _, ast.NamedExpr(target=name, value=inner):
            yield from pairs(target, name)
            yield from pairs(target, inner)
        case _:
            yield target, value


def call_names(node: ast.expr) -> set[str]:
    """The names that the calls of a chain are given: ``a`` and ``b`` of ``f(a).g([b])``."""
    found: set[str] = set()
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Call):
            for item in (*node.args, *(word.value for word in node.keywords)):
                found |= _held(item)
            node = node.func
        elif isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Await):
            node = node.value
        else:
            break
    return found


def _held(node: ast.expr) -> set[str]:
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items) | ast.Dict(values=items):
            return set().union(*(_held(item) for item in items))
        case ast.IfExp(body=first, orelse=second):
            return _held(first) | _held(second)
    name = root(node)
    return {name} if name else set()


def bound_name(alias: ast.alias, node: Import) -> str:
    """The name an import's alias binds."""
    if alias.asname:
        return alias.asname
    return alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name


class Bound(ast.NodeVisitor):
    """The names that a function's body binds itself."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.outer: set[str] = set()
        self.globals: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.names.add(node.id)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.names.add(node.name)
        for expression in outside(node):
            self.visit(expression)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in defaults(node.args):
            self.visit(default)

    def _comprehension(self, node: ast.AST) -> None:
        for child in ast.walk(node):
            if isinstance(child, ast.NamedExpr):
                self.visit(child.target)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def _import(self, node: Import) -> None:
        self.names.update(bound_name(alias, node) for alias in node.names)

    visit_Import = visit_ImportFrom = _import  # noqa: N815

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.names.add(node.name)
        self.generic_visit(node)

    def _pattern(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.names.add(name)
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = _pattern  # noqa: N815

    def visit_Global(self, node: ast.Global) -> None:
        self.outer.update(node.names)
        self.globals.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.outer.update(node.names)


def defaults(arguments: ast.arguments) -> list[ast.expr]:
    """The default values of a signature."""
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]


def outside(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.expr]:
    """The expressions of a definition that its surroundings evaluate, annotations aside."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *(word.value for word in node.keywords)]
    return [*node.decorator_list, *defaults(node.args)]


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All parameters of a signature."""
    stars = [star for star in (arguments.vararg, arguments.kwarg) if star]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]


def bound_in(body: Iterable[ast.AST]) -> set[str]:
    """The names that statements bind in the scope they stand in."""
    finder = Bound()
    for node in body:
        finder.visit(node)
    return finder.names - finder.outer
