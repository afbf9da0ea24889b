"""All task sites of one file, with what their callables do and who reads their results."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from stepbridge_migrate.facts.callables import Callee, callee_of, facts, parameter_names
from stepbridge_migrate.facts.classify import decompose
from stepbridge_migrate.facts.objects import objects_of
from stepbridge_migrate.facts.project import Module, Project
from stepbridge_migrate.facts.readers import Readers
from stepbridge_migrate.facts.sites import Draft, FileSites
from stepbridge_migrate.model import MOVABLE, Form, Site

Arguments = dict[str, ast.expr | None]
"""The expressions of arguments by the names of the parameters; None where they cannot be told."""

_RUNS = 50


def sites_of(project: Project, module: Module) -> list[Site]:
    """The sites in the order of the file.

    :raises Unreadable: SM402.
    """
    found = FileSites(project, module)
    drafts = [_with_callable(found, draft) for draft in found.find()]
    return Readers(module, drafts).connect()


def site_of(project: Project, module: Module, choose: Callable[[Sequence[Site]], int | None]) -> Site | None:
    """One site of the file, without its readers: the callables of the others are not read.

    :param choose: gives the index of one of the sites, which say nothing of their callables yet.
    """
    found = FileSites(project, module)
    drafts = found.find()
    index = choose([draft.site for draft in drafts])
    return None if index is None else _with_callable(found, drafts[index]).site


def _with_callable(found: FileSites, draft: Draft) -> Draft:
    project, module = found.project, found.module
    if draft.function is not None:
        node = draft.function.node
        assert not isinstance(node, ast.ClassDef)
        form = Form.FUNCTION if draft.function.scope.parent is None else Form.NESTED
        callee = Callee(form, draft.function.name, module, node, draft.function.scope)
        given = _call_arguments(draft, parameter_names(node))
        runs = _runs(found, draft, given)
        known = facts(project, node.name, callee, list(given), runs, found.decorated[id(node)][1])
    elif draft.callable is not None:
        callee = callee_of(project, module, draft.callable, draft.where.scope)
        text = module.file.cut(module.file.span(draft.callable))
        given = _op_arguments(found, draft, parameter_names(callee.code) if callee.code is not None else [])
        known = facts(project, text, callee, list(given), _runs(found, draft, given))
    else:
        return draft
    objects = objects_of(found, draft) if draft.site.kind in MOVABLE else ()
    return replace(draft, site=replace(draft.site, callable=known, objects=objects))


def _runs(found: FileSites, draft: Draft, given: Arguments) -> list[dict[str, Any]]:
    """For each task of the site the arguments that may name tasks in pulls."""
    if not given or not draft.runs:
        return []
    if draft.elsewhere:
        return []
    scope = draft.made[0].where.scope if draft.made else draft.where.scope
    runs: list[dict[str, Any]] = []
    for run in draft.runs[:_RUNS]:
        values = {
            name: found.evaluator.value(node, found.module, scope, run.env) for name, node in given.items()
        }
        plain = {name: value for name, value in values.items() if _says(value)}
        if plain not in runs:
            runs.append(plain)
    return runs


def _says(value: object) -> bool:
    return isinstance(value, str | int | list | tuple) and "*" not in str(value) and "{{" not in str(value)


def _op_arguments(found: FileSites, draft: Draft, names: list[str]) -> Arguments:
    call = draft.made[0].call if draft.made else None
    if call is None:
        return {}
    first = decompose(call)[1][0].call
    scope = draft.where.scope
    given: Arguments = {}
    positional = found.arguments.find(first, "op_args", scope)
    if isinstance(positional, ast.List | ast.Tuple):
        given.update(zip(names, positional.elts, strict=False))
    named = found.arguments.find(first, "op_kwargs", scope)
    pairs = found.arguments.mapping(named, found.module, scope) if named is not None else None
    for name, value, module in pairs or ():
        given[name] = value if module is found.module else None
    return given


def _call_arguments(draft: Draft, names: list[str]) -> Arguments:
    given: Arguments = {}
    made = [*draft.made, *(caller.seen for caller in draft.elsewhere)]
    for seen in made:
        for step in decompose(seen.call)[1]:
            if step.method == "override":
                continue
            pairs = [*zip(names, step.call.args, strict=False)]
            pairs += [(word.arg, word.value) for word in step.call.keywords if word.arg is not None]
            for name, value in pairs:
                single = not isinstance(value, ast.Starred) and name not in given
                given[name] = value if single and len(made) == 1 else None
    return given
