"""Texts line by line: places, relaxations, insertions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Ignore
from stepbridge.compare.text import TextComparator


def compared(control: str, candidate: str, **rules: Any) -> Part:
    sides = (Side("value", "json", value=control), Side("value", "json", value=candidate))
    return TextComparator().compare(*sides, Compare(**rules), "value")


def places(part: Part) -> list[tuple[str, str]]:
    return [(one.path, one.kind) for one in part.differences]


@pytest.mark.parametrize(
    ("control", "candidate", "expected"),
    [
        ("a\nb\nc\n", "a\nx\nc\n", [("line 2", "value")]),
        ("a\nb\nc\n", "a\nc\n", [("line 2", "missing")]),
        ("a\nc\n", "a\nb\nc\n", [("line 2", "extra")]),
        ("a\nb", "a\nb\n", [("line 2", "value")]),
        ("a\r\n", "a\n", [("line 1", "value")]),
        ("a\n", "", [("line 1", "missing")]),
    ],
)
def test_each_line_that_differs_is_named(control: str, candidate: str, expected: Any) -> None:
    part = compared(control, candidate)
    assert part.verdict is Verdict.DIFFERENT
    assert places(part) == expected


@pytest.mark.parametrize(
    ("control", "candidate", "equal"),
    [
        ("a\r\nb\r\n", "a\nb\n", "line-endings"),
        (" a  b\n", "a b\n", "whitespace"),
        ("A\n", "a\n", "text-case"),
    ],
)
def test_a_relaxation_is_counted(control: str, candidate: str, equal: Any) -> None:
    assert compared(control, candidate).verdict is Verdict.DIFFERENT
    part = compared(control, candidate, equal=(equal,))
    assert part.verdict is Verdict.EQUIVALENT
    assert part.relaxations[0].name == f"equal:{equal}"


def test_an_ignored_line_is_explained() -> None:
    part = compared("at 1\nb\n", "at 2\nb\n", ignore=(Ignore("line 1", "a time stamp"),))
    assert part.verdict is Verdict.EXPLAINED


def test_text_files_are_taken_by_name_and_content(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.txt", tmp_path / "b.txt"
    good.write_text("a\n")
    bad.write_bytes(b"\xff\xfe")
    side = [Side(str(path), "stepbridge.File", path=path) for path in (good, bad)]
    assert TextComparator().takes(side[0], side[0])
    assert not TextComparator().takes(side[0], side[1])
    assert not TextComparator().takes(Side("v", "json", value="a"), Side("v", "json", value="b"))


TEXTS = st.lists(st.text(alphabet="ab \t", max_size=4), max_size=8).map(lambda lines: "\n".join(lines) + "\n")


@given(TEXTS)
def test_a_text_is_identical_with_itself(text: str) -> None:
    assert compared(text, text).verdict is Verdict.IDENTICAL


@given(TEXTS, TEXTS)
def test_sameness_is_equality(a: str, b: str) -> None:
    assert (compared(a, b).verdict is Verdict.IDENTICAL) == (a == b)
