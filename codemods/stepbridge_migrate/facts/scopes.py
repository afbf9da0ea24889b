"""One walk over a file: who binds which name where, and every call with the blocks around it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = ("body", "orelse", "finalbody")


class Bound(StrEnum):
    """How a name gets its value."""

    IMPORT = "import"
    ASSIGN = "assign"
    DEF = "def"
    CLASS = "class"
    PARAMETER = "parameter"
    LOOP = "loop"
    WITH = "with"
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class Binding:
    """One place that gives a name a value.

    :param module: for imports the dotted module, with its leading dots where it is relative.
    :param attribute: for ``from module import attribute``; empty for ``import module``.
    :param value: the expression that is assigned, iterated or entered.
    """

    how: Bound
    node: ast.AST
    value: ast.expr | None = None
    module: str = ""
    attribute: str = ""


@dataclass(eq=False)
class Scope:
    """The names of the module, a function, a lambda or a class."""

    node: ast.AST
    parent: Scope | None = None
    names: dict[str, list[Binding]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    outer: set[str] = field(default_factory=set)
    """Names declared ``global`` or ``nonlocal``."""

    def bind(self, name: str, binding: Binding) -> None:
        """Note one more value of *name*."""
        home = self
        if name in self.outer:
            while home.parent is not None:
                home = home.parent
        home.names.setdefault(name, []).append(binding)

    def find(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """The scope in which *name* is bound as Python looks it up, and its values."""
        scope: Scope | None = self
        first = True
        while scope is not None:
            if name in scope.names and (first or not isinstance(scope.node, ast.ClassDef)):
                return scope, scope.names[name]
            first = False
            scope = scope.parent
        return None

    @property
    def module(self) -> Scope:
        """The scope of the file."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope


class Block(StrEnum):
    """What kind of block stands around a statement or an expression."""

    FUNCTION = "function"
    CLASS = "class"
    LAMBDA = "lambda"
    FOR = "for"
    WHILE = "while"
    COMPREHENSION = "comprehension"
    WITH = "with"
    IF = "if"
    TRY = "try"


@dataclass(frozen=True, eq=False)
class Where:
    """The blocks around a piece of code, linked from the innermost outwards."""

    scope: Scope
    block: Block | None = None
    node: ast.AST | None = None
    item: ast.withitem | None = None
    parent: Where | None = None

    def chain(self) -> Iterator[Where]:
        """This block and those around it, innermost first."""
        where: Where | None = self
        while where is not None:
            yield where
            where = where.parent

    def function(self) -> Where | None:
        """The innermost function around."""
        return next((found for found in self.chain() if found.block is Block.FUNCTION), None)


@dataclass(frozen=True, eq=False)
class Seen:
    """One call, and what is done with what it gives.

    :param method: the attribute of its result that is called: ``expand`` in ``X.partial().expand()``; ``()``
        where the result itself is called.
    :param outer: that further call.
    :param into: the call that this one, or a list of such, is an argument of.
    """

    call: ast.Call
    where: Where
    statement: ast.stmt | None
    method: str = ""
    outer: ast.Call | None = None
    into: ast.Call | None = None


@dataclass(eq=False)
class Walked:
    """Everything the walk found in one file."""

    scope: Scope
    calls: list[Seen]
    functions: list[tuple[Function, Where]]
    classes: list[tuple[ast.ClassDef, Where]]
    scopes: dict[int, Scope]
    """Scope of a function, lambda or class by ``id`` of its node."""
    targets: dict[int, str]
    """The name that a call's result is assigned to, by ``id`` of the call."""
    uses: dict[str, list[ast.Name]]
    """Names that are read, in order."""
    seen: dict[int, Seen] = field(default_factory=dict)
    wheres: dict[int, Where] = field(default_factory=dict)
    """Where a function stands, by ``id`` of its node."""


def walk(tree: ast.Module) -> Walked:
    """Walk *tree* once."""
    walker = _Walker(tree)
    walker.body(tree.body, Where(walker.found.scope))
    return walker.found


_Pending = tuple[ast.AST, Where, ast.Call | None, str, ast.Call | None]


