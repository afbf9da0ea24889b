"""Collecting what differs: real differences, those that a relaxation lets pass, those that are ignored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from stepbridge.compare.ignoring import masked, rule_to_ignore
from stepbridge.compare.model import Difference, Fact, Part, Relaxation, Skipped, Verdict
from stepbridge.compare.rules import Compare

_SHOWN = 120
MASK = "(masked)"


def shown(value: object, most: int = _SHOWN) -> str:
    """*value* as people read it, on one line, shortened to about *most* characters."""
    text = value if isinstance(value, str) else _repr(value)
    return text if len(text) <= most else f"{text[: most - 20]}... ({len(text):,} characters)"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError) as error:
        return f"<{type(value).__name__}: {error}>"


@dataclass
class Tally:
    """What one comparator has found so far."""

    rules: Compare
    samples: list[Difference] = field(default_factory=list)
    real: int = 0
    compared: int = 0
    allowed: Counter[tuple[str, str]] = field(default_factory=Counter)
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    def differ(self, one: Difference, *names: str) -> None:
        """A difference that no relaxation allows; ignored where a rule fits its path or one of *names*."""
        for name in (one.path, *names):
            rule = rule_to_ignore(self.rules, name)
            if rule is not None:
                self.ignored[(rule.path, rule.reason)] += 1
                return
        self.real += 1
        if len(self.samples) < self.rules.samples:
            hidden = any(masked(self.rules, name) for name in (one.path, *names))
            self.samples.append(replace(one, control=MASK, candidate=MASK) if hidden else one)

    def allow(self, name: str, value: str = "", count: int = 1) -> None:
        """*count* differences that the relaxation *name* lets pass."""
        if count:
            self.allowed[(name, value)] += count

    @property
    def verdict(self) -> Verdict:
        """What has been found so far."""
        if self.real:
            return Verdict.DIFFERENT
        if self.ignored:
            return Verdict.EXPLAINED
        if self.allowed or self.skipped:
            return Verdict.EQUIVALENT
        return Verdict.IDENTICAL

    def part(self, name: str, comparator: str, *, unit: str, of: int | None = None, rule: str = "") -> Part:
        """The part of a report that says so.

        :param of: how many *unit* there were; None: all that were compared.
        :param rule: the sentence for the verdict; empty: made of the numbers.
        """
        total = self.compared if of is None else of
        relaxations = [Relaxation(key, value, count) for (key, value), count in sorted(self.allowed.items())]
        relaxations += [
            Relaxation(f"ignore:{path}", path, count, reason)
            for (path, reason), count in sorted(self.ignored.items())
        ]
        return Part(
            name,
            comparator,
            self.verdict,
            rule or self._rule(unit, total),
            differences=tuple(self.samples),
            total=self.real,
            compared=self.compared,
            of=total,
            unit=unit,
            facts=tuple(self.facts),
            relaxations=tuple(relaxations),
            skipped=tuple(self.skipped),
        )

    def _rule(self, unit: str, total: int) -> str:
        if self.real:
            first = f", the first at {self.samples[0].path}" if self.samples else ""
            return f"{self.real:,} difference{'s' * (self.real != 1)}{first}"
        if self.ignored:
            return f"only differences that a rule ignores: {sum(self.ignored.values()):,}"
        if self.allowed:
            names = ", ".join(sorted({name for name, _ in self.allowed}))
            count = sum(self.allowed.values())
            what = "1 difference is" if count == 1 else f"{count:,} differences are"
            return f"{what} allowed by {names}"
        if self.skipped:
            return f"what was compared is equal; not compared: {self.skipped[0].what}"
        return f"all {total:,} {unit} are equal" if total else "both are empty"
