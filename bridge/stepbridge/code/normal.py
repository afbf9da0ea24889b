"""The normal form of code: one text for all spellings of the same statements, equal on every Python version.

``ast.unparse`` spells f-strings, tuples and quotes differently from one minor version to the next, and
``ast.dump`` names fields that come and go. So the form is written here: class, then the fields that carry
meaning, with every leaf escaped to ASCII. Distinct trees have distinct forms.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from functools import cache

from stepbridge import hashing
from stepbridge.code.source import Source, no_collection

_SILENT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_OPTIONAL = frozenset({"type_params", "default_value"})
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


@cache
def _fields(cls: type[ast.AST]) -> tuple[str, tuple[tuple[str, bool], ...]]:
    """What opens the form of a node of *cls*, and its fields with whether they may be missing."""
    fields = tuple((field, field in _OPTIONAL) for field in cls._fields if field not in _SILENT)
    return f"{cls.__name__}(", fields


class _Writer:
    """Writes normal forms; *dropped* holds nodes that are left out, by identity."""

    def __init__(self, dropped: Collection[int], docstrings: bool) -> None:
        self.out: list[str] = []
        self.dropped = dropped
        self.docstrings = docstrings

    def node(self, node: ast.AST) -> None:
        """Write one node; the frequent classes by hand, as :meth:`general` would."""
        cls = node.__class__
        out = self.out
        if cls is ast.Name:
            out.append(f"Name({node.id!a})")  # type: ignore[attr-defined]
        elif cls is ast.Constant:
            out.append(_constant(node.value))  # type: ignore[attr-defined]
        elif cls is ast.Attribute:
            value = node.value  # type: ignore[attr-defined]
            if value.__class__ is ast.Name:
                out.append(f"Attribute(Name({value.id!a}),{node.attr!a},)")  # type: ignore[attr-defined]
            else:
                out.append("Attribute(")
                self.node(value)
                out.append(f",{node.attr!a},)")  # type: ignore[attr-defined]
        elif cls is ast.Call:
            self.call(node)  # type: ignore[arg-type]
        elif cls is ast.JoinedStr:
            self.joined(node)  # type: ignore[arg-type]
        else:
            self.general(node, cls)

    def call(self, node: ast.Call) -> None:
        out = self.out
        out.append("Call(")
        self.node(node.func)
        out.append(",[")
        for item in node.args:
            self.node(item)
            out.append(",")
        out.append("][")
        for word in node.keywords:
            out.append(f"keyword({word.arg!a}," if word.arg is not None else "keyword(-,")
            self.node(word.value)
            out.append(",),")
        out.append("])")

    def general(self, node: ast.AST, cls: type[ast.AST]) -> None:
        out = self.out
        head, fields = _fields(cls)  # type: ignore[arg-type]
        out.append(head)
        members = node.__dict__
        for field, optional in fields:
            value = members.get(field)
            kind = value.__class__
            if kind is list:
                if value:
                    self.items(node, field, value)
                elif not optional:
                    out.append("[]")
            elif value is None:
                if not optional:
                    out.append("-,")
            elif kind is str:
                out.append(f"{value!a},")
            elif isinstance(value, ast.AST):
                self.node(value)
                out.append(",")
            else:
                out.append(f"{_constant(value)},")
        out.append(")")

    def items(self, node: ast.AST, field: str, value: list[object]) -> None:
        if field == "body" and not self.docstrings and isinstance(node, _DOCUMENTED):
            value = value[1:] if value and _is_docstring(value[0]) else value
        out = self.out
        out.append("[")
        dropped = self.dropped
        for item in value:
            if not isinstance(item, ast.AST):
                out.append(f"{_constant(item)},")
            elif not dropped or id(item) not in dropped:
                self.node(item)
                out.append(",")
        out.append("]")

    def joined(self, node: ast.JoinedStr) -> None:
        """An f-string; how its literal text is cut into pieces differs between versions."""
        text = ""
        self.out.append("JoinedStr[")
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
                continue
            if text:
                self.out.append(ascii(text) + ",")
                text = ""
            self.node(part)
            self.out.append(",")
        if text:
            self.out.append(ascii(text))
        self.out.append("]")


def _is_docstring(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _constant(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 8192:
        return f"int:{value:x}"
    return f"{value.__class__.__name__}:{value!a}"


def form(nodes: Iterable[ast.AST], dropped: Collection[int] = (), docstrings: bool = False) -> str:
    """The normal form of *nodes*, one after another.

    :param dropped: ids of nodes to leave out: Airflow's decorators.
    :param docstrings: keep docstrings, where the code reads ``__doc__``.
    """
    writer = _Writer(dropped, docstrings)
    for node in nodes:
        writer.node(node)
        writer.out.append(";")
    return "".join(writer.out)


def module_forms(source: Source, docstrings: bool = False) -> list[tuple[ast.stmt, str]]:
    """The statements of a whole module, each with its normal form."""
    body = source.tree.body
    if not docstrings and body and _is_docstring(body[0]):
        body = body[1:]
    found = []
    with no_collection():
        for node in body:
            writer = _Writer((), docstrings)
            writer.node(node)
            found.append((node, "".join(writer.out)))
    return found


def forms_digest(forms: Iterable[str]) -> str:
    """The digest of a module whose statements have these normal forms."""
    return text_digest(f"Module([{''.join(f'{text},' for text in forms)}]);")


def module_digest(source: Source, docstrings: bool = False) -> str:
    """The digest of a whole module's normal form."""
    return forms_digest(text for _, text in module_forms(source, docstrings))


def text_digest(*texts: str) -> str:
    """The digest of normal forms."""
    return hashing.digest(("stepbridge.code/1", *texts))
