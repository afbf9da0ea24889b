"""Plain values: typed differences at their JSON paths, and relaxations by name."""

from __future__ import annotations

import copy
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Ignore, Tolerance
from stepbridge.compare.values import ValueComparator


def compared(control: Any, candidate: Any, **rules: Any) -> Part:
    sides = (Side("value", "json", value=control), Side("value", "json", value=candidate))
    assert ValueComparator().takes(*sides)
    return ValueComparator().compare(*sides, Compare(**rules), "value")


def paths(part: Part) -> list[tuple[str, str]]:
    return [(one.path, one.kind) for one in part.differences]


@pytest.mark.parametrize(
    ("control", "candidate", "expected"),
    [
        (1, 2, [("$", "value")]),
        (1, 1.0, [("$", "type")]),
        (1, True, [("$", "type")]),
        (0.0, -0.0, [("$", "value")]),
        ("1", 1, [("$", "type")]),
        (None, 0, [("$", "null")]),
        (None, math.nan, [("$", "null")]),
        ({"a": 1}, {"a": 2}, [("$.a", "value")]),
        ({"a": 1}, {"A": 1}, [("$.a", "missing"), ("$.A", "extra")]),
        ({"a b": [1, {"c": 2}]}, {"a b": [1, {"c": 3}]}, [("$['a b'][1].c", "value")]),
        ({1: "x"}, {"1": "x"}, [("$[1]", "missing"), ("$['1']", "extra")]),
        ([1, 2], [2, 1], [("$[0]", "value"), ("$[1]", "value")]),
        ([1, 2, 3], [1, 3], [("$", "length"), ("$[1]", "missing")]),
        ([1, 3], [1, 2, 3], [("$", "length"), ("$[1]", "extra")]),
        ((1, 2), [1, 2], [("$", "type")]),
        ({1, 2}, {1, 3}, [("$[1]", "missing"), ("$[1]", "extra")]),
        (b"ab", b"ac", [("$", "value")]),
        (Decimal("1.0"), Decimal("1.00"), [("$", "value")]),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1), [("$", "value")]),
        ({}, [], [("$", "type")]),
        ({"a": None}, {}, [("$.a", "missing")]),
    ],
)
def test_each_difference_has_its_place_and_kind(control: Any, candidate: Any, expected: Any) -> None:
    part = compared(control, candidate)
    assert part.verdict is Verdict.DIFFERENT
    assert paths(part) == expected
    assert part.total == len(expected)


@pytest.mark.parametrize(
    ("control", "candidate", "rules", "relaxation"),
    [
        (1, 1.0, {"equal": ("int-is-float",)}, "equal:int-is-float"),
        (Decimal("0.5"), 0.5, {"equal": ("decimal-is-float",)}, "equal:decimal-is-float"),
        (0.0, -0.0, {"equal": ("negative-zero",)}, "equal:negative-zero"),
        (None, math.nan, {"equal": ("nan-is-null",)}, "equal:nan-is-null"),
        ({"a": None}, {}, {"equal": ("missing-is-null",)}, "equal:missing-is-null"),
        ({"a": 1}, {"A": 1}, {"equal": ("name-case",)}, "equal:name-case"),
        ((1,), [1], {"equal": ("list-is-tuple",)}, "equal:list-is-tuple"),
        ("A", "a", {"equal": ("text-case",)}, "equal:text-case"),
        ("a  b", "a b", {"equal": ("whitespace",)}, "equal:whitespace"),
        ("a\r\nb", "a\nb", {"equal": ("line-endings",)}, "equal:line-endings"),
        ([1, 2, 2], [2, 1, 2], {"unordered": True}, "unordered"),
        (1.0, 1.0 + 1e-9, {"rtol": 1e-8}, "tolerance"),
        (1.0, 1.1, {"atol": 0.2}, "tolerance"),
        ({"a": 10}, {"a": 11}, {"columns": {"a": Tolerance(atol=1)}}, "columns[a]"),
        (1.0, math.nextafter(1.0, 2), {"columns": {"$": Tolerance(ulp=1)}}, "columns[$]"),
        (
            datetime(2026, 1, 1, 12, tzinfo=UTC),
            datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
            {"equal": ("time-zone",)},
            "equal:time-zone",
        ),
    ],
)
def test_a_relaxation_lets_pass_and_is_counted(
    control: Any, candidate: Any, rules: dict[str, Any], relaxation: str
) -> None:
    assert compared(control, candidate).verdict is Verdict.DIFFERENT
    part = compared(control, candidate, **rules)
    assert part.verdict is Verdict.EQUIVALENT
    assert [(one.name, one.allowed) for one in part.relaxations] == [(relaxation, 1)]


