"""The rule by which two pod descriptions become one: plain JSON in, plain JSON out, nothing lost unsaid."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stepbridge.failures import TypeProblem
from stepbridge.resources import quantity

Json = dict[str, Any]

_IDENTITY: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "protocol"),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "options": ("name",),
    "sysctls": ("name",),
    "claims": ("name",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "readinessGates": ("conditionType",),
    "resizePolicy": ("resourceName",),
}
_DEFAULTS = {"protocol": "TCP"}
_WHOLE_ITEMS = frozenset({"env", "volumes", "volumeMounts", "volumeDevices"})
_WHOLE_OBJECTS = frozenset(
    {"livenessProbe", "readinessProbe", "startupProbe", "postStart", "preStop", "seccompProfile"}
    | {"appArmorProfile"}
)
_WHOLE_LISTS = frozenset({"command", "args"})
_SILENT = frozenset({"env"})
"""Lists whose values may be secret and never appear in a note."""
_REQUIRED_NODES = "requiredDuringSchedulingIgnoredDuringExecution"


def merged(below: Json, above: Json, *, lower: str, upper: str) -> tuple[Json, tuple[str, ...]]:
    """*above* laid over *below*, neither changed, and what of *below* gave way.

    :param lower: what *below* is called in a note, :param upper: and *above*.
    """
    notes: list[str] = []
    result = _Layer(notes, lower, upper).mapping(below, above, ())
    return result, tuple(notes)


@dataclass(frozen=True)
class _Layer:
    notes: list[str]
    lower: str
    upper: str

    def mapping(self, below: Mapping[str, Any], above: Mapping[str, Any], path: tuple[str, ...]) -> Json:
        merged = copy.deepcopy(dict(below))
        for key, value in above.items():
            here = (*path, key)
            if key not in below:
                merged[key] = copy.deepcopy(value)
            elif path[-1:] == ("nodeAffinity",) and key == _REQUIRED_NODES:
                merged[key] = {**below[key], **value, **_both(below[key], value)}
            else:
                merged[key] = self.value(below[key], value, here)
        return merged

    def value(self, below: Any, above: Any, path: tuple[str, ...]) -> Any:
        name = path[-1]
        if isinstance(below, dict) and isinstance(above, dict) and name not in _WHOLE_OBJECTS:
            return self.mapping(below, above, path)
        if isinstance(below, list) and isinstance(above, list) and name not in _WHOLE_LISTS:
            return self.items(below, above, path)
        self.note(below, above, path)
        return copy.deepcopy(above)

    def items(self, below: list[Any], above: list[Any], path: tuple[str, ...]) -> list[Any]:
        name = path[-1]
        keys = _IDENTITY.get(name)
        merged = copy.deepcopy(below)
        where = {_identity(item, keys): n for n, item in reversed(list(enumerate(merged)))} if keys else {}
        for item in above:
            identity = _identity(item, keys) if keys else None
            if identity is not None and identity in where:
                here = (*path[:-1], f"{name}[{'/'.join(map(str, identity))}]")
                old = merged[where[identity]]
                if name in _WHOLE_ITEMS:
                    self.note(old, item, here, silent=name in _SILENT)
                    merged[where[identity]] = copy.deepcopy(item)
                else:
                    merged[where[identity]] = self.mapping(old, item, here)
            elif item not in merged:
                merged.append(copy.deepcopy(item))
        return merged

    def note(self, below: Any, above: Any, path: tuple[str, ...], *, silent: bool = False) -> None:
        place = ".".join(path)
        if same(below, above):
            return
        if silent or isinstance(below, dict | list) or isinstance(above, dict | list):
            self.notes.append(f"{place}: {self.upper} goes before {self.lower}")
        else:
            self.notes.append(f"{place}: {self.upper} says {above}, {self.lower} said {below}")


def _identity(item: Any, keys: tuple[str, ...] | None) -> tuple[Any, ...] | None:
    if keys is None or not isinstance(item, dict) or keys[0] not in item:
        return None
    return tuple(item.get(key, _DEFAULTS.get(key)) for key in keys)


def _both(below: Json, above: Json) -> Json:
    """Node selector terms of which one of each side must hold: every pair of them."""
    first = [term for term in below.get("nodeSelectorTerms") or [] if term]
    second = [term for term in above.get("nodeSelectorTerms") or [] if term]
    if not first or not second:
        return {"nodeSelectorTerms": copy.deepcopy(first or second)}
    pairs: list[Json] = []
    for one in first:
        for other in second:
            pair: Json = {}
            for key in ("matchExpressions", "matchFields"):
                conditions = list(one.get(key) or [])
                conditions += [more for more in other.get(key) or [] if more not in conditions]
                if conditions:
                    pair[key] = copy.deepcopy(conditions)
            if pair not in pairs:
                pairs.append(pair)
    return {"nodeSelectorTerms": pairs}


def same(one: Any, other: Any) -> bool:
    """Whether two values say the same; ``1Gi`` and ``1024Mi`` do."""
    if one == other or str(one) == str(other):
        return True
    first, second = amount(one), amount(other)
    return first is not None and first == second


def amount(value: Any) -> Decimal | None:
    """A quantity in base units, or None for what is none, such as a template yet to be rendered."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return quantity(value, place="")
    except TypeProblem:
        return None


def settle(resources: Json, layers: tuple[tuple[str, Json], ...]) -> tuple[Json, tuple[str, ...]]:
    """*resources* with no request above its limit, and what had to give way.

    A request above a limit, and a request of a device that is not its limit, cannot run. Where two layers
    made that so, the side that the upper one names stays.

    :param layers: names and resources, weakest first.
    """
    settled = copy.deepcopy(resources)
    notes = []
    requests, limits = settled.get("requests") or {}, settled.get("limits") or {}
    for name in sorted(requests.keys() & limits.keys()):
        asked, most = amount(requests[name]), amount(limits[name])
        if asked is None or most is None or asked == most or (asked < most and not _exact(name)):
            continue
        winner, sides = _last_word(name, layers)
        if sides == {"requests"}:
            notes.append(
                f"resources.limits.{name}: {limits[name]} becomes {requests[name]}, what {winner} requests"
            )
            limits[name] = requests[name]
        elif sides == {"limits"}:
            notes.append(
                f"resources.requests.{name}: {requests[name]} becomes {limits[name]}, the limit of {winner}"
            )
            requests[name] = limits[name]
    return settled, tuple(notes)


def _exact(name: str) -> bool:
    return "/" in name or name.startswith("hugepages-")


def _last_word(name: str, layers: tuple[tuple[str, Json], ...]) -> tuple[str, set[str]]:
    for layer, resources in reversed(layers):
        sides = {side for side in ("requests", "limits") if name in (resources.get(side) or {})}
        if sides:
            return layer, sides
    return "", set()
