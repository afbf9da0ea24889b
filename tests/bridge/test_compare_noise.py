"""Noise: what it lets pass, what it never does, and that it is monotone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepbridge import documents
from stepbridge.codecs.plain import pack
from stepbridge.compare import noise
from stepbridge.compare.arrays import compare_arrays
from stepbridge.compare.base import Side
from stepbridge.compare.engine import compare_values
from stepbridge.compare.model import Difference, Part, RunFacts, Subject, Verdict
from stepbridge.compare.render.markdown import markdown
from stepbridge.compare.render.shared import walk
from stepbridge.compare.render.terminal import text
from stepbridge.compare.reporting import report_of
from stepbridge.compare.rules import Compare, Ignore
from stepbridge.compare.sides import value_at
from stepbridge.compare.tables.comparator import TableComparator
from stepbridge.contract import Inline

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden_reports")
DEEP = Compare(samples=noise.KNOWN)


def plain(control: Any, candidate: Any, rules: Compare = DEEP) -> Part:
    """Two JSON values compared as a step's results are."""
    (part,) = compare_values({"x": Inline("json", control)}, {"x": Inline("json", candidate)}, rules)
    return part


def table(left: pd.DataFrame, right: pd.DataFrame, folder: Path, rules: Compare | None = None) -> Part:
    sides = []
    for name, frame in (("left", left), ("right", right)):
        path = folder / f"{name}.parquet"
        frame.to_parquet(path)
        sides.append(Side(name, "stepbridge.File", path=path))
    return TableComparator().compare(sides[0], sides[1], rules or Compare(), "x")


def test_a_number_that_moves_between_repeats() -> None:
    part = plain({"auc": 0.90, "n": 3}, {"auc": 0.91, "n": 3})
    repeats = [plain({"auc": 0.91, "n": 3}, {"auc": auc, "n": 3}) for auc in (0.905, 0.93, 0.91)]
    made = noise.within(part, repeats)
    assert made.verdict is Verdict.EQUIVALENT
    (said,) = made.relaxations
    assert (said.name, said.allowed) == ("noise", 1)
    assert said.value == "3 repeats, $.auc at most 0.02 apart"
    assert made.total == 0
    assert [one.within for one in made.differences] == ["noise"]
    assert noise.why_not(part, repeats) == ""
    larger = plain({"auc": 0.80, "n": 3}, {"auc": 0.91, "n": 3})
    assert noise.within(larger, repeats) == larger
    assert "0.11 apart, between repeats at most 0.02" in noise.why_not(larger, repeats)
    assert "differs from itself" in noise.why_not(larger, repeats)


VALUES: dict[str, tuple[Any, Any, list[tuple[Any, Any]], bool]] = {
    "an id that is drawn anew": ({"id": "a"}, {"id": "b"}, [({"id": "b"}, {"id": "c"})], True),
    "another path": ({"id": "a"}, {"id": "b"}, [({"no": "b"}, {"no": "c"})], False),
    "one path of two": (
        {"id": "a", "n": 1},
        {"id": "b", "n": 2},
        [({"id": "b", "n": 2}, {"id": "c", "n": 2})],
        False,
    ),
    "two paths, each in another repeat": (
        {"id": "a", "n": 1},
        {"id": "b", "n": 2},
        [({"id": "b", "n": 2}, {"id": "c", "n": 2}), ({"id": "b", "n": 2}, {"id": "b", "n": 3})],
        True,
    ),
    "a type": ({"n": 1}, {"n": 1.5}, [({"n": 1.5}, {"n": 1})], False),
    "a missing key": ({"n": 1, "m": 1}, {"n": 1}, [({"n": 1}, {"n": 1, "m": 1})], False),
    "a length": ([1, 2], [1], [([1], [1, 2])], False),
    "null": ({"n": 1}, {"n": None}, [({"n": None}, {"n": 1})], True),
    "null against a number": ({"n": None}, {"n": 1.0}, [({"n": 1.0}, {"n": 1.1})], False),
    "NaN against a number": ({"n": math.nan}, {"n": 1.0}, [({"n": 1.0}, {"n": 1.1})], False),
    "a huge number": ({"n": 10**400}, {"n": 1}, [({"n": 1}, {"n": 10**400})], False),
    "neighbours of 2**53": ({"n": 2**53}, {"n": 2**53 + 1}, [({"n": 2**53 + 1}, {"n": 2**53 + 2})], True),
    "lines of text": ("a\nb", "a\nc", [("a\nc", "a\nd")], True),
    "no repeat": ({"n": 1}, {"n": 2}, [], False),
}


