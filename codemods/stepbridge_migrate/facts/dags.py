"""Says which DAG a site belongs to, and how the source says so."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from stepbridge_migrate.facts.arguments import Arguments
from stepbridge_migrate.facts.expansion import Caller, DagHome, Expander, Runs
from stepbridge_migrate.facts.ids import joint
from stepbridge_migrate.facts.project import Module, Project
from stepbridge_migrate.facts.scopes import FUNCTIONS, Block, Seen, Where, dotted
from stepbridge_migrate.facts.values import WILD, DagValue, Env, keyword
from stepbridge_migrate.model import DagScope, Span
from stepbridge_migrate.source import SourceFile


class DagScopes:
    """The DAGs of one file."""

    def __init__(self, project: Project, module: Module, arguments: Arguments, expander: Expander) -> None:
        self.project = project
        self.module = module
        self.file = module.file
        self.walked = module.walked
        self.arguments = arguments
        self.evaluator = expander.evaluator
        self.expander = expander
        self._scopes: dict[tuple[object, ...], DagScope] = {}

    def of(self, call: ast.Call | None, where: Where, runs: Runs) -> DagScope:
        """The DAG of a call at *where*."""
        expression = self.arguments.find(call, "dag", where.scope) if call is not None else None
        known_runs = runs.each if runs.each and runs.complete else (*runs.each, runs.any)
        homes = [run.dag for run in known_runs]
        if expression is not None:
            found = [
                self.evaluator.value(expression, self.module, where.scope, run.env) for run in known_runs
            ]
            given = [self._home(item, expression, where) for item in found if isinstance(item, DagValue)]
            if given:
                homes = list(given)
            elif not any(homes):
                text = self.file.cut(self.file.span(expression))
                return DagScope("", "argument", text if text.isidentifier() else "")
        known = [home for home in homes if home is not None]
        return self.scope(known) if known else self._lone(where)

    def shared(self, call: ast.Call | None, where: Where, callers: Sequence[Caller]) -> DagScope:
        """The DAG of a decorated function, or all DAGs that it is called in.

        :param where: the function stands.
        """
        first = self.of(call, where, callers[0].runs if callers else self.expander.runs(where))
        homes = [run.dag for caller in callers for run in caller.runs.each if run.dag is not None]
        return self.scope(homes) if homes and first.how != "argument" else first

    def _home(self, value: DagValue, expression: ast.expr, where: Where) -> DagHome:
        for found in where.chain():
            if found.block is Block.WITH and found.item is not None and found.item.context_expr is value.call:
                name = found.item.optional_vars
                variable = name.id if isinstance(name, ast.Name) else ""
                return DagHome("with", value.id, value.call, value.module, found.node, value, variable)
        variable = ""
        if value.module is self.module:
            variable = self.walked.targets.get(id(value.call), "") or _with_name(self.walked.seen, value.call)
        if not variable and isinstance(expression, ast.Name):
            variable = expression.id
        block = value.scope.node if isinstance(value.scope.node, FUNCTIONS) else None
        return DagHome("argument", value.id, value.call, value.module, block, value, variable)

    def scope(self, homes: Sequence[DagHome]) -> DagScope:
        """The record of one DAG, or of several that a site's tasks are in."""
        key = tuple(
            dict.fromkeys((id(home.call), home.id, home.how, home.variable, id(home.block)) for home in homes)
        )
        if key not in self._scopes:
            self._scopes[key] = self._make_scope(homes)
        return self._scopes[key]

    def _make_scope(self, homes: Sequence[DagHome]) -> DagScope:
        first = homes[0]
        ids = sorted({home.id for home in homes if WILD not in home.id})
        pattern = joint([home.id for home in homes])
        single = len({home.id for home in homes}) == 1 and WILD not in first.id
        body = None
        if first.block is not None and first.module is self.module:
            body = _body(self.file, first.block)
        call = first.call if isinstance(first.call, ast.Call) else None
        place = first.module.file.place_of(first.call)
        return DagScope(
            id=first.id if single else "",
            how=first.how,
            variable=first.variable,
            place=place,
            body=body,
            pattern=pattern,
            ids=tuple(ids),
            default_args=self.arguments.default_args(call, first.module),
            native=_is_true(keyword(call, "render_template_as_native_obj") if call else None),
        )

    def _lone(self, where: Where) -> DagScope:
        """No DAG is said: where the file has one only, Airflow's edges give the task that one."""
        if where.function() is None:
            made = [
                seen
                for seen in self.walked.calls
                if isinstance(
                    self.evaluator.value(seen.call, self.module, seen.where.scope, Env())
                    if _ends_with_dag(seen.call)
                    else None,
                    DagValue,
                )
            ]
            if len(made) == 1:
                found = self.evaluator.value(made[0].call, self.module, made[0].where.scope, Env())
                return replace(self.scope([self._home(found, made[0].call.func, where)]), how="none")
        return DagScope("", "none")


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _ends_with_dag(call: ast.Call) -> bool:
    chain = dotted(call.func)
    return bool(chain) and chain[-1].endswith("DAG")


def _with_name(seen: dict[int, Seen], call: ast.Call) -> str:
    found = seen.get(id(call))
    if found is None or not isinstance(found.statement, ast.With | ast.AsyncWith):
        return ""
    for item in found.statement.items:
        if item.context_expr is call and isinstance(item.optional_vars, ast.Name):
            return item.optional_vars.id
    return ""


def _body(file: SourceFile, block: ast.AST) -> Span | None:
    body: list[ast.stmt] = getattr(block, "body", [])
    if not body:
        return None
    start = file.span(body[0]).start
    decorators = getattr(body[0], "decorator_list", [])
    if decorators:
        start = file.text.rindex("@", 0, file.span(decorators[0]).start)
    return Span(start, file.span(body[-1]).end)
