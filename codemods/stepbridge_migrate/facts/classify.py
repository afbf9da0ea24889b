"""Tells which calls and decorators make tasks, and of what kind."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from stepbridge_migrate.facts import operators
from stepbridge_migrate.facts.project import Defined, Given, Module, Named, Project, Starred, Target
from stepbridge_migrate.facts.scopes import FUNCTIONS, Bound, Function, Scope, Seen, dotted
from stepbridge_migrate.facts.values import DagValue, Env, Evaluator, keyword
from stepbridge_migrate.model import Kind

CHAINED = frozenset({"expand", "expand_kwargs", "partial", "override"})
"""Methods of operators and decorated functions that lead to a task."""


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a chain: ``override`` in ``f.override(...)(x)``; the plain ones have no method."""

    method: str
    call: ast.Call


@dataclass(frozen=True)
class Maker:
    """What makes a task.

    :param name: qualified, as far as it is known.
    :param decorator: it is called with a function: ``task(fn)``.
    :param base: for a class of the project the operator that it derives from.
    """

    kind: Kind
    name: str
    decorator: bool = False
    base: str = ""


@dataclass(frozen=True, eq=False)
class Root:
    """What the first name of a chain of calls stands for.

    :param maker: None where it makes no task by itself.
    :param function: the function of the project that is called.
    """

    maker: Maker | None = None
    function: Defined | None = None


_NOTHING = Root()


def decompose(call: ast.Call) -> tuple[ast.expr, list[Step]]:
    """The expression that a chain of calls begins with, and its calls from the first to the last."""
    steps: list[Step] = []
    node: ast.expr = call
    while isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in CHAINED:
            steps.append(Step(function.attr, node))
            node = function.value
        else:
            steps.append(Step("", node))
            node = function
    return node, steps[::-1]


def is_inner(seen: Seen) -> bool:
    """True for a call that is only the beginning of a longer chain."""
    return seen.outer is not None and (seen.method in CHAINED or seen.method == "()")