@pytest.mark.parametrize("case", VALUES)
def test_values(case: str) -> None:
    control, candidate, runs, passes = VALUES[case]
    made = [
        compare_values({"x": documents_value(a)}, {"x": documents_value(b)}, DEEP)[0]
        for a, b in ((control, candidate), *runs)
    ]
    part, repeats = made[0], made[1:]
    assert part.verdict is Verdict.DIFFERENT
    found = noise.within(part, repeats)
    assert found.verdict is (Verdict.EQUIVALENT if passes else Verdict.DIFFERENT)
    assert passes or found == part
    assert bool(noise.why_not(part, repeats)) is not passes


def documents_value(value: Any) -> Inline:
    return Inline(*pack(value, place="test"))


def test_masked_numbers_are_judged_by_their_distance() -> None:
    rules = replace(DEEP, mask=("$.pay",))
    part = plain({"pay": 10.0}, {"pay": 10.5}, rules)
    assert "10" not in str(part.differences[0].control)
    assert noise.within(part, [plain({"pay": 10.5}, {"pay": 11.5}, rules)]).verdict is Verdict.EQUIVALENT
    assert noise.within(part, [plain({"pay": 10.5}, {"pay": 10.6}, rules)]) == part


def test_ignored_differences_stay_explained() -> None:
    rules = replace(DEEP, ignore=(Ignore("$.at", "a time"),))
    part = plain({"at": 1, "n": 1}, {"at": 2, "n": 2}, rules)
    assert noise.within(part, [plain({"at": 2, "n": 2}, {"at": 2, "n": 3}, rules)]).verdict is (
        Verdict.EXPLAINED
    )


def test_too_many_differences_to_look_at() -> None:
    part = plain([1.0] * 20, [2.0] * 20, Compare(samples=10))
    repeat = plain([2.0] * 20, [4.0] * 20)
    assert noise.within(part, [repeat]) == part
    assert "too many" in noise.why_not(part, [repeat])
    assert noise.needs_all([part])
    assert noise.within(plain([1.0] * 20, [2.0] * 20), [repeat]).verdict is Verdict.EQUIVALENT


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": range(100), "name": ["a"] * 100, "score": np.zeros(100), **columns})


def moved(rows: int, by: float) -> Any:
    found = np.zeros(100)
    found[:rows] = by
    return found


TABLES: dict[str, tuple[pd.DataFrame, pd.DataFrame, bool]] = {
    "within": (frame(score=moved(10, 0.1)), frame(score=moved(10, 0.2)), True),
    "a few rows more": (frame(score=moved(12, 0.1)), frame(score=moved(10, 0.2)), True),
    "too many rows": (frame(score=moved(13, 0.1)), frame(score=moved(10, 0.2)), False),
    "too far": (frame(score=moved(10, 0.3)), frame(score=moved(10, 0.2)), False),
    "another column": (frame(name=["b"] * 100), frame(score=moved(10, 0.2)), False),
    "text": (frame(name=["b"] * 100), frame(name=["c"] * 100), True),
    "a type": (frame(score=np.arange(100)), frame(score=moved(100, 200.0)), False),
    "rows": (frame().head(99), frame().head(98), False),
    "a column more": (frame(more=1), frame(more=1), False),
    "null": (frame(score=pd.array([None] + [0.0] * 99, "Float64").astype("Float64")), frame(), False),
    "NaN": (frame(score=moved(1, math.nan)), frame(score=moved(9, 5.0)), False),
    "infinite": (frame(score=moved(1, math.inf)), frame(score=moved(9, 5.0)), False),
    "NaN in both": (frame(score=moved(2, math.nan)), frame(score=moved(2, math.nan)), True),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case: str, tmp_path: Path) -> None:
    candidate, repeat, passes = TABLES[case]
    part, other = table(frame(), candidate, tmp_path), table(frame(), repeat, tmp_path)
    made = noise.within(part, [other])
    assert part.verdict is Verdict.DIFFERENT
    assert made.verdict is (Verdict.EQUIVALENT if passes else Verdict.DIFFERENT), noise.why_not(part, [other])
    assert passes or made == part
    if passes:
        (column,) = [one for one in made.columns if one.allowed]
        assert (column.unequal, column.tolerance) == (0, "noise")
        assert made.relaxations[-1].allowed == part.total


