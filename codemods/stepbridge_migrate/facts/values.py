"""What expressions of a DAG file give, as far as the source says it: ids, lists that loops run over, DAGs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from stepbridge_migrate.facts.operators import is_dag_class, is_task_group_class
from stepbridge_migrate.facts.project import Defined, Given, Module, Named, Project, Target
from stepbridge_migrate.facts.scopes import Bound, Scope, dotted


class _Unknown:
    """The value of what the source does not say."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
WILD: Final = "*"
"""Stands in a text for a part that is not known; no id of Airflow's may hold it."""

_DEPTH = 14
_ITEMS = 400
_STRAIGHT = frozenset({Bound.ASSIGN, Bound.WITH, Bound.IMPORT, Bound.DEF, Bound.CLASS})
_SPEC = 4
_WIDTH = 200
_WIDE_FORMAT = re.compile(r":[^{}]*(\d{4,}|\{)|[.\[]")
_SIGN = re.compile(r"%(\(\w+\))?[-+ #0-9.]*[a-zA-Z]")
_WIDE = re.compile(r"%[-+ #0]*(\*|[0-9.]{4,})")
_TEXT_METHODS = frozenset(
    [
        "lower",
        "upper",
        "title",
        "capitalize",
        "strip",
        "lstrip",
        "rstrip",
        "replace",
        "split",
        "rsplit",
        "removeprefix",
        "removesuffix",
        "zfill",
        "partition",
        "rpartition",
        "splitlines",
        "swapcase",
        "casefold",
    ]
)


@dataclass(frozen=True, eq=False)
class DagValue:
    """A DAG that a call of ``DAG`` makes.

    :param id: its id with ``*`` for what is not known.
    :param scope: where the call stands.
    """

    call: ast.Call
    module: Module
    scope: Scope
    id: str


@dataclass(frozen=True, eq=False)
class GroupValue:
    """A ``TaskGroup`` that a call makes.

    :param id: its own id with ``*`` for what is not known.
    :param prefixes: ids of the tasks in it begin with it.
    """

    call: ast.Call
    id: str
    prefixes: bool


@dataclass(frozen=True)
class Env:
    """Values of names that the source's bindings do not give: loops' variables, parameters."""

    names: Mapping[str, Any] = field(default_factory=dict)

    def with_names(self, names: Mapping[str, Any]) -> Env:
        """The same with more names."""
        return Env({**self.names, **names})


