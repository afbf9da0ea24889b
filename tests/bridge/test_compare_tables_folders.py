"""Folders that are one Parquet table in parts: read as it where rows are matched or names differ."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepbridge.compare import registry
from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Ignore
from stepbridge.compare.tables.folders import folder_at
from stepbridge.failures import IntegrityProblem

ROWS = [{"id": n, "score": n / 8, "day": f"2024-05-0{1 + n // 4}"} for n in range(12)]


def compared(control: Path, candidate: Path, **rules: Any) -> Part:
    """By the comparator that the registry chooses."""
    given = Compare(**rules)
    sides = []
    for path in (control, candidate):
        sides.append(Side(str(path), f"stepbridge.{'Directory' if path.is_dir() else 'File'}", path=path))
    chosen = registry.choose(sides[0], sides[1], given)
    assert chosen is not None
    return chosen.compare(sides[0], sides[1], given, "out")


def parts(root: Path, names: list[str], rows: list[dict[str, Any]] = ROWS, *markers: str) -> Path:
    """The rows in order, dealt evenly to files of these names."""
    share = -(-len(rows) // len(names))
    for n, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows[n * share : (n + 1) * share]), path)
    for marker in markers:
        (root / marker).touch()
    return root


def spark(count: int) -> list[str]:
    job = uuid.uuid4()
    return [f"part-{n:05}-{job}-c000.snappy.parquet" for n in range(count)]


def days(root: Path, rows: list[dict[str, Any]] = ROWS, name: str = "part-0.parquet") -> Path:
    for day in dict.fromkeys(row["day"] for row in rows):
        inside = [{k: v for k, v in row.items() if k != "day"} for row in rows if row["day"] == day]
        parts(root, [f"day={day}/{name}"], inside)
    return root


def changed(at: int, **cells: Any) -> list[dict[str, Any]]:
    return [row | cells if n == at else row for n, row in enumerate(ROWS)]


def says_one_table(part: Part) -> bool:
    facts = [fact for fact in part.facts if fact.name == "folder read as one table"]
    return part.comparator == "table" and bool(facts) and "read as one table" in part.rule


def test_equal_names_and_no_rules_stay_a_tree(tmp_path: Path) -> None:
    a, b = (days(tmp_path / side, rows) for side, rows in (("a", ROWS), ("b", changed(5, score=9.0))))
    assert compared(a, a).comparator == compared(a, b).comparator == "directory"
    assert [one.name for one in compared(a, b).parts] == ["out/day=2024-05-02/part-0.parquet"]


def test_parts_with_uuids_are_one_table(tmp_path: Path) -> None:
    a = parts(tmp_path / "a", spark(3), ROWS, "_SUCCESS")
    b = parts(tmp_path / "b", spark(3), ROWS, "_SUCCESS")
    part = compared(a, b)
    assert part.verdict is Verdict.EQUIVALENT
    assert says_one_table(part)
    assert "names of the files" in part.skipped[0].what
    assert part.compared == part.of == 12
    c = parts(tmp_path / "c", spark(4), changed(7, score=1.0), "_SUCCESS")
    part = compared(a, c)
    assert part.verdict is Verdict.DIFFERENT
    assert says_one_table(part)
    assert [one.path for one in part.differences] == ["[7] score"]
    assert compared(a, b, comparator="directory").comparator == "directory"


@pytest.mark.parametrize(
    "names",
    [
        [f"part.{n}.parquet" for n in range(12)],
        [f"{uuid.uuid4().hex}-{n}.parquet" for n in range(12)],
        [f"{n:08}.parquet" for n in range(12)],
        [f"data_{n}.pq" for n in range(12)],
    ],
    ids=["dask", "pyarrow", "polars", "duckdb"],
)
def test_the_parts_are_read_in_the_order_of_their_numbers(names: list[str], tmp_path: Path) -> None:
    a, b = parts(tmp_path / "a", spark(2)), parts(tmp_path / "b", names)
    part = compared(a, b)
    assert (part.verdict, part.compared) == (Verdict.EQUIVALENT, 12)
    assert says_one_table(part)


def test_a_key_matches_rows_across_files_and_levels(tmp_path: Path) -> None:
    a = days(tmp_path / "a")
    b = days(tmp_path / "b", list(reversed(changed(5, score=9.0))))
    part = compared(a, b, key=("day", "id"))
    assert says_one_table(part)
    assert part.verdict is Verdict.DIFFERENT
    assert [(one.control, one.candidate) for one in part.differences] == [("0.625", "9.0")]
    assert (
        compared(a, days(tmp_path / "c", list(reversed(ROWS))), unordered=True).verdict is Verdict.EQUIVALENT
    )
    assert compared(a, a, key=("id",)).verdict is Verdict.IDENTICAL
    moved = compared(a, days(tmp_path / "d", changed(5, day="2024-05-03")), key=("id",))
    assert moved.verdict is Verdict.DIFFERENT
    assert moved.total == 1
    assert "day" in moved.rule


def test_the_columns_of_folders_are_typed_as_both_write_them(tmp_path: Path) -> None:
    a = days(tmp_path / "a")
    table = pa.Table.from_pylist([row | {"day": dt.date.fromisoformat(row["day"])} for row in ROWS])
    whole = tmp_path / "whole.parquet"
    pq.write_table(table, whole)
    for pair in ((a, whole), (whole, a)):
        part = compared(*pair, equal=("column-order",), key=("id",))
        assert part.verdict in (Verdict.IDENTICAL, Verdict.EQUIVALENT), part
        assert any(fact.name == "folder read as one table" for fact in part.facts)
        assert any("'day' read as" in fact.name for fact in part.facts)
    b = days(tmp_path / "b", [row | {"day": row["day"].replace("-0", "-")} for row in ROWS])
    part = compared(a, b, key=("id",))
    assert part.verdict is Verdict.DIFFERENT
    assert [one.name for one in part.columns if one.unequal] == ["day"]


def test_odd_values_of_levels(tmp_path: Path) -> None:
    names = ["a%3Db=x%2Fy/part-0.parquet", "a%3Db=__HIVE_DEFAULT_PARTITION__/part-0.parquet"]
    a = parts(tmp_path / "a", names)
    found = folder_at(a)
    assert found is not None
    assert found.columns == ("a=b",)
    assert {found.values(part) for part in found.parts} == {("x/y",), (None,)}
    part = compared(a, a, key=("id",))
    assert part.verdict is Verdict.IDENTICAL
    assert {one.name for one in part.columns} >= {"a=b"}


def test_a_level_that_is_gone_is_named(tmp_path: Path) -> None:
    a, b = days(tmp_path / "a"), days(tmp_path / "b", ROWS[:8])
    for rules in ({}, {"key": ("id",)}):
        part = compared(a, b, **rules)
        assert part.verdict is Verdict.DIFFERENT
        (fact,) = [one for one in part.facts if one.name == "levels on one side only"]
        assert (fact.control, fact.candidate) == ("day=2024-05-03", "")


def test_a_marker_on_one_side_counts_and_summaries_are_said(tmp_path: Path) -> None:
    a = parts(tmp_path / "a", spark(2), ROWS, "_SUCCESS", "_metadata", ".part.crc")
    b = parts(tmp_path / "b", spark(2), ROWS)
    part = compared(a, b)
    assert part.verdict is Verdict.DIFFERENT
    assert [(one.path, one.kind) for one in part.differences] == [("_SUCCESS", "missing")]
    assert "_SUCCESS" in part.rule
    assert any("_metadata" in one.why for one in part.skipped)
    assert compared(b, a).differences[0].kind == "extra"
    assert compared(a, b, ignore=(Ignore("_SUCCESS", "no Spark"),)).verdict is Verdict.EXPLAINED


def test_what_is_no_single_table(tmp_path: Path) -> None:
    for n, names in enumerate(
        (
            ["train.parquet", "test.parquet"],
            ["part-0.parquet", "x/part-1.parquet"],
            ["2024/part-0.parquet", "2025/part-0.parquet"],
            ["day=1/part-0.parquet", "hour=1/part-0.parquet"],
            ["data.parquet"],
        )
    ):
        assert folder_at(parts(tmp_path / str(n), names)) is None, names
    for n, extra in enumerate(("model.json", "_delta_log/0.json", "a/b.csv")):
        root = parts(tmp_path / f"more{n}", ["part-0.parquet", "part-1.parquet"])
        assert folder_at(root) is not None
        (root / extra).parent.mkdir(exist_ok=True)
        (root / extra).write_text("{}")
        assert folder_at(root) is None, extra
    empty = tmp_path / "empty"
    empty.mkdir()
    assert folder_at(empty) is None
    assert compared(empty, empty).comparator == "directory"
    two = [parts(tmp_path / f"two{n}", ["train.parquet", "test.parquet"]) for n in range(2)]
    assert compared(*two, key=("id",)).comparator == "directory"


def test_parts_that_do_not_fit_are_compared_file_by_file(tmp_path: Path) -> None:
    a, b = parts(tmp_path / "a", ["p-0.parquet", "p-1.parquet"]), parts(tmp_path / "b", ["p-0.parquet"])
    pq.write_table(pa.table({"id": [1.5], "score": [0.5], "day": ["x"]}), a / "p-1.parquet")
    part = compared(a, b)
    assert part.comparator == "directory"
    (fact,) = [one for one in part.facts if one.name == "not read as one table"]
    for said in ("p-1.parquet", "'id'", "int64", "double"):
        assert said in fact.control
    with pytest.raises(IntegrityProblem) as caught:
        compared(a, b, comparator="table")
    assert caught.value.code.id == "SB304"
    (a / "p-1.parquet").write_bytes(b"PAR1 cut")
    assert compared(a, b).verdict is Verdict.DIFFERENT
    twice = parts(tmp_path / "c", ["day=1/p-0.parquet"])
    assert "names of its folders" in str(compared(twice, days(tmp_path / "d")).facts)


def test_a_column_without_values_in_one_part(tmp_path: Path) -> None:
    a, b = tmp_path / "a", parts(tmp_path / "b", ["part-7.parquet"], [{"n": None}, {"n": 2}])
    parts(a, ["part-0.parquet", "part-1.parquet"], [{"n": None}, {"n": 2}])
    assert pq.read_schema(a / "part-0.parquet").field("n").type == pa.null()
    assert compared(a, b).verdict is Verdict.EQUIVALENT


def test_frames_with_an_index_in_parts(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, index=pd.Index([f"r{n}" for n in range(12)], name="row"))
    for side, cut in (("a", 4), ("b", 6)):
        (tmp_path / side).mkdir()
        for n in range(0, 12, cut):
            frame[n : n + cut].to_parquet(tmp_path / side / f"part.{n // cut}.parquet")
    part = compared(tmp_path / "a", tmp_path / "b", key=("row",))
    assert part.verdict is Verdict.EQUIVALENT
    assert says_one_table(part)
    assert part.compared == 12