def test_tables_with_a_masked_column(tmp_path: Path) -> None:
    rules = Compare(mask=("score",))
    nan = table(frame(), frame(score=moved(1, math.nan)), tmp_path, rules)
    assert noise.within(nan, [table(frame(), frame(score=moved(9, 5.0)), tmp_path, rules)]) == nan


def test_arrays() -> None:
    zeros = np.zeros(100)
    part = compare_arrays(zeros, moved(10, 0.1), Compare(), "x")
    assert noise.within(part, [compare_arrays(zeros, moved(10, 0.2), Compare(), "x")]).verdict is (
        Verdict.EQUIVALENT
    )
    assert noise.within(part, [compare_arrays(zeros, moved(10, 0.05), Compare(), "x")]) == part
    for wrong in (moved(20, math.nan) + moved(30, 0.1), moved(30, 0.1).astype("f4"), zeros[:50]):
        hidden = compare_arrays(zeros, wrong, Compare(), "x")
        assert hidden.verdict is Verdict.DIFFERENT
        assert noise.within(hidden, [compare_arrays(zeros, moved(50, 0.2), Compare(), "x")]) == hidden


def test_files_in_a_folder(tmp_path: Path) -> None:
    def tree(name: str, score: float, *, extra: bool = False, raw: bytes = b"\0\1") -> Any:
        root = tmp_path / name
        root.mkdir()
        np.save(root / "w.npy", np.array([1.0, score]))
        (root / "metrics.json").write_text(json.dumps({"auc": score}))
        (root / "x.bin").write_bytes(raw)
        if extra:
            (root / "more.txt").touch()
        return value_at(f"{root}/")

    first = tree("candidate", 0.5)
    repeat = compare_values({"x": first}, {"x": tree("repeat", 0.6)}, DEEP)
    for name, made, verdict in (
        ("near", tree("near", 0.45), Verdict.EQUIVALENT),
        ("far", tree("far", 0.1), Verdict.DIFFERENT),
        ("more", tree("more", 0.45, extra=True), Verdict.DIFFERENT),
        ("bytes", tree("bytes", 0.45, raw=b"\0\2"), Verdict.DIFFERENT),
    ):
        (part,) = compare_values({"x": made}, {"x": first}, DEEP)
        assert part.verdict is Verdict.DIFFERENT
        found = noise.within(part, repeat)
        assert found.verdict is verdict, name
        assert bool(noise.why_not(part, repeat)) is (verdict is Verdict.DIFFERENT)
        assert found.total == sum(not one.verdict.same for one in found.parts) + (name == "more")


numbers = st.dictionaries(
    st.sampled_from("abcd"), st.one_of(st.integers(-5, 5), st.floats(-5, 5), st.sampled_from(["x", "y"]))
)


