"""The ids of DAGs and operators that the text of a DAG file says: ``print_config.task_id``."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from stepbridge.code.bound import dotted
from stepbridge.code.nodes import FUNCTIONS

_GROUP_WORDS = frozenset({"group_id", "tooltip", "ui_color", "ui_fgcolor", "default_args", "dag"})
"""Arguments of a task group that leave the ids of its tasks as they are."""
Owned = Callable[[ast.expr], bool]


def fixed_ids(tree: ast.Module, is_airflow: Owned) -> dict[tuple[str, str], str]:
    """``(name, attribute)`` of operators and DAGs that are bound once, with literal ids, to what it gives.

    :param is_airflow: True for an expression that names something of Airflow's.
    """
    bound = Counter(name for node in ast.walk(tree) for name in _bound(node))
    found: dict[tuple[str, str], str] = {}
    for statement, prefix in _placed(tree.body, "", is_airflow):
        for name, value in _made(statement):
            text = _fixed(value, prefix, is_airflow)
            if bound[name] == 1 and text is not None:
                found[name, text[0]] = text[1]
    stored = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
    }
    return {key: text for key, text in found.items() if key[1] not in stored}


def reads_in(node: ast.AST, ids: Mapping[tuple[str, str], str]) -> dict[ast.Attribute, str] | None:
    """The attributes below *node* that *ids* answers; None where one stands in an f-string."""
    found: dict[ast.Attribute, str] = {}
    inside: set[ast.AST] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.JoinedStr):
            inside |= set(ast.walk(child))
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
            text = ids.get((child.value.id, child.attr))
            if text is not None:
                found[child] = text
    return None if inside & found.keys() else found


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a node binds, in whichever scope."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield other or name.partition(".")[0]
        case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
            yield name
        case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
            yield name
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield from names


def _placed(body: list[ast.stmt], prefix: str, is_airflow: Owned) -> Iterator[tuple[ast.stmt, str]]:
    """The statements that run once while the file is read, with the task groups around each."""
    for statement in body:
        match statement:
            case ast.With(items=items, body=inner):
                yield statement, prefix
                around = _prefix(items, prefix, is_airflow)
                if around is not None:
                    yield from _placed(inner, around, is_airflow)
            case ast.If(body=inner, orelse=other):
                yield from _placed([*inner, *other], prefix, is_airflow)
            case ast.FunctionDef(decorator_list=[decorator], body=inner) if _last(decorator) == "dag":
                if is_airflow(_callee(decorator)):
                    yield from _placed(inner, prefix, is_airflow)
            case _ if not isinstance(statement, FUNCTIONS):
                yield statement, prefix


def _prefix(items: list[ast.withitem], prefix: str, is_airflow: Owned) -> str | None:
    """What a ``with`` puts before the ids of its tasks; None where the text does not say."""
    for item in items:
        made = item.context_expr
        if not isinstance(made, ast.Call) or not is_airflow(made.func):
            return None
        if _last(made) == "TaskGroup":
            group = _word(made, "group_id")
            if group is None or {word.arg for word in made.keywords} - _GROUP_WORDS:
                return None
            prefix = f"{prefix}{group}."
        elif _last(made) != "DAG":
            return None
    return prefix


def _made(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.With(items=items):
            for item in items:
                if isinstance(item.optional_vars, ast.Name) and _last(item.context_expr) == "DAG":
                    yield item.optional_vars.id, item.context_expr


def _fixed(value: ast.expr, prefix: str, is_airflow: Owned) -> tuple[str, str] | None:
    if not isinstance(value, ast.Call) or not is_airflow(value.func):
        return None
    words = {word.arg for word in value.keywords}
    if _last(value) == "DAG":
        name = _word(value, "dag_id")
        return None if name is None or None in words else ("dag_id", name)
    name = _word(value, "task_id", first=False)
    plain = name is not None and not words & {None, "task_group"}
    return (
        ("task_id", prefix + str(name)) if plain and _last(value).endswith(("Operator", "Sensor")) else None
    )


def _word(call: ast.Call, name: str, first: bool = True) -> str | None:
    """The literal text of an argument.

    :param first: it may be the first positional one.
    """
    given = [word.value for word in call.keywords if word.arg == name] or (call.args[:1] if first else [])
    return given[0].value if given and _is_text(given[0]) else None  # type: ignore[attr-defined]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _callee(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _last(node: ast.expr) -> str:
    found = dotted(_callee(node))
    return "" if found is None else (found[1] or (found[0],))[-1]
