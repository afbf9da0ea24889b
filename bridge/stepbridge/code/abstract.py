"""What expressions of a step's code stand for: the context, ``ti``, texts made of literals and arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stepbridge.code.airflow_names import (
    CONTEXT_KEYS,
    FACADE,
    STAND_INS,
    TASK_INSTANCE_KEYS,
    TEXT_KEYS,
    is_airflow,
)
from stepbridge.code.bound import Chain, dotted
from stepbridge.code.facts import Facts
from stepbridge.code.nodes import DEFINITIONS, FUNCTIONS, absolute
from stepbridge.code.reads import Joined, Listed, Literal, Parameter, Text
from stepbridge.code.texts import as_fstring

GETTERS = frozenset({"get", "pop", "setdefault", "__getitem__"})


@dataclass(frozen=True)
class Context:
    """The task's whole context."""


@dataclass(frozen=True)
class Instance:
    """The task instance."""


@dataclass(frozen=True)
class Key:
    """The value of one key of the context."""

    name: str


@dataclass(frozen=True)
class Accessor:
    """``context["var"]["value"]`` or ``["json"]``, which gives Variables by attribute or ``get``."""


@dataclass(frozen=True)
class Each:
    """One of several values, in a loop."""

    values: tuple[Text, ...]


@dataclass(frozen=True)
class Nothing:
    """None."""


@dataclass(frozen=True)
class Made:
    """An instance of a first-party class.

    :param kept: the attributes whose values are texts or None.
    """

    kept: tuple[tuple[str, Text | Each | Nothing], ...]


@dataclass(frozen=True)
class Unclear:
    """Anything else."""


Value = (
    Context
    | Instance
    | Key
    | Accessor
    | Each
    | Nothing
    | Made
    | Unclear
    | Literal
    | Parameter
    | Joined
    | Listed
)
UNCLEAR = Unclear()
VAR = Key("var")
Body = Sequence[ast.AST]


class Modules(Protocol):
    """How names are found in other first-party modules."""

    def lookup(self, module: str, chain: Chain, needed: bool) -> tuple[Facts, ast.stmt] | None:
        """The definition or assignment that ``module.chain`` names, and the facts of its file.

        :param needed: look into modules too that show no sign of reading anything of Airflow's.
        """

    def origin(self, module: str, chain: Chain) -> tuple[str, Chain]:
        """The module that ``module.chain`` is imported from, through re-exports."""


@dataclass
class Frame:
    """One function while it is read."""

    facts: Facts
    env: dict[str, Value]
    imports: dict[str, tuple[str, str]]
    inner: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]
    depth: int