def test_integers_are_exact_whatever_the_general_tolerance() -> None:
    assert compared(1000, 1001, rtol=0.5, atol=10.0).verdict is Verdict.DIFFERENT


@pytest.mark.parametrize("path", ["$.meta.*", "meta.*", "$.meta", "meta", "$.meta.at"])
def test_an_ignored_difference_is_explained_with_its_reason(path: str) -> None:
    rules = {"ignore": (Ignore(path, "written by the clock"),)}
    part = compared({"meta": {"at": 1}, "n": 1}, {"meta": {"at": 2}, "n": 1}, **rules)
    assert part.verdict is Verdict.EXPLAINED
    assert part.relaxations[0].reason == "written by the clock"
    part = compared({"meta": {"at": 1}, "n": 1}, {"meta": {"at": 2}, "n": 2}, **rules)
    assert part.verdict is Verdict.DIFFERENT
    assert paths(part) == [("$.n", "value")]


def test_an_ignore_rule_ends_with_its_date() -> None:
    rule = Ignore("a", "until the clocks agree", until="2020-01-01")
    assert compared({"a": 1}, {"a": 2}, ignore=(rule,)).verdict is Verdict.DIFFERENT


def test_masked_values_are_not_shown() -> None:
    part = compared({"token": "s3cret"}, {"token": "other"}, mask=("token",))
    assert "s3cret" not in repr(part)
    assert "other" not in repr(part)


@pytest.mark.parametrize("value", [{}, [], "", b"", ()])
def test_empty_against_empty_is_said_to_be_empty(value: Any) -> None:
    part = compared(value, value)
    assert part.verdict is Verdict.IDENTICAL
    assert part.rule.startswith("both are empty")
    assert part.of == 0


def test_depth_does_not_matter() -> None:
    deep: Any = 1
    other: Any = 2
    for _ in range(20_000):
        deep, other = [deep], [other]
    part = compared(deep, other)
    assert part.total == 1
    assert part.differences[0].path.count("[0]") == 20_000


def test_huge_numbers_compare_and_show() -> None:
    assert compared(10**5000, 10**5000 + 1).verdict is Verdict.DIFFERENT
    assert compared(10**400, 1.0, equal=("int-is-float",)).verdict is Verdict.DIFFERENT
    assert compared(math.inf, 1e308, rtol=1.0).verdict is Verdict.DIFFERENT


def test_unordered_items_within_tolerance_are_matched() -> None:
    part = compared([1.0, 2.0], [2.0 + 1e-9, 1.0], unordered=True, rtol=1e-6)
    assert part.verdict is Verdict.EQUIVALENT


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.datetimes()
    | st.decimals(allow_nan=False)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        | st.tuples(inner, inner)
    ),
    max_leaves=25,
)


@given(VALUES)
def test_a_value_is_identical_with_its_copy(value: Any) -> None:
    part = compared(value, copy.deepcopy(value))
    assert part.verdict is Verdict.IDENTICAL
    assert part.compared == part.of


@given(VALUES, VALUES)
def test_sameness_does_not_depend_on_the_order_of_the_sides(a: Any, b: Any) -> None:
    assert compared(a, b).verdict.same == compared(b, a).verdict.same


@settings(max_examples=60)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.data())
def test_one_change_is_found_at_its_place(items: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(items) - 1))
    changed = [*items[:place], items[place] + 1000, *items[place + 1 :]]
    wrapped = ({"rows": [{"n": n} for n in items]}, {"rows": [{"n": n} for n in changed]})
    part = compared(*wrapped)
    assert paths(part) == [(f"$.rows[{place}].n", "value")]
    shuffled = data.draw(st.permutations(changed))
    part = compared({"s": items}, {"s": shuffled}, unordered=True)
    assert part.verdict is Verdict.DIFFERENT
    assert {one.control for one in part.differences} >= {str(items[place])}
