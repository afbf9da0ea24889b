"""Label and field selectors: parsed once, matched against objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kube.errors import bad_request

Matcher = Callable[[Mapping[str, Any]], bool]

_SET = re.compile(r"^\s*([\w./-]+)\s+(in|notin)\s*\(([^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*([\w./-]+)\s*(==|=|!=)\s*([\w./-]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([\w./-]+)\s*$")
_FIELDS = {
    "pods": (
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        "metadata.name",
        "metadata.namespace",
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "secrets": ("metadata.name", "metadata.namespace", "type"),
}
_PLAIN = ("metadata.name", "metadata.namespace")


def labels(text: str) -> Matcher:
    """:raises ApiError: 400 for what is no selector."""
    tests = [_label(part) for part in _split(text) if part.strip()]
    return lambda found: all(test(found["metadata"].get("labels") or {}) for test in tests)


def _split(text: str) -> list[str]:
    return re.split(r",(?![^(]*\))", text)


def _label(part: str) -> Callable[[Mapping[str, str]], bool]:
    if matched := _SET.match(part):
        key, verb, inside = matched.groups()
        values = {value.strip() for value in inside.split(",")}
        if verb == "in":
            return lambda held: held.get(key) in values
        return lambda held: held.get(key) not in values
    if matched := _EQUAL.match(part):
        key, sign, value = matched.groups()
        if sign == "!=":
            return lambda held: held.get(key) != value
        return lambda held: held.get(key) == value
    if matched := _EXISTS.match(part):
        absent, key = matched.groups()
        return lambda held: (key in held) is not bool(absent)
    raise bad_request(f"unable to parse requirement: found '{part}', expected: ',' or 'end of string'")


def fields(text: str, plural: str) -> Matcher:
    """:raises ApiError: 400 for a field that this resource cannot be selected by."""
    tests: list[tuple[str, bool, str]] = []
    for part in text.split(","):
        if not part.strip():
            continue
        if not (matched := re.match(r"^([^=!]+)(==|=|!=)(.*)$", part)):
            raise bad_request(f'invalid field selector: "{part}"; can\'t understand')
        key, sign, value = matched.groups()
        if key not in _FIELDS.get(plural, _PLAIN):
            raise bad_request(
                f'Unable to find "/v1, Resource={plural}" that match label selector "", '
                f'field selector "{text}": field label not supported: {key}'
            )
        tests.append((key, sign != "!=", value))

    def matches(found: Mapping[str, Any]) -> bool:
        return all((_field(found, key) == value) is wanted for key, wanted, value in tests)

    return matches


def _field(found: Mapping[str, Any], path: str) -> str:
    if path == "source":
        path = "source.component"
    value: Any = found
    for part in path.split("."):
        value = (value or {}).get(part)
    return "" if value is None else str(value)