@dataclass
class Evaluator:
    """Gives names and expressions their values.

    :param modules: finds definitions of other first-party modules.
    :param given: parameters that the caller fills itself: they are no context keys.
    """

    modules: Modules
    given: frozenset[str] = frozenset()
    keys: set[str] = field(default_factory=set)

    def open(self, frame: Frame, body: Body) -> None:
        """Note what a function imports, defines and binds inside."""
        for node in own(body):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    module, attribute = absolute(node, alias, frame.facts.module, frame.facts.package)
                    name = alias.asname or (alias.name if attribute else alias.name.partition(".")[0])
                    plain = not attribute and not alias.asname
                    frame.imports[name] = (module.partition(".")[0] if plain else module, attribute)
            elif isinstance(node, FUNCTIONS):
                frame.inner[node.name] = node
        self.bind(frame, body)

    # values ------------------------------------------------------------------------------------------------

    def bind(self, frame: Frame, body: Body) -> None:
        """Give the local names their values, whatever the order of statements."""
        for _ in range(3):
            before = dict(frame.env)
            fresh: dict[str, Value] = {}
            for node in own(body):
                for name, value in self._assigned(node, frame):
                    fresh[name] = merge(fresh.get(name), value)
            for name, value in fresh.items():
                known = frame.env.get(name)
                started = name in before and isinstance(known, Parameter | Key | Context | Instance)
                frame.env[name] = merge(known, value) if started else value
            if frame.env == before:
                break

    def _assigned(self, node: ast.AST, frame: Frame) -> Iterator[tuple[str, Value]]:
        match node:
            case ast.Assign(targets=found, value=value):
                for target in found:
                    yield from self._paired(target, value, frame)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, self.value(value, frame)
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                yield name, self.value(value, frame)
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name, UNCLEAR
            case (
                ast.For(target=ast.Name(id=name), iter=source)
                | ast.comprehension(target=ast.Name(id=name), iter=source)
            ):
                items = self.value(source, frame)
                yield name, Each(items.items) if isinstance(items, Listed) else UNCLEAR

    def _paired(self, target: ast.expr, value: ast.expr, frame: Frame) -> Iterator[tuple[str, Value]]:
        if isinstance(target, ast.Name):
            yield target.id, self.value(value, frame)
        elif isinstance(target, ast.Tuple | ast.List):
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                for left, right in zip(target.elts, value.elts, strict=True):
                    yield from self._paired(left, right, frame)
            else:
                yield from ((item.id, UNCLEAR) for item in target.elts if isinstance(item, ast.Name))

    def value(self, node: ast.expr, frame: Frame) -> Value:
        """What an expression stands for, as far as it shows."""
        match node:
            case ast.Constant(value=str() | int() as found) if not isinstance(found, bool):
                return Literal(found)
            case ast.Constant(value=None):
                return Nothing()
            case ast.Name(id=name):
                return frame.env[name] if name in frame.env else self._global(name, frame)
            case ast.JoinedStr() | ast.BinOp(op=ast.Add() | ast.Mod()):
                return self._joined(node, frame)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                values = [as_text(self.value(item, frame)) for item in items]
                texts = tuple(item for item in values if isinstance(item, Text))
                return Listed(texts) if len(texts) == len(values) else UNCLEAR
            case ast.Subscript(value=inner, slice=index):
                return self._item(self.value(inner, frame), self.value(index, frame))
            case ast.Attribute(value=ast.Name(id=name), attr="task_id" | "dag_id" as attribute) if (
                name not in frame.env and (name, attribute) in frame.facts.ids
            ):
                return Literal(frame.facts.ids[name, attribute])
            case ast.Attribute(value=inner, attr=attribute):
                return _member(self.value(inner, frame), attribute)
            case ast.Call():
                return self._called(node, frame)
            case ast.IfExp(body=left, orelse=right):
                return merge(self.value(left, frame), self.value(right, frame))
            case ast.BoolOp(values=[left, *_]):
                found_value = self.value(left, frame)
                return found_value if isinstance(found_value, Context | Instance) else UNCLEAR
        return UNCLEAR

    def _called(self, node: ast.Call, frame: Frame) -> Value:
        formatted = as_fstring(node)
        if formatted is not None:
            return self._joined(formatted, frame)
        match node:
            case ast.Call(func=ast.Attribute(value=inner, attr=attribute), args=[first, *rest]) if (
                attribute in GETTERS
            ):
                default = self.value(rest[0], frame) if rest else UNCLEAR
                return self._item(self.value(inner, frame), self.value(first, frame), default)
            case ast.Call() if self.gives_context(node, frame):
                return Context()
            case ast.Call(func=ast.Name(id="str"), args=[inner]):
                return self.value(inner, frame)
            case ast.Call(func=ast.Name(id="cast"), args=[_, inner]):
                return self.value(inner, frame)
        return UNCLEAR

    def _item(self, inner: Value, index: Value, default: Value = UNCLEAR) -> Value:
        if isinstance(inner, Context) and isinstance(index, Literal) and isinstance(index.value, str):
            name = index.value
            if name in TASK_INSTANCE_KEYS and name not in self.given:
                return Instance()
            if name in CONTEXT_KEYS and name not in self.given:
                return Key(name)
            return Parameter(name, default.value if isinstance(default, Literal) else None)
        if inner == VAR and isinstance(index, Literal) and index.value in ("value", "json"):
            return Accessor()
        return UNCLEAR

    def _joined(self, node: ast.expr, frame: Frame) -> Value:
        pieces: list[ast.expr] = []
        node = as_fstring(node) or node
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Mod):
                return UNCLEAR
            pieces = [node.left, node.right]
        elif isinstance(node, ast.JoinedStr):
            for part in node.values:
                if isinstance(part, ast.FormattedValue) and (
                    part.format_spec or part.conversion not in (-1, 115)
                ):
                    return UNCLEAR
                pieces.append(part.value if isinstance(part, ast.FormattedValue) else part)
        options: list[tuple[Literal | Parameter, ...]] = [()]
        for piece in pieces:
            value = as_text(self.value(piece, frame))
            if isinstance(value, Joined):
                options = [(*option, *value.parts) for option in options]
            elif isinstance(value, Each):
                parts = [item.parts if isinstance(item, Joined) else (item,) for item in value.values]
                options = [(*option, *part) for option in options for part in parts]
            elif isinstance(value, Literal | Parameter):
                options = [(*option, value) for option in options]
            else:
                return UNCLEAR
        folded = tuple(_folded(option) for option in options)
        return folded[0] if len(folded) == 1 else Each(folded)

    def _global(self, name: str, frame: Frame) -> Value:
        """A module constant."""
        facts, depth = frame.facts, 0
        nodes = [node for node in facts.bound.get((0, name), ()) if node.alias is None]
        if not nodes:
            for entry in facts.imported(name, 0):
                found = self.modules.lookup(entry.module, entry.path(()), needed=True)
                if found is not None and isinstance(found[1], ast.Assign):
                    return self._constant(found[1], found[0])
        if len(nodes) == 1 and len(facts.touching.get((0, name), ())) == 1 and not depth:
            return self._constant(nodes[0].stmt, facts)
        return UNCLEAR

    def _constant(self, statement: ast.stmt, facts: Facts) -> Value:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Constant | ast.List | ast.Tuple | ast.Set | ast.JoinedStr):
            return self.value(value, Frame(facts, {}, {}, {}, 0))
        return UNCLEAR

    def key(self, name: str) -> Value:
        """The value of a context key that is read."""
        self.keys.add(name)
        return Instance() if name in TASK_INSTANCE_KEYS else Key(name)

    # names -------------------------------------------------------------------------------------------------

    def _origins(self, node: ast.expr, frame: Frame) -> Iterator[tuple[str, Chain]]:
        """``(module, attributes)`` that an imported name or chain stands for."""
        found = dotted(node)
        if found is None or found[0] in frame.env:
            return
        name, chain = found
        if name in frame.imports:
            module, attribute = frame.imports[name]
            yield module, (attribute, *chain) if attribute else chain
        else:
            level = len(frame.facts.opened)
            for entry in frame.facts.imported(name, level):
                yield entry.module, entry.path(chain)
            if name in STAND_INS and not frame.facts.binding(name, level):
                yield from (
                    (module, found_path) for _, module in frame.facts.stars for found_path in [(name, *chain)]
                )

    def airflow_name(self, node: ast.expr, frame: Frame) -> Chain:
        """The attributes below an Airflow module, empty for all else."""
        for found in self._origins(node, frame):
            module, chain = found if _airflows(found[0]) else self.modules.origin(*found)
            if _airflows(module):
                return chain
        return ()

    def airflow_module(self, node: ast.expr, frame: Frame) -> bool:
        """True for a name that stands for a module of Airflow's itself."""
        return any(_airflows(module) and not chain for module, chain in self._origins(node, frame))

    def gives_context(self, node: ast.expr, frame: Frame) -> bool:
        """True for ``get_current_context()``."""
        return isinstance(node, ast.Call) and self.airflow_name(node.func, frame)[-1:] == (
            "get_current_context",
        )

    def definition(self, node: ast.expr, frame: Frame, needed: bool = False) -> tuple[Facts, ast.stmt] | None:
        """The first-party definition that an expression names."""
        found = dotted(node)
        if found is None:
            return None
        name, chain = found
        if name in frame.inner and not chain:
            return frame.facts, frame.inner[name]
        if name in frame.env:
            return None
        for module, path in self._origins(node, frame):
            known = None if is_airflow(module) else self.modules.lookup(module, path, needed)
            if known is not None:
                return known
        for level in range(len(frame.facts.opened), -1, -1):
            for other in frame.facts.bound.get((level, name), ()):
                if isinstance(other.stmt, DEFINITIONS) and other.alias is None:
                    return inside(frame.facts, other.stmt, chain)
        return None


