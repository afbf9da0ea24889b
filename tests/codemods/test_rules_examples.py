"""Every example of every rule, as its page shows it: before, after, back, and twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from rule_checks import check_transformed

from stepbridge_migrate.model import MOVABLE
from stepbridge_migrate.rules import RULES, Example

EXAMPLES = [
    pytest.param(example, id=f"{rule.name}: {example.title}") for rule in RULES for example in rule.examples
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_what_happens(example: Example, tmp_path: Path) -> None:
    check_transformed(
        tmp_path, example.before, example.after, example.task, action=example.action, needs=example.needs
    )


def test_every_movable_kind_has_one_rule_with_an_example() -> None:
    kinds = [kind for rule in RULES for kind in rule.kinds]
    assert sorted(kinds) == sorted(MOVABLE)
    assert all(rule.examples and rule.docs and rule.version >= 1 for rule in RULES)
