"""Kubernetes quantities as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kube.errors import bad_request

_FORM = re.compile(r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")
_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}


def number(quantity: str | int | float) -> float:
    """:raises ApiError: 400, as the API server answers when it cannot decode a pod."""
    matched = _FORM.match(str(quantity))
    if matched is None or not (matched[2] in _SUFFIXES or re.fullmatch(r"[eE][-+]?[0-9]+", matched[2])):
        raise bad_request(
            'Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression '
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    if matched[2] in _SUFFIXES:
        return float(matched[1]) * _SUFFIXES[matched[2]]
    return float(matched[1] + matched[2])


def requests(spec: Mapping[str, Any]) -> dict[str, float]:
    """What a pod asks of its node: the sum of its containers, or its greatest init container."""
    total: dict[str, float] = {}
    for container in spec.get("containers") or []:
        for name, amount in _asked(container).items():
            total[name] = total.get(name, 0.0) + amount
    for container in spec.get("initContainers") or []:
        for name, amount in _asked(container).items():
            total[name] = max(total.get(name, 0.0), amount)
    return total


def _asked(container: Mapping[str, Any]) -> dict[str, float]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: number(value) for name, value in asked.items()}
