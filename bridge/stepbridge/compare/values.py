"""JSON-like values compared: typed differences with the JSON path of each."""

from __future__ import annotations

import math
import struct
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from stepbridge.compare.alignment import Steps, aligned, relaxed
from stepbridge.compare.base import Side
from stepbridge.compare.ignoring import fits
from stepbridge.compare.model import Difference, Part, Unused
from stepbridge.compare.rules import Compare, Tolerance
from stepbridge.compare.tally import Tally, shown
from stepbridge.compare.unused import Named, names_something, unused

_ALIGNED = 1000
"""Lists up to that many items are aligned where their lengths differ; longer ones are matched by index."""
_NEAR = 1_000_000
"""Pairs of unequal items up to which an unordered list is searched for partners within tolerance."""
_CONTAINERS = (dict, list, tuple, set, frozenset)
_PATHS = 200_000
"""Paths of a value, each with and without ``$.``, up to which rules that name none of them are looked for."""
_PLAIN = (str, bool, int, float, complex, Decimal, date, time, timedelta, UUID, Enum, PurePath)
NO_PLAIN = "no plain values"
"""Said of two values that stand for something else, such as a class or raw bytes in a model file."""
_MISSING = object()
_NORMAL: Steps = (
    ("line-endings", lambda text: text.replace("\r\n", "\n").replace("\r", "\n")),
    ("whitespace", lambda text: " ".join(text.split())),
    ("text-case", str.casefold),
)


@dataclass(frozen=True)
class _Place:
    """Where a value stands; its path is put together only where it is shown."""

    member: str
    outer: _Place | None = None

    def path(self) -> str:
        """The JSON path."""
        return "".join(self._members())

    def around(self) -> list[str]:
        """The paths of the containers around, outermost first, without the whole."""
        members = self._members()
        return ["".join(members[:end]) for end in range(2, len(members))]

    def _members(self) -> list[str]:
        members, place = [self.member], self.outer
        while place is not None:
            members.append(place.member)
            place = place.outer
        return members[::-1]


@dataclass(frozen=True)
class _Pair:
    """Two values at one place."""

    place: _Place
    control: Any
    candidate: Any

    def inner(self, member: str, control: Any, candidate: Any) -> _Pair:
        """Two members of these two."""
        return _Pair(_Place(member, self.place), control, candidate)


class ValueComparator:
    """Numbers, texts, times, lists and mappings, to any depth."""

    name = "json"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Two plain values, or two of bytes."""
        return control.path is None and candidate.path is None

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare two values; int is not float, NaN equals NaN and not null, order counts."""
        walk = _Walk(rules)
        walk.run(control.value, candidate.value)
        empty = _empty(control.value) and _empty(candidate.value)
        rule = f"both are empty: {shown(control.value)}" if empty and not walk.tally.real else ""
        if empty:
            walk.tally.compared = 0
        part = walk.tally.part(name, self.name, unit="values", rule=rule)
        return replace(part, unused=_unused(control.value, candidate.value, rules))


def _unused(control: Any, candidate: Any, rules: Compare) -> tuple[Unused, ...] | None:
    """The rules that name no path of either value; None where there are too many paths to look at."""
    if not names_something(rules):
        return ()
    names: dict[str, None] = {}
    numbers: dict[str, None] = {}
    stack = [("$", candidate), ("$", control)]
    while stack and len(names) < _PATHS:
        path, value = stack.pop()
        both = (path.removeprefix("$."), path)
        names |= dict.fromkeys(both)
        if isinstance(value, dict):
            stack += [(path + _member(key), inner) for key, inner in reversed(value.items())]
        elif isinstance(value, _CONTAINERS):
            stack += [(f"{path}[{n}]", inner) for n, inner in reversed(list(enumerate(value)))]
        elif _is_number(value):
            numbers |= dict.fromkeys(both)
    return None if stack else unused(rules, Named(names, numbers))


def _empty(value: object) -> bool:
    return isinstance(value, (*_CONTAINERS, str, bytes)) and not value


