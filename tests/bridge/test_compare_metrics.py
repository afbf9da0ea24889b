"""Metrics with a direction: rules are read, held, and everything else stays strict."""

from __future__ import annotations

import math
from typing import Any

import pytest

from stepbridge.compare.base import Side
from stepbridge.compare.metrics import MetricsComparator, parse
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Ignore, Metric
from stepbridge.failures import StepbridgeError


def compared(control: Any, candidate: Any, *rules: str, **more: Any) -> Part:
    sides = (Side("value", "json", value=control), Side("value", "json", value=candidate))
    return MetricsComparator().compare(*sides, Compare(metrics=tuple(map(Metric, rules)), **more), "value")


@pytest.mark.parametrize(
    ("rule", "control", "candidate", "holds"),
    [
        ("auc >= control - 0.002", 0.9, 0.8981, True),
        ("auc >= control - 0.002", 0.9, 0.8979, False),
        ("auc >= control", 0.9, 0.95, True),
        ("auc > control", 0.9, 0.9, False),
        ("loss <= control + 1%", 2.0, 2.02, True),
        ("loss <= control + 1%", 2.0, 2.03, False),
        ("loss <= control + 1%", -2.0, -1.99, True),
        ("n == control", 3, 3, True),
        ("n<control+1e2", 3, 102, True),
        ("auc >= control - 1", 0.9, math.nan, False),
    ],
)
def test_a_rule_holds_or_breaks(rule: str, control: float, candidate: float, holds: bool) -> None:
    assert parse(Metric(rule)).holds(control, candidate) is holds


@pytest.mark.parametrize(
    "rule", ["auc", "auc >= 0.9", "auc => control", "auc >= control - ", "", "a b >= control"]
)
def test_a_rule_that_cannot_be_read_is_refused_with_an_example(rule: str) -> None:
    with pytest.raises(StepbridgeError, match=r"SB701.*cannot be read"):
        parse(Metric(rule))


def test_a_metric_that_moves_the_allowed_way_is_equivalent() -> None:
    part = compared({"auc": 0.9, "n": 10}, {"auc": 0.91, "n": 10}, "auc >= control")
    assert part.verdict is Verdict.EQUIVALENT
    assert [(one.value, one.allowed) for one in part.relaxations] == [("auc >= control", 1)]


def test_equal_metrics_are_identical() -> None:
    assert compared({"auc": 0.9}, {"auc": 0.9}, "auc >= control").verdict is Verdict.IDENTICAL


def test_a_broken_rule_is_a_difference_that_says_the_limit() -> None:
    part = compared({"auc": 0.9}, {"auc": 0.5}, "auc >= control - 0.1")
    assert part.verdict is Verdict.DIFFERENT
    assert part.differences[0].path == "$.auc"
    assert "0.5 is not >= 0.8" in part.differences[0].detail


def test_what_no_rule_names_is_strict() -> None:
    part = compared({"auc": 0.9, "n": 10}, {"auc": 0.91, "n": 11}, "auc >= control")
    assert part.verdict is Verdict.DIFFERENT
    assert part.differences[0].path == "$.n"


def test_a_rule_reaches_nested_numbers_by_path_and_glob() -> None:
    control, candidate = (
        {"test": {"auc": 0.9}, "train": {"auc": 0.9}},
        {"test": {"auc": 1}, "train": {"auc": 1}},
    )
    assert compared(control, candidate, "*.auc >= control").verdict is Verdict.EQUIVALENT
    assert compared(control, candidate, "test.auc >= control").verdict is Verdict.DIFFERENT


def test_a_metric_that_is_not_there_is_a_difference() -> None:
    assert compared({"auc": 0.9}, {"auc": 0.9}, "f1 >= control").verdict is Verdict.DIFFERENT
    assert compared({"auc": 0.9}, {}, "auc >= control").verdict is Verdict.DIFFERENT


def test_ignored_differences_beside_a_metric_are_explained() -> None:
    rules = {"ignore": (Ignore("at", "the clock"),)}
    part = compared({"auc": 0.9, "at": 1}, {"auc": 0.9, "at": 2}, "auc >= control", **rules)
    assert part.verdict is Verdict.EXPLAINED
