"""The reports' JSON schemas, made from their dataclasses: the published files are these."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

from stepbridge.compare import readiness
from stepbridge.compare.model import SCHEMA, Report
from stepbridge.compare.readiness import TaskReadiness

_PLAIN: dict[Any, dict[str, str]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a :class:`Report`."""
    return _schema(Report, "stepbridge comparison report", SCHEMA)


def readiness_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a :class:`TaskReadiness`."""
    return _schema(TaskReadiness, "stepbridge verdict over shadow runs", readiness.SCHEMA)


def _schema(root: type, title: str, version: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    _define(root, found)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": f"Schema {version}. Durations in seconds, sizes in bytes, times in ISO 8601.",
        "$ref": f"#/$defs/{root.__name__}",
        "$defs": dict(sorted(found.items())),
    }


def _define(cls: Any, found: dict[str, Any]) -> None:
    if cls.__name__ in found:
        return
    found[cls.__name__] = {}
    hints = typing.get_type_hints(cls)
    properties = {field.name: _of(hints[field.name], found) for field in dataclasses.fields(cls)}
    found[cls.__name__] = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _of(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_of(one, found) for one in inner]}
    if origin is tuple:
        return {"type": "array", "items": _of(inner[0], found)}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    _define(kind, found)
    return {"$ref": f"#/$defs/{kind.__name__}"}
