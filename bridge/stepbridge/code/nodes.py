"""The statements of a file as nodes; what stands inside ``if``, ``try``, ``for``, ``with`` is a node too."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from stepbridge.code.airflow_names import builds, is_airflow
from stepbridge.code.bound import Import, bound_name
from stepbridge.code.uses import Uses, analyse, analyse_header

Compound = ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.Try | ast.TryStar
COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Step:
    """One level of blocks around a node: the statement, and the list of statements in it."""

    node: ast.stmt
    block: str

    @property
    def body(self) -> list[ast.stmt]:
        """The statements of that block."""
        return block_of(self.node, self.block)


def block_of(node: ast.stmt, block: str) -> list[ast.stmt]:
    """The statements of one block of *node*: ``body``, ``orelse``, ``finalbody`` or ``handler:N``."""
    if block.startswith("handler:"):
        assert isinstance(node, ast.Try | ast.TryStar)
        return node.handlers[int(block[8:])].body
    found: list[ast.stmt] = getattr(node, block)
    return found


def blocks(node: ast.stmt) -> Iterator[str]:
    """The names of the blocks of a compound statement that hold something."""
    yield "body"
    if isinstance(node, ast.Try | ast.TryStar):
        yield from (f"handler:{number}" for number in range(len(node.handlers)))
    for name in ("orelse", "finalbody"):
        if getattr(node, name, None):
            yield name


@dataclass(eq=False)
class Node:
    """One statement, one alias of an import, or the header of a compound statement.

    :param level: 0 for the module, N for the N-th function on the way to the definition that is sliced.
    """

    index: int
    stmt: ast.stmt
    parents: tuple[Step, ...]
    level: int
    alias: ast.alias | None = None
    header: bool = False
    dropped: set[int] = field(default_factory=set)
    effects: set[str] = field(default_factory=set)
    tainted: bool = False
    tainted_late: bool = False
    airflow_decorated: bool = False

    @cached_property
    def bare(self) -> Uses:
        """What the statement does with names, all its decorators left aside."""
        decorators = {id(item) for item in getattr(self.stmt, "decorator_list", ())}
        return self._analyse(decorators)

    @cached_property
    def uses(self) -> Uses:
        """What the statement does with names, Airflow's decorators left aside."""
        decorators = {id(item) for item in getattr(self.stmt, "decorator_list", ())}
        return self.bare if decorators <= self.dropped else self._analyse(self.dropped)

    def _analyse(self, dropped: set[int]) -> Uses:
        if self.alias is not None:
            return Uses(binds={bound_name(self.alias, self.stmt)})  # type: ignore[arg-type]
        return analyse_header(self.stmt) if self.header else analyse(self.stmt, dropped)

    @property
    def line(self) -> int:
        """The line the statement begins on."""
        return self.stmt.lineno

    @property
    def loops(self) -> list[ast.stmt]:
        """The loops around it."""
        return [
            step.node for step in self.parents if isinstance(step.node, ast.For | ast.AsyncFor | ast.While)
        ]


def is_main_guard(node: ast.stmt) -> bool:
    """True for ``if __name__ == "__main__":``."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and any(
            isinstance(item, ast.Name) and item.id == "__name__"
            for item in (node.test.left, *node.test.comparators)
        )
        and any(
            isinstance(item, ast.Constant) and item.value == "__main__"
            for item in (node.test.left, *node.test.comparators)
        )
    )


def flatten(body: Sequence[ast.stmt], opened: Sequence[ast.AST] = ()) -> list[Node]:
    """The nodes of a module; the functions in *opened*, outermost first, are taken apart as well."""
    nodes: list[Node] = []
    ways = {id(node) for node in opened}

    def add(stmt: ast.stmt, parents: tuple[Step, ...], level: int, **more: object) -> None:
        nodes.append(Node(len(nodes), stmt, parents, level, **more))  # type: ignore[arg-type]

    def walk(statements: Iterable[ast.stmt], parents: tuple[Step, ...], level: int) -> None:
        for stmt in statements:
            if isinstance(stmt, COMPOUND):
                if is_main_guard(stmt):
                    continue
                add(stmt, parents, level, header=True)
                for name in blocks(stmt):
                    walk(block_of(stmt, name), (*parents, Step(stmt, name)), level)
            elif isinstance(stmt, ast.Import | ast.ImportFrom):
                for alias in stmt.names:
                    add(stmt, parents, level, alias=alias)
            else:
                add(stmt, parents, level)
                if id(stmt) in ways:
                    inner = level + isinstance(stmt, FUNCTIONS)
                    inside = stmt.body if isinstance(stmt, FUNCTIONS) else _on_way(stmt, ways)
                    walk(inside, (*parents, Step(stmt, "body")), inner)

    walk(body, (), 0)
    return nodes


def _on_way(stmt: ast.stmt, ways: set[int]) -> list[ast.stmt]:
    assert isinstance(stmt, ast.ClassDef)
    return [item for item in stmt.body if id(item) in ways]


def ancestors(tree: ast.Module, target: ast.AST) -> list[ast.AST]:
    """The nodes around *target*, outermost first, the module left out."""
    way: list[ast.AST] = []

    def search(node: ast.AST) -> bool:
        for child in ast.iter_child_nodes(node):
            if child is target:
                return True
            if _spans(child, target):
                way.append(child)
                if search(child):
                    return True
                way.pop()
        return False

    search(tree)
    return way


def _spans(node: ast.AST, target: ast.AST) -> bool:
    first, last = getattr(node, "lineno", None), getattr(node, "end_lineno", None)
    if first is None or last is None:
        return True
    decorators = getattr(node, "decorator_list", None)
    first = min(first, decorators[0].lineno) if decorators else first
    return bool(first <= getattr(target, "lineno", 0) <= last)


@dataclass(frozen=True)
class Imported:
    """What a name that an import binds stands for: a module, or an attribute of one."""

    module: str
    attribute: str
    node: Node
    plain: bool = False

    def path(self, chain: tuple[str, ...]) -> tuple[str, ...]:
        """The attributes below the module that *chain* after the name reaches."""
        return (self.attribute, *chain) if self.attribute else chain

    def builder(self, chain: tuple[str, ...]) -> bool:
        """True where this is something of Airflow's that builds DAGs."""
        return is_airflow(self.module) and any(builds(part) for part in self.path(chain))


def absolute(node: Import, alias: ast.alias, module: str, package: bool) -> tuple[str, str]:
    """``(module, attribute)`` of one alias of an import in *module*; no attribute for ``import x``."""
    if isinstance(node, ast.Import):
        return alias.name, ""
    base = node.module or ""
    if node.level:
        parts = module.split(".") if package else module.split(".")[:-1]
        keep = parts[: len(parts) - node.level + 1]
        base = ".".join([*keep, *([node.module] if node.module else [])])
    return base, alias.name
