"""Finds what a function reads of Airflow by following the context and ``ti`` through its code and helpers."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from stepbridge.code.abstract import (
    GETTERS,
    UNCLEAR,
    VAR,
    Accessor,
    Body,
    Context,
    Each,
    Frame,
    Instance,
    Key,
    Value,
    as_text,
)
from stepbridge.code.airflow_names import CONTEXT_KEYS, OBJECT_KEYS, TEXT_KEYS
from stepbridge.code.bound import dotted, parameters
from stepbridge.code.facts import Facts
from stepbridge.code.instances import made, maker, receiver
from stepbridge.code.literal import code_text, global_name
from stepbridge.code.nodes import FUNCTIONS
from stepbridge.code.reads import (
    Expression,
    Joined,
    Listed,
    Literal,
    Parameter,
    PullCall,
    Reads,
    parameter_names,
)
from stepbridge.code.services import Services

_DEPTH = 12
_PULL_NAMES = ("task_ids", "dag_id", "key", "include_prior_dates")
_PLAIN_CALLS = frozenset({"bool", "len", "isinstance", "type", "id", "callable"})


@dataclass
class Reader(Services):
    """Collects :class:`Reads`."""

    attributes: set[str] = field(default_factory=set)
    escapes: list[str] = field(default_factory=list)
    pulls: list[PullCall] = field(default_factory=list)
    pushes: list[str] = field(default_factory=list)
    _seen: set[tuple[int, tuple[tuple[str, Value], ...]]] = field(default_factory=set)

    def reads(self) -> Reads:
        """What has been found."""
        return Reads(
            context_keys=frozenset(self.keys),
            escapes=tuple(dict.fromkeys(self.escapes)),
            pulls=tuple(dict.fromkeys(self.pulls)),
            variables=frozenset(self.variables),
            connections=frozenset(self.connections),
            dynamic=tuple(dict.fromkeys(self.dynamic)),
            attributes=frozenset(self.attributes),
            pushes=tuple(dict.fromkeys(self.pushes)),
            lookups=tuple(dict.fromkeys(self.lookups)),
        )

    def entry(self, facts: Facts, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Read the step's own function: Airflow fills its parameters."""
        env: dict[str, Value] = {}
        for item in parameters(node.args):
            name = item.arg
            if item is node.args.kwarg:
                env[name] = Context()
            elif name in CONTEXT_KEYS and name not in self.given and item is not node.args.vararg:
                env[name] = self.key(name)
            else:
                env[name] = Parameter(name)
        self.function(facts, node, env, 0)

    def statements(self, facts: Facts, body: Iterable[ast.AST]) -> None:
        """Read statements of a module's level."""
        body = list(body)
        frame = Frame(facts, {}, {}, {}, 0)
        self.bind(frame, body)
        for node in body:
            self._visit(node, frame)

    def function(
        self,
        facts: Facts,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        env: Mapping[str, Value],
        depth: int,
    ) -> None:
        """Read one function with the values of its parameters."""
        mark = (id(node), tuple(sorted(env.items(), key=lambda item: item[0])))
        if mark in self._seen or depth > _DEPTH:
            return
        self._seen.add(mark)
        body: Body = [node.body] if isinstance(node, ast.Lambda) else node.body
        frame = Frame(facts, dict(env), {}, {}, depth)
        self.open(frame, body)
        for statement in body:
            self._visit(statement, frame)

    # the walk ----------------------------------------------------------------------------------------------

    def _visit(self, node: ast.AST, frame: Frame) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._nested(node, frame)
            case ast.Call() | ast.Subscript() if (name := global_name(node)) is not None:
                self._visit(ast.copy_location(ast.Name(name, ast.Load()), node), frame)
            case ast.Call() if (code := code_text(node)) is not None:
                for item in code:
                    self._visit(item, frame)
            case ast.Call():
                self._call(node, frame)
            case ast.Subscript():
                self._subscript(node, frame)
            case ast.Attribute():
                self._attribute(node, frame)
            case ast.Name(ctx=ast.Load()):
                self._name(node, frame)
            case ast.arguments() | ast.Import() | ast.ImportFrom():
                return
            case _ if not self._plain(node, frame):
                for child in ast.iter_child_nodes(node):
                    self._visit(child, frame)

    def _plain(self, node: ast.AST, frame: Frame) -> bool:
        """Statements in which the context may stand without going anywhere; False for all others."""
        match node:
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]) if isinstance(
                self.value(right, frame), Context
            ):
                self._read_key(left, node, frame)
            case ast.Assign(targets=found, value=value) if all(isinstance(item, ast.Name) for item in found):
                self._settled(value, frame)
            case ast.AnnAssign(target=ast.Name(), value=ast.expr() as value) | ast.NamedExpr(value=value):
                self._settled(value, frame)
            case ast.Assign(targets=[ast.Tuple(elts=left)], value=ast.Tuple(elts=right)) if len(left) == len(
                right
            ):
                for item in right:
                    self._settled(item, frame)
            case _:
                return self._tested(node, frame)
        return True

    def _tested(self, node: ast.AST, frame: Frame) -> bool:
        """Tests, which ask only whether a value is there; False for all else."""
        match node:
            case ast.If(test=ast.Name()) | ast.While(test=ast.Name()):
                for statement in (*node.body, *node.orelse):
                    self._visit(statement, frame)
            case ast.IfExp(test=ast.Name(), body=left, orelse=right):
                self._visit(left, frame)
                self._visit(right, frame)
            case ast.BoolOp(values=[*first, last]):
                for value in first:
                    if not isinstance(value, ast.Name) or isinstance(node.op, ast.Or):
                        self._visit(value, frame)
                self._visit(last, frame)
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name()):
                return True
            case ast.Compare(left=ast.Name(), ops=[ast.Is() | ast.IsNot()], comparators=[ast.Constant()]):
                return True
            case _:
                return False
        return True

    def _settled(self, value: ast.expr, frame: Frame) -> None:
        """The value of an assignment: giving the context another name is no escape."""
        if _opaque(self.value(value, frame)):
            if self._is_inner(value, frame):
                self._inner(value, frame)
                return
            if isinstance(value, ast.BoolOp | ast.IfExp):
                options = value.values if isinstance(value, ast.BoolOp) else [value.body, value.orelse]
                for option in options:
                    self._settled(option, frame)
                return
        self._visit(value, frame)

    def _name(self, node: ast.Name, frame: Frame) -> None:
        found = frame.env.get(node.id)
        if _opaque(found):
            self._escape(node, frame)
        elif found is None and not self._stand_in(node, frame):
            self._reached(node, frame)

    def _stand_in(self, node: ast.expr, frame: Frame) -> bool:
        """``Variable`` or ``get_current_context`` used otherwise than by a direct call."""
        chain = self.airflow_name(node, frame)
        if "Variable" in chain or self.airflow_module(node, frame):
            self.unclear(node, frame, f"{ast.unparse(node)} is used other than by a call of Variable.get")
        elif chain[-1:] == ("get_current_context",):
            self._escape(node, frame)
        else:
            return False
        return True

    def _escape(self, node: ast.AST, frame: Frame) -> None:
        if isinstance(node, ast.expr) and _gives_variables(self.value(node, frame)):
            self.unclear(node, frame, f"Variables by a computed name: {ast.unparse(node)}")
        else:
            self.escapes.append(frame.facts.source.place(node))

    def _nested(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, frame: Frame) -> None:
        own = {item.arg for item in parameters(node.args)}
        env = {name: value for name, value in frame.env.items() if name not in own}
        env.update(dict.fromkeys(own, UNCLEAR))
        body: Body = [node.body] if isinstance(node, ast.Lambda) else node.body
        inner = Frame(frame.facts, env, dict(frame.imports), dict(frame.inner), frame.depth)
        self.open(inner, body)
        outside = [*node.args.defaults, *(item for item in node.args.kw_defaults if item)]
        for default in outside:
            self._visit(default, frame)
        for statement in body:
            self._visit(statement, inner)

    def _subscript(self, node: ast.Subscript, frame: Frame) -> None:
        if _opaque(self.value(node, frame)) and not isinstance(self.value(node, frame), Context | Instance):
            self._escape(node, frame)
        if isinstance(self.value(node.value, frame), Context):
            if isinstance(node.ctx, ast.Load):
                self._read_key(node.slice, node, frame)
            self._inner(node.value, frame)
        elif _gives_variables(self.value(node.value, frame)):
            if isinstance(self.value(node.value, frame), Accessor):
                self.take(node.slice, "variable", "a Variable", node, frame)
            elif not isinstance(self.value(node, frame), Accessor):
                self._escape(node.value, frame)
            self._inner(node.value, frame)
        else:
            self._visit(node.value, frame)
        self._visit(node.slice, frame)

    def _is_inner(self, node: ast.expr, frame: Frame) -> bool:
        """True for the forms that :meth:`_inner` knows."""
        return (
            isinstance(node, ast.Name | ast.Subscript)
            or self.gives_context(node, frame)
            or _gives_variables(self.value(node, frame))
        )

    def _inner(self, node: ast.expr, frame: Frame) -> None:
        """What makes the context or ``ti`` itself: ``context["ti"]``, ``get_current_context()``."""
        if isinstance(node, ast.Subscript) and isinstance(self.value(node.value, frame), Context):
            self._read_key(node.slice, node, frame)
            self._inner(node.value, frame)
        elif _gives_variables(self.value(node, frame)):
            self._inner_variables(node, frame)
        elif not isinstance(node, ast.Name) and not self.gives_context(node, frame):
            self._visit(node, frame)

    def _inner_variables(self, node: ast.expr, frame: Frame) -> None:
        match node:
            case ast.Call(func=ast.Attribute(value=owner), args=[first, *_]):
                if isinstance(self.value(owner, frame), Context):
                    self._read_key(first, node, frame)
                self._inner(owner, frame)
            case ast.Subscript(value=owner) | ast.Attribute(value=owner):
                self._inner(owner, frame)
            case ast.Name():
                return
            case _:
                self._escape(node, frame)

    def _read_key(self, index: ast.expr, node: ast.AST, frame: Frame) -> None:
        value = self.value(index, frame)
        options = value.values if isinstance(value, Each) else (value,)
        for option in options:
            if not isinstance(option, Literal):
                self._escape(node, frame)
            elif option.value in CONTEXT_KEYS and option.value not in self.given:
                self.keys.add(str(option.value))

    def _attribute(self, node: ast.Attribute, frame: Frame) -> None:
        value = self.value(node.value, frame)
        if isinstance(value, Instance):
            self.attributes.add(f"ti.{node.attr}")
            self._inner(node.value, frame)
        elif _gives_variables(value):
            if isinstance(value, Accessor):
                self.variables.add(node.attr)
            else:
                self._escape(node.value, frame)
            self._inner(node.value, frame)
        elif isinstance(value, Key):
            self.attributes.add(f"{value.name}.{node.attr}")
            self._inner(node.value, frame)
        elif isinstance(value, Context):
            self._escape(node, frame)
        elif dotted(node) is not None and dotted(node)[0] not in frame.env:  # type: ignore[index]
            if not self._stand_in(node, frame):
                self._reached(node, frame)
        else:
            self._visit(node.value, frame)

    # calls -------------------------------------------------------------------------------------------------

    def _inside(self, given: list[ast.expr], frame: Frame) -> None:
        """What the arguments of a call read that does nothing with a name itself: ``len(context)``."""
        for item in given:
            if not isinstance(item, ast.Name):
                self._visit(item, frame)

    def _call(self, node: ast.Call, frame: Frame) -> None:
        if isinstance(node.func, ast.Attribute) and self._method(node, node.func, frame):
            return
        if self.service(node, frame):
            self._arguments(node, frame)
            return
        if self.gives_context(node, frame):
            self._escape(node, frame)
            return
        if isinstance(node.func, ast.Name) and node.func.id not in frame.env:
            if node.func.id in _PLAIN_CALLS:
                self._inside([*node.args, *(word.value for word in node.keywords)], frame)
                return
            if self._getattr(node, node.func.id, frame):
                return
        given = [*node.args, *(word.value for word in node.keywords)]
        carries = any(_opaque(self.value(item, frame)) for item in given)
        found = self.definition(node.func, frame, carries)
        if found is not None and isinstance(found[1], FUNCTIONS):
            self._followed(node, found[0], found[1], frame)
            return
        if found is not None and isinstance(found[1], ast.ClassDef) and self._made(node, *found, frame):
            return
        self._visit(node.func, frame)
        self._arguments(node, frame)

    def _getattr(self, node: ast.Call, name: str, frame: Frame) -> bool:
        """``getattr(ti, "try_number", 1)``, which is an attribute; False for all other calls."""
        match node.args:
            case [owner, ast.Constant(value=str() as attribute), *defaults] if name in ("getattr", "hasattr"):
                found = ast.copy_location(ast.Attribute(owner, attribute, ast.Load()), node)
                if _opaque(self.value(owner, frame)):
                    self._attribute(found, frame)
                    for default in defaults:
                        self._visit(default, frame)
                    return True
        return False

    def _arguments(self, node: ast.Call, frame: Frame) -> None:
        for item in (*node.args, *(word.value for word in node.keywords)):
            inner = item.value if isinstance(item, ast.Starred) else item
            value = self.value(inner, frame)
            if isinstance(value, Context | Instance) and not isinstance(inner, ast.Name):
                self._escape(inner, frame)
            self._visit(inner, frame)

    def _method(self, node: ast.Call, function: ast.Attribute, frame: Frame) -> bool:
        """Methods of the context and of ``ti``; False for all others."""
        value = self.value(function.value, frame)
        if isinstance(value, Context):
            if function.attr in GETTERS and node.args:
                self._read_key(node.args[0], node, frame)
                if self.value(node, frame) == VAR:
                    self._escape(node, frame)
            elif function.attr != "update":
                self._escape(node, frame)
        elif isinstance(value, Instance) and function.attr == "xcom_pull":
            self._pull(node, frame)
        elif isinstance(value, Instance) and function.attr == "xcom_push":
            self.pushes.append(frame.facts.source.place(node))
        elif isinstance(value, Accessor) and function.attr in GETTERS and node.args:
            self.take(node.args[0], "variable", "a Variable", node, frame)
        elif _gives_variables(value):
            self.unclear(node, frame, f"Variables by a computed name: {ast.unparse(node)}")
        else:
            return False
        self._inner(function.value, frame)
        self._arguments(node, frame)
        return True

    def _pull(self, node: ast.Call, frame: Frame) -> None:
        given: dict[str, ast.expr] = dict(zip(_PULL_NAMES, node.args, strict=False))
        given.update({word.arg: word.value for word in node.keywords if word.arg})
        place = frame.facts.source.place(node)
        unpacked = any(word.arg is None for word in node.keywords)
        given = {name: item for name, item in given.items() if not _is_none(item)}
        ids = self._expressions(given.pop("task_ids", None), frame)
        keys = self._expressions(given.pop("key", None), frame)
        if ids is None or keys is None or unpacked:
            self.unclear(node, frame, f"xcom_pull of a computed task id or key: {ast.unparse(node)}")
            return
        options = tuple(sorted(set(given) - {"default"}))
        for one in ids:
            for key in keys:
                names = parameter_names(one) | parameter_names(key)
                context = tuple(sorted((names & TEXT_KEYS) - self.given))
                self.pulls.append(PullCall(one, key, place, options, context))

    def _expressions(self, node: ast.expr | None, frame: Frame) -> tuple[Expression | None, ...] | None:
        """The values that an argument may have; None where that is not known."""
        if node is None:
            return (None,)
        value = as_text(self.value(node, frame))
        if isinstance(value, Each):
            return value.values
        return (value,) if isinstance(value, Literal | Parameter | Joined | Listed) else None

    # helpers -----------------------------------------------------------------------------------------------

    def _followed(
        self, call: ast.Call, facts: Facts, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame
    ) -> None:
        """A call of a first-party function: read it with what it is given."""
        self.function(facts, node, self._given(call, facts, node, frame), frame.depth + 1)

    def _made(self, call: ast.Call, facts: Facts, cls: ast.stmt, frame: Frame) -> bool:
        """A call of a first-party class: read its methods with what the instance keeps of the arguments."""
        init = maker(cls) if isinstance(cls, ast.ClassDef) else None
        if init is None or not isinstance(cls, ast.ClassDef):
            return False
        env = self._given(call, facts, init, frame, own=1)
        inner = Frame(facts, dict(env), {}, {}, frame.depth + 1)
        self.open(inner, init.body)
        kept = made(self, init, inner, [one.source.tree for one in dict.fromkeys((facts, frame.facts))])
        self.function(facts, init, env, frame.depth + 1)
        for member in cls.body:
            if isinstance(member, FUNCTIONS) and member is not init:
                values: dict[str, Value] = {item.arg: UNCLEAR for item in parameters(member.args)}
                if receiver(member):
                    values[receiver(member)] = kept
                self.function(facts, member, values, frame.depth + 1)
        return True

    def _given(
        self,
        call: ast.Call,
        facts: Facts,
        node: ast.FunctionDef | ast.AsyncFunctionDef,
        frame: Frame,
        own: int = 0,
    ) -> dict[str, Value]:
        """The values that the parameters of *node* have in *call*, whose arguments are read here.

        :param own: how many first parameters the call does not fill: ``self``.
        """
        env: dict[str, Value] = {item.arg: UNCLEAR for item in parameters(node.args)}
        every = [item.arg for item in (*node.args.posonlyargs, *node.args.args)]
        positional = every[own:]
        for name, default in _default_values(node):
            env[name] = self.value(default, Frame(facts, {}, {}, {}, 0))
        if facts is frame.facts and node.name in frame.inner:
            env = {**{name: value for name, value in frame.env.items() if name not in env}, **env}
        spread = False
        for index, item in enumerate(call.args):
            if isinstance(item, ast.Starred):
                self._visit(item.value, frame)
                continue
            value = self._passed(item, frame)
            if index < len(positional):
                env[positional[index]] = value
            elif isinstance(value, Context | Instance):
                self._escape(item, frame)
        for word in call.keywords:
            value = self._passed(word.value, frame)
            if word.arg is None:
                spread |= isinstance(value, Context)
            elif word.arg in env:
                env[word.arg] = value
            elif isinstance(value, Context | Instance):
                self._escape(word.value, frame)
        if spread:
            named = {word.arg for word in call.keywords} | set(every[: own + len(call.args)])
            self._spread(node, env, named)
        return env

    def _spread(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, env: dict[str, Value], named: set[str | None]
    ) -> None:
        """``f(**context)``: the parameters of *f* are keys of the context."""
        for item in parameters(node.args):
            if item is node.args.kwarg:
                env[item.arg] = Context()
            elif item.arg not in named and item.arg in CONTEXT_KEYS and item.arg not in self.given:
                env[item.arg] = self.key(item.arg)
            elif item.arg not in named and item is not node.args.vararg:
                known = env.get(item.arg)
                env[item.arg] = Parameter(item.arg, known.value if isinstance(known, Literal) else None)

    def _passed(self, item: ast.expr, frame: Frame) -> Value:
        value = self.value(item, frame)
        if _opaque(value) and self._is_inner(item, frame):
            self._inner(item, frame)
        else:
            self._visit(item, frame)
        return value

    def _reached(self, node: ast.expr, frame: Frame) -> None:
        """A first-party function or class that is named: it may be called with anything."""
        found = self.definition(node, frame)
        if found is None:
            return
        facts, statement = found
        if isinstance(statement, FUNCTIONS):
            env: dict[str, Value] = {item.arg: UNCLEAR for item in parameters(statement.args)}
            if facts is frame.facts and statement.name in frame.inner:
                return
            self.function(facts, statement, env, frame.depth + 1)
        elif isinstance(statement, ast.ClassDef):
            for member in statement.body:
                if isinstance(member, FUNCTIONS):
                    unknown: dict[str, Value] = {item.arg: UNCLEAR for item in parameters(member.args)}
                    self.function(facts, member, unknown, frame.depth + 1)
            for base in statement.bases:
                self._reached(base, Frame(facts, {}, {}, {}, frame.depth + 1))


def _opaque(value: Value | None) -> bool:
    """True for values of which the code may read anything: they must not get out of sight."""
    return (
        isinstance(value, Context | Instance)
        or (isinstance(value, Key) and value.name in OBJECT_KEYS)
        or _gives_variables(value)
    )


def _gives_variables(value: Value | None) -> bool:
    return isinstance(value, Accessor) or value == VAR


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _default_values(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, ast.expr]]:
    positional = [item.arg for item in (*node.args.posonlyargs, *node.args.args)]
    count = len(node.args.defaults)
    yield from zip(positional[len(positional) - count :], node.args.defaults, strict=True)
    for item, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if default is not None:
            yield item.arg, default
