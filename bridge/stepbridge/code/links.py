"""What a file imports, as data: all that following a module that ships whole needs to know of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stepbridge.code.bound import Import
from stepbridge.code.dynamic_names import renames_import_module
from stepbridge.code.nodes import FUNCTIONS, absolute, is_main_guard
from stepbridge.code.source import Source


class Link(NamedTuple):
    """One name of an import statement.

    :param module: absolute.
    :param attribute: what is taken from the module; empty for ``import module``.
    :param at_once: importing the file imports it; False inside functions.
    :param renames: it hides calls of ``import_module`` behind another name.
    """

    module: str
    attribute: str
    line: int
    at_once: bool
    renames: bool

    @property
    def target(self) -> str:
        """The full name; of a star import the module's."""
        star = not self.attribute or self.attribute == "*"
        return self.module if star else f"{self.module}.{self.attribute}"


def links_of(source: Source, module: str, package: bool) -> tuple[Link, ...]:
    """Every import of a file, those for type checkers left out."""
    return tuple(
        Link(
            *absolute(statement, alias, module, package),
            statement.lineno,
            at_once,
            renames_import_module(alias),
        )
        for statement, at_once in _imports(source)
        for alias in statement.names
    )


def _imports(source: Source) -> Iterator[tuple[Import, bool]]:
    """The import statements; those inside others are looked for only where the word stands there at all."""
    outer = [node for node in source.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    lines = source.data.split(b"\n", 2)[:2]
    if source.data.count(b"import") == len(outer) and not any(b"coding" in line for line in lines):
        return ((node, True) for node in outer)
    return _imports_of(source.tree.body, at_once=True)


_LEAVES = frozenset(
    {ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return, ast.Raise, ast.Pass, ast.Continue}
)


def _imports_of(body: Sequence[ast.stmt], at_once: bool) -> Iterator[tuple[Import, bool]]:
    for statement in body:
        if statement.__class__ in _LEAVES:
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement, at_once
        elif isinstance(statement, ast.If) and (is_type_checking(statement) or is_main_guard(statement)):
            yield from _imports_of(statement.orelse, at_once)
        else:
            yield from _below(statement, at_once and not isinstance(statement, FUNCTIONS))


def _below(statement: ast.stmt, at_once: bool) -> Iterator[tuple[Import, bool]]:
    for block in ("body", "orelse", "finalbody"):
        inner = getattr(statement, block, None)
        if inner:
            yield from _imports_of(inner, at_once)
    for handler in getattr(statement, "handlers", ()):
        yield from _imports_of(handler.body, at_once)
    for case in getattr(statement, "cases", ()):
        yield from _imports_of(case.body, at_once)


def is_type_checking(node: ast.If) -> bool:
    """True for ``if TYPE_CHECKING:``."""
    test = node.test
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"