def _airflows(module: str) -> bool:
    return is_airflow(module) or module == FACADE


def own(body: Body) -> Iterator[ast.AST]:
    """The nodes of a body, what nested functions hold left out."""
    pending = list(reversed(body))
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.Lambda)):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


def _member(owner: Value, name: str) -> Value:
    """The value of an attribute."""
    if owner == VAR and name in ("value", "json"):
        return Accessor()
    return dict(owner.kept).get(name, UNCLEAR) if isinstance(owner, Made) else UNCLEAR


def merge(first: Value | None, second: Value) -> Value:
    """The value of a name that has two; the context and ``ti`` win, so that no read is lost."""
    if first is None or first == second:
        return second
    for strong in (Context, Instance, Accessor):
        if isinstance(first, strong):
            return first
        if isinstance(second, strong):
            return second
    if VAR in (first, second):
        return VAR
    return UNCLEAR


def as_text(value: Value) -> Value:
    """The value of a context key that is text as a part of other texts."""
    return Parameter(value.name) if isinstance(value, Key) and value.name in TEXT_KEYS else value


def _folded(parts: tuple[Literal | Parameter, ...]) -> Text:
    if all(isinstance(part, Literal) for part in parts):
        return Literal("".join(str(part.value) for part in parts if isinstance(part, Literal)))
    return Joined(parts)


def inside(facts: Facts, statement: ast.stmt, chain: Chain) -> tuple[Facts, ast.stmt] | None:
    """The member of a class that *chain* names, or the definition itself."""
    for part in chain:
        members = statement.body if isinstance(statement, ast.ClassDef) else []
        found = [item for item in members if isinstance(item, DEFINITIONS) and item.name == part]
        if not found:
            return None
        statement = found[-1]
    return facts, statement
