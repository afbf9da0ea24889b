"""What an instance of a first-party class keeps of the arguments that it was made with."""

from __future__ import annotations

import ast
from collections import Counter

from stepbridge.code.abstract import Each, Evaluator, Frame, Made, Nothing
from stepbridge.code.bound import dotted
from stepbridge.code.nodes import FUNCTIONS
from stepbridge.code.reads import Text

_PLAIN_BASES = frozenset({"object", "ABC"})
_OWN_RULES = frozenset({"__new__", "__getattr__", "__getattribute__", "__setattr__", "__slots__"})
_HIDDEN = frozenset({"setattr", "__dict__", "vars", "__setattr__"})
"""Names by which attributes are set out of sight."""


def maker(cls: ast.ClassDef) -> ast.FunctionDef | None:
    """The ``__init__`` of a class whose instances follow Python's plain rules; None for other classes."""
    bases = [dotted(base) for base in cls.bases]
    if cls.decorator_list or cls.keywords:
        return None
    if any(base is None or (base[1] or (base[0],))[-1] not in _PLAIN_BASES for base in bases):
        return None
    named = {item.name: item for item in cls.body if isinstance(item, FUNCTIONS)}
    found = named.get("__init__")
    if named.keys() & _OWN_RULES or not isinstance(found, ast.FunctionDef) or found.decorator_list:
        return None
    return found if [*found.args.posonlyargs, *found.args.args] else None


def receiver(member: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The name under which a method gets its instance; empty where it gets none."""
    static = {getattr(item, "id", "") for item in member.decorator_list} & {"staticmethod", "classmethod"}
    named = [*member.args.posonlyargs, *member.args.args]
    return "" if static or not named else named[0].arg


def made(evaluator: Evaluator, init: ast.FunctionDef, frame: Frame, trees: list[ast.AST]) -> Made:
    """What instances keep: attributes that *init* sets from texts, and that nothing in *trees* sets again.

    :param frame: of *init*, with the values of its parameters.
    """
    stored: Counter[str] = Counter()
    for tree in trees:
        others = {store for node in ast.walk(tree) if _strange(node, init) for store in _own_stores(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                stored[node.attr] += not isinstance(node.ctx, ast.Load) and node not in others
                name = node.attr
            else:
                name = node.id if isinstance(node, ast.Name) else ""
            if name in _HIDDEN:
                return Made(())
    kept = {}
    for statement in init.body:
        target, value = _assigned(statement)
        if isinstance(target, ast.Attribute) and value is not None and stored[target.attr] == 1:
            found = evaluator.value(value, frame)
            if getattr(target.value, "id", "") == receiver(init) and isinstance(found, Text | Each | Nothing):
                kept[target.attr] = found
    return Made(tuple(sorted(kept.items(), key=lambda item: item[0])))


def _strange(node: ast.AST, init: ast.FunctionDef) -> bool:
    """True for a class that has another ``__init__``."""
    return isinstance(node, ast.ClassDef) and init not in node.body


def _own_stores(cls: ast.AST) -> set[ast.AST]:
    """Where the methods of a class set attributes of their own instance."""
    methods = [item for item in getattr(cls, "body", ()) if isinstance(item, FUNCTIONS)]
    return {
        node
        for method in methods
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and not isinstance(node.ctx, ast.Load)
        and isinstance(node.value, ast.Name)
        and node.value.id == receiver(method)
    }


def _assigned(statement: ast.stmt) -> tuple[ast.expr | None, ast.expr | None]:
    match statement:
        case ast.Assign(targets=[target], value=value):
            return target, value
        case ast.AnnAssign(target=target, value=found):
            return target, found
    return None, None