class Classifier:
    """Classifies the calls of one file."""

    def __init__(self, project: Project, evaluator: Evaluator, module: Module) -> None:
        self.project = project
        self.evaluator = evaluator
        self.module = module
        self._memo: dict[tuple[int, tuple[str, ...]], tuple[Root, bool]] = {}

    def root(self, node: ast.expr, scope: Scope, steps: Sequence[Step]) -> Root:
        """What *node* stands for, given the calls that follow."""
        chain = dotted(node)
        named = _names_task(steps)
        if not chain:
            unknown = named and not isinstance(node, ast.Attribute)
            return Root(Maker(Kind.UNKNOWN, "")) if unknown else _NOTHING
        key = (id(scope), chain)
        if key not in self._memo:
            self._memo[key] = self._classify(chain, scope)
        found, looks = self._memo[key]
        if found is _NOTHING and looks and named:
            return Root(Maker(_by_name(chain[-1]), ".".join(chain)))
        return found

    def _classify(self, chain: tuple[str, ...], scope: Scope) -> tuple[Root, bool]:
        """The root, and whether a call with a ``task_id`` would make it a task."""
        targets = self.project.resolve(self.module, scope, chain)
        functions = [
            item for item in targets if isinstance(item, Defined) and isinstance(item.node, FUNCTIONS)
        ]
        if len(functions) == len(targets) == 1:
            return Root(None, functions[0]), False
        makers = [self._maker(target, scope, chain) for target in targets]
        known = [maker for maker in makers if maker is not None]
        if known and len(known) == len(makers):
            return Root(_agreed(known)), False
        if known:
            return Root(Maker(Kind.UNKNOWN, known[0].name)), False
        return _NOTHING, self._may_make(targets, chain)

    @staticmethod
    def _may_make(targets: Sequence[Target], chain: tuple[str, ...]) -> bool:
        last = chain[-1]
        if last in operators.NO_TASKS:
            return False
        for target in targets:
            if isinstance(target, Named) and not _named_like(target.name, chain):
                return False
            if isinstance(target, Given) and target.rest:
                return False
            if isinstance(target, Defined):
                return isinstance(target.node, ast.ClassDef)
        return bool(targets) or last[:1].isupper()

    def _maker(self, target: Target, scope: Scope, chain: tuple[str, ...]) -> Maker | None:
        match target:
            case Named(name):
                return named_maker(name)
            case Defined(node=ast.ClassDef()):
                return self._derived(target)
            case Starred(modules, names) if operators.looks_like_operator(names[-1]) or "task" in names[:1]:
                kind = Kind.UNKNOWN
                return Maker(kind, f"{modules[0]}.*.{'.'.join(names)}", names[0] == "task")
            case Given():
                return self._given(target, scope, chain)
        return None

    def _derived(self, target: Defined, depth: int = 0) -> Maker | None:
        """A class of the project that derives from an operator."""
        assert isinstance(target.node, ast.ClassDef)
        name = target.name.replace(":", ".")
        for base in target.node.bases:
            chain = dotted(base)
            for found in self.project.resolve(target.module, target.scope, chain) if chain else ():
                inner: Maker | None = None
                if isinstance(found, Named):
                    last = found.name.rpartition(".")[2]
                    inner = named_maker(found.name)
                    if inner is None and operators.is_operator_base(found.name):
                        inner = Maker(operators.guess(last), found.name)
                elif isinstance(found, Defined) and isinstance(found.node, ast.ClassDef) and depth < 8:
                    inner = self._derived(found, depth + 1)
                if inner is not None and not inner.decorator:
                    kept = inner.kind in (Kind.SENSOR, Kind.BRANCH, Kind.SHORT_CIRCUIT)
                    return Maker(inner.kind if kept else Kind.OPERATOR, name, False, inner.base or inner.name)
        return None

    def _given(self, target: Given, scope: Scope, chain: tuple[str, ...]) -> Maker | None:
        binding = target.binding
        if target.rest[:1] == ("task",) and binding.how in (Bound.ASSIGN, Bound.WITH, Bound.PARAMETER):
            owner = self.evaluator.value(
                ast.copy_location(ast.Name(chain[0], ast.Load()), binding.node), self.module, scope, Env()
            )
            if isinstance(owner, DagValue) or chain[0] == "dag":
                return named_maker(".".join(("airflow.sdk", *target.rest)))
        if not target.rest and isinstance(binding.value, ast.Call):
            return self._made(binding.value, target)
        return None

    def _made(self, call: ast.Call, target: Given) -> Maker | None:
        """``my_task = task(fn)``, ``Load = partial(PythonOperator, dag=dag)``."""
        chain = dotted(call.func)
        for found in self.project.resolve(target.module, target.scope, chain) if chain else ():
            if isinstance(found, Named) and found.name == "functools.partial" and call.args:
                inner = dotted(call.args[0])
                for operator in self.project.resolve(target.module, target.scope, inner) if inner else ():
                    if isinstance(operator, Named) and operators.operator_class(operator.name):
                        return Maker(Kind.UNKNOWN, operator.name)
        return None

    # decorators --------------------------------------------------------------------------------------------

    def decorator(self, node: ast.expr, scope: Scope) -> Maker | None:
        """The task that a decorator makes."""
        function = node.func if isinstance(node, ast.Call) else node
        if isinstance(function, ast.Call):
            function = function.func
        chain = dotted(function)
        if not chain:
            return None
        maker = self.root(function, scope, ()).maker
        return maker if maker is not None and maker.decorator else None

    def setup(self, node: ast.expr, scope: Scope) -> str:
        """``setup`` or ``teardown`` for these decorators."""
        chain = dotted(node.func if isinstance(node, ast.Call) else node)
        for target in self.project.resolve(self.module, scope, chain) if chain else ():
            if isinstance(target, Named):
                return operators.is_setup_decorator(target.name)
        return ""

    def task_of(self, function: Function, scope: Scope) -> tuple[Maker, ast.expr] | None:
        """What makes a task of a decorated function, and the decorator that does."""
        for item in function.decorator_list:
            maker = self.decorator(item, scope)
            if maker is not None:
                return maker, item
        for item in function.decorator_list:
            if self.setup(item, scope):
                return Maker(Kind.TASK, f"airflow.decorators.{self.setup(item, scope)}", True), item
        return None


def named_maker(name: str) -> Maker | None:
    """What a qualified name outside of the project makes."""
    kind = operators.task_decorator(name)
    if kind is not None:
        return Maker(kind, name, True)
    kind = operators.operator_class(name)
    if kind is not None:
        return Maker(kind, name)
    last = name.rpartition(".")[2]
    if not operators.is_airflow(name) and operators.looks_like_operator(last) and last[:1].isupper():
        return Maker(operators.guess(last), name)
    return None


def _agreed(makers: Sequence[Maker]) -> Maker:
    first = makers[0]
    if all(item.kind is first.kind and item.decorator == first.decorator for item in makers):
        return first
    return Maker(Kind.UNKNOWN, first.name, first.decorator)


def _named_like(name: str, chain: tuple[str, ...]) -> bool:
    """True for an outside name that a call with a ``task_id`` may make a task of."""
    if operators.is_airflow(name):
        return chain[-1][:1].isupper() and operators.holds_operators(name)
    return len(chain) == 1 or chain[-1][:1].isupper()


def _names_task(steps: Sequence[Step]) -> bool:
    return bool(steps) and keyword(steps[0].call, "task_id") is not None


def _by_name(name: str) -> Kind:
    if operators.looks_like_operator(name):
        return operators.guess(name)
    return Kind.OPERATOR if name[:1].isupper() else Kind.UNKNOWN
