"""Numbers that may move in one direction: ``auc >= control - 0.002``, ``loss <= control + 1%``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stepbridge.compare.base import Side
from stepbridge.compare.ignoring import fits, masked
from stepbridge.compare.model import Difference, Fact, Part, Relaxation, Verdict
from stepbridge.compare.rules import Compare, Ignore, Metric
from stepbridge.compare.tally import MASK
from stepbridge.compare.values import ValueComparator
from stepbridge.failures import StepbridgeError

_RULE = re.compile(
    r"""\s*(?P<name>\S+?)\s*(?P<sign>>=|<=|==|>|<)\s*control
    (?:\s*(?P<move>[+-])\s*(?P<amount>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(?P<percent>%)?)?\s*""",
    re.VERBOSE,
)
_BREACH = re.compile(
    r"(?:(?P<given>\S+) is not (?P<sign>>=|<=|==|>|<) (?P<limit>\S+)|it breaks its rule) \(.*\)", re.DOTALL
)
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Bound:
    """A rule that was read.

    :param name: a key, or a JSON path or glob of one: ``auc``, ``$.test.auc``, ``*.auc``.
    :param move: what is added to the control's number; a share of its size where ``percent``.
    """

    name: str
    sign: str
    move: float
    percent: bool
    rule: str

    def limit(self, control: float) -> float:
        """What the candidate's number is held against."""
        return control + (self.move / 100 * abs(control) if self.percent else self.move)

    def holds(self, control: float, candidate: float) -> bool:
        """Whether the candidate's number keeps the rule; NaN keeps none."""
        return not math.isnan(candidate) and _SIGNS[self.sign](candidate, self.limit(control))


@dataclass(frozen=True)
class Breach:
    """A number that broke its rule, as a report's difference says it.

    :param limit: what the candidate's number was held against.
    """

    control: float
    candidate: float
    sign: str
    limit: float

    def reached(self, run: float) -> bool:
        """Whether *run*, the number of another run of the candidate, is no worse than limit and control.

        Where equality is asked for: whether it lies at the limit, or beyond it as the candidate sees it.
        """
        if self.sign == "==":
            return run >= self.limit if self.candidate < self.limit else run <= self.limit
        best = max(self.limit, self.control) if self.sign in (">", ">=") else min(self.limit, self.control)
        return _SIGNS[self.sign](run, self.limit) and _SIGNS[self.sign[0] + "="](run, best)


def is_breach(one: Difference) -> bool:
    """Whether a difference is a number that broke its metric's rule."""
    return _BREACH.fullmatch(one.detail) is not None


def breach_of(one: Difference) -> Breach | None:
    """The numbers of a broken rule; None where they are masked, not finite, or it is none."""
    found = _BREACH.fullmatch(one.detail)
    if found is None or found["limit"] is None:
        return None
    made = Breach(float(one.control or "nan"), float(found["given"]), found["sign"], float(found["limit"]))
    return made if all(map(math.isfinite, (made.control, made.candidate, made.limit))) else None


def numbers_of(part: Part) -> Mapping[str, float]:
    """By path, the candidate's numbers of all metrics that a comparison of metrics found to have moved."""
    moved = {one.name: one.candidate for one in part.facts}
    broken = {one.path: one.candidate for one in part.differences if breach_of(one) is not None}
    return {path: float(given) for path, given in {**moved, **broken}.items() if given is not None}


def parse(metric: Metric) -> Bound:
    """Read a rule.

    :raises StepbridgeError: SB701 for anything that is not ``NAME SIGN control [+- NUMBER[%]]``.
    """
    found = _RULE.fullmatch(metric.rule)
    if found is None:
        raise StepbridgeError(
            "SB701",
            f"the metric {metric.rule!r} cannot be read",
            place="Compare(metrics=...)",
            hint="write for example 'auc >= control - 0.002' or 'loss <= control + 1%'",
        )
    amount = float(found["amount"] or 0)
    move = -amount if found["move"] == "-" else amount
    return Bound(found["name"], found["sign"], move, bool(found["percent"]), metric.rule.strip())


def named_in(rules: Compare, control: Side, candidate: Side) -> bool:
    """Whether both are mappings, and one at least holds a number that a metric of *rules* names."""
    if not (rules.metrics and MetricsComparator().takes(control, candidate)):
        return False
    paths = [path for side in (control, candidate) for path, _ in _numbers(side.value)]
    return any(_named(parse(metric), path) for metric in rules.metrics for path in paths)


class MetricsComparator:
    """Metrics by their rules; everything else in the value strictly."""

    name = "metrics"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Two mappings of plain values."""
        return isinstance(control.value, dict) and isinstance(candidate.value, dict)

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Hold each metric against its rule, and compare what no rule names."""
        bounds = [parse(metric) for metric in rules.metrics]
        left, right = dict(_numbers(control.value)), dict(_numbers(candidate.value))
        differences: list[Difference] = []
        relaxations: list[Relaxation] = []
        ruled: list[str] = []
        facts: list[Fact] = []
        for bound in bounds:
            paths = [path for path in dict.fromkeys([*left, *right]) if _named(bound, path)]
            if not paths:
                differences.append(Difference(bound.name, "missing", detail=f"no number for {bound.rule!r}"))
            moved = 0
            for path in paths:
                ruled.append(path)
                hidden = _hidden(rules, path)
                one = _held(bound, path, left.get(path), right.get(path))
                if one is not None:
                    differences.append(_masked(one, bound) if hidden else one)
                elif left[path] != right[path]:
                    moved += 1
                    if not hidden and len(facts) < rules.samples:
                        facts.append(Fact(path, repr(left[path]), repr(right[path])))
            relaxations.append(Relaxation("metric", bound.rule, moved))
        rest = self._rest(control, candidate, rules, name, ruled)
        part = self._part(rest, differences, relaxations, len(set(ruled)))
        return replace(part, facts=(*dict.fromkeys(facts), *part.facts))

    def _rest(self, control: Side, candidate: Side, rules: Compare, name: str, ruled: list[str]) -> Part:
        """What no rule names, compared strictly: the ruled numbers are left out on both sides."""
        mark = "a metric's rule decides"
        without = replace(rules, ignore=(*(Ignore(path, mark) for path in ruled), *rules.ignore))
        part = ValueComparator().compare(control, candidate, without, name)
        kept = tuple(one for one in part.relaxations if one.reason != mark)
        verdict = part.verdict
        if verdict is Verdict.EXPLAINED and not any(one.name.startswith("ignore:") for one in kept):
            verdict = Verdict.EQUIVALENT
        return replace(part, relaxations=kept, verdict=verdict)

    def _part(
        self, rest: Part, differences: list[Difference], relaxations: list[Relaxation], ruled: int
    ) -> Part:
        verdict = rest.verdict
        rule = rest.rule
        moved = sum(one.allowed for one in relaxations)
        if differences:
            verdict = Verdict.DIFFERENT
            first = differences[0]
            rule = f"{len(differences)} of {ruled} metrics break their rule: {first.path}: {first.detail}"
        elif verdict in (Verdict.IDENTICAL, Verdict.EQUIVALENT) and moved:
            verdict = Verdict.EQUIVALENT
            rule = f"{moved} of {ruled} metrics moved, each as its rule allows"
        return replace(
            rest,
            comparator=self.name,
            verdict=verdict,
            rule=rule,
            differences=(*differences, *rest.differences),
            total=rest.total + len(differences),
            relaxations=(*relaxations, *rest.relaxations),
        )


def _numbers(value: Mapping[Any, Any]) -> Iterator[tuple[str, float]]:
    stack: list[tuple[str, Any]] = [("$", value)]
    while stack:
        path, one = stack.pop()
        if isinstance(one, dict):
            for key, inner in one.items():
                member = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
                stack.append((path + member, inner))
        elif isinstance(one, list | tuple):
            stack.extend((f"{path}[{n}]", inner) for n, inner in enumerate(one))
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield path, float(one)


def _named(bound: Bound, path: str) -> bool:
    bare = path.removeprefix("$.")
    return fits(bound.name, path) or fits(bound.name, bare) or path == f"$[{bound.name!r}]"


def _hidden(rules: Compare, path: str) -> bool:
    return any(masked(rules, name) for name in (path, path.removeprefix("$.")))


def _masked(one: Difference, bound: Bound) -> Difference:
    sides = [None if given is None else MASK for given in (one.control, one.candidate)]
    detail = f"it breaks its rule ({bound.rule})" if one.kind == "value" else one.detail
    return replace(one, control=sides[0], candidate=sides[1], detail=detail)


def _held(bound: Bound, path: str, control: float | None, candidate: float | None) -> Difference | None:
    if control is None or candidate is None:
        kind = "missing" if candidate is None else "extra"
        given = [None if one is None else f"{one!r}" for one in (control, candidate)]
        return Difference(path, kind, given[0], given[1], f"there is nothing to hold {bound.rule!r} against")
    if bound.holds(control, candidate):
        return None
    detail = f"{candidate!r} is not {bound.sign} {bound.limit(control)!r} ({bound.rule})"
    return Difference(path, "value", repr(control), repr(candidate), detail)
