"""What a statement does with names, by Python's scoping: which it reads, binds, changes and calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

from stepbridge.code.bound import (
    Bound,
    Chain,
    Import,
    bound_name,
    call_names,
    defaults,
    dotted,
    outside,
    pairs,
    parameters,
    root,
    targets,
)
from stepbridge.code.literal import code_text, global_name
from stepbridge.code.python_names import BUILTINS, LOGGING, MUTATORS, QUIET

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass
class LocalImport:
    """An import inside a function: one alias, and how its name is used there."""

    node: Import
    alias: ast.alias
    chains: set[Chain] = field(default_factory=set)


@dataclass
class Annotation:
    """An annotation and the names in it.

    :param quoted: it is a string already.
    """

    node: ast.expr
    names: dict[str, set[Chain]]
    quoted: bool = False


@dataclass
class Made:
    """A name bound to what a call gives: it may hold what the call is given.

    :param callee: the name at the bottom of what is called.
    :param given: the names among the arguments.
    """

    name: str
    callee: str
    given: set[str]


@dataclass
class Uses:
    """What one statement does with the names of the scope it stands in.

    :param now: names read when the statement runs, with the attribute chains that follow them.
    :param late: names read when a function that it defines is called.
    :param changes: names whose value it changes in place, as far as it shows.
    :param may_change: names it passes to a call made for its effect.
    :param late_changes: names that a function it defines changes or binds when called.
    :param calls: names it calls, or decorates or derives with, when it runs.
    :param decorated_by: names of whose attributes it takes decorators: ``process`` of ``@process.register``.
    :param aliases: names it binds to (a part of) the value of other names.
    """

    now: dict[str, set[Chain]] = field(default_factory=dict)
    late: dict[str, set[Chain]] = field(default_factory=dict)
    binds: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    may_change: set[str] = field(default_factory=set)
    late_changes: set[str] = field(default_factory=set)
    late_binds: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    decorated_by: set[str] = field(default_factory=set)
    aliases: dict[str, set[str]] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    imports: list[LocalImport] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    dynamic: list[tuple[str, ast.AST]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    guarded: set[str] = field(default_factory=set)

    def names(self) -> set[str]:
        """Every name it reads, at once or later; annotations aside."""
        return set(self.now) | set(self.late)

    def chains(self, name: str) -> set[Chain]:
        """How *name* is read: each attribute chain after it; an empty one where the value itself goes on."""
        return self.now.get(name, set()) | self.late.get(name, set())


@dataclass
class _Scope:
    kind: Literal["function", "class", "comprehension"]
    bound: set[str]
    outer: set[str] = field(default_factory=set)
    imports: dict[str, list[LocalImport]] = field(default_factory=dict)


class _Analyser(ast.NodeVisitor):
    """Fills a :class:`Uses`; *dropped* holds ids of decorators that do not count."""

    def __init__(self, dropped: set[int]) -> None:
        self.uses = Uses()
        self.scopes: list[_Scope] = []
        self.depth = 0
        self.dropped = dropped
        self.guards = 0
        self.followed: set[int] = set()

    # names -------------------------------------------------------------------------------------------------

    def _home(self, name: str) -> _Scope | None:
        """The inner scope that *name* belongs to; None for the scope the statement stands in."""
        for index in range(len(self.scopes) - 1, -1, -1):
            scope = self.scopes[index]
            if name in scope.outer:
                if any(name in other.bound and other.kind == "function" for other in self.scopes[:index]):
                    continue
                return None
            innermost = index == len(self.scopes) - 1
            if name in scope.bound and (scope.kind != "class" or innermost):
                return scope
        return None

    def read(self, name: str, chain: Chain, line: int) -> None:
        home = self._home(name)
        if home is not None:
            for entry in home.imports.get(name, ()):
                entry.chains.add(chain)
            return
        into = self.uses.late if self.depth else self.uses.now
        into.setdefault(name, set()).add(chain)
        self.uses.lines.setdefault(name, line)
        if self.guards:
            self.uses.guarded.add(name)

    def bind(self, name: str) -> None:
        if self.scopes:
            scope = self.scopes[-1]
            if scope.kind == "class":
                scope.bound.add(name)
            if self._home(name) is None:
                self.uses.late_changes.add(name)
                self.uses.late_binds.add(name)
        else:
            self.uses.binds.add(name)

    def change(self, node: ast.expr) -> None:
        name = root(node)
        if name is not None and self._home(name) is None:
            (self.uses.late_changes if self.depth else self.uses.changes).add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Store):
            self.read(node.id, (), node.lineno)
        if not isinstance(node.ctx, ast.Load):
            self.bind(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        found = dotted(node)
        if found is None:
            self.generic_visit(node)
        else:
            self.read(*found, node.lineno)
        if not isinstance(node.ctx, ast.Load):
            self.change(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        name = global_name(node)
        if name is not None:
            self._global(name, node, node.value, isinstance(node.ctx, ast.Load))
        self.generic_visit(node)
        if name is None and not isinstance(node.ctx, ast.Load):
            self.change(node)

    def _global(self, name: str, node: ast.expr, source: ast.expr, loads: bool) -> None:
        """``globals()["X"]``: whatever the scope, a name of the module."""
        self.followed.add(id(source))
        if loads:
            (self.uses.late if self.depth else self.uses.now).setdefault(name, set()).add(())
            self.uses.lines.setdefault(name, node.lineno)
            self.uses.guarded.add(name)
        elif self.depth:
            self.uses.late_changes.add(name)
            self.uses.late_binds.add(name)
        else:
            self.uses.binds.add(name)

    # statements --------------------------------------------------------------------------------------------

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id, (), node.lineno)
            self.change(node.target)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)
            self._alias(target, node.value)
        if not self.scopes and not isinstance(node.value, ast.Constant):
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            for name in names if len(names) > 1 else ():
                self.uses.aliases.setdefault(name, set()).update(names - {name})

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if not self.scopes or self.scopes[-1].kind == "class":
            self.annotation(node.annotation)
        if node.value:
            self.visit(node.value)
            self._alias(node.target, node.value)
        if node.value or not self.scopes or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def _alias(self, target: ast.expr, value: ast.expr) -> None:
        if self.scopes:
            return
        for left, right in pairs(target, value):
            callee, given = root(right), call_names(right)
            direct = isinstance(right, ast.Call) and isinstance(right.func, ast.Name)
            for item in targets(left):
                if not isinstance(item, ast.Name) or callee is None:
                    continue
                if not direct and item.id != callee:
                    self.uses.aliases.setdefault(item.id, set()).add(callee)
                if given - {item.id}:
                    self.uses.made.append(Made(item.id, callee, given - {item.id}))

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value
        if isinstance(value, ast.Call) and not (isinstance(value.func, ast.Name) and value.func.id in QUIET):
            logs = isinstance(value.func, ast.Attribute) and value.func.attr in LOGGING
            if isinstance(value.func, ast.Attribute) and not logs:
                self.change(value.func)
            if not self.depth and not logs:
                arguments = [*value.args, *(word.value for word in value.keywords)]
                names = {root(item) for item in arguments if not isinstance(item, ast.Constant)}
                names |= call_names(value.func)
                self.uses.may_change.update(name for name in names if name and self._home(name) is None)
        self.generic_visit(node)
        if not self.depth:
            self.uses.changes |= _lambda_changes(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._called(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            self.change(node.func)
        name = global_name(node)
        if name is not None and isinstance(node.func, ast.Attribute):
            sets = node.func.attr in ("__setitem__", "setdefault")
            self._global(name, node, node.func.value, loads=not sets)
        code = code_text(node)
        if code is None:
            self._dynamic(node)
            self.generic_visit(node)
        else:
            self._text(code)

    def _text(self, code: list[ast.AST]) -> None:
        """The literal text of ``eval`` or ``exec``: its names are read and changed where it stands."""
        finder = Bound()
        for item in code:
            finder.visit(item)
        annotations = len(self.uses.annotations)
        inner = bool(self.scopes)
        if inner:
            self.scopes.append(_Scope("function", finder.names - finder.outer, finder.outer))
        self.guards += 1
        for item in code:
            self.visit(item)
        self.guards -= 1
        if inner:
            self.scopes.pop()
        del self.uses.annotations[annotations:]

    def _called(self, function: ast.expr) -> None:
        name = root(function)
        if name is not None and not self.depth and self._home(name) is None:
            self.uses.calls.add(name)

    def _dynamic(self, node: ast.Call) -> None:
        found = dotted(node.func)
        first = node.args[0] if node.args else None
        literal = isinstance(first, ast.Constant) or (
            isinstance(first, ast.Name) and self._home(first.id) is None
        )
        match found:
            case ("exec" | "eval", ()):
                self.uses.dynamic.append((found[0], node))
            case ("__import__", ()) | ("importlib", ("import_module",)) | ("import_module", ()):
                kind = (
                    "import"
                    if literal
                    else f"{node.func.attr if isinstance(node.func, ast.Attribute) else found[0]}"
                )
                self.uses.dynamic.append((kind, node))
            case ("getattr" | "vars", ()) if isinstance(first, ast.Name) and self._home(first.id) is None:
                second = node.args[1] if len(node.args) > 1 else None
                if isinstance(second, ast.Constant) and isinstance(second.value, str):
                    self.read(first.id, (second.value,), node.lineno)
                else:
                    self.uses.dynamic.append((f"getattr:{first.id}", node))
            case ("globals", ()) if id(node) not in self.followed:
                self.uses.dynamic.append(("globals", node))

    def _import(self, node: Import) -> None:
        for alias in node.names:
            name = bound_name(alias, node)
            entry = LocalImport(node, alias)
            if self.scopes:
                scope = self.scopes[-1]
                if self._home(name) is None and scope.kind != "class":
                    self.bind(name)
                    entry.chains.add(())
                else:
                    scope.bound.add(name)
                    scope.imports.setdefault(name, []).append(entry)
                self.uses.imports.append(entry)
            else:
                self.bind(name)

    visit_Import = visit_ImportFrom = _import  # noqa: N815

    def visit_Try(self, node: ast.Try) -> None:
        catches = any(
            handler.type is None
            or any(isinstance(n, ast.Name) and n.id == "NameError" for n in ast.walk(handler.type))
            for handler in node.handlers
        )
        self.guards += catches
        for statement in node.body:
            self.visit(statement)
        self.guards -= catches
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.loop_header(node)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    visit_AsyncFor = visit_For  # noqa: N815

    def loop_header(self, node: ast.For | ast.AsyncFor) -> None:
        """The part of a loop that runs before its body."""
        self.visit(node.iter)
        self.visit(node.target)
        if not self.scopes:
            sources = {item.id for item in ast.walk(node.iter) if isinstance(item, ast.Name)} - BUILTINS
            for item in targets(node.target):
                if isinstance(item, ast.Name):
                    self.uses.aliases.setdefault(item.id, set()).update(sources - {item.id})

    def with_header(self, node: ast.With | ast.AsyncWith) -> None:
        """The part of a ``with`` that runs before its body."""
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars:
                self.visit(item.optional_vars)
                self._alias(item.optional_vars, item.context_expr)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        self.with_header(node)
        for statement in node.body:
            self.visit(statement)

    visit_AsyncWith = visit_With  # noqa: N815

    def _pattern(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.bind(name)
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = _pattern  # noqa: N815

    def visit_Global(self, node: ast.Global) -> None:
        self.uses.late_changes.update(node.names)

    # scopes ------------------------------------------------------------------------------------------------

    def annotation(self, node: ast.expr) -> None:
        inner = _Analyser(self.dropped)
        inner.scopes = [_Scope("function", scope.bound, scope.outer) for scope in self.scopes]
        expression, quoted = node, False
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                expression, quoted = ast.parse(node.value.strip(), mode="eval").body, True
            except SyntaxError:
                return
        inner.visit(expression)
        self.uses.annotations.append(Annotation(node, inner.uses.now, quoted))
        for name in inner.uses.now:
            self.uses.lines.setdefault(name, node.lineno)

    def _decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        with self._type_parameters(node) if isinstance(node, ast.ClassDef) else nullcontext():
            for expression in outside(node):
                if id(expression) not in self.dropped:
                    self.visit(expression)
        for decorator in node.decorator_list:
            if id(decorator) not in self.dropped:
                self._called(decorator)
                if isinstance(decorator, ast.Attribute) or (
                    isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute)
                ):
                    self.uses.decorated_by.update({root(decorator) or ""} - {""} if not self.scopes else ())
                if isinstance(decorator, ast.Call) and not self.depth:
                    names = {root(item) for item in decorator.args}
                    self.uses.may_change.update(name for name in names if name and self._home(name) is None)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.bind(node.name)
        self._decorated(node)
        with self._type_parameters(node):
            self._signature_and_body(node)

    def _signature_and_body(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for parameter in parameters(node.args):
            if parameter.annotation:
                self.annotation(parameter.annotation)
        if node.returns:
            self.annotation(node.returns)
        self._enter(node, node.body)

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in defaults(node.args):
            if id(default) not in self.dropped:
                self.visit(default)
        self._enter(node, [node.body])

    def _enter(self, node: Function, body: list[ast.stmt] | list[ast.expr]) -> None:
        finder = Bound()
        for statement in body:
            finder.visit(statement)
        bound = finder.names | {parameter.arg for parameter in parameters(node.args)}
        self.scopes.append(_Scope("function", bound - finder.outer, finder.outer))
        self.depth += 1
        for statement in body:
            self.visit(statement)
        self.depth -= 1
        self.scopes.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._decorated(node)
        for base in node.bases:
            self._called(base)
        with self._type_parameters(node):
            self.scopes.append(_Scope("class", set()))
            for statement in node.body:
                self.visit(statement)
            self.scopes.pop()
        self.bind(node.name)

    @contextmanager
    def _type_parameters(self, node: ast.AST) -> Iterator[None]:
        """The scope of ``[T]`` in ``def f[T]``, ``class A[T]`` and ``type X[T]``, from Python 3.12 on."""
        found = getattr(node, "type_params", None) or []
        if found:
            self.scopes.append(_Scope("function", {item.name for item in found}))
            for item in found:
                self.generic_visit(item)
        yield
        if found:
            self.scopes.pop()

    def visit_TypeAlias(self, node: ast.AST) -> None:
        self.visit(node.name)  # type: ignore[attr-defined]
        with self._type_parameters(node):
            self.depth += 1
            self.visit(node.value)  # type: ignore[attr-defined]
            self.depth -= 1

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.visit(node.generators[0].iter)
        bound = {
            item.id
            for generator in node.generators
            for item in ast.walk(generator.target)
            if isinstance(item, ast.Name)
        }
        self.scopes.append(_Scope("comprehension", bound))
        for index, generator in enumerate(node.generators):
            if index:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        for result in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(result)
        self.scopes.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        inner: list[_Scope] = []
        while self.scopes and self.scopes[-1].kind == "comprehension":
            inner.append(self.scopes.pop())
        self.bind(node.target.id)
        self._alias(node.target, node.value)
        self.scopes.extend(reversed(inner))


def _lambda_changes(node: ast.Expr) -> set[str]:
    """The names that the lambdas of a statement made for its effect change."""
    found: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Lambda):
            found |= analyse(child).late_changes
    return found


def analyse(node: ast.AST, dropped: set[int] | None = None) -> Uses:
    """What the statement or expression *node* does with names, all of its inner blocks included."""
    analyser = _Analyser(dropped or set())
    analyser.visit(node)
    return analyser.uses


def analyse_header(node: ast.stmt, dropped: set[int] | None = None) -> Uses:
    """What the header of a compound statement does with names, its blocks left out."""
    analyser = _Analyser(dropped or set())
    match node:
        case ast.For() | ast.AsyncFor():
            analyser.loop_header(node)
        case ast.With() | ast.AsyncWith():
            analyser.with_header(node)
        case ast.If() | ast.While():
            analyser.visit(node.test)
        case ast.Try() | ast.TryStar():
            for handler in node.handlers:
                if handler.type:
                    analyser.visit(handler.type)
                if handler.name:
                    analyser.bind(handler.name)
    return analyser.uses
