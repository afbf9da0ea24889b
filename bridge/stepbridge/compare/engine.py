"""Two results compared: members side by side, each by its comparator, and one verdict over all."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stepbridge.compare import registry, sides
from stepbridge.compare.base import Comparator, Side
from stepbridge.compare.files import identical, same_bytes
from stepbridge.compare.ignoring import rule_to_ignore
from stepbridge.compare.model import (
    Column,
    Difference,
    Drift,
    Fact,
    Part,
    Relaxation,
    Skipped,
    Verdict,
    worst,
)
from stepbridge.compare.render.shared import walk
from stepbridge.compare.rules import Compare, Ignore
from stepbridge.compare.sides import Branch, Tree
from stepbridge.compare.unused import Named, agreed, but_for, names_something, unused
from stepbridge.contract import StoreSettings, Value
from stepbridge.failures import StepbridgeError


def compare_values(
    control: Mapping[str, Value],
    candidate: Mapping[str, Value],
    rules: Compare,
    settings: StoreSettings | None = None,
) -> tuple[Part, ...]:
    """One part for each name of either side: ``return_value``, an XCom's key, an output's name.

    An error in a part is that part's TOOL_ERROR; the other parts stand.

    :param settings: of the store, for payloads that lie in it.
    """
    with tempfile.TemporaryDirectory(prefix="stepbridge-compare-") as folder:
        engine = _Engine(rules, Path(folder), settings)
        names = dict.fromkeys([*control, *candidate])
        return _held(rules, tuple(engine.named(name, control, candidate) for name in names))


def _held(rules: Compare, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts, and one more where metrics have rules and there was nothing to hold them against."""
    met = any(part.comparator == "metrics" or part.verdict is Verdict.TOOL_ERROR for _, part in walk(parts))
    if met or not rules.metrics or not parts:
        return parts
    named = ", ".join(repr(metric.rule) for metric in rules.metrics)
    rule = f"no result is a mapping that holds numbers for {named}"
    return (*parts, Part("metrics", "metrics", Verdict.INCOMPARABLE, rule, of=len(rules.metrics)))


def tool_error(name: str, why: str) -> Part:
    """The part of a comparison that did not work."""
    skipped = (Skipped(name, why),)
    return Part(name, "none", Verdict.TOOL_ERROR, f"the comparison failed: {why}", skipped=skipped)