class _Walker:
    def __init__(self, tree: ast.Module) -> None:
        scope = Scope(tree)
        self.found = Walked(scope, [], [], [], {id(tree): scope}, {}, {})

    # statements --------------------------------------------------------------------------------------------

    def body(self, body: list[ast.stmt], where: Where) -> None:
        for statement in body:
            method = _STATEMENTS.get(type(statement))
            if method is None:
                self._other(statement, where)
            else:
                method(self, statement, where)

    def _other(self, node: ast.stmt, where: Where) -> None:
        """A statement without blocks and names of its own; unknown compound ones of later Pythons too."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.expression(child, where, node)
            elif isinstance(child, ast.stmt):
                self.body([child], where)
            elif isinstance(child, ast.match_case):
                self._case(child, where, node)

    def _case(self, node: ast.match_case, where: Where, statement: ast.stmt) -> None:
        inner = Where(where.scope, Block.IF, statement, None, where)
        for part in ast.walk(node.pattern):
            name = getattr(part, "name", None) or getattr(part, "rest", None)
            if isinstance(name, str):
                where.scope.bind(name, Binding(Bound.OTHER, part))
        if node.guard is not None:
            self.expression(node.guard, inner, statement)
        self.body(node.body, inner)

    def _import(self, node: ast.Import, where: Where) -> None:
        for alias in node.names:
            if alias.asname:
                where.scope.bind(alias.asname, Binding(Bound.IMPORT, node, None, alias.name))
            else:
                top = alias.name.partition(".")[0]
                where.scope.bind(top, Binding(Bound.IMPORT, node, None, top))

    def _import_from(self, node: ast.ImportFrom, where: Where) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                where.scope.stars.append(module)
            else:
                where.scope.bind(
                    alias.asname or alias.name, Binding(Bound.IMPORT, node, None, module, alias.name)
                )

    def _assign(self, node: ast.Assign, where: Where) -> None:
        for target in node.targets:
            self._target(target, node.value, where, Bound.ASSIGN, node)
        self.expression(node.value, where, node)

    def _ann_assign(self, node: ast.AnnAssign, where: Where) -> None:
        if node.value is not None:
            self._target(node.target, node.value, where, Bound.ASSIGN, node)
            self.expression(node.value, where, node)
        self.expression(node.annotation, where, node)

    def _aug_assign(self, node: ast.AugAssign, where: Where) -> None:
        if isinstance(node.target, ast.Name):
            where.scope.bind(node.target.id, Binding(Bound.OTHER, node))
        else:
            self.expression(node.target, where, node)
        self.expression(node.value, where, node)

    def _target(
        self, target: ast.expr, value: ast.expr | None, where: Where, how: Bound, node: ast.AST
    ) -> None:
        if isinstance(target, ast.Name):
            where.scope.bind(target.id, Binding(how, node, value))
            if how is Bound.ASSIGN and isinstance(value, ast.Call):
                self.found.targets.setdefault(id(value), target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            pairs = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
            for index, item in enumerate(target.elts):
                part = value.elts[index] if pairs else None  # type: ignore[union-attr]
                inner = Bound.OTHER if how is Bound.ASSIGN and not pairs else how
                self._target(item, part, where, inner, node)
        elif isinstance(target, ast.Starred):
            self._target(target.value, None, where, Bound.OTHER, node)
        else:
            statement = node if isinstance(node, ast.stmt) else None
            self.expression(target, where, statement)
            if how is Bound.ASSIGN and isinstance(value, ast.Call):
                self.found.targets.setdefault(id(value), "")

    def _function(self, node: Function, where: Where) -> None:
        where.scope.bind(node.name, Binding(Bound.DEF, node))
        for item in node.decorator_list:
            self.expression(item, where, node)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.expression(default, where, node)
        inner = self._open(node, where, Block.FUNCTION)
        self._parameters(node.args, inner.scope)
        self.found.functions.append((node, where))
        self.found.wheres[id(node)] = where
        self.body(node.body, inner)

    def _open(self, node: ast.AST, where: Where, block: Block) -> Where:
        scope = Scope(node, where.scope)
        self.found.scopes[id(node)] = scope
        return Where(scope, block, node, None, where)

    @staticmethod
    def _parameters(arguments: ast.arguments, scope: Scope) -> None:
        for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            scope.bind(item.arg, Binding(Bound.PARAMETER, item))
        for extra in (arguments.vararg, arguments.kwarg):
            if extra is not None:
                scope.bind(extra.arg, Binding(Bound.PARAMETER, extra))

    def _class(self, node: ast.ClassDef, where: Where) -> None:
        where.scope.bind(node.name, Binding(Bound.CLASS, node))
        for item in (*node.decorator_list, *node.bases, *(word.value for word in node.keywords)):
            self.expression(item, where, node)
        self.found.classes.append((node, where))
        self.found.wheres[id(node)] = where
        self.body(node.body, self._open(node, where, Block.CLASS))

    def _for(self, node: ast.For | ast.AsyncFor, where: Where) -> None:
        self._target(node.target, node.iter, where, Bound.LOOP, node)
        self.expression(node.iter, where, node)
        self.body(node.body, Where(where.scope, Block.FOR, node, None, where))
        self.body(node.orelse, where)

    def _while(self, node: ast.While, where: Where) -> None:
        self.expression(node.test, where, node)
        self.body(node.body, Where(where.scope, Block.WHILE, node, None, where))
        self.body(node.orelse, where)

    def _if(self, node: ast.If, where: Where) -> None:
        current: ast.If | None = node
        main = _is_main(node.test)
        while current is not None:
            self.expression(current.test, where, current)
            inner = where if main else Where(where.scope, Block.IF, current, None, where)
            self.body(current.body, inner)
            rest = current.orelse
            current = rest[0] if len(rest) == 1 and isinstance(rest[0], ast.If) else None
            if current is None:
                self.body(rest, inner)

    def _with(self, node: ast.With | ast.AsyncWith, where: Where) -> None:
        inner = where
        for item in node.items:
            self.expression(item.context_expr, inner, node)
            if item.optional_vars is not None:
                self._target(item.optional_vars, item.context_expr, where, Bound.WITH, node)
            inner = Where(where.scope, Block.WITH, node, item, inner)
        self.body(node.body, inner)

    def _try(self, node: ast.Try | ast.TryStar, where: Where) -> None:
        inner = Where(where.scope, Block.TRY, node, None, where)
        self.body(node.body, inner)
        for handler in node.handlers:
            if handler.type is not None:
                self.expression(handler.type, where, node)
            if handler.name:
                where.scope.bind(handler.name, Binding(Bound.OTHER, handler))
            self.body(handler.body, inner)
        self.body(node.orelse, inner)
        self.body(node.finalbody, where)

    def _names(self, node: ast.Global | ast.Nonlocal, where: Where) -> None:
        where.scope.outer.update(node.names)

    # expressions -------------------------------------------------------------------------------------------

    def expression(self, root: ast.expr, where: Where, statement: ast.stmt | None) -> None:
        """Note the calls and names in *root*, however deep it is nested."""
        pending: list[_Pending] = [(root, where, None, "", None)]
        uses = self.found.uses
        while pending:
            item = pending.pop()
            node, around, into = item[:3]
            kind = type(node)
            if kind is ast.Name:
                if isinstance(node.ctx, ast.Load):  # type: ignore[attr-defined]
                    uses.setdefault(node.id, []).append(node)  # type: ignore[attr-defined, arg-type]
            elif kind is ast.Call:
                self._call(item, statement, pending)
            elif kind is ast.Attribute:
                pending.append((node.value, around, None, "", None))  # type: ignore[attr-defined]
            elif kind in _SPECIAL:
                self._special(node, around, statement, into)
            elif kind is not ast.Constant:
                carried = into if kind in _CARRIERS else None
                pending += [(child, around, carried, "", None) for child in children(node)[::-1]]

    def _call(self, item: _Pending, statement: ast.stmt | None, pending: list[_Pending]) -> None:
        node, around, into, method, outer = item
        assert isinstance(node, ast.Call)
        seen = Seen(node, around, statement, method, outer, into)
        self.found.calls.append(seen)
        self.found.seen[id(node)] = seen
        pending += [(word.value, around, node, "", None) for word in node.keywords[::-1]]
        pending += [(given, around, node, "", None) for given in node.args[::-1]]
        function = node.func
        if isinstance(function, ast.Attribute):
            pending.append((function.value, around, None, function.attr, node))
        else:
            pending.append((function, around, None, "()", node))

    def _special(
        self, node: ast.AST, around: Where, statement: ast.stmt | None, into: ast.Call | None
    ) -> None:
        """Expressions that bind names."""
        if isinstance(node, ast.Lambda):
            self._lambda(node, around, statement)
        elif isinstance(node, ast.NamedExpr):
            self._target(node.target, node.value, around, Bound.ASSIGN, node)
            self.expression(node.value, around, statement)
        else:
            self._comprehension(node, around, statement, into)

    def _lambda(self, node: ast.Lambda, where: Where, statement: ast.stmt | None) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.expression(default, where, statement)
        inner = self._open(node, where, Block.LAMBDA)
        self._parameters(node.args, inner.scope)
        self.expression(node.body, inner, statement)

    def _comprehension(
        self, node: ast.AST, where: Where, statement: ast.stmt | None, into: ast.Call | None
    ) -> None:
        scope = Scope(node, where.scope)
        self.found.scopes[id(node)] = scope
        inner = Where(scope, Block.COMPREHENSION, node, None, where)
        for number, part in enumerate(node.generators):  # type: ignore[attr-defined]
            self.expression(part.iter, inner if number else where, statement)
            self._target(part.target, part.iter, inner, Bound.LOOP, part)
            for test in part.ifs:
                self.expression(test, inner, statement)
        for name in ("elt", "key", "value"):
            part = getattr(node, name, None)
            if part is not None:
                self._item(part, inner, statement, into)

    def _item(self, node: ast.expr, where: Where, statement: ast.stmt | None, into: ast.Call | None) -> None:
        before = len(self.found.calls)
        self.expression(node, where, statement)
        if into is not None and isinstance(node, ast.Call) and len(self.found.calls) > before:
            first = self.found.calls[before]
            changed = Seen(first.call, first.where, first.statement, first.method, first.outer, into)
            self.found.calls[before] = changed
            self.found.seen[id(first.call)] = changed


_COMPREHENSIONS = frozenset({ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp})
_SPECIAL = _COMPREHENSIONS | {ast.Lambda, ast.NamedExpr}
_CARRIERS = frozenset({ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Starred, ast.IfExp, ast.Subscript})
_SILENT = frozenset(
    {ast.Load, ast.Store, ast.Del, *ast.operator.__subclasses__(), *ast.unaryop.__subclasses__()}
)
_STATEMENTS: dict[type[ast.stmt], Any] = {
    ast.Import: _Walker._import,
    ast.ImportFrom: _Walker._import_from,
    ast.Assign: _Walker._assign,
    ast.AnnAssign: _Walker._ann_assign,
    ast.AugAssign: _Walker._aug_assign,
    ast.FunctionDef: _Walker._function,
    ast.AsyncFunctionDef: _Walker._function,
    ast.ClassDef: _Walker._class,
    ast.For: _Walker._for,
    ast.AsyncFor: _Walker._for,
    ast.While: _Walker._while,
    ast.If: _Walker._if,
    ast.With: _Walker._with,
    ast.AsyncWith: _Walker._with,
    ast.Try: _Walker._try,
    ast.TryStar: _Walker._try,
    ast.Global: _Walker._names,
    ast.Nonlocal: _Walker._names,
}


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes below *node* in the order of the text, without operators and contexts."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if value.__class__ is list:
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST) and value.__class__ not in _SILENT:
            found.append(value)
    return found


def dotted(node: ast.expr) -> tuple[str, ...]:
    """The names of ``a.b.c``; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ()
    parts.append(node.id)
    return tuple(reversed(parts))
