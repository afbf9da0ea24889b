"""From a live callable to its definition: partials, methods, decorators and Airflow's wrappers undone."""

from __future__ import annotations

import ast
import builtins
import functools
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepbridge.code.nodes import ancestors
from stepbridge.code.scope import LAMBDA, unwrapped
from stepbridge.code.source import Source
from stepbridge.failures import CodeProblem


@dataclass(frozen=True)
class Callee:
    """A callable without what binds arguments to it.

    :param function: the function, or the class for a class that is called.
    :param owner: for methods, the class and the method's name.
    """

    function: Any
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    owner: tuple[type, str] | None = None


def place_of(function: object) -> str:
    """``file:line`` of a callable, or its name."""
    code = getattr(function, "__code__", None)
    if isinstance(code, types.CodeType):
        return f"{code.co_filename}:{code.co_firstlineno}"
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def callee_of(function: Callable[..., Any]) -> Callee:
    """Undo ``functools.partial``, methods and Airflow's decorator objects.

    :raises CodeProblem: SB202 for methods of instances and callable instances.
    """
    value: Any = function
    args: tuple[object, ...] = ()
    kwargs: dict[str, object] = {}
    while True:
        if isinstance(value, functools.partial):
            args, kwargs = (*value.args, *args), {**value.keywords, **kwargs}
            value = value.func
        elif unwrapped(value) is not value:
            value = unwrapped(value)
        else:
            break
    if isinstance(value, types.MethodType):
        if isinstance(value.__self__, type):
            return Callee(value.__func__, args, kwargs, (value.__self__, value.__func__.__name__))
        raise _instance_problem(value.__func__, value.__self__)
    if isinstance(value, types.FunctionType | type | types.BuiltinFunctionType):
        return Callee(value, args, kwargs)
    if not callable(value):
        raise CodeProblem("SB202", f"a {type(value).__qualname__} is not callable", hint="pass a function")
    if getattr(value, "__wrapped__", None) is not None:
        return Callee(value, args, kwargs)
    if getattr(value, "__module__", None) and getattr(value, "__qualname__", None):
        return Callee(value, args, kwargs)
    raise _instance_problem(type(value).__call__, value)


def _instance_problem(function: object, instance: object) -> CodeProblem:
    cls = type(instance).__qualname__
    name = getattr(function, "__name__", "__call__")
    return CodeProblem(
        "SB202",
        f"{cls}.{name} is a method of an instance of {cls}, which was made when the file was parsed",
        place=place_of(function),
        hint=f"write a function that makes the {cls} and calls it; pass its constructor's arguments",
    )


def layers(function: object) -> Iterator[object]:
    """*function*, and what its decorators wrap, outermost first."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        function = unwrapped(getattr(function, "__wrapped__", None))


def same_file(first: Path, second: Path) -> bool:
    """True where two paths name one file."""
    if first == second:
        return True
    return os.path.realpath(first) == os.path.realpath(second)


def live_module(path: Path) -> Mapping[str, Any]:
    """The globals of the loaded module whose file is *path*: Airflow gives DAG files names of its own."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and file.endswith(path.name) and same_file(Path(file), path):
            return vars(module)
    return {}


def globals_of(module: str) -> Mapping[str, Any]:
    """The globals of the loaded module *module*; none where it is not loaded."""
    live = sys.modules.get(module)
    return vars(live) if live is not None else {}


def live_globals(function: object, path: Path) -> Mapping[str, Any]:
    """The live globals of a file: those of the callable *function* where it comes from there."""
    for layer in layers(function):
        found: dict[str, Any] = getattr(layer, "__globals__", {})
        file = found.get("__file__")
        if isinstance(file, str) and same_file(Path(file), path):
            return found
    return live_module(path)


def global_name(value: object, names: Mapping[str, Any]) -> str | None:
    """The name under which *value* is a global, its own name preferred."""
    own = getattr(value, "__name__", "")
    candidates = [own, *(name for name in names if name != own)]
    for name in candidates:
        if name in names and (names[name] is value or unwrapped(names[name]) is value):
            return name
    return None


def definition(
    source: Source, function: object
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """The ``def`` or lambda in *source* that made *function*."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType):
        return None
    if code.co_name == "<lambda>":
        return _lambda(source, code)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            if first == code.co_firstlineno:
                return node
    return None


def _lambda(source: Source, code: types.CodeType) -> ast.Lambda | None:
    found = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
    ]
    if len(found) == 1:
        return found[0]
    spans = {(line, end, column, last) for line, end, column, last in code.co_positions()}
    for node in found:
        body = node.body
        if (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset) in spans:
            return node
    return None


def way_to(source: Source, node: ast.AST) -> tuple[ast.AST, ...]:
    """The functions and classes around *node*, outermost first."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return tuple(item for item in ancestors(source.tree, node) if isinstance(item, kinds))


def result_of(node: ast.AST, way: tuple[ast.AST, ...]) -> str:
    """The expression that gives the definition in the innermost function around it."""
    if isinstance(node, ast.Lambda):
        return LAMBDA
    parts: list[str] = [node.name]  # type: ignore[attr-defined]
    for around in reversed(way):
        if not isinstance(around, ast.ClassDef):
            break
        parts.insert(0, around.name)
    return ".".join(parts)


def importable(value: object) -> tuple[str, str] | None:
    """``(module, qualname)`` under which *value* can be imported, None where that gives something else."""
    module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(value, types.BuiltinFunctionType) and module is None:
        return None
    if (
        not isinstance(module, str)
        or not isinstance(qualname, str)
        or "<" in qualname
        or module == "__main__"
    ):
        return None
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    found = getattr(found, "__func__", found)
    return (module, qualname) if found is not None and unwrapped(found) is value else None
