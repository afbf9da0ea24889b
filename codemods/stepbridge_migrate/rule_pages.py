"""The rules for people: each with its text, its examples and what it refuses."""

from __future__ import annotations

from stepbridge_migrate.report import RulePage, Sample
from stepbridge_migrate.rules import RULES


def rule_pages() -> tuple[RulePage, ...]:
    """All rules, by name."""
    return tuple(
        RulePage(
            rule.id,
            rule.title,
            rule.docs,
            tuple(Sample(one.title, one.before, one.after) for one in rule.examples),
            rule.refusals,
        )
        for rule in sorted(RULES, key=lambda one: one.name)
    )
