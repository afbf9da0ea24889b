"""Model files: named arrays compared one by one, and pickles looked into without running their code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepbridge.compare import opcodes, tensors
from stepbridge.compare.arrays import compare_arrays
from stepbridge.compare.base import Side
from stepbridge.compare.files import compare_bytes, identical, same_bytes
from stepbridge.compare.ignoring import rule_to_ignore
from stepbridge.compare.model import Difference, Fact, Part, Relaxation, Skipped, Verdict, worst
from stepbridge.compare.rules import Compare
from stepbridge.compare.tally import Tally, shown
from stepbridge.compare.values import ValueComparator
from stepbridge.failures import StepbridgeError

_SUFFIXES: Mapping[str, str] = {
    ".safetensors": "safetensors",
    ".npz": "npz",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".joblib": "pickle",
    ".pt": "torch",
    ".pth": "torch",
    ".ckpt": "torch",
}
_FLOATS = frozenset({"BF16", "F32"})
"""Types that numpy holds alike."""
_KEPT = 500
"""Arrays whose parts the report holds; all of them are compared and counted."""


class WeightsComparator:
    """safetensors, npz, torch checkpoints, pickles and joblib files."""

    name = "weights"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Two model files of one format, by their suffix."""
        forms = [_form(one) for one in (control, candidate)]
        return forms[0] is not None and forms[0] == forms[1]

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare arrays by name, or what a pickle would build.

        :raises StepbridgeError: SB704 for a file that is not of its format.
        """
        if control.path is None or candidate.path is None:
            raise TypeError("a model side has no payload")
        form = _form(control)
        if form == "torch":
            form = "torch" if tensors.is_torch(control.path, candidate.path) else "pickle"
        if form == "pickle":
            return _pickles(control.path, candidate.path, rules, name)
        readers: Mapping[str, Callable[[Path], tensors.Named]] = {
            "safetensors": tensors.safetensors,
            "npz": tensors.npz,
            "torch": tensors.torch,
        }
        read = readers[str(form)]
        return _arrays(read(control.path), read(candidate.path), rules, name)


def _form(side: Side) -> str | None:
    if side.path is None or not side.path.is_file():
        return None
    if side.type == "pickle" or side.type.startswith("Pickle"):
        return "pickle"
    return _SUFFIXES.get(side.path.suffix.lower())


def _arrays(control: tensors.Named, candidate: tensors.Named, rules: Compare, name: str) -> Part:
    tally = Tally(rules)
    tally.facts.append(Fact("arrays", f"{len(control.arrays):,}", f"{len(candidate.arrays):,}"))
    parts = _metadata(control.metadata, candidate.metadata, rules, tally)
    for side in (control, candidate):
        tally.skipped += [Skipped(what, why) for what, why in side.skipped if why]
    for key in sorted({*control.arrays, *candidate.arrays}):
        tally.compared += 1
        left, right = control.arrays.get(key), candidate.arrays.get(key)
        if left is None or right is None:
            there = left if right is None else right
            said = "" if there is None else f"{there.dtype} {there.shape}"
            missing = right is None
            sides2 = (said, None) if missing else (None, said)
            tally.differ(Difference(key, "missing" if missing else "extra", *sides2))
        else:
            part, ignored = _one(left, right, rules, key), rule_to_ignore(rules, key)
            if ignored is None:
                parts.append(part)
            elif part.verdict is not Verdict.IDENTICAL:
                tally.ignored[(ignored.path, ignored.reason)] += 1
    return _gathered(tally, parts, name)


def _metadata(
    control: Mapping[str, Any], candidate: Mapping[str, Any], rules: Compare, tally: Tally
) -> list[Part]:
    """Plain values beside the arrays: headers, hyperparameters, counters."""
    if not control and not candidate:
        return []
    sides = [Side("metadata", "json", value=dict(one)) for one in (control, candidate)]
    part = ValueComparator().compare(sides[0], sides[1], rules, "metadata")
    if part.verdict is Verdict.DIFFERENT and "metadata" in rules.equal:
        tally.allow("equal:metadata", count=part.total)
        return []
    return [part]


def _one(left: tensors.Lazy, right: tensors.Lazy, rules: Compare, key: str) -> Part:
    """Two arrays of one name; the file's own names of types and shapes count where numpy cannot tell."""
    a, b = left.load(), right.load()
    part = compare_arrays(a, b, rules, key)
    unsaid = [
        Difference(what, "type", str(x), str(y))
        for what, x, y, seen in (
            ("dtype", left.dtype, right.dtype, a.dtype != b.dtype),
            ("shape", left.shape, right.shape, a.shape != b.shape),
        )
        if x != y and not seen
    ]
    if unsaid and "width" in rules.equal and {left.dtype, right.dtype} <= _FLOATS and a.shape == b.shape:
        allowed = Relaxation("equal:width", f"{left.dtype} and {right.dtype}", 1)
        verdict = worst([part.verdict, Verdict.EQUIVALENT])
        return replace(part, verdict=verdict, relaxations=(*part.relaxations, allowed))
    if not unsaid:
        return part
    said = ", ".join(f"{one.path} differs: {one.control} and {one.candidate}" for one in unsaid)
    return replace(
        part,
        verdict=Verdict.DIFFERENT,
        rule=said if part.verdict.same else f"{said}; {part.rule}",
        differences=(*unsaid, *part.differences),
        total=part.total + len(unsaid),
    )


