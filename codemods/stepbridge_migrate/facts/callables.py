"""What stands for a task's callable, where it is defined, and what its code does."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stepbridge.code.airflow_names import CONTEXT_KEYS
from stepbridge.code.reads import Reads
from stepbridge_migrate.facts import context, tables
from stepbridge_migrate.facts.body import Code, reach
from stepbridge_migrate.facts.project import Defined, Given, Module, Named, Project, Starred
from stepbridge_migrate.facts.scopes import FUNCTIONS, Bound, Scope, children, dotted
from stepbridge_migrate.model import CallableFacts, Effect, Form, Parameter, Place

_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, eq=False)
class Callee:
    """A callable as its expression names it.

    :param code: None where its source was not found.
    """

    form: Form
    name: str = ""
    module: Module | None = None
    code: Code | None = None
    scope: Scope | None = None


def callee_of(project: Project, module: Module, node: ast.expr, scope: Scope, depth: int = 0) -> Callee:
    """What the expression *node* stands for."""
    if isinstance(node, ast.Lambda):
        return Callee(Form.LAMBDA, "", module, node, scope)
    if isinstance(node, ast.Call):
        return _of_call(project, module, node, scope, depth)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
        return Callee(Form.BOUND)
    chain = dotted(node)
    if not chain:
        return Callee(Form.UNKNOWN)
    targets = project.resolve(module, scope, chain)
    functions = [item for item in targets if isinstance(item, Defined) and isinstance(item.node, FUNCTIONS)]
    if functions and len(functions) == len(targets):
        return _of_function(functions[-1], module)
    before = [item for item in targets if _line(item) < node.lineno or _elsewhere(item, module)]
    earlier = [item for item in before if isinstance(item, Defined) and isinstance(item.node, FUNCTIONS)]
    if earlier and len(earlier) == len(before):
        return _of_function(earlier[-1], module)
    if not targets or all(isinstance(item, Starred) for item in targets):
        known = len(chain) == 1 and chain[0] in _BUILTINS
        return Callee(Form.IMPORTED, f"builtins:{chain[0]}") if known else Callee(Form.UNKNOWN)
    if len(targets) > 1:
        return Callee(Form.UNKNOWN)
    return _of_target(project, targets[0], depth)


def _line(target: object) -> int:
    node = getattr(target, "node", None) or getattr(getattr(target, "binding", None), "node", None)
    return getattr(node, "lineno", 0)


def _elsewhere(target: object, module: Module) -> bool:
    return getattr(target, "module", module) is not module


def _of_call(project: Project, module: Module, node: ast.Call, scope: Scope, depth: int) -> Callee:
    chain = dotted(node.func)
    for target in project.resolve(module, scope, chain) if chain else ():
        if isinstance(target, Named) and target.name == "functools.partial" and node.args and depth < 6:
            inner = callee_of(project, module, node.args[0], scope, depth + 1)
            return replace(inner, form=Form.PARTIAL)
        if isinstance(target, Defined) and isinstance(target.node, ast.ClassDef):
            return Callee(Form.BOUND)
    return Callee(Form.CALL)


def _of_function(target: Defined, module: Module) -> Callee:
    assert isinstance(target.node, FUNCTIONS)
    if isinstance(target.scope.node, ast.ClassDef):
        form = Form.METHOD if _is_static(target) else Form.BOUND
    elif target.scope.parent is not None:
        form = Form.NESTED
    elif target.module is not module:
        form = Form.IMPORTED
    else:
        form = Form.FUNCTION
    return Callee(form, target.name, target.module, target.node, target.scope)


def _is_static(target: Defined) -> bool:
    assert isinstance(target.node, FUNCTIONS)
    names = {chain[-1] for item in target.node.decorator_list if (chain := dotted(item))}
    return bool(names & {"staticmethod", "classmethod"})


def _of_target(project: Project, target: object, depth: int) -> Callee:
    if isinstance(target, Named):
        before, _, last = target.name.rpartition(".")
        return Callee(Form.IMPORTED, f"{before}:{last}")
    if isinstance(target, Given):
        if target.rest:
            owner = target.binding.how in (Bound.ASSIGN, Bound.PARAMETER, Bound.WITH)
            return Callee(Form.BOUND if owner else Form.PARAMETER)
        if target.binding.how in (Bound.PARAMETER, Bound.LOOP):
            return Callee(Form.PARAMETER)
        value = target.binding.value
        if target.binding.how is Bound.ASSIGN and isinstance(value, ast.Lambda | ast.Call) and depth < 6:
            return callee_of(project, target.module, value, target.scope, depth + 1)
    return Callee(Form.UNKNOWN)


def facts(
    project: Project,
    text: str,
    callee: Callee,
    given: Sequence[str] = (),
    runs: Sequence[Mapping[str, Any]] = (),
    making: ast.expr | None = None,
) -> CallableFacts:
    """Everything that the source says of a callable.

    :param given: parameters that the task's arguments fill.
    :param runs: for each task of the site those whose values the source says.
    :param making: the decorator that makes the task, which is none of the callable's own.
    """
    if callee.code is None or callee.module is None or callee.scope is None:
        return CallableFacts(text, callee.form, callee.name, followed=False)
    home, code = callee.module, callee.code
    touched = reach(project, home, code, callee.scope)
    asks = touched.signs or _asks(code)
    found = context.read(project, home, code, callee.scope, given) if asks else Reads()
    reads = found or Reads()
    own = _own_nodes(code)
    standing = {name: value for name, value in _defaults(code).items() if name not in given}
    filled = [{**standing, **run} for run in runs or [{}]]
    named = context.named(reads.lookups, filled)
    return CallableFacts(
        text=text,
        form=callee.form,
        name=callee.name,
        definition=home.file.place_of(code),
        parameters=_parameters(code, home),
        annotation=_annotation(code, home),
        returns=isinstance(code, ast.Lambda) or any(_gives(node) for node in own),
        is_async=isinstance(code, ast.AsyncFunctionDef),
        is_generator=any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own),
        table=tables.gives_table(code, own, home.file.tree),
        decorators=tuple(
            home.file.cut(home.file.span(item))
            for item in getattr(code, "decorator_list", ())
            if item is not making
        ),
        context_keys=tuple(sorted(reads.context_keys)),
        attributes=tuple(sorted(reads.attributes)),
        whole_context=context.effects(reads.escapes, "context"),
        pulls=context.pulls(reads.pulls, filled),
        variables=tuple(sorted(reads.variables | named["variable"])),
        connections=tuple(sorted(reads.connections | named["connection"])),
        dynamic=context.effects(reads.dynamic, ""),
        pushes=_unique(touched.pushes),
        hooks=_effects(touched.hooks),
        airflow=_effects(touched.airflow),
        globals=_unique(touched.globals),
        closure=_unique(touched.closure),
        helpers=_unique(touched.helper_names),
        modules=_unique(touched.modules),
        distributions=_unique(touched.distributions),
        environment=_unique(touched.environment),
        files=_effects(touched.files),
        writes=_effects(touched.writes),
        random=_effects(touched.random),
        followed=touched.followed and found is not None,
        raises=_raises(own, home) if touched.pushes else None,
    )


def _asks(code: Code) -> bool:
    """True where Airflow fills a parameter with its context."""
    arguments = code.args
    return arguments.kwarg is not None or any(
        item.arg in CONTEXT_KEYS for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    )


def _defaults(code: Code) -> dict[str, Any]:
    """The parameters whose defaults are texts, numbers or None, with those."""
    arguments = code.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {
        item.arg: default.value
        for item, default in pairs
        if isinstance(default, ast.Constant) and isinstance(default.value, str | int | None)
    }


def parameter_names(code: Code) -> list[str]:
    """The names that positional arguments fill."""
    return [item.arg for item in (*code.args.posonlyargs, *code.args.args)]


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(items)))


def _effects(items: Sequence[Effect]) -> tuple[Effect, ...]:
    return tuple(sorted(set(items), key=lambda item: (item.place, item.what)))


def _parameters(code: Code, module: Module) -> tuple[Parameter, ...]:
    arguments = code.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    found: list[Parameter] = []
    for index, (item, default) in enumerate(zip(positional, [*defaults, *arguments.defaults], strict=True)):
        kind = "POSITIONAL_ONLY" if index < len(arguments.posonlyargs) else "POSITIONAL_OR_KEYWORD"
        found.append(_parameter(item, kind, default, module))
    if arguments.vararg is not None:
        found.append(_parameter(arguments.vararg, "VAR_POSITIONAL", None, module))
    for item, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(_parameter(item, "KEYWORD_ONLY", default, module))
    if arguments.kwarg is not None:
        found.append(_parameter(arguments.kwarg, "VAR_KEYWORD", None, module))
    return tuple(found)


def _parameter(item: ast.arg, kind: str, default: ast.expr | None, module: Module) -> Parameter:
    annotation = module.file.cut(module.file.span(item.annotation)) if item.annotation is not None else ""
    value = module.file.cut(module.file.span(default)) if default is not None else None
    return Parameter(item.arg, kind, annotation, value)


def _annotation(code: Code, module: Module) -> str:
    given = getattr(code, "returns", None)
    return module.file.cut(module.file.span(given)) if given is not None else ""


def _own_nodes(code: Code) -> list[ast.AST]:
    """The nodes of a function, what nested functions hold left out."""
    if isinstance(code, ast.Lambda):
        return [code.body]
    found: list[ast.AST] = []
    pending: list[ast.AST] = list(code.body)
    while pending:
        node = pending.pop()
        found.append(node)
        if not isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef, ast.Constant, ast.Name)):
            pending.extend(children(node))
    return found


def _raises(own: Sequence[ast.AST], module: Module) -> Place | None:
    """The first ``raise`` below the first push."""
    pushed = [
        node.lineno
        for node in own
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "xcom_push"
    ]
    raised = [
        node for node in own if isinstance(node, ast.Raise) and node.lineno > min(pushed, default=1 << 30)
    ]
    return min((module.file.place_of(node) for node in raised), default=None)


def _gives(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Return)
        and node.value is not None
        and not (isinstance(node.value, ast.Constant) and node.value.value is None)
    )
