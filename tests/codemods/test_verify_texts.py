"""The checks that need only the text of an edit."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from edited_dags import RIGHT
from hypothesis import given
from hypothesis import strategies as st

from stepbridge_migrate.model import Check, Edit, Plan
from stepbridge_migrate.problems import MigrateProblem
from stepbridge_migrate.source import SourceFile, decode
from stepbridge_migrate.verify import texts


def source(data: bytes = b"a = 1\nb = 2\n") -> SourceFile:
    return decode("dags/x.py", data)


def test_a_broken_text_does_not_parse() -> None:
    check = texts.parses("dags/x.py", b"a = (\n")
    assert check.status == "failed"
    assert "dags/x.py" in check.detail


@pytest.mark.parametrize("data", [b"a = (\n", b"# coding: nowhere\n", b"a = 1\0\n"])
def test_the_projects_python_is_asked_where_it_is_known(data: bytes) -> None:
    python = Path(sys.executable)
    assert texts.parses("dags/x.py", data, python).status == "failed"
    assert texts.parses("dags/x.py", b"match = 1\n", python) == Check("parses", "passed")


def test_a_python_that_does_not_answer_is_no_pass() -> None:
    assert texts.parses("dags/x.py", b"a = 1\n", Path("/nowhere/python")).status == "skipped"


ENCODED = [
    b"a = 1\r\nb = 2",
    b"\xef\xbb\xbfa = '\xc3\xa9'\n",
    "# -*- coding: latin-1 -*-\na = 'é'\n".encode("latin-1"),
    b"a = 1\n\x0c\nb\t= 2\r",
]


@pytest.mark.parametrize("data", ENCODED)
def test_what_the_edits_say_passes_in_every_encoding(data: bytes) -> None:
    file = source(data)
    edits = (Edit(file.text.index("a"), "a", "longer"),)
    candidate = file.encode(texts.compose(file.text, edits))
    assert texts.outside_unchanged(file, candidate, edits).status == "passed"
    assert texts.outside_unchanged(file, candidate + b" ", edits).status == "failed"


def test_a_changed_byte_outside_is_found_with_its_line() -> None:
    check = texts.outside_unchanged(source(), b"a = 3\nb = 4\n", (Edit(4, "1", "3"),))
    assert check.status == "failed"
    assert "dags/x.py:2" in check.detail


@pytest.mark.parametrize(
    "edits",
    [
        (Edit(0, "a = 1", "x"), Edit(4, "1", "2")),
        (Edit(6, "b", "c"), Edit(0, "a", "x")),
        (Edit(0, "z", "x"),),
        (Edit(11, "\nmore", ""),),
    ],
    ids=["overlap", "order", "other text", "beyond the end"],
)
def test_edits_that_do_not_fit_fail(edits: tuple[Edit, ...]) -> None:
    assert texts.outside_unchanged(source(), b"anything", edits).status == "failed"


@given(st.data())
def test_compose_keeps_all_between_the_edits(data: st.DataObject) -> None:
    text = data.draw(st.text(max_size=60))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=6)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    edits = [Edit(start, text[start:end], f"<{number}>") for number, (start, end) in enumerate(spans)]
    made = texts.compose(text, edits)
    rest = made
    for number in range(len(edits)):
        rest = rest.replace(f"<{number}>", "\0", 1)
    kept = "\0".join(
        text[start:end]
        for start, end in zip([0, *(e for _, e in spans)], [*(s for s, _ in spans), len(text)], strict=True)
    )
    assert rest == kept


def test_a_plan_that_edits_again_is_not_stable() -> None:
    plan = RIGHT[0].plan("dags/x.py")
    check = texts.stable(lambda: plan)
    assert check.status == "failed"
    assert "dags/x.py at offset" in check.detail
    assert texts.stable(lambda: replace(plan, changes=())) == Check("stable", "passed")
    assert texts.stable(None).status == "skipped"


def test_an_inverse_that_gives_another_file_fails() -> None:
    file = source()
    assert texts.inverse(file, lambda: file.text) == Check("inverse", "passed")
    assert texts.inverse(file, lambda: file.text + " ").status == "failed"
    assert texts.inverse(file, None).status == "skipped"


def test_a_problem_while_planning_or_taking_back_is_a_failed_check() -> None:
    def broken() -> Plan:
        raise MigrateProblem("SM510", "the moved text was changed since")

    assert texts.stable(broken).status == "failed"
    assert texts.inverse(source(), lambda: str(broken())).status == "failed"
