"""Code and names that stand in a file as literal text: ``eval("X + 1")``, ``globals()["X"]``."""

from __future__ import annotations

import ast

_GETTERS = frozenset({"get", "pop", "setdefault", "__getitem__", "__setitem__"})


def code_text(node: ast.Call) -> list[ast.AST] | None:
    """The statements or the expression of ``exec("...")`` or ``eval("...")``, on the line of the call.

    :return: None where the text is not literal, does not parse, imports, or runs among names of its own.
    """
    match node:
        case ast.Call(
            func=ast.Name(id="eval" | "exec" as kind),
            args=[ast.Constant(value=str() as text), *rest],
            keywords=[],
        ) if all(is_globals(item) for item in rest):
            pass
        case _:
            return None
    try:
        tree = ast.parse(text.strip() if kind == "eval" else text, mode=kind)
    except (SyntaxError, ValueError):
        return None
    for child in ast.walk(tree):
        if isinstance(child, ast.Import | ast.ImportFrom):
            return None
        if hasattr(child, "lineno"):
            ast.copy_location(child, node)
    return list(tree.body) if isinstance(tree, ast.Module) else [tree.body]  # type: ignore[attr-defined]


def is_globals(node: ast.expr) -> bool:
    """True for ``globals()``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"


def global_name(node: ast.AST) -> str | None:
    """``X`` of ``globals()["X"]`` and ``globals().get("X")``, None for all else."""
    match node:
        case ast.Subscript(value=inner, slice=ast.Constant(value=str() as name)) if is_globals(inner):
            return name
        case ast.Call(
            func=ast.Attribute(value=inner, attr=method), args=[ast.Constant(value=str() as name), *_]
        ) if method in _GETTERS and is_globals(inner):
            return name
    return None