@settings(max_examples=150, deadline=None)
@given(numbers, numbers, st.lists(numbers, max_size=4))
def test_noise_only_adds(control: Any, candidate: Any, runs: list[Any]) -> None:
    part = plain(control, candidate)
    repeats = [plain(candidate, one) for one in runs]
    assert noise.within(part, []) == part
    assert noise.within(part, [plain(candidate, candidate)] * 3) == part
    before = Verdict.DIFFERENT
    for count in range(len(repeats) + 1):
        made = noise.within(part, repeats[:count])
        assert made == part or (part.verdict is Verdict.DIFFERENT and made.verdict is Verdict.EQUIVALENT)
        assert part.verdict is not Verdict.DIFFERENT or made.verdict is not Verdict.IDENTICAL
        assert not (before.same and not made.verdict.same), "another repeat made it worse"
        before = made.verdict
        kinds = {one.kind for one in part.differences}
        assert made == part or kinds <= {"value", "null"}
    same = [plain(candidate, control)]
    if part.differences and {one.kind for one in part.differences} == {"value"}:
        assert noise.within(part, same).verdict is Verdict.EQUIVALENT


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=8),
    st.lists(st.lists(st.floats(0, 1), min_size=8, max_size=8), max_size=3),
)
def test_arrays_are_monotone(candidate: list[float], runs: list[list[float]]) -> None:
    size = len(candidate)
    part = compare_arrays(np.zeros(size), np.array(candidate), Compare(), "x")
    repeats = [compare_arrays(np.array(candidate), np.array(one[:size]), Compare(), "x") for one in runs]
    verdicts = [noise.within(part, repeats[:count]).verdict.same for count in range(len(repeats) + 1)]
    assert verdicts == sorted(verdicts)


def test_shortened() -> None:
    part = plain([1.0] * 20, [2.0] * 20)
    assert len(part.differences) == 20
    short = noise.shortened(part, 3)
    assert (len(short.differences), short.total) == (3, 20)


def test_what_a_report_says() -> None:
    parts = [plain({"n": 1}, {"n": 2}), plain(1, 1)]
    assert noise.report(3, parts, [], []).note == "1 of 2 results are not identical to the candidate's"
    thin = noise.report(1, [], ["t__noise_1: out of memory"], ["x: too far"])
    assert thin.note == (
        "noise is not known: t__noise_1: out of memory; not noise: x: too far; "
        "fewer than 3 repeats are thin evidence"
    )
    assert len(noise.report(3, [parts[0]] * 80, ["a"] * 5, []).parts) == 50


@pytest.mark.parametrize("form", ["txt", "md"])
def test_report_as_printed(form: str, tmp_path: Path) -> None:
    first, second = frame(score=moved(10, 0.012)), frame(score=moved(9, 0.009))
    part = table(frame(score=moved(10, 0.001)), first, tmp_path)
    repeats = [table(first, one, tmp_path) for one in (second, frame())]
    named = [replace(one, name=f"run {n}: x") for n, one in enumerate(repeats, 1)]
    far = replace(part, name="y", columns=(replace(part.columns[2], max_abs=9.0),))
    made = [noise.within(part, repeats), noise.within(far, repeats)]
    report = report_of(
        Subject("train", "train__shadow", "shop", "r1"),
        made,
        control=RunFacts("train", "success", tries=1, seconds=4.0),
        noise=noise.report(2, named, [], [noise.why_not(far, repeats)]),
    )
    report = replace(report, created="2026-03-01T00:00:00+00:00", version="0.1.0")
    schema = json.loads((ROOT / "docs/schemas/report-1.schema.json").read_text())
    jsonschema.validate(json.loads(documents.dump(report)), schema)
    shown = {"txt": text, "md": markdown}[form](report)
    assert shown == (GOLDEN / f"noise.{form}").read_text()


def test_depth_of_parts() -> None:
    """Whatever shape the repeats have, nothing is raised and nothing becomes IDENTICAL."""
    odd = Part("x", "members", Verdict.DIFFERENT, "", parts=(plain(1, 2), plain("a", "b")))
    leaf = Part("x", "table", Verdict.DIFFERENT, "", differences=(Difference("[0]", "value"),), total=1)
    for part in (odd, leaf):
        for repeats in ([odd], [leaf], [odd, leaf], []):
            for _, one in walk((noise.within(part, repeats),)):
                assert one.verdict is not Verdict.IDENTICAL
