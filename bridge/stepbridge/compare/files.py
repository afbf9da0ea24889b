"""Two files of a format that no other comparator reads: JSON by its values, everything else by its bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepbridge.compare.base import Side
from stepbridge.compare.metrics import MetricsComparator, named_in
from stepbridge.compare.model import Difference, Fact, Part, Skipped, Unused, Verdict
from stepbridge.compare.rules import Compare
from stepbridge.compare.tally import Tally
from stepbridge.compare.unused import Named, unused
from stepbridge.compare.values import ValueComparator

_BLOCK = 1 << 20
JSON = frozenset({".json", ".geojson", ".ipynb"})
_LARGEST_JSON = 256 << 20
"""Bytes up to which a JSON file is read; its values take about ten times as much memory."""


class FileComparator:
    """Two files."""

    name = "file"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Two payloads that are files."""
        return all(one.path is not None and one.path.is_file() for one in (control, candidate))

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare the values of two JSON files, else size and bytes."""
        if control.path is None or candidate.path is None:
            raise TypeError("a file side has no payload")
        skipped: tuple[Skipped, ...] = ()
        if {control.path.suffix.lower(), candidate.path.suffix.lower()} <= JSON:
            try:
                sides = [_json(one.path) for one in (control, candidate) if one.path is not None]
                if named_in(rules, sides[0], sides[1]):
                    return MetricsComparator().compare(sides[0], sides[1], rules, name)
                return ValueComparator().compare(sides[0], sides[1], rules, name)
            except (ValueError, RecursionError) as error:
                skipped = (Skipped(f"{name} as JSON", f"{type(error).__name__}: {error}"),)
        return compare_bytes(control.path, candidate.path, rules, name, skipped)


def _json(path: Path) -> Side:
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"more than {_LARGEST_JSON >> 20} MiB are compared by their bytes")
    return Side(str(path), "json", value=json.loads(path.read_bytes(), object_pairs_hook=_once))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice, and readers take one or the other")
    return found


def same_bytes(control: Path, candidate: Path) -> bool:
    """Whether two files hold the same bytes."""
    if control.stat().st_size != candidate.stat().st_size:
        return False
    with control.open("rb") as left, candidate.open("rb") as right:
        while True:
            a, b = left.read(_BLOCK), right.read(_BLOCK)
            if a != b:
                return False
            if not a:
                return True


def identical(path: Path, name: str, comparator: str) -> Part:
    """The part of two files with the same bytes."""
    size = path.stat().st_size
    rule = f"the bytes are equal: {size:,}" if size else "both are empty: 0 bytes"
    return Part(name, comparator, Verdict.IDENTICAL, rule, compared=size, of=size, unit="bytes")


def compare_bytes(
    control: Path, candidate: Path, rules: Compare, name: str, skipped: tuple[Skipped, ...] = ()
) -> Part:
    """Where two files first differ, and how many of their bytes do.

    :param skipped: what was tried before; it is shown, and decides nothing: bytes are the strictest measure.
    """
    if same_bytes(control, candidate):
        return replace(identical(control, name, FileComparator.name), unused=_unused(rules))
    tally = Tally(rules)
    sizes = [path.stat().st_size for path in (control, candidate)]
    tally.facts.append(Fact("size", f"{sizes[0]:,}", f"{sizes[1]:,}"))
    first, differing = _first_difference(control, candidate, tally)
    if first is None:
        what = ("missing", "candidate ends") if sizes[0] > sizes[1] else ("extra", "control ends")
        tally.differ(Difference(f"offset {min(sizes):,}", what[0], detail=f"there the {what[1]}"))
    else:
        where, left, right = first
        rest = f"{differing:,} of {min(sizes):,} bytes differ"
        tally.differ(Difference(f"offset {where:,}", "value", left, right, rest))
    part = tally.part(name, FileComparator.name, unit="bytes", of=max(sizes))
    return replace(part, skipped=(*part.skipped, *skipped), unused=_unused(rules))


def _unused(rules: Compare) -> tuple[Unused, ...]:
    return unused(rules, Named(leads=("offset ",)))


def _first_difference(
    control: Path, candidate: Path, tally: Tally
) -> tuple[tuple[int, str, str] | None, int]:
    """Place and bytes of the first difference, and the number of bytes that differ in the common length."""
    first: tuple[int, str, str] | None = None
    differing = offset = 0
    digests = [hashlib.sha256(), hashlib.sha256()]
    with control.open("rb") as left, candidate.open("rb") as right:
        while True:
            a, b = left.read(_BLOCK), right.read(_BLOCK)
            digests[0].update(a)
            digests[1].update(b)
            if not a and not b:
                break
            common = min(len(a), len(b))
            tally.compared += common
            if a[:common] != b[:common]:
                places = _places(a[:common], b[:common])
                differing += len(places)
                if first is None:
                    at = int(places[0])
                    first = (offset + at, a[at : at + 16].hex(" "), b[at : at + 16].hex(" "))
            offset += common
    tally.facts.append(Fact("sha256", digests[0].hexdigest()[:16], digests[1].hexdigest()[:16]))
    return first, differing


def _places(a: bytes, b: bytes) -> Any:
    import numpy as np

    return np.flatnonzero(np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8))
