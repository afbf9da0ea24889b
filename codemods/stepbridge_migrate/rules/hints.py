"""What a step will say to an annotation, as far as its text shows."""

from __future__ import annotations

import ast
import builtins
import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import logging
import pathlib
import typing
import uuid
from enum import Enum
from functools import cache
from typing import Any

from stepbridge.annotations import shape_of, unsupported
from stepbridge.interface import fits

_MODULES = (builtins, typing, collections.abc, collections, datetime, decimal, enum, uuid, pathlib, logging)
_TAKEN = frozenset(
    {
        "DataFrame", "Series", "ndarray", "NDArray", "ArrayLike", "Table", "File", "Directory", "Pickle",
        "BaseModel", "Timestamp", "DateTime",
    }
)  # fmt: skip
"""Names of libraries' types that a step takes."""
_REFUSED = frozenset(
    {
        "Context", "Session", "Connection", "Engine", "Cursor", "Logger", "SparkSession", "DAG", "Client",
        "BotoClient", "BaseClient",
    }
)  # fmt: skip
"""Names of classes that no codec takes, whichever library's they are."""
_REFUSED_ENDINGS = ("Hook", "Operator", "Sensor", "Client", "Session", "Connection")


class Answer(Enum):
    """What a step makes of an annotation."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class _Stranger:
    """Stands for a class that is not known here."""

    name: str


def answer(text: str) -> tuple[Answer, str]:
    """What a step makes of the annotation *text*, and the name that decided it."""
    if not text:
        return Answer.TAKEN, ""
    shape, strangers = _evaluated(text)
    for name in strangers:
        if name in _REFUSED or name.endswith(_REFUSED_ENDINGS):
            return Answer.REFUSED, name
    if shape is _MISSING:
        return Answer.UNKNOWN, text
    if strangers:
        return Answer.UNKNOWN, strangers[0]
    return (Answer.TAKEN, "") if unsupported(shape_of(shape)) is None else (Answer.REFUSED, text)


def takes(text: str, kind: Any) -> bool:
    """False where no value of *kind*, a class, fits the annotation; True where that is not known."""
    shape, strangers = _evaluated(text)
    if shape is _MISSING or strangers:
        return True
    return fits(shape_of(kind), shape_of(shape))


_MISSING = object()


@cache
def _evaluated(text: str) -> tuple[Any, tuple[str, ...]]:
    """The annotation as an object, with Any for what is not known here, and the names of that."""
    strangers: list[str] = []
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if isinstance(tree.body, ast.Constant) and isinstance(tree.body.value, str):
            tree = ast.parse(tree.body.value.strip(), mode="eval")
        value = _value(tree.body, strangers)
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError):
        return _MISSING, tuple(strangers)
    return value, tuple(strangers)


def _value(node: ast.expr, strangers: list[str]) -> Any:
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str() as text):
            return _value(ast.parse(text, mode="eval").body, strangers)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _named(name, strangers)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return typing.Union[_value(left, strangers), _value(right, strangers)]  # noqa: UP007 - computed
        case ast.Subscript(value=owner, slice=inside):
            return _subscripted(owner, inside, strangers)
        case ast.List(elts=items):
            return [_value(item, strangers) for item in items]
        case _:
            raise ValueError(ast.unparse(node))


def _subscripted(owner: ast.expr, inside: ast.expr, strangers: list[str]) -> Any:
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    if name == "Literal":
        return typing.Literal[ast.literal_eval(inside)]
    if name in ("Annotated", "Pickle"):
        first = inside.elts[0] if isinstance(inside, ast.Tuple) else inside
        return Any if name == "Pickle" else _value(first, strangers)
    outer = _value(owner, strangers)
    items = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    values = tuple(
        ... if isinstance(one, ast.Constant) and one.value is ... else _value(one, strangers) for one in items
    )
    if outer is Any:
        return Any
    return outer[values if len(values) > 1 else values[0]]


def _named(name: str, strangers: list[str]) -> Any:
    if name in _TAKEN:
        return Any
    for module in _MODULES:
        found = getattr(module, name, None)
        if found is not None:
            return found
    strangers.append(name)
    return Any