class Evaluator:
    """Gives expressions of one project their values."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def value(self, node: ast.expr | None, module: Module, scope: Scope, env: Env, depth: int = 0) -> Any:
        """What *node* gives, :data:`UNKNOWN` where that cannot be told."""
        if node is None or depth > _DEPTH:
            return UNKNOWN
        method = _VALUES.get(type(node))
        if method is None:
            return UNKNOWN
        try:
            return method(self, node, module, scope, env, depth + 1)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError):
            return UNKNOWN

    def text(self, node: ast.expr | None, module: Module, scope: Scope, env: Env) -> str:
        """The text that *node* gives, ``*`` where it is not known."""
        found = self.value(node, module, scope, env)
        return found if isinstance(found, str) else WILD

    def items(
        self, node: ast.expr, module: Module, scope: Scope, env: Env, depth: int = 0
    ) -> list[Any] | None:
        """What a loop over *node* runs through; None where that is not known or is very much."""
        found = self.value(node, module, scope, env, depth)
        if isinstance(found, dict | list | tuple | range | set):
            return list(found)[:_ITEMS] if len(found) <= _ITEMS else None
        return None

    # kinds of expressions ----------------------------------------------------------------------------------

    def _constant(self, node: ast.Constant, *_: Any) -> Any:
        return node.value

    def _name(self, node: ast.Name, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        if node.id in env.names:
            return env.names[node.id]
        if node.id == "__file__":
            return f"/{module.file.path}"
        return self._named(node, (node.id,), module, scope, env, depth)

    def _attribute(self, node: ast.Attribute, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        chain = dotted(node)
        if chain and chain[0] not in env.names:
            return self._named(node, chain, module, scope, env, depth)
        owner = self.value(node.value, module, scope, env, depth)
        if isinstance(owner, PurePosixPath) and node.attr in ("stem", "name", "parent", "suffix"):
            return getattr(owner, node.attr)
        return UNKNOWN

    def _named(
        self, node: ast.expr, chain: tuple[str, ...], module: Module, scope: Scope, env: Env, depth: int
    ) -> Any:
        found = scope.find(chain[0])
        if found is None or len(found[1]) != 1:
            chosen = self._latest(node, found, chain)
            targets: tuple[Target, ...] = ()
            if chosen is not None and found is not None:
                targets = (Given(module, found[0], chosen, chain[1:]),)
        else:
            targets = self.project.resolve(module, scope, chain)
        if len(targets) != 1 or not isinstance(targets[0], Given):
            return self._of_path(node, module, scope, env, depth)
        given = targets[0]
        if given.rest or given.binding.how not in (Bound.ASSIGN, Bound.WITH):
            return self._of_path(node, module, scope, env, depth)
        inner = env if given.module is module else Env()
        return self.value(given.binding.value, given.module, given.scope, inner, depth)

    @staticmethod
    def _latest(node: ast.expr, found: tuple[Scope, list[Any]] | None, chain: tuple[str, ...]) -> Any:
        """Of several values of a name the last one before *node*, where all stand straight in a body."""
        if found is None or len(chain) != 1:
            return None
        scope, bindings = found
        body = {id(item) for item in getattr(scope.node, "body", ())}
        if not all(item.how in _STRAIGHT and id(item.node) in body for item in bindings):
            return None
        before = [item for item in bindings if item.node.lineno <= node.lineno]
        return before[-1] if before else None

    def _of_path(self, node: ast.expr, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        """``Path(__file__).stem`` and its like."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call | ast.Attribute):
            owner = self.value(node.value, module, scope, env, depth)
            if isinstance(owner, PurePosixPath) and node.attr in ("stem", "name", "parent", "suffix"):
                return getattr(owner, node.attr)
        return UNKNOWN

    def _joined(self, node: ast.JoinedStr, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        return "".join(self._part(part, module, scope, env, depth) for part in node.values)

    def _part(self, part: ast.expr, module: Module, scope: Scope, env: Env, depth: int) -> str:
        if isinstance(part, ast.Constant):
            return str(part.value)
        if not isinstance(part, ast.FormattedValue):
            return WILD
        found = self.value(part.value, module, scope, env, depth)
        if not isinstance(found, str | int | float | bool) or (
            isinstance(found, str) and WILD in found and part.format_spec is not None
        ):
            return WILD
        if part.conversion == 114:
            found = repr(found)
        spec = ""
        if part.format_spec is not None:
            spec = self.text(part.format_spec, module, scope, env)
        return WILD if WILD in spec or len(spec) > _SPEC else format(found, spec)

    def _binop(self, node: ast.BinOp, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        left = self.value(node.left, module, scope, env, depth)
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            return self._percent(left, node.right, module, scope, env, depth)
        right = self.value(node.right, module, scope, env, depth)
        if isinstance(node.op, ast.Add):
            if isinstance(left, str) or isinstance(right, str):
                return _text_of(left) + _text_of(right)
            if isinstance(left, list) and isinstance(right, list):
                return left + right
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            return UNKNOWN
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult) and abs(left) < 1e9 and abs(right) < 1e9:
            return left * right
        return UNKNOWN

    def _percent(self, left: str, node: ast.expr, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        right = self.value(node, module, scope, env, depth)
        if right is UNKNOWN or (isinstance(right, tuple) and UNKNOWN in right) or WILD in str(right):
            return _SIGN.sub(WILD, left)
        return WILD if _WIDE.search(left) else left % right

    def _sequence(
        self, node: ast.List | ast.Tuple | ast.Set, module: Module, scope: Scope, env: Env, depth: int
    ) -> Any:
        found: list[Any] = []
        for item in node.elts[: _ITEMS + 1]:
            if isinstance(item, ast.Starred):
                inner = self.items(item.value, module, scope, env, depth)
                if inner is None:
                    return UNKNOWN
                found.extend(inner)
            else:
                found.append(self.value(item, module, scope, env, depth))
        return tuple(found) if isinstance(node, ast.Tuple) else found

    def _dict(self, node: ast.Dict, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        found: dict[Any, Any] = {}
        for key, item in list(zip(node.keys, node.values, strict=True))[: _ITEMS + 1]:
            value = self.value(item, module, scope, env, depth)
            if key is None:
                if not isinstance(value, dict):
                    return UNKNOWN
                found.update(value)
                continue
            name = self.value(key, module, scope, env, depth)
            if name is UNKNOWN or (isinstance(name, str) and WILD in name):
                return UNKNOWN
            found[name] = value
        return found

    def _subscript(self, node: ast.Subscript, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        owner = self.value(node.value, module, scope, env, depth)
        if not isinstance(owner, dict | list | tuple | str):
            return UNKNOWN
        if isinstance(node.slice, ast.Slice):
            ends = [node.slice.lower, node.slice.upper, node.slice.step]
            given = [None if end is None else self.value(end, module, scope, env, depth) for end in ends]
            return UNKNOWN if UNKNOWN in given else owner[slice(*given)]
        return owner[self.value(node.slice, module, scope, env, depth)]

    def _choice(self, node: ast.IfExp, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        left = self.value(node.body, module, scope, env, depth)
        right = self.value(node.orelse, module, scope, env, depth)
        return left if left is right or (left == right and left is not UNKNOWN) else UNKNOWN

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, module: Module, scope: Scope, env: Env,
        depth: int,
    ) -> Any:  # fmt: skip
        if len(node.generators) != 1 or node.generators[0].ifs:
            return UNKNOWN
        part = node.generators[0]
        items = self.items(part.iter, module, scope, env, depth)
        if items is None:
            return UNKNOWN
        return [
            self.value(node.elt, module, scope, env.with_names(dict(assigned(part.target, item))), depth)
            for item in items
        ]

    def _unary(self, node: ast.UnaryOp, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        found = self.value(node.operand, module, scope, env, depth)
        return -found if isinstance(node.op, ast.USub) and isinstance(found, int | float) else UNKNOWN

    # calls -------------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        function = node.func
        if isinstance(function, ast.Name) and scope.find(function.id) is None:
            return self._builtin(node, function.id, module, scope, env, depth)
        chain = dotted(function)
        targets = self.project.resolve(module, scope, chain) if chain else ()
        if len(targets) == 1 and isinstance(targets[0], Named):
            name = targets[0].name
            if is_dag_class(name):
                return self.dag(node, module, scope, env)
            if is_task_group_class(name):
                return self.group(node, module, scope, env)
            return self._library(name, node, module, scope, env, depth)
        if len(targets) == 1 and isinstance(targets[0], Defined):
            return self._own(targets[0], node, module, scope, env, depth)
        if any(isinstance(target, Named) and is_dag_class(target.name) for target in targets):
            return self.dag(node, module, scope, env)
        if isinstance(function, ast.Attribute):
            return self._method(node, function, module, scope, env, depth)
        return UNKNOWN

    def dag(self, node: ast.Call, module: Module, scope: Scope, env: Env) -> DagValue:
        """The DAG that a call of ``DAG`` makes."""
        given = node.args[0] if node.args else keyword(node, "dag_id")
        return DagValue(node, module, scope, self.text(given, module, scope, env))

    def group(self, node: ast.Call, module: Module, scope: Scope, env: Env) -> GroupValue:
        """The group that a call of ``TaskGroup`` makes."""
        given = node.args[0] if node.args else keyword(node, "group_id")
        prefix = keyword(node, "prefix_group_id") or (node.args[1] if len(node.args) > 1 else None)
        prefixes = not (isinstance(prefix, ast.Constant) and prefix.value is False)
        return GroupValue(node, self.text(given, module, scope, env), prefixes)

    def _builtin(self, node: ast.Call, name: str, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        if name == "dict" and not node.args:
            return {
                word.arg: self.value(word.value, module, scope, env, depth)
                for word in node.keywords
                if word.arg
            }
        given = [self.value(item, module, scope, env, depth) for item in node.args]
        if name == "str" and len(given) == 1:
            return WILD if given[0] is UNKNOWN else str(given[0])
        if UNKNOWN in given or not given:
            return UNKNOWN
        if name == "range" and all(isinstance(item, int) for item in given):
            return range(*given)
        lists = [
            list(item)
            for item in given
            if isinstance(item, list | tuple | dict | range | set) and len(item) <= _ITEMS
        ]
        if len(lists) != len(given):
            return self._counted(name, given, node, lists)
        if name in ("list", "tuple", "set", "iter"):
            return lists[0]
        if name == "sorted" and not node.keywords:
            return sorted(lists[0])
        if name == "reversed":
            return lists[0][::-1]
        if name == "zip":
            return list(zip(*lists, strict=False))
        return self._counted(name, given, node, lists)

    @staticmethod
    def _counted(name: str, given: list[Any], node: ast.Call, lists: list[list[Any]]) -> Any:
        if name == "len" and len(given) == 1:
            return len(given[0])
        if name == "enumerate" and lists:
            start = given[1] if len(given) > 1 else 0
            first = keyword(node, "start")
            if isinstance(first, ast.Constant) and isinstance(first.value, int):
                start = first.value
            return list(enumerate(lists[0], start))
        if name == "int" and isinstance(given[0], str | int | float):
            return int(given[0])
        return UNKNOWN

    def _library(self, name: str, node: ast.Call, module: Module, scope: Scope, env: Env, depth: int) -> Any:
        """The few functions of the standard library that ids are made with."""
        if name.startswith(("os.path.", "posixpath.", "pathlib.")) and len(node.args) == 1:
            given = self.value(node.args[0], module, scope, env, depth)
            if not isinstance(given, str | PurePosixPath) or WILD in str(given):
                return UNKNOWN
            path = PurePosixPath(given)
            last = name.rpartition(".")[2]
            if last == "basename":
                return path.name
            if last == "splitext":
                return (str(given)[: len(str(given)) - len(path.suffix)], path.suffix)
            if last in ("Path", "PurePath", "PosixPath", "PurePosixPath"):
                return path
            return str(given) if last in ("abspath", "realpath") else UNKNOWN
        if name == "range" or name.endswith(".OrderedDict"):
            return UNKNOWN
        return UNKNOWN

    def _method(
        self, node: ast.Call, function: ast.Attribute, module: Module, scope: Scope, env: Env, depth: int
    ) -> Any:
        owner = self.value(function.value, module, scope, env, depth)
        if isinstance(owner, dict) and not node.args and function.attr in ("items", "keys", "values"):
            return list(getattr(owner, function.attr)())
        given = [self.value(item, module, scope, env, depth) for item in node.args]
        if isinstance(owner, dict) and function.attr == "get" and given and given[0] is not UNKNOWN:
            return owner.get(given[0], given[1] if len(given) > 1 else None)
        if isinstance(owner, PurePosixPath) and function.attr in ("resolve", "absolute"):
            return owner
        if not isinstance(owner, str):
            return UNKNOWN
        if function.attr == "format":
            return self._formatted(owner, given, node, module, scope, env, depth)
        if function.attr == "join" and len(given) == 1 and isinstance(given[0], list | tuple):
            return owner.join(_text_of(item) for item in given[0])
        narrow = not any(isinstance(item, int) and item > _WIDTH for item in given)
        if function.attr in _TEXT_METHODS and UNKNOWN not in given and narrow:
            return getattr(owner, function.attr)(*given)
        return UNKNOWN

    def _formatted(
        self, text: str, given: list[Any], node: ast.Call, module: Module, scope: Scope, env: Env, depth: int
    ) -> Any:
        names = {
            word.arg: _text_of(self.value(word.value, module, scope, env, depth))
            for word in node.keywords
            if word.arg
        }
        if _WIDE_FORMAT.search(text):
            return WILD
        return text.format(*(_text_of(item) for item in given), **names)

    def _own(
        self, target: Defined, node: ast.Call, module: Module, scope: Scope, env: Env, depth: int
    ) -> Any:
        """A function of the project that does nothing but return something; a class of DAGs."""
        if isinstance(target.node, ast.ClassDef):
            return self.dag(node, module, scope, env) if self._derives_dag(target) else UNKNOWN
        if isinstance(target.node, ast.AsyncFunctionDef) or target.node.decorator_list:
            return UNKNOWN
        returned = [item for item in target.node.body if isinstance(item, ast.Return)]
        inner = target.module.walked.scopes.get(id(target.node))
        if len(returned) != 1 or inner is None:
            return UNKNOWN
        names = dict(self.bound(target.node, node, module, scope, env, depth))
        return self.value(returned[0].value, target.module, inner, Env(names), depth + 2)

    def _derives_dag(self, target: Defined, depth: int = 0) -> bool:
        assert isinstance(target.node, ast.ClassDef)
        for base in target.node.bases:
            for found in self.project.resolve(target.module, target.scope, dotted(base)):
                if isinstance(found, Named) and is_dag_class(found.name):
                    return True
                if isinstance(found, Defined) and isinstance(found.node, ast.ClassDef) and depth < 8:
                    return self._derives_dag(found, depth + 1)
        return False

    def bound(
        self, function: ast.FunctionDef | ast.AsyncFunctionDef, call: ast.Call, module: Module, scope: Scope,
        env: Env, depth: int = 0, inside: Module | None = None,
    ) -> Iterator[tuple[str, Any]]:  # fmt: skip
        """The parameters of *function* with the values that *call* gives them.

        :param module: that the call stands in; *inside* is the function's, where it is another.
        """
        own = inside or module
        arguments = function.args
        positional = [item.arg for item in (*arguments.posonlyargs, *arguments.args)]
        inner = own.walked.scopes.get(id(function), scope)
        names: dict[str, Any] = dict.fromkeys(
            [*positional, *(item.arg for item in arguments.kwonlyargs)], UNKNOWN
        )
        defaults = zip(reversed(positional), reversed(arguments.defaults), strict=False)
        for name, default in defaults:
            names[name] = self.value(default, own, inner, Env(), depth)
        for item, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if given is not None:
                names[item.arg] = self.value(given, own, inner, Env(), depth)
        spread = any(isinstance(item, ast.Starred) for item in call.args)
        for name, value in zip(positional, () if spread else call.args, strict=False):
            names[name] = self.value(value, module, scope, env, depth)
        for word in call.keywords:
            if word.arg in names:
                names[word.arg] = self.value(word.value, module, scope, env, depth)
        if spread or any(word.arg is None for word in call.keywords):
            given_names = {word.arg for word in call.keywords}
            names = {name: value if name in given_names else UNKNOWN for name, value in names.items()}
        yield from names.items()


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The value of one keyword of a call."""
    return next((word.value for word in call.keywords if word.arg == name), None)


def assigned(target: ast.expr, value: Any) -> Iterator[tuple[str, Any]]:
    """The names of a target with their parts of *value*."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List):
        parts = list(value) if isinstance(value, list | tuple) else []
        fits = len(parts) == len(target.elts) and not any(
            isinstance(item, ast.Starred) for item in target.elts
        )
        for index, item in enumerate(target.elts):
            yield from assigned(item, parts[index] if fits else UNKNOWN)
    elif isinstance(target, ast.Starred):
        yield from assigned(target.value, UNKNOWN)


def _text_of(value: Any) -> str:
    return WILD if not isinstance(value, str | int | float) else str(value)


_VALUES: dict[type[ast.AST], Any] = {
    ast.Constant: Evaluator._constant,
    ast.Name: Evaluator._name,
    ast.Attribute: Evaluator._attribute,
    ast.JoinedStr: Evaluator._joined,
    ast.BinOp: Evaluator._binop,
    ast.List: Evaluator._sequence,
    ast.Tuple: Evaluator._sequence,
    ast.Set: Evaluator._sequence,
    ast.Dict: Evaluator._dict,
    ast.Subscript: Evaluator._subscript,
    ast.IfExp: Evaluator._choice,
    ast.ListComp: Evaluator._comprehension,
    ast.SetComp: Evaluator._comprehension,
    ast.GeneratorExp: Evaluator._comprehension,
    ast.UnaryOp: Evaluator._unary,
    ast.Call: Evaluator._call,
}
