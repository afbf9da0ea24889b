"""The normal form of code: one text for all spellings of the same statements, equal on every Python version.

``ast.unparse`` spells f-strings, tuples and quotes differently from one minor version to the next, and
``ast.dump`` names fields that come and go. So the form is written here: class, then the fields that carry
meaning, with every leaf escaped to ASCII. Distinct trees have distinct forms.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from stepbridge import hashing
from stepbridge.code.source import Source, no_collection

_SILENT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_OPTIONAL = frozenset({"type_params", "default_value"})
_LONG = 1 << 63
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


class _Shapes(dict[type[ast.AST], tuple[str, tuple[tuple[str, bool], ...]]]):
    """For each class of nodes what opens its form, and its fields with whether they may be missing."""

    def __missing__(self, cls: type[ast.AST]) -> tuple[str, tuple[tuple[str, bool], ...]]:
        fields = tuple((field, field in _OPTIONAL) for field in cls._fields if field not in _SILENT)
        found = self[cls] = f"{cls.__name__}(", fields
        return found


_SHAPES = _Shapes()


class _Names(dict[str, str]):
    """For each name its form as an expression."""

    def __missing__(self, name: str) -> str:
        found = self[name] = f"Name({name!a}),"
        return found


class _Writer:
    """Writes normal forms, each with the comma that ends it; *dropped* holds nodes to leave out, by identity.

    The frequent classes are written by hand, as :meth:`general` would write them.
    """

    def __init__(self, dropped: Collection[int], docstrings: bool) -> None:
        self.dropped = dropped
        self.docstrings = docstrings
        self.names = _Names()

    def general(self, node: ast.AST) -> str:
        head, fields = _SHAPES[node.__class__]
        ways = _WAYS
        members = node.__dict__
        found = [head]
        for field, optional in fields:
            value: Any = members.get(field)
            kind = value.__class__
            if kind is list:
                if field == "body" and not self.docstrings and isinstance(node, _DOCUMENTED):
                    found.append(f"[{self.items(value[1:] if value and _is_docstring(value[0]) else value)}]")
                elif value:
                    found.append(f"[{self.items(value)}]")
                elif not optional:
                    found.append("[]")
            elif value is None:
                if not optional:
                    found.append("-,")
            elif kind is str:
                found.append(f"{value!a},")
            else:
                found.append(ways[kind](self, value))
        found.append("),")
        return "".join(found)

    def items(self, values: list[Any]) -> str:
        if not values:
            return ""
        if self.dropped:
            return "".join(
                [_WAYS[item.__class__](self, item) for item in values if id(item) not in self.dropped]
            )
        ways = _WAYS
        first = values[0]
        text = ways[first.__class__](self, first)
        if len(values) == 1:
            return text
        return text + "".join([ways[item.__class__](self, item) for item in values[1:]])

    def leaf(self, value: object) -> str:
        """What stands where nodes stand as well: the names of ``global``, a keyword without a default."""
        return f"{_constant(value)},"

    def optional(self, node: ast.AST | None) -> str:
        return "-," if node is None else _WAYS[node.__class__](self, node)

    def name(self, node: ast.Name) -> str:
        return self.names[node.id]

    def constant(self, node: ast.Constant) -> str:
        value: Any = node.value
        kind = value.__class__
        if kind is str:
            return f"str:{value!a},"
        if kind is int and -_LONG < value < _LONG:
            return f"int:{value},"
        return f"{_constant(value)},"

    def attribute(self, node: ast.Attribute) -> str:
        value = node.value
        return f"Attribute({_WAYS[value.__class__](self, value)}{node.attr!a},),"

    def subscript(self, node: ast.Subscript) -> str:
        value, index = node.value, node.slice
        return f"Subscript({_WAYS[value.__class__](self, value)}{_WAYS[index.__class__](self, index)}),"

    def operation(self, node: ast.BinOp) -> str:
        left, right = node.left, node.right
        return (
            f"BinOp({_WAYS[left.__class__](self, left)}{node.op.__class__.__name__}(),"
            f"{_WAYS[right.__class__](self, right)}),"
        )

    def comparison(self, node: ast.Compare) -> str:
        left = node.left
        signs = "".join([f"{item.__class__.__name__}()," for item in node.ops])
        return f"Compare({_WAYS[left.__class__](self, left)}[{signs}][{self.items(node.comparators)}]),"

    def call(self, node: ast.Call) -> str:
        called = node.func
        items = self.items
        words = items(node.keywords) if node.keywords else ""
        return f"Call({_WAYS[called.__class__](self, called)}[{items(node.args)}][{words}]),"

    def keyword(self, node: ast.keyword) -> str:
        value, name = node.value, "-" if node.arg is None else ascii(node.arg)
        return f"keyword({name},{_WAYS[value.__class__](self, value)}),"

    def sequence(self, node: ast.List | ast.Tuple) -> str:
        return f"{node.__class__.__name__}([{self.items(node.elts)}]),"

    def assignment(self, node: ast.Assign) -> str:
        value = node.value
        return f"Assign([{self.items(node.targets)}]{_WAYS[value.__class__](self, value)}),"

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        body, items = node.body, self.items
        if not self.docstrings and _is_docstring(body[0]):
            body = body[1:]
        typed = getattr(node, "type_params", None)
        return (
            f"{node.__class__.__name__}({node.name!a},{self.parameters(node.args)}[{items(body)}]"
            f"[{items(node.decorator_list)}]{self.optional(node.returns)}"
            f"{f'[{items(typed)}]' if typed else ''}),"
        )

    def branch(self, node: ast.If | ast.While) -> str:
        test, items = node.test, self.items
        return (
            f"{node.__class__.__name__}({_WAYS[test.__class__](self, test)}"
            f"[{items(node.body)}][{items(node.orelse)}]),"
        )

    def loop(self, node: ast.For | ast.AsyncFor) -> str:
        target, rows, items = node.target, node.iter, self.items
        return (
            f"{node.__class__.__name__}({_WAYS[target.__class__](self, target)}"
            f"{_WAYS[rows.__class__](self, rows)}[{items(node.body)}][{items(node.orelse)}]),"
        )

    def anonymous(self, node: ast.Lambda) -> str:
        body = node.body
        return f"Lambda({self.parameters(node.args)}{_WAYS[body.__class__](self, body)}),"

    def bare(self, node: ast.Continue | ast.Break | ast.Pass) -> str:
        return f"{node.__class__.__name__}(),"

    def expression(self, node: ast.Expr) -> str:
        value = node.value
        return f"Expr({_WAYS[value.__class__](self, value)}),"

    def result(self, node: ast.Return) -> str:
        return f"Return({self.optional(node.value)}),"

    def mapping(self, node: ast.Dict) -> str:
        return f"Dict([{self.items(node.keys)}][{self.items(node.values)}]),"

    def condition(self, node: ast.BoolOp) -> str:
        return f"BoolOp({node.op.__class__.__name__}(),[{self.items(node.values)}]),"

    def formatted(self, node: ast.FormattedValue) -> str:
        value = node.value
        return (
            f"FormattedValue({_WAYS[value.__class__](self, value)}"
            f"int:{node.conversion},{self.optional(node.format_spec)}),"
        )

    def parameter(self, node: ast.arg) -> str:
        kind = node.annotation
        return f"arg({node.arg!a},{'-,' if kind is None else _WAYS[kind.__class__](self, kind)}),"

    def parameters(self, node: ast.arguments) -> str:
        items, optional = self.items, self.optional
        if not (node.posonlyargs or node.kwonlyargs or node.vararg or node.kwarg):
            return f"arguments([][{items(node.args)}]-,[][]-,[{items(node.defaults)}]),"
        return (
            f"arguments([{items(node.posonlyargs)}][{items(node.args)}]{optional(node.vararg)}"
            f"[{items(node.kwonlyargs)}][{items(node.kw_defaults)}]{optional(node.kwarg)}"
            f"[{items(node.defaults)}]),"
        )

    def joined(self, node: ast.JoinedStr) -> str:
        """An f-string; how its literal text is cut into pieces differs between versions."""
        text = ""
        found = ["JoinedStr["]
        for part in node.values:
            if part.__class__ is ast.Constant:
                text += str(part.value)
                continue
            if text:
                found.append(ascii(text) + ",")
                text = ""
            found.append(_WAYS[part.__class__](self, part))
        if text:
            found.append(ascii(text))
        found.append("],")
        return "".join(found)


def _classes(base: type[ast.AST]) -> Iterator[type[ast.AST]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _classes(cls)


_Way = Callable[[_Writer, Any], str]
_WAYS: dict[type, _Way] = {
    **dict.fromkeys(_classes(ast.AST), _Writer.general),
    **dict.fromkeys((type(None), str, int, bool), _Writer.leaf),
    ast.Name: _Writer.name,
    ast.Constant: _Writer.constant,
    ast.Attribute: _Writer.attribute,
    ast.Subscript: _Writer.subscript,
    ast.BinOp: _Writer.operation,
    ast.Compare: _Writer.comparison,
    ast.Call: _Writer.call,
    ast.keyword: _Writer.keyword,
    ast.List: _Writer.sequence,
    ast.Tuple: _Writer.sequence,
    ast.Assign: _Writer.assignment,
    ast.FunctionDef: _Writer.function,
    ast.AsyncFunctionDef: _Writer.function,
    ast.If: _Writer.branch,
    ast.While: _Writer.branch,
    ast.For: _Writer.loop,
    ast.AsyncFor: _Writer.loop,
    ast.Lambda: _Writer.anonymous,
    ast.Continue: _Writer.bare,
    ast.Break: _Writer.bare,
    ast.Pass: _Writer.bare,
    ast.Expr: _Writer.expression,
    ast.arg: _Writer.parameter,
    ast.arguments: _Writer.parameters,
    ast.JoinedStr: _Writer.joined,
    ast.FormattedValue: _Writer.formatted,
    ast.Return: _Writer.result,
    ast.Dict: _Writer.mapping,
    ast.BoolOp: _Writer.condition,
}
"""How nodes of each class are written, and what stands in their place."""


def _is_docstring(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _constant(value: object) -> str:
    if value.__class__ is str:
        return f"str:{value!a}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 8192:
        return f"int:{value:x}"
    return f"{value.__class__.__name__}:{value!a}"


def form(nodes: Iterable[ast.AST], dropped: Collection[int] = (), docstrings: bool = False) -> str:
    """The normal form of *nodes*, one after another.

    :param dropped: ids of nodes to leave out: Airflow's decorators.
    :param docstrings: keep docstrings, where the code reads ``__doc__``.
    """
    writer = _Writer(dropped, docstrings)
    return "".join([f"{_WAYS[node.__class__](writer, node)[:-1]};" for node in nodes])


def module_forms(source: Source, docstrings: bool = False) -> list[tuple[ast.stmt, str]]:
    """The statements of a whole module, each with its normal form."""
    body = source.tree.body
    if not docstrings and body and _is_docstring(body[0]):
        body = body[1:]
    writer = _Writer((), docstrings)
    with no_collection():
        return [(node, _WAYS[node.__class__](writer, node)[:-1]) for node in body]


def forms_digest(forms: Iterable[str]) -> str:
    """The digest of a module whose statements have these normal forms."""
    return text_digest(f"Module([{''.join(f'{text},' for text in forms)}]);")


def module_digest(source: Source, docstrings: bool = False) -> str:
    """The digest of a whole module's normal form."""
    return forms_digest(text for _, text in module_forms(source, docstrings))


def text_digest(*texts: str) -> str:
    """The digest of normal forms."""
    return hashing.digest(("stepbridge.code/1", *texts))
