"""Model files: named arrays compared one by one, and pickles looked into without running their code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepbridge.compare import tensors
from stepbridge.compare.arrays import compare_arrays
from stepbridge.compare.base import Side
from stepbridge.compare.files import compare_bytes, identical, same_bytes
from stepbridge.compare.ignoring import rule_to_ignore
from stepbridge.compare.model import Difference, Fact, Part, Relaxation, Skipped, Verdict, worst
from stepbridge.compare.pickled import pickled
from stepbridge.compare.rules import Compare
from stepbridge.compare.tally import Tally
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
_PACKED = frozenset({".gz", ".z", ".bz2", ".xz", ".lzma"})
_NOTED = 10
"""Arrays that are not understood, up to which the report names them."""
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
        left, right = read(control.path), read(candidate.path)
        return _arrays(left, right, rules, name, [])


def _form(side: Side) -> str | None:
    if side.path is None or not side.path.is_file():
        return None
    if side.type == "pickle" or side.type.startswith("Pickle"):
        return "pickle"
    form = _SUFFIXES.get(side.path.suffix.lower())
    if form is None and side.path.suffix.lower() in _PACKED:
        form = _SUFFIXES.get(Path(side.path.stem).suffix.lower())
        return form if form == "pickle" else None
    return form


def _arrays(
    control: tensors.Named, candidate: tensors.Named, rules: Compare, name: str, others: list[Part]
) -> Part:
    """The part of two sets of arrays, and of *others* that stand beside them."""
    tally = Tally(rules)
    tally.facts.append(Fact("arrays", f"{len(control.arrays):,}", f"{len(candidate.arrays):,}"))
    parts = [*others, *_metadata(control.metadata, candidate.metadata, rules, tally)]
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
    """Bytes first; else arrays and values as the opcodes say them, or the bytes if unread."""
    if same_bytes(control, candidate):
        return identical(control, name, WeightsComparator.name)
    try:
        left, right = pickled(control), pickled(candidate)
    except StepbridgeError as error:
        part = compare_bytes(control, candidate, rules, name)
        return _with_skip(part, name, str(error))
    sides = [Side("values", "json", value=one.values) for one in (left, right)]
    values = ValueComparator().compare(sides[0], sides[1], rules, "values")
    named = [tensors.Named(one.arrays, skipped=one.skipped) for one in (left, right)]
    part = _arrays(named[0], named[1], rules, name, [values])
    notes = [(where, why, "") for where, why in left.notes] + [(where, "", why) for where, why in right.notes]
    facts = [Fact(f"{where} compared as its bytes", *whys) for where, *whys in notes[:_NOTED]]
    part = replace(
        part,
        compared=part.compared + values.compared,
        of=part.of + values.of,
        unit="arrays and values",
        facts=(*part.facts, *facts),
    )
    if part.verdict is Verdict.IDENTICAL:
        rule = (
            f"the bytes differ, and what they say is equal: {len(left.arrays):,} arrays, {values.of:,} values"
        )
        part = replace(part, rule=rule)
    if part.verdict.same and left.shared != right.shared:
        what = Skipped("which objects are one and the same", "only what they hold is compared")
        part = replace(part, verdict=worst([part.verdict, Verdict.EQUIVALENT]), skipped=(*part.skipped, what))
    return part


def _with_skip(part: Part, name: str, why: str) -> Part:
    return replace(part, skipped=(*part.skipped, Skipped(f"{name} as a pickle", why)))
