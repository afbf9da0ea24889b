"""How often a piece of a DAG file runs when the file is read: loops, factories, groups and DAGs around it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stepbridge_migrate.facts.operators import is_dag_decorator, is_task_group_decorator
from stepbridge_migrate.facts.project import Module, Named, Target
from stepbridge_migrate.facts.scopes import FUNCTIONS, Block, Function, Seen, Where, dotted
from stepbridge_migrate.facts.values import (
    UNKNOWN,
    WILD,
    DagValue,
    Env,
    Evaluator,
    GroupValue,
    assigned,
    keyword,
)
from stepbridge_migrate.model import Making

_MOST = 400
_DEPTH = 10


@dataclass(frozen=True, eq=False)
class DagHome:
    """A DAG at the place that says so.

    :param how: as :class:`stepbridge_migrate.model.DagScope` has it.
    :param id: with ``*`` for what is not known.
    :param call: the call of ``DAG``, or what follows the ``@``.
    :param block: the ``with`` statement or the function that is its body.
    :param value: None for ``@dag``.
    """

    how: str
    id: str
    call: ast.expr
    module: Module
    block: ast.AST | None = None
    value: DagValue | None = None
    variable: str = ""


@dataclass(frozen=True)
class Run:
    """One time that a piece of code runs while the file is read.

    :param groups: the ids of the groups around, outermost first, and whether each prefixes its tasks.
    :param dag: None where no DAG is around.
    """

    env: Env = field(default_factory=Env)
    groups: tuple[tuple[str, bool], ...] = ()
    dag: DagHome | None = None

    @property
    def prefix(self) -> str:
        """What the ids of tasks begin with."""
        return next((f"{name}." for name, prefixes in reversed(self.groups) if prefixes), "")

    def group_id(self, own: str) -> str:
        """The id of a group of that name here."""
        return self.prefix + own


@dataclass(frozen=True)
class Runs:
    """All times that a piece of code runs.

    :param each: known runs.
    :param any: one that stands for all, with ``*`` and UNKNOWN where they differ.
    :param complete: ``each`` are all.
    """

    each: tuple[Run, ...]
    any: Run
    complete: bool = True


@dataclass(frozen=True, eq=False)
class Caller:
    """A call of a function of the project.

    :param home: expands the file that the call stands in.
    """

    seen: Seen
    home: Expander

    @property
    def runs(self) -> Runs:
        """How often the call is made."""
        return self.home.runs(self.seen.where)


class Expander:
    """Expands the code of one file.

    :param callers: gives the calls of a function of the file.
    """

    def __init__(
        self, evaluator: Evaluator, module: Module, callers: Callable[[Function], Sequence[Caller]]
    ) -> None:
        self.evaluator = evaluator
        self.module = module
        self.callers = callers
        self._memo: dict[int, Runs] = {}
        self._busy: set[int] = set()
        self._groups: dict[tuple[str, str], int] = defaultdict(int)

    def runs(self, where: Where | None) -> Runs:
        """How often the code at *where* runs."""
        if where is None or where.parent is None:
            return Runs((Run(),), Run())
        known = self._memo.get(id(where))
        if known is None:
            if id(where) in self._busy or len(self._busy) > 200:
                return Runs((), Run(), False)
            self._busy.add(id(where))
            known = self._memo[id(where)] = self._expand(where)
            self._busy.discard(id(where))
        return known

    def _expand(self, where: Where) -> Runs:
        node = where.node
        match where.block:
            case Block.FUNCTION if isinstance(node, FUNCTIONS):
                return self._function(where, node)
            case Block.FOR if isinstance(node, ast.For | ast.AsyncFor):
                return self._loop(self.runs(where.parent), where, [(node.target, node.iter, False)])
            case Block.COMPREHENSION:
                parts = [(part.target, part.iter, bool(part.ifs)) for part in node.generators]  # type: ignore[union-attr]
                return self._loop(self.runs(where.parent), where, parts)
            case Block.WITH if where.item is not None:
                return self._with(self.runs(where.parent), where, where.item)
            case Block.WHILE | Block.LAMBDA | Block.CLASS:
                outer = self.runs(where.parent)
                return replace(outer, complete=False)
        return self.runs(where.parent)

    def _loop(self, outer: Runs, where: Where, parts: Sequence[tuple[ast.expr, ast.expr, bool]]) -> Runs:
        each, complete = list(outer.each), outer.complete
        anyone = outer.any
        for target, source, filtered in parts:
            fresh: list[Run] = []
            for run in each:
                items = self.evaluator.items(source, self.module, where.scope, run.env)
                if items is None or filtered:
                    items, complete = [UNKNOWN], False
                fresh += [
                    Run(run.env.with_names(dict(assigned(target, item))), run.groups, run.dag)
                    for item in items
                ]
            if len(fresh) > _MOST:
                fresh, complete = fresh[:_MOST], False
            each = fresh
            anyone = replace(anyone, env=anyone.env.with_names(dict(assigned(target, UNKNOWN))))
        return Runs(tuple(each), anyone, complete)

    # with --------------------------------------------------------------------------------------------------

    def _with(self, outer: Runs, where: Where, item: ast.withitem) -> Runs:
        each = tuple(self._entered(run, where, item) for run in outer.each)
        return Runs(each, self._entered(outer.any, where, item), outer.complete)

    def _entered(self, run: Run, where: Where, item: ast.withitem) -> Run:
        found = self.evaluator.value(item.context_expr, self.module, where.scope, run.env)
        if isinstance(found, DagValue):
            direct = found.call is item.context_expr
            name = item.optional_vars.id if isinstance(item.optional_vars, ast.Name) else ""
            if not name and isinstance(item.context_expr, ast.Name):
                name = item.context_expr.id
            how = "with" if direct or isinstance(item.context_expr, ast.Call) else "variable"
            home = DagHome(how, found.id, found.call, found.module, where.node, found, name)
            return replace(run, dag=home, groups=())
        if isinstance(found, GroupValue):
            return self._grouped(run, found.id, found.prefixes, False)
        return run

    def _grouped(self, run: Run, own: str, prefixes: bool, suffixed: bool) -> Run:
        name = run.group_id(own)
        if suffixed:
            key = (run.dag.id if run.dag is not None else "", name)
            count = self._groups[key]
            self._groups[key] += 1
            name = f"{name}__{count}" if count else name
        return replace(run, groups=(*run.groups, (name, prefixes)))

    # functions ---------------------------------------------------------------------------------------------

    def opens(self, node: ast.AST | None) -> bool:
        """True for a function of this file that makes a DAG or a group by its decorator."""
        where = self.module.walked.wheres.get(id(node))
        if where is None or not isinstance(node, FUNCTIONS):
            return False
        return any(self._is_opener(item, where) for item in node.decorator_list)

    def _is_opener(self, node: ast.expr, where: Where) -> bool:
        chain = dotted(node.func if isinstance(node, ast.Call) else node)
        return any(
            isinstance(target, Named) and target.name.rpartition(".")[2] in ("dag", "task_group")
            for target in (self.evaluator.project.resolve(self.module, where.scope, chain) if chain else ())
        )

    def _function(self, where: Where, node: Function) -> Runs:
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            for name in self._names(call.func if call else decorator, where):
                if is_dag_decorator(name):
                    return self._dag_function(where, node, decorator, call)
                if is_task_group_decorator(name):
                    return self._called(where, node, call, True)
        return self._called(where, node, None, False)

    def _names(self, node: ast.expr, where: Where) -> list[str]:
        assert where.parent is not None
        chain = dotted(node)
        found: tuple[Target, ...] = ()
        if chain:
            found = self.evaluator.project.resolve(self.module, where.parent.scope, chain)
        return [target.name for target in found if isinstance(target, Named)]

    def _dag_function(self, where: Where, node: Function, decorator: ast.expr, call: ast.Call | None) -> Runs:
        outer = self.runs(where.parent)
        parameters = dict.fromkeys(_parameter_names(node), UNKNOWN)
        given = None
        if call is not None:
            given = call.args[0] if call.args else keyword(call, "dag_id")

        def opened(run: Run) -> Run:
            name = node.name
            if given is not None:
                name = self.evaluator.text(given, self.module, where.scope, run.env)
            home = DagHome("decorator", name, decorator, self.module, node)
            return Run(run.env.with_names(parameters), (), home)

        each = tuple(opened(run) for run in outer.each)
        return Runs(each, opened(outer.any), outer.complete)

    def _called(self, where: Where, node: Function, call: ast.Call | None, group: bool) -> Runs:
        outer = self.runs(where.parent)
        callers = self.callers(node)
        nested = where.parent is not None and where.parent.function() is not None
        names = dict.fromkeys(_parameter_names(node), UNKNOWN)
        each: list[Run] = []
        homes: list[Run] = []
        complete = bool(callers)
        for caller in callers:
            runs = caller.runs
            complete &= runs.complete
            homes.append(runs.any)
            for run in runs.each:
                env = Env({**run.env.names} if nested else {})
                made = replace(run, env=env.with_names(self._bound(node, caller, run)))
                each.append(self._opened(made, node, call, caller) if group else made)
        if len(each) > _MOST:
            each, complete = each[:_MOST], False
        anyone = Run(outer.any.env.with_names(names), *_common(homes or [outer.any]))
        if group:
            own = self._group_id(node, call, callers[0] if len(callers) == 1 else None, anyone)
            anyone = self._grouped(
                anyone, own if len(callers) < 2 else f"{own}{WILD}", _prefixes(call), False
            )
        return Runs(tuple(each), anyone, complete)

    def _bound(self, node: Function, caller: Caller, run: Run) -> dict[str, Any]:
        """The parameters of *node* with what one call gives them."""
        seen, home = caller.seen, caller.home.module
        names = self.evaluator.bound(
            node, _innermost(seen.call), home, seen.where.scope, run.env, inside=self.module
        )
        return dict(names)

    def _opened(self, run: Run, node: Function, call: ast.Call | None, caller: Caller) -> Run:
        own = self._group_id(node, call, caller, run)
        return self._grouped(run, own, _prefixes(call), True)

    def _group_id(self, node: Function, call: ast.Call | None, caller: Caller | None, run: Run) -> str:
        given = None
        if caller is not None:
            given = overridden(caller.seen.call, "group_id")
            if given is not None:
                return self.evaluator.text(given, caller.home.module, caller.seen.where.scope, run.env)
        if call is not None:
            given = call.args[0] if call.args else keyword(call, "group_id")
        if given is None:
            return node.name
        return self.evaluator.text(given, self.module, self.module.scope, run.env)


def _parameter_names(node: Function) -> list[str]:
    arguments = node.args
    plain = [item.arg for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return plain + [item.arg for item in (arguments.vararg, arguments.kwarg) if item is not None]


def _prefixes(call: ast.Call | None) -> bool:
    given = keyword(call, "prefix_group_id") if call is not None else None
    return not (isinstance(given, ast.Constant) and given.value is False)


def _common(runs: list[Run]) -> tuple[tuple[tuple[str, bool], ...], DagHome | None]:
    """Groups and DAG that all runs share; ``?`` for groups that differ."""
    first = runs[0]
    same_dag = all(_home_key(run.dag) == _home_key(first.dag) for run in runs)
    same_groups = all(run.groups == first.groups for run in runs)
    deepest = max((len(run.groups) for run in runs), default=0)
    groups = first.groups if same_groups else ((WILD, True),) * min(deepest, 1)
    return groups, first.dag if same_dag else None


def _home_key(home: DagHome | None) -> Any:
    return None if home is None else (id(home.call), home.id)


def _innermost(call: ast.Call) -> ast.Call:
    """Of ``f.override(...)(x)`` and ``f.partial(x).expand(y)`` the call that gives plain arguments."""
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in ("expand", "expand_kwargs"):
        if isinstance(function.value, ast.Call):
            return _innermost(function.value)
        return ast.copy_location(ast.Call(function, [], [ast.keyword(None, function)]), call)
    return call


def overridden(call: ast.Call, name: str) -> ast.expr | None:
    """The value that ``.override(name=...)`` somewhere in a chain of calls gives."""
    function: ast.expr = call
    while True:
        if isinstance(function, ast.Call):
            if isinstance(function.func, ast.Attribute) and function.func.attr == "override":
                found = keyword(function, name)
                if found is not None:
                    return found
            function = function.func
        elif isinstance(function, ast.Attribute):
            function = function.value
        else:
            return None


def groups_of(run: Run) -> tuple[str, ...]:
    """The ids of the groups around, ``?`` for what is not known."""
    return tuple("?" if WILD in name else name for name, _ in run.groups)


def making_of(wheres: Sequence[tuple[Expander, Where]]) -> tuple[Making, ...]:
    """How often, and under what, the code at these places is run."""
    found: set[Making] = set()
    for home, where in wheres:
        for around in where.chain():
            if around.block in (Block.FOR, Block.WHILE):
                found.add(Making.LOOP)
            elif around.block is Block.COMPREHENSION:
                found.add(Making.COMPREHENSION)
            elif around.block is Block.IF:
                found.add(Making.CONDITIONAL)
            elif around.block in (Block.FUNCTION, Block.LAMBDA) and not home.opens(around.node):
                found.add(Making.FACTORY)
    return tuple(item for item in Making if item in found) or (Making.PLAIN,)