@dataclass(frozen=True)
class _Engine:
    rules: Compare
    folder: Path
    settings: StoreSettings | None

    def named(self, name: str, control: Mapping[str, Value], candidate: Mapping[str, Value]) -> Part:
        ignored = rule_to_ignore(self.rules, name)
        if ignored is not None:
            return self._ignored(name, ignored)
        if name not in control or name not in candidate:
            return _one_sided(name, missing=name not in candidate)
        try:
            left = sides.tree_of(control[name], self.folder, self.settings)
            right = sides.tree_of(candidate[name], self.folder, self.settings)
            return but_for(self._trees(left, right, name), name)
        except StepbridgeError as error:
            return tool_error(name, str(error))
        except Exception as error:  # noqa: BLE001 - a comparator's crash is a verdict, whatever it is
            return tool_error(name, f"{type(error).__name__}: {error}")

    def _trees(self, control: Tree, candidate: Tree, name: str) -> Part:
        if isinstance(control, Branch) and isinstance(candidate, Branch):
            return self._branches(control, candidate, name)
        if isinstance(control, Side) and isinstance(candidate, Side):
            comparator = registry.choose(control, candidate, self.rules)
            if not self.rules.metrics and control.path and _same_file(control, candidate):
                return self._same_bytes(control, candidate, name, comparator)
            if comparator is not None:
                return _finite(comparator.compare(control, candidate, self.rules, name))
            left, right = self._followed(control, candidate), self._followed(candidate, control)
            if (left, right) != (control, candidate):
                return _noting(self._trees(left, right, name), control, candidate)
        return _incomparable(name, control, candidate, self.rules.comparator)

    def _same_bytes(self, control: Side, candidate: Side, name: str, comparator: Comparator | None) -> Part:
        """The part of two files with the same bytes; tables and arrays say how many rows or elements."""
        assert control.path is not None
        if comparator is not None and comparator.name in ("table", "array"):
            known = control.content or "the same bytes"
            both = [replace(side, content=known) for side in (control, candidate)]
            with contextlib.suppress(StepbridgeError):
                return _finite(comparator.compare(both[0], both[1], self.rules, name))
        part = identical(control.path, name, "bytes")
        if comparator is None or not names_something(self.rules):
            return part
        try:
            found = comparator.compare(control, candidate, self.rules, name)
        except Exception:  # noqa: BLE001 - the bytes are equal, whatever a reader makes of them
            return part
        return replace(part, unused=found.unused)

    def _followed(self, side: Side, other: Side) -> Tree:
        """What lies at the path or URI that one side gave as text where the other has a payload."""
        if side.type != "json" or not isinstance(side.value, str) or other.path is None:
            return side
        if "://" not in side.value and not Path(side.value).is_absolute():
            return side
        try:
            return sides.tree_of(sides.value_at(side.value, self.settings), self.folder, self.settings)
        except StepbridgeError as error:
            if error.code.id in ("SB301", "SB302", "SB306"):
                return side
            raise

    def _branches(self, control: Branch, candidate: Branch, name: str) -> Part:
        kinds = {control.type, candidate.type}
        if len(kinds) > 1 and not (kinds == {"list", "tuple"} and "list-is-tuple" in self.rules.equal):
            return _incomparable(name, control, candidate)
        parts = []
        for key in dict.fromkeys([*control.items, *candidate.items]):
            inner = f"{name}{key}"
            ignored = rule_to_ignore(self.rules, inner)
            if ignored is not None:
                parts.append(self._ignored(inner, ignored))
            elif key not in control.items or key not in candidate.items:
                parts.append(_one_sided(inner, missing=key not in candidate.items))
            else:
                made = self._trees(control.items[key], candidate.items[key], inner)
                parts.append(but_for(made, inner))
        unlike = [part for part in parts if part.verdict is not Verdict.IDENTICAL]
        rule = f"all {len(parts)} members are identical"
        if unlike:
            rule = f"{len(unlike)} of {len(parts)} members: {unlike[0].name}: {unlike[0].rule}"
        return Part(
            name,
            "members",
            worst(part.verdict for part in parts),
            rule,
            compared=len(parts),
            of=len(parts),
            unit="members",
            parts=tuple(parts),
            unused=agreed(part.unused for part in parts),
        )

    def _ignored(self, name: str, rule: Ignore) -> Part:
        return Part(
            name,
            "none",
            Verdict.SKIPPED,
            f"not compared: {rule.reason}",
            relaxations=(Relaxation(f"ignore:{rule.path}", rule.path, 1, rule.reason),),
            skipped=(Skipped(name, rule.reason),),
            unused=unused(self.rules, Named(names=(name,))),
        )


def _one_sided(name: str, *, missing: bool) -> Part:
    who = "the control" if missing else "the candidate"
    difference = Difference(name, "missing" if missing else "extra")
    return Part(
        name, "none", Verdict.DIFFERENT, f"only {who} gives it", differences=(difference,), total=1, of=1
    )


def _same_file(control: Side, candidate: Side) -> bool:
    """Two files of one type with the same bytes: whatever reads them reads the same."""
    if control.type != candidate.type or control.path is None or candidate.path is None:
        return False
    return control.path.is_file() and candidate.path.is_file() and same_bytes(control.path, candidate.path)


def _incomparable(name: str, control: Tree, candidate: Tree, named: str | None = None) -> Part:
    kinds = _type(control), _type(candidate)
    by = f", and the comparator {named!r} does not take these" if named else ""
    return Part(
        name,
        "none",
        Verdict.INCOMPARABLE,
        f"the control gives {kinds[0]}, the candidate {kinds[1]}{by}",
        differences=(Difference(name, "type", *kinds),),
        total=1,
        of=1,
    )


def _noting(part: Part, control: Side, candidate: Side) -> Part:
    """The part with the paths that were given in place of their content."""
    given = [side.value if side.path is None else side.origin for side in (control, candidate)]
    return replace(part, facts=(*part.facts, Fact("compared by what lies at", given[0], given[1])))


def _type(tree: Tree) -> str:
    if isinstance(tree, Side) and tree.type == "json":
        return type(tree.value).__name__
    return tree.type


def _finite(part: Part) -> Part:
    """The part without infinities and NaN, which JSON cannot say."""
    return replace(
        part,
        columns=tuple(_finite_column(one) for one in part.columns),
        drift=tuple(_finite_drift(one) for one in part.drift),
        parts=tuple(_finite(one) for one in part.parts),
    )


def _finite_column(column: Column) -> Column:
    return replace(column, max_abs=_number(column.max_abs), max_rel=_number(column.max_rel))


def _finite_drift(drift: Drift) -> Drift:
    if math.isfinite(drift.value):
        return drift
    return replace(drift, value=0.0, detail=f"{drift.measure} is {drift.value}; {drift.detail}".strip("; "))


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