class _Walk:
    """One comparison; a stack in place of recursion, so that depth does not matter."""

    def __init__(self, rules: Compare) -> None:
        self.tally = Tally(rules)
        self._rules = rules
        self._equal = frozenset(rules.equal)
        self._stack: list[_Pair] = []

    def run(self, control: Any, candidate: Any) -> None:
        self._stack.append(_Pair(_Place("$"), control, candidate))
        while self._stack:
            self._pair(self._stack.pop())

    def _pair(self, pair: _Pair) -> None:
        a, b = pair.control, pair.candidate
        if a is _MISSING or b is _MISSING:
            self._one_sided(pair)
        elif isinstance(a, dict) and isinstance(b, dict):
            self._mappings(pair, a, b)
        elif self._lists(a, b):
            self._sequences(pair, list(a), list(b))
        elif isinstance(a, set | frozenset) and type(a) is type(b):
            self._multisets(pair, list(a), list(b))
        else:
            self.tally.compared += 1
            self._leaf(pair)

    def _lists(self, a: Any, b: Any) -> bool:
        if not (isinstance(a, list | tuple) and isinstance(b, list | tuple)):
            return False
        if type(a) is type(b):
            return True
        if "list-is-tuple" not in self._equal:
            return False
        self.tally.allow("equal:list-is-tuple")
        return True

    def _differ(self, pair: _Pair, kind: str, *, detail: str = "", both: bool = True) -> None:
        a = None if pair.control is _MISSING else shown(pair.control)
        b = None if pair.candidate is _MISSING else shown(pair.candidate)
        path = pair.place.path()
        one = Difference(path, kind, a if both else None, b if both else None, detail)
        around = pair.place.around() if self._rules.ignore or self._rules.mask else []
        names = [path, *around]
        self.tally.differ(one, *around, *(name.removeprefix("$.") for name in names))

    # containers --------------------------------------------------------------------------------------

    def _mappings(self, pair: _Pair, a: Mapping[Any, Any], b: Mapping[Any, Any]) -> None:
        if not a and not b:
            self.tally.compared += 1
            return
        for key, other in reversed(self._names(a, b)):
            member = _member(key if key in a else other)
            self._stack.append(pair.inner(member, a.get(key, _MISSING), b.get(other, _MISSING)))

    def _names(self, a: Mapping[Any, Any], b: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
        """Keys that belong together, the control's order first."""
        folded: dict[object, Any] = {}
        if "name-case" in self._equal:
            folded = {key.lower(): key for key in b if isinstance(key, str) and key not in a}
        pairs, taken = [], set()
        for key in a:
            other = key
            if key not in b and isinstance(key, str) and key.lower() in folded:
                other = folded[key.lower()]
                self.tally.allow("equal:name-case")
            pairs.append((key, other))
            taken.add(other)
        return pairs + [(key, key) for key in b if key not in taken]

    def _one_sided(self, pair: _Pair) -> None:
        self.tally.compared += 1
        there = pair.candidate if pair.control is _MISSING else pair.control
        if there is None and "missing-is-null" in self._equal:
            self.tally.allow("equal:missing-is-null")
            return
        self._differ(pair, "extra" if pair.control is _MISSING else "missing")

    def _sequences(self, pair: _Pair, a: list[Any], b: list[Any]) -> None:
        if self._rules.unordered:
            self._multisets(pair, a, b)
            return
        if not a and not b:
            self.tally.compared += 1
            return
        if len(a) != len(b):
            self._differ(pair, "length", detail=f"{len(a):,} and {len(b):,} items", both=False)
        for i, j in reversed(list(aligned(a, b, most=_ALIGNED, mark=_mark))):
            left = _MISSING if i is None else a[i]
            right = _MISSING if j is None else b[j]
            self._stack.append(pair.inner(f"[{j if i is None else i}]", left, right))

    def _multisets(self, pair: _Pair, a: list[Any], b: list[Any]) -> None:
        """Items matched whatever their order: exactly first, then what is left by tolerance, one by one."""
        left, right = _without_equal(a, b)
        self.tally.compared += len(a) - len(left)
        if not left and not right:
            moved = isinstance(pair.control, list | tuple) and any(
                _mark(x) != _mark(y) for x, y in zip(a, b, strict=False)
            )
            if moved:
                self.tally.allow("unordered", "True")
            return
        found = []
        near = len(left) * len(right) <= _NEAR
        for i in left:
            j = next((j for j in right if near and self._within(a[i], b[j])), None)
            if j is not None:
                right.remove(j)
            found.append(pair.inner(f"[{i}]", a[i], _MISSING if j is None else b[j]))
        found += [pair.inner(f"[{j}]", _MISSING, b[j]) for j in right]
        self._stack.extend(reversed(found))

    def _within(self, a: Any, b: Any) -> bool:
        other = _Walk(self._rules)
        other.run(a, b)
        return not other.tally.real

    # leaves ------------------------------------------------------------------------------------------

    def _leaf(self, pair: _Pair) -> None:
        a, b = pair.control, pair.candidate
        if _mark(a) == _mark(b):
            return
        relaxed = self._relaxation(pair, a, b)
        if relaxed is not None:
            self.tally.allow(*relaxed)
        elif (a is None) != (b is None):
            self._differ(pair, "null")
        elif type(a) is not type(b):
            self._differ(pair, "type", detail=f"{type(a).__name__} and {type(b).__name__}")
        else:
            self._differ(pair, "value", detail=_apart(a, b))

    def _relaxation(self, pair: _Pair, a: Any, b: Any) -> tuple[str, str] | None:
        """The relaxation that lets two unequal leaves pass."""
        if isinstance(a, str) and isinstance(b, str):
            used = relaxed(a, b, self._equal, _NORMAL)
            return (f"equal:{used}", "") if used else None
        if isinstance(a, datetime) and isinstance(b, datetime):
            same = "time-zone" in self._equal and _instant(a) == _instant(b)
            return ("equal:time-zone", "") if same else None
        if "nan-is-null" in self._equal and _nothing(a) and _nothing(b):
            return "equal:nan-is-null", ""
        if not (_is_number(a) and _is_number(b)):
            return None
        return self._numbers_within(pair, a, b)

    def _numbers_within(self, pair: _Pair, a: Any, b: Any) -> tuple[str, str] | None:
        kinds = {type(a), type(b)}
        needed = ""
        if len(kinds) > 1:
            needed = {
                frozenset({int, float}): "int-is-float",
                frozenset({Decimal, float}): "decimal-is-float",
            }.get(frozenset(kinds), "?")
            if needed not in self._equal:
                return None
        if a == b:
            if needed:
                return f"equal:{needed}", ""
            if float in kinds:
                return ("equal:negative-zero", "") if "negative-zero" in self._equal else None
        own = _own_tolerance(self._rules, pair.place.path()) if self._rules.columns else None
        if own is not None:
            return (f"columns[{own[0]}]", _said(own[1])) if _close(a, b, own[1]) else None
        general = Tolerance(self._rules.rtol or 0.0, self._rules.atol or 0.0)
        if float in kinds and _close(a, b, general):
            return "tolerance", _said(general)
        return None


def _member(key: object) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"


def _without_equal(a: list[Any], b: list[Any]) -> tuple[list[int], list[int]]:
    """Indices of the items that have no exactly equal partner on the other side."""
    waiting: dict[object, list[int]] = {}
    for j, item in enumerate(b):
        waiting.setdefault(_mark(item), []).append(j)
    left = []
    for i, item in enumerate(a):
        partners = waiting.get(_mark(item))
        if partners:
            partners.pop(0)
        else:
            left.append(i)
    return left, sorted(j for rest in waiting.values() for j in rest)


def _mark(value: Any) -> Hashable:
    """Something hashable that is equal exactly for strictly equal values."""
    out: list[Hashable] = []
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            out.append(("dict", len(one)))
            for key in sorted(one, key=lambda key: (type(key).__name__, repr(key))):
                stack.extend((one[key], key))
        elif isinstance(one, list | tuple):
            out.append((type(one).__name__, len(one)))
            stack.extend(reversed(one))
        elif isinstance(one, set | frozenset):
            out.append((type(one).__name__, frozenset(_mark(item) for item in one)))
        else:
            out.append(_leaf_mark(one))
    return out[0] if len(out) == 1 else tuple(out)


def _leaf_mark(value: Any) -> Hashable:
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, complex):
        return "complex", _leaf_mark(value.real), _leaf_mark(value.imag)
    if isinstance(value, Decimal):
        return "Decimal", str(value)
    if isinstance(value, datetime):
        return "datetime", value.isoformat(), str(value.tzinfo), value.fold
    if isinstance(value, bytearray):
        return "bytearray", bytes(value)
    return type(value).__name__, value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _nothing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _instant(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _own_tolerance(rules: Compare, path: str) -> tuple[str, Tolerance] | None:
    bare = path.removeprefix("$.")
    found = ((glob, one) for glob, one in rules.columns.items() if fits(glob, path) or fits(glob, bare))
    return next(found, None)


def _close(a: Any, b: Any, tolerance: Tolerance) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        try:
            a, b = float(a), float(b)
        except OverflowError:
            return False
        if not (math.isfinite(a) and math.isfinite(b)):
            return False
        if tolerance.ulp and abs(_ordinal(a) - _ordinal(b)) <= tolerance.ulp:
            return True
        return bool(abs(a - b) <= tolerance.atol + tolerance.rtol * abs(a))
    limit = Decimal(tolerance.atol) + Decimal(tolerance.rtol) * abs(Decimal(a))
    return abs(Decimal(a) - Decimal(b)) <= limit


def _ordinal(value: float) -> int:
    """The place of a float among all floats: neighbours differ by one."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else -(bits & 0x7FFFFFFFFFFFFFFF)


def _said(tolerance: Tolerance) -> str:
    ulp = f", ulp {tolerance.ulp}" if tolerance.ulp else ""
    return f"rtol {tolerance.rtol:g}, atol {tolerance.atol:g}{ulp}"


def _kind(a: Any, b: Any) -> str:
    """What is said of two values of one type that are no numbers."""
    if isinstance(a, bytes | bytearray):
        return f"{len(a):,} and {len(b):,} bytes"
    return "" if isinstance(a, _PLAIN) else NO_PLAIN


def _apart(a: Any, b: Any) -> str:
    if not (_is_number(a) and _is_number(b)):
        return _kind(a, b)
    try:
        distance = abs(float(a) - float(b))
    except OverflowError:
        return f"{abs(Decimal(a) - Decimal(b)):.3e} apart"
    if not math.isfinite(distance):
        return ""
    relative = f", rel {distance / abs(float(a)):.3g}" if a else ""
    return f"abs {distance:.3g}{relative}"