def _gathered(tally: Tally, parts: list[Part], name: str) -> Part:
    unlike = [part for part in parts if part.verdict is not Verdict.IDENTICAL]
    whole = tally.part(name, WeightsComparator.name, unit="arrays")
    verdict = worst([whole.verdict, *(part.verdict for part in parts)])
    rule = whole.rule
    if unlike and not tally.real:
        first = unlike[0]
        what = "1 is" if len(unlike) == 1 else f"{len(unlike)} are"
        rule = f"{what} not identical; {first.name}: {first.rule}"
        if len(unlike) > _KEPT:
            whole = replace(
                whole, facts=(*whole.facts, Fact("shown of them", f"{_KEPT}", f"{len(unlike):,}"))
            )
    if whole.skipped and verdict.same:
        verdict = Verdict.INCOMPARABLE
        rule = f"what was compared is the same; {whole.skipped[0].what} is {whole.skipped[0].why}"
    return replace(
        whole,
        verdict=verdict,
        rule=rule,
        total=whole.total + sum(not part.verdict.same for part in unlike),
        parts=tuple(unlike[:_KEPT]),
    )


def _pickles(control: Path, candidate: Path, rules: Compare, name: str) -> Part:
    """Bytes first; else what the opcodes say, which can show a difference and never equality."""
    if same_bytes(control, candidate):
        return identical(control, name, WeightsComparator.name)
    try:
        left, right = opcodes.outline(control), opcodes.outline(candidate)
    except StepbridgeError as error:
        part = compare_bytes(control, candidate, rules, name)
        return _with_skip(part, name, str(error))
    tally = Tally(rules)
    tally.compared = min(left.size, right.size)
    tally.facts += [
        Fact("classes and functions", f"{len(left.names):,}", f"{len(right.names):,}"),
        Fact("arrays and raw bytes", f"{len(left.payloads):,}", f"{len(right.payloads):,}"),
    ]
    for what, mine, theirs in (("name", left.names, right.names), ("value", left.values, right.values)):
        for n, (a, b) in enumerate(_zipped(mine, theirs)):
            if a != b:
                kind = "missing" if b is None else "extra" if a is None else "value"
                tally.differ(Difference(f"{what} {n}", kind, _text(a), _text(b)))
    tally.skipped.append(
        Skipped(name, "a pickle's objects are not built, for that would run code from the file")
    )
    part = tally.part(name, WeightsComparator.name, unit="bytes", of=max(left.size, right.size))
    if part.verdict is Verdict.DIFFERENT:
        return part
    return replace(
        part,
        verdict=Verdict.INCOMPARABLE,
        rule="the bytes differ, and names and values in the pickle do not show where; "
        "write the model in safetensors or npz, or compare what it predicts",
    )


def _with_skip(part: Part, name: str, why: str) -> Part:
    return replace(part, skipped=(*part.skipped, Skipped(f"{name} as a pickle", why)))


def _zipped(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    length = max(len(mine), len(theirs))
    return [
        (mine[n] if n < len(mine) else None, theirs[n] if n < len(theirs) else None) for n in range(length)
    ]


def _text(value: object) -> str | None:
    return None if value is None else shown(value)
