"""Tables: verdicts, what is found and where, relaxations by name, what was not compared."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepbridge.codecs.frames import TableCodec
from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Ignore, Tolerance
from stepbridge.compare.tables.comparator import TableComparator
from stepbridge.failures import IntegrityProblem

TABLES = TableComparator()


def side(value: Any, tmp: Path, *, digest: bool = False) -> Side:
    """The payload that a step would leave; without its digest unless that is what is tested."""
    draft = TableCodec().save(value, None, Path(tempfile.mkdtemp(dir=tmp)), place="out")
    made = Side("value", draft.type, Path(draft.files[0].source), content=draft.content)
    return made if digest else replace(made, content="")


def compared(tmp: Path, control: Any, candidate: Any, **rules: Any) -> Part:
    """Both as payloads; with an attribute ``digest`` of the rules, their digests are known."""
    digest = rules.pop("digest", False)
    sides = [side(value, tmp, digest=digest) for value in (control, candidate)]
    return TABLES.compare(sides[0], sides[1], Compare(**rules), "out")


def frame(rows: int = 50) -> pd.DataFrame:
    r = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "id": np.arange(rows, dtype="int64"),
            "score": r.normal(size=rows),
            "small": r.integers(0, 9, rows).astype("int32"),
            "name": [f"u{n % 7}" for n in range(rows)],
            "when": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), unit="s"),
            "kind": pd.Categorical(["a", "b"] * (rows // 2)),
            "lap": pd.to_timedelta(np.arange(rows), unit="ms"),
        }
    )


def allowed(part: Part) -> dict[str, int]:
    return {one.name: one.allowed for one in part.relaxations if one.allowed}


def paths(part: Part) -> list[str]:
    return [one.path for one in part.differences]


def test_equal_digests_end_it(tmp_path: Path) -> None:
    part = compared(tmp_path, frame(), frame(), digest=True)
    assert (part.verdict, part.compared, part.of, part.unit) == (Verdict.IDENTICAL, 50, 50, "rows")
    assert "digests" in part.rule


def test_equal_tables_are_compared_to_the_last_row(tmp_path: Path) -> None:
    for rules in ({}, {"key": ("id",)}, {"unordered": True}):
        part = compared(tmp_path, frame(), frame(), **rules)
        assert (part.verdict, part.compared, part.of, part.total) == (Verdict.IDENTICAL, 50, 50, 0)
        assert {column.name for column in part.columns} == set(frame().columns)
        assert (part.skipped, part.differences) == ((), ())


def test_empty_against_empty_is_said(tmp_path: Path) -> None:
    for digest in (True, False):
        part = compared(tmp_path, frame().iloc[:0], frame().iloc[:0], digest=digest)
        assert part.verdict is Verdict.IDENTICAL
        assert part.rule.startswith("both are empty")
        assert part.compared == part.of == 0
    bare = compared(tmp_path, pd.DataFrame(), pd.DataFrame(), key=("id",))
    assert bare.verdict is Verdict.INCOMPARABLE
    assert compared(tmp_path, pd.DataFrame(), pd.DataFrame()).rule.startswith("both are empty")


def test_rows_without_columns(tmp_path: Path) -> None:
    three, four = pd.DataFrame(index=range(3)), pd.DataFrame(index=range(4))
    assert compared(tmp_path, three, three.copy()).verdict is Verdict.IDENTICAL
    for rules in ({}, {"unordered": True}):
        assert compared(tmp_path, three, four, **rules).verdict is Verdict.DIFFERENT
        part = compared(tmp_path, pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), **rules)
        assert (part.verdict, part.compared, part.of) == (Verdict.DIFFERENT, 0, 1)
        assert part.skipped[0].what == "rows"


def test_no_samples_are_shown_where_none_are_asked_for(tmp_path: Path) -> None:
    part = compared(tmp_path, frame(), frame().assign(score=0.0), samples=0, key=("id",))
    assert (part.verdict, part.total, part.differences) == (Verdict.DIFFERENT, 50, ())


def test_cells_that_differ_are_found_counted_and_shown_worst_first(tmp_path: Path) -> None:
    changed = frame()
    changed.loc[3, "score"] += 0.25
    changed.loc[7, "score"] += 8
    changed.loc[9, "name"] = "other"
    for rules, label in (({}, "[{}]"), ({"key": ("id",)}, "[id={}]")):
        part = compared(tmp_path, frame(), changed, **rules)
        assert part.verdict is Verdict.DIFFERENT
        assert part.rule == "3 of 50 rows differ in columns 'score', 'name'"
        assert paths(part) == [
            f"{label.format(7)} score",
            f"{label.format(9)} name",
            f"{label.format(3)} score",
        ]
        column = next(one for one in part.columns if one.name == "score")
        assert (column.unequal, column.compared, column.nulls) == (2, 50, 0)
        assert column.max_abs == pytest.approx(8)
        assert part.total == 3


def test_shuffled_rows_need_a_key_and_the_order_is_shown(tmp_path: Path) -> None:
    shuffled = frame().sample(frac=1, random_state=5)
    assert compared(tmp_path, frame(), shuffled).verdict is Verdict.DIFFERENT
    for other in (shuffled, shuffled.reset_index(drop=True)):
        part = compared(tmp_path, frame(), other, key=("id",))
        assert part.verdict is Verdict.EQUIVALENT
        assert allowed(part) == {"key": 1}
    part = compared(tmp_path, frame(), shuffled, unordered=True)
    assert (part.verdict, allowed(part)) == (Verdict.EQUIVALENT, {"unordered": 1})


def test_rows_of_one_side_only(tmp_path: Path) -> None:
    more = pd.concat([frame().drop(index=[4, 5]), frame().iloc[[1]].assign(id=900)], ignore_index=True)
    part = compared(tmp_path, frame(), more.sample(frac=1, random_state=1), key=("id",), equal=("index",))
    assert part.verdict is Verdict.DIFFERENT
    assert [(d.path, d.kind) for d in part.differences[:3]] == [
        ("[id=4]", "missing"),
        ("[id=5]", "missing"),
        ("[id=900]", "extra"),
    ]
    assert (part.total, part.compared, part.of) == (3, 51, 51)
    assert next(one for one in part.columns if one.name == "score").compared == 48


def test_other_counts_without_a_key_say_where_the_sides_part(tmp_path: Path) -> None:
    part = compared(tmp_path, frame(), frame().drop(index=[20]).reset_index(drop=True))
    assert part.verdict is Verdict.DIFFERENT
    assert paths(part) == ["[20]"]
    assert (part.compared, part.of, part.exact) == (0, 50, False)
    assert part.skipped[0].amount == 50
    assert {"mean", "quantile"} <= {one.measure for one in part.drift}
    shorter = compared(tmp_path, frame(), frame().iloc[:40])
    assert [(d.path, d.kind) for d in shorter.differences] == [("[40]", "missing")]


def test_a_key_that_repeats_is_shown(tmp_path: Path) -> None:
    for control, candidate in ((frame(), frame()), (frame(), frame().sample(frac=1, random_state=2))):
        part = compared(tmp_path, control, candidate, key=("name",))
        assert part.verdict is Verdict.INCOMPARABLE
        assert (part.differences[0].path, part.differences[0].kind) == ("[name=u0]", "duplicate")
        assert part.differences[0].control == "8 rows"
        assert (len(part.skipped), part.compared) == (1, 0)
    once = frame().sample(frac=1, random_state=2)
    once.iloc[3, 0] = once.iloc[9, 0]
    part = compared(tmp_path, frame(), once, key=("id",))
    assert part.verdict is Verdict.INCOMPARABLE
    assert "repeat in the candidate" in part.rule
    assert part.differences[0].control is None
    assert compared(tmp_path, frame(), frame(), key=("name", "id")).verdict is Verdict.IDENTICAL


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    part = compared(tmp_path, frame(), frame().drop(columns="small"), key=("small",))
    assert part.verdict is Verdict.INCOMPARABLE
    assert "the candidate has no such column" in part.rule


def test_null_keys_are_keys(tmp_path: Path) -> None:
    control = pa.table({"k": [1, None, 3], "v": [1, 2, 3]})
    part = compared(tmp_path, control, control.take(pa.array([2, 1, 0])), key=("k",))
    assert part.verdict is Verdict.EQUIVALENT
    changed = pa.table({"k": [3, None, 1], "v": [3, 5, 1]})
    assert paths(compared(tmp_path, control, changed, key=("k",))) == ["[k=null] v"]


@pytest.mark.parametrize(
    ("change", "path", "kind", "relaxation"),
    [
        (lambda f: f.astype({"small": "int64"}), "small", "type", "width"),
        (lambda f: f.astype({"id": "float64"}), "id", "type", "int-is-float"),
        (lambda f: f.assign(when=f["when"].dt.tz_convert("Asia/Tokyo")), "when", "type", "time-zone"),
        (
            lambda f: f.assign(lap=f["lap"].astype("timedelta64[s]").astype("timedelta64[ns]")),
            "lap",
            "type",
            "",
        ),
        (lambda f: f.assign(kind=f["kind"].astype(str)), "kind", "type", "category-is-text"),
        (lambda f: f.rename(columns={"name": "Name"}), "name", "schema", "name-case"),
        (lambda f: f[[*f.columns[::-1]]], "columns", "order", "column-order"),
        (lambda f: f.set_index(pd.RangeIndex(5, 55)), "index", "schema", "index"),
        (lambda f: f.assign(small=f["small"].astype("Int32")), "small", "type", "nan-is-null"),
    ],
)
def test_schemas_are_strict_and_relaxed_by_name(
    tmp_path: Path, change: Any, path: str, kind: str, relaxation: str
) -> None:
    part = compared(tmp_path, frame(), change(frame()))
    assert part.verdict is Verdict.DIFFERENT
    if relaxation:
        relaxed = compared(tmp_path, frame(), change(frame()), equal=(relaxation,))
        assert relaxed.verdict is Verdict.EQUIVALENT, relaxed.rule
        assert allowed(relaxed) == {f"equal:{relaxation}": 1}
        if relaxation != "name-case":
            assert (part.differences[0].path, part.differences[0].kind) == (path, kind)


def test_columns_of_one_side(tmp_path: Path) -> None:
    part = compared(tmp_path, frame(), frame().drop(columns=["small"]).assign(more=1.0))
    assert [(d.path, d.kind) for d in part.differences] == [("small", "missing"), ("more", "extra")]
    ignored = Compare(ignore=(Ignore("small", "dropped on purpose"), Ignore("more", "new")))
    part = compared(
        tmp_path, frame(), frame().drop(columns=["small"]).assign(more=1.0), ignore=ignored.ignore
    )
    assert part.verdict is Verdict.EXPLAINED
    control = pa.table({"a": [1, 2]})
    gone = pa.table({"a": [1, 2], "b": pa.array([None, None], pa.int32())})
    assert compared(tmp_path, control, gone).verdict is Verdict.DIFFERENT
    assert compared(tmp_path, control, gone, equal=("missing-is-null",)).verdict is Verdict.EQUIVALENT
    full = pa.table({"a": [1, 2], "b": pa.array([None, 1], pa.int32())})
    assert compared(tmp_path, control, full, equal=("missing-is-null",)).verdict is Verdict.DIFFERENT


def test_types_without_anything_in_common_are_counted_as_skipped(tmp_path: Path) -> None:
    part = compared(tmp_path, pa.table({"a": [1, 2], "b": [1, 2]}), pa.table({"a": ["1", "2"], "b": [1, 2]}))
    assert part.verdict is Verdict.DIFFERENT
    assert (part.skipped[0].what, part.skipped[0].amount) == ("column 'a'", 2)
    assert part.columns[0].compared == 0
    huge = compared(
        tmp_path,
        pa.table({"a": pa.array([2**53 + 1], pa.int64())}),
        pa.table({"a": [float(2**53)]}),
        equal=("int-is-float",),
    )
    assert huge.verdict is not Verdict.IDENTICAL
    assert huge.skipped


NUMBERS = pa.table({"id": [1, 2, 3, 4, 5, 6], "x": pa.array([0.0, 1.0, math.nan, None, math.inf, 1e300])})


@pytest.mark.parametrize(
    ("place", "value", "relaxation"),
    [
        (0, -0.0, "negative-zero"),
        (2, None, "nan-is-null"),
        (3, math.nan, "nan-is-null"),
        (4, -math.inf, ""),
        (4, 1e300, ""),
        (1, math.nextafter(1.0, 2.0), ""),
    ],
)
def test_zeros_nulls_and_infinities(tmp_path: Path, place: int, value: Any, relaxation: str) -> None:
    values = NUMBERS["x"].to_pylist()
    values[place] = value
    other = NUMBERS.set_column(1, "x", pa.array(values, pa.float64()))
    shuffled = other.take(pa.array([5, 3, 1, 0, 2, 4]))
    for candidate, rules in ((other, {}), (other, {"key": ("id",)}), (shuffled, {"key": ("id",)})):
        part = compared(tmp_path, NUMBERS, candidate, **rules)
        assert (part.verdict, part.total) == (Verdict.DIFFERENT, 1), part
        assert part.differences[0].kind == (
            "null" if None in (value, NUMBERS["x"][place].as_py()) else "value"
        )
        relaxed = compared(tmp_path, NUMBERS, candidate, **rules, equal=("negative-zero", "nan-is-null"))
        assert relaxed.verdict is (Verdict.EQUIVALENT if relaxation else Verdict.DIFFERENT)
    for candidate in (other, shuffled):
        assert compared(tmp_path, NUMBERS, candidate, unordered=True).verdict is Verdict.DIFFERENT
    assert compared(tmp_path, NUMBERS, NUMBERS, key=("id",)).verdict is Verdict.IDENTICAL


def test_tolerances_by_column_dtype_and_in_general(tmp_path: Path) -> None:
    near = frame().assign(score=frame()["score"] * (1 + 1e-9))
    far = frame().assign(score=frame()["score"] * 1.5, small=frame()["small"] + 1)
    assert compared(tmp_path, frame(), near).verdict is Verdict.DIFFERENT
    for rules in (
        {"rtol": 1e-6},
        {"atol": 1e-6},
        {"columns": {"sc*": Tolerance(rtol=1e-6)}},
        {"dtypes": {"float64": Tolerance(ulp=10**8)}},
    ):
        part = compared(tmp_path, frame(), near, **rules)
        assert part.verdict is Verdict.EQUIVALENT
        assert sum(allowed(part).values()) == part.columns[1].allowed > 40
        assert compared(tmp_path, frame(), far, **rules).verdict is Verdict.DIFFERENT
        shuffled = near.sample(frac=1, random_state=4)
        keyed = compared(tmp_path, frame(), shuffled, key=("id",), **rules)
        assert (keyed.verdict, keyed.columns[1].allowed) == (Verdict.EQUIVALENT, part.columns[1].allowed)
        paired = compared(tmp_path, frame(), shuffled, unordered=True, **rules)
        assert paired.verdict is Verdict.EQUIVALENT, paired.rule
    ints = compared(tmp_path, frame(), frame().assign(small=frame()["small"] + 1), rtol=10.0)
    assert ints.verdict is Verdict.DIFFERENT, "the general tolerance is for floats"
    own = compared(
        tmp_path, frame(), frame().assign(small=frame()["small"] + 1), columns={"small": Tolerance(atol=1)}
    )
    assert own.verdict is Verdict.EQUIVALENT


def test_multisets_count_repeated_rows(tmp_path: Path) -> None:
    control = pa.table({"a": ["x", "x", "x", "y"], "b": [1, 1, 1, 2]})
    candidate = pa.table({"a": ["y", "x", "y", "x"], "b": [2, 1, 2, 1]})
    part = compared(tmp_path, control, candidate, unordered=True)
    assert part.verdict is Verdict.DIFFERENT
    assert [(d.kind, d.control or d.candidate, d.detail) for d in part.differences] == [
        ("missing", "a='x', b=1", "the control has 1 more of this row"),
        ("extra", "a='y', b=2", "the candidate has 1 more of this row"),
    ]
    assert (part.total, part.compared) == (2, 4)


def test_multisets_with_two_loose_columns_are_not_called_different_by_chance(tmp_path: Path) -> None:
    control = pa.table({"a": [1.0, 1.05], "b": [1.0, 9.0]})
    candidate = pa.table({"a": [1.04, 1.0], "b": [1.0, 9.0]})
    part = compared(tmp_path, control, candidate, unordered=True, atol=0.1)
    assert part.verdict is Verdict.INCOMPARABLE
    assert "give a key" in part.rule
    one = compared(tmp_path, control.select(["a"]), pa.table({"a": [3.0, 1.0]}), unordered=True, atol=0.1)
    assert one.verdict is Verdict.DIFFERENT


def test_text_relaxations(tmp_path: Path) -> None:
    control = pa.table({"t": ["Straße  x", "a\r\nb", "Ä", "same"]})
    candidate = pa.table({"t": ["Straße x ", "a\nb", "ä", "same"]})
    assert compared(tmp_path, control, candidate).total == 3
    part = compared(tmp_path, control, candidate, equal=("whitespace", "line-endings", "text-case"))
    assert part.verdict is Verdict.EQUIVALENT
    assert allowed(part) == {"equal:whitespace": 1, "equal:line-endings": 1, "equal:text-case": 1}


def test_ignored_columns_are_compared_and_explained(tmp_path: Path) -> None:
    changed = frame().assign(score=0.0)
    rules = {"ignore": (Ignore("sc*", "drawn anew"), Ignore("nam?", "unused"))}
    part = compared(tmp_path, frame(), changed, **rules)
    assert part.verdict is Verdict.EXPLAINED
    assert [(one.name, one.allowed, one.reason) for one in part.relaxations] == [
        ("ignore:sc*", 50, "drawn anew"),
        ("ignore:nam?", 0, "unused"),
    ]
    assert compared(tmp_path, frame(), frame(), **rules).verdict is Verdict.IDENTICAL
    over = (Ignore("sc*", "drawn anew", until="2001-01-01"),)
    assert compared(tmp_path, frame(), changed, ignore=over).verdict is Verdict.DIFFERENT


def test_masked_values_are_nowhere(tmp_path: Path) -> None:
    changed = frame().assign(name="secret-new", id=frame()["id"] + 7)
    control = frame().assign(name="secret-old")
    for rules in ({}, {"key": ("id",)}, {"unordered": True}, {"key": ("name",)}, {"key": ("nope",)}):
        part = compared(tmp_path, control, changed, mask=("name",), **rules)
        assert "secret" not in repr(part)
        assert "secret" in repr(compared(tmp_path, control, changed, **rules))


def test_what_no_cell_shows_is_not_called_equal(tmp_path: Path) -> None:
    control = pd.DataFrame({"o": pd.Series([None, float("nan"), "a"], dtype=object)})
    candidate = pd.DataFrame({"o": pd.Series([float("nan"), None, "a"], dtype=object)})
    assert compared(tmp_path, control, control.copy(), digest=True).verdict is Verdict.IDENTICAL
    assert compared(tmp_path, control, candidate, digest=True).verdict is Verdict.DIFFERENT
    noted = frame()
    noted.attrs = {"unit": "m"}
    part = compared(tmp_path, frame(), noted)
    assert (part.verdict, paths(part)) == (Verdict.DIFFERENT, ["attrs"])
    assert compared(tmp_path, frame(), noted, equal=("metadata",)).verdict is Verdict.EQUIVALENT


def test_series_indexes_and_libraries(tmp_path: Path) -> None:
    series = pd.Series([1.0, 2.0], name="x")
    assert compared(tmp_path, series, series.copy()).verdict is Verdict.IDENTICAL
    assert compared(tmp_path, series, series.rename("y")).verdict is Verdict.DIFFERENT
    assert paths(compared(tmp_path, series, pd.Series([1.0, 3.0], name="x"))) == ["[1] x"]
    indexed = frame().set_index(["name", "id"])
    assert compared(tmp_path, indexed, indexed.copy(), key=("id",)).verdict is Verdict.IDENTICAL
    renamed = indexed.rename_axis(["nick", "id"])
    assert compared(tmp_path, indexed, renamed).verdict is Verdict.DIFFERENT
    moved = frame().set_index(pd.Index([*range(49), 99]))
    assert paths(compared(tmp_path, frame(), moved)) == ["[49] index"]
    part = compared(tmp_path, frame(), moved, equal=("index",))
    assert (part.verdict, allowed(part)) == (Verdict.EQUIVALENT, {"equal:index": 1})
    polar = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert compared(tmp_path, polar, polar.clone()).verdict is Verdict.IDENTICAL
    part = compared(tmp_path, polar, polar.to_arrow())
    assert (part.verdict, paths(part)) == (Verdict.DIFFERENT, ["type"])


def test_reports_are_the_same_each_time(tmp_path: Path) -> None:
    changed = frame(3000).assign(score=0.5, name="x").sample(frac=0.9, random_state=1)
    sides = side(frame(3000), tmp_path), side(changed, tmp_path)
    for rules in (Compare(key=("id",)), Compare(unordered=True), Compare()):
        first, *others = (TABLES.compare(*sides, rules, "out") for _ in range(3))
        assert others == [first, first]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    good = side(frame(), tmp_path)
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 no table")
    with pytest.raises(IntegrityProblem, match=r"SB304 at there: cannot be read as a table"):
        TABLES.compare(good, Side("there", "stepbridge.File", bad), Compare(), "out")


def test_paths_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "it's [a] *folder*"
    folder.mkdir()
    for n, order in enumerate(([0, 1], [1, 0])):
        pq.write_table(pa.table({"id": [1, 2]}).take(pa.array(order)), folder / f"{n}.parquet")
    sides = [Side(str(n), "stepbridge.File", folder / f"{n}.parquet") for n in range(2)]
    assert TABLES.compare(sides[0], sides[1], Compare(key=("id",)), "out").verdict is Verdict.EQUIVALENT
