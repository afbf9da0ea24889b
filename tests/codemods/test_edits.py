"""Edits of texts: applied, turned round, joined; whatever they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge_migrate.edits import Shift, apply, check, compose, invert
from stepbridge_migrate.model import Edit, Span
from stepbridge_migrate.problems import MigrateProblem

TEXTS = st.text(alphabet="ab\n\r\t\f é𝄞", max_size=40)


@st.composite
def edits_of(draw: st.DrawFn, text: str) -> list[Edit]:
    """Edits that fit *text*: some touch, some delete, some insert."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    return [Edit(start, text[start:end], draw(TEXTS)) for start, end in pairs]


@st.composite
def texts_with_edits(draw: st.DrawFn) -> tuple[str, list[Edit], list[Edit]]:
    text = draw(TEXTS)
    first = draw(edits_of(text))
    return text, first, draw(edits_of(apply(text, first)))


@given(texts_with_edits())
def test_the_inverse_leads_back(case: tuple[str, list[Edit], list[Edit]]) -> None:
    text, first, _ = case
    after = apply(text, first)
    assert apply(after, invert(first)) == text
    assert apply(text, invert(invert(first))) == after


@given(texts_with_edits())
def test_two_sets_as_one(case: tuple[str, list[Edit], list[Edit]]) -> None:
    text, first, second = case
    both = compose(text, first, second)
    assert apply(text, both) == apply(apply(text, first), second)
    assert apply(apply(text, both), invert(both)) == text
    ends = [edit.start + len(edit.old) for edit in both]
    assert all(end < edit.start for end, edit in zip(ends, both[1:], strict=False))


@given(texts_with_edits(), st.integers(0, 40), st.integers(0, 5))
def test_a_span_that_no_edit_touches_moves_along(
    case: tuple[str, list[Edit], list[Edit]], start: int, length: int
) -> None:
    text, first, _ = case
    end = start + length
    untouched = all(edit.start + len(edit.old) <= start or edit.start >= end for edit in first)
    if end > len(text) or not length or not untouched:
        return
    moved = Shift(tuple(first)).span(Span(start, end))
    assert apply(text, first)[moved.start : moved.end] == text[start:end]


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ([Edit(0, "x", "y")], "'a' where 'x' was to be changed"),
        ([Edit(0, "ab", ""), Edit(1, "b", "")], "overlaps"),
        ([Edit(9, "", "y")], "overlaps"),
        ([Edit(2, "cd", "")], "'c' where 'cd'"),
    ],
)
def test_edits_of_another_text_are_refused(edits: list[Edit], says: str) -> None:
    with pytest.raises(MigrateProblem, match=says) as caught:
        check("abc", edits, path="dag.py")
    assert caught.value.code == "SM514"
    assert caught.value.place.startswith("dag.py")
