"""What code reads of Airflow as JSON, and back: for the records of slices on disk."""

from __future__ import annotations

import dataclasses
from typing import Any

from stepbridge.code.reads import Expression, Joined, Listed, Literal, Lookup, Parameter, PullCall, Reads

_SETS = ("context_keys", "variables", "connections", "attributes")
_TUPLES = ("escapes", "dynamic", "pushes", "outside")


def reads_record(reads: Reads) -> dict[str, Any]:
    """*reads* as JSON."""
    pulls = [
        {field.name: getattr(pull, field.name) for field in dataclasses.fields(pull)}
        | {"task_ids": _spelled(pull.task_ids), "key": _spelled(pull.key)}
        for pull in reads.pulls
    ]
    found: dict[str, Any] = {name: sorted(getattr(reads, name)) for name in _SETS}
    lookups = [
        {**vars(lookup), "name": _spelled(lookup.name), "context": list(lookup.context)}
        for lookup in reads.lookups
    ]
    return {
        **found,
        **{name: list(getattr(reads, name)) for name in _TUPLES},
        "pulls": pulls,
        "lookups": lookups,
    }


def reads_from(record: dict[str, Any]) -> Reads:
    """What :func:`reads_record` has written."""
    pulls = [
        PullCall(
            task_ids=_expression(pull["task_ids"]),
            key=_expression(pull["key"]),
            place=pull["place"],
            options=tuple(pull["options"]),
            context=tuple(pull["context"]),
        )
        for pull in record["pulls"]
    ]
    lookups = [
        Lookup(**{**lookup, "name": _expression(lookup["name"]), "context": tuple(lookup["context"])})
        for lookup in record["lookups"]
    ]
    fields: dict[str, Any] = {name: frozenset(record[name]) for name in _SETS}
    fields |= {name: tuple(record[name]) for name in _TUPLES}
    return Reads(**fields, pulls=tuple(pulls), lookups=tuple(lookups))


def _spelled(expression: Expression | None) -> list[Any] | None:
    match expression:
        case Literal(value):
            return ["literal", value]
        case Parameter(name, default):
            return ["parameter", name, default]
        case Joined(parts):
            return ["joined", [_spelled(part) for part in parts]]
        case Listed(items):
            return ["listed", [_spelled(item) for item in items]]
    return None


def _expression(spelled: Any) -> Any:
    match spelled:
        case ["literal", value]:
            return Literal(value)
        case ["parameter", name, default]:
            return Parameter(name, default)
        case ["joined", parts]:
            return Joined(tuple(map(_expression, parts)))
        case ["listed", items]:
            return Listed(tuple(map(_expression, items)))
    return None
