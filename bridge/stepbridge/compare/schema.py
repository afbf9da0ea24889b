"""The report's JSON schema, made from its dataclasses: the published file is this."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

from stepbridge.compare.model import SCHEMA, Report

_PLAIN: dict[Any, dict[str, str]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a :class:`Report`."""
    found: dict[str, Any] = {}
    _define(Report, found)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stepbridge comparison report",
        "description": f"Schema {SCHEMA}. Durations in seconds, sizes in bytes, times in ISO 8601.",
        "$ref": "#/$defs/Report",
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
