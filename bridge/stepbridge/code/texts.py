"""Text that is put together: ``"a{}".format(b)`` and ``"a%s" % b`` as the f-string that gives the same."""

from __future__ import annotations

import ast
import string
from collections.abc import Sequence


def as_fstring(node: ast.expr) -> ast.JoinedStr | None:
    """The f-string for a formatted literal; None for all other expressions and for formats with a width."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format"),
            args=positional,
            keywords=words,
        ) if not any(isinstance(item, ast.Starred) for item in positional):
            named = {word.arg: word.value for word in words if word.arg}
            return _formatted(text, positional, named) if len(named) == len(words) else None
        case ast.BinOp(left=ast.Constant(value=str() as text), op=ast.Mod(), right=right):
            return _percent(text, right.elts if isinstance(right, ast.Tuple) else [right])
    return None


def _formatted(text: str, positional: Sequence[ast.expr], named: dict[str, ast.expr]) -> ast.JoinedStr | None:
    parts: list[ast.expr] = []
    count = 0
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError:
        return None
    for before, name, width, conversion in fields:
        parts.append(ast.Constant(before))
        if name is None:
            continue
        if name == "":
            name, count = str(count), count + 1
        value = positional[int(name)] if name.isdecimal() and int(name) < len(positional) else named.get(name)
        if value is None or width or conversion not in (None, "s"):
            return None
        parts.append(ast.FormattedValue(value, -1, None))
    return ast.JoinedStr(parts)


def _percent(text: str, values: Sequence[ast.expr]) -> ast.JoinedStr | None:
    pieces = text.split("%s")
    if len(pieces) != len(values) + 1 or any("%" in piece for piece in pieces):
        return None
    parts: list[ast.expr] = [ast.Constant(pieces[0])]
    for value, piece in zip(values, pieces[1:], strict=True):
        parts += [ast.FormattedValue(value, -1, None), ast.Constant(piece)]
    return ast.JoinedStr(parts)
