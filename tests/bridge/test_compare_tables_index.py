"""Keys of whole numbers: rows are looked up by number, and all that is found is what DuckDB's join finds."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare, Tolerance
from stepbridge.compare.tables.comparator import TableComparator
from stepbridge.compare.tables.positions import Partners, match

LOW, HIGH = -(1 << 63), (1 << 63) - 1
KEYS = st.one_of(
    st.integers(0, 30), st.integers(-50, 2000), st.sampled_from([LOW, LOW + 1, -1, 0, HIGH - 1, HIGH])
)
ROW = st.tuples(KEYS, st.integers(0, 3), st.integers(0, 40))
ROWS = st.one_of(
    st.lists(ROW, min_size=1, max_size=40),
    st.lists(ROW, min_size=1, max_size=40, unique_by=lambda row: row[0]),
)


def compared(control: pa.Table, candidate: pa.Table, **rules: Any) -> Part:
    with TemporaryDirectory() as made:
        sides = []
        for name, table in (("control", control), ("candidate", candidate)):
            pq.write_table(table, Path(made, f"{name}.parquet"), row_group_size=16)
            sides.append(Side(name, "stepbridge.File", Path(made, f"{name}.parquet")))
        return TableComparator().compare(sides[0], sides[1], Compare(**rules), "out")


def joined(control: pa.Table, candidate: pa.Table, **rules: Any) -> Part:
    """The same with keys as decimals, which no index takes, so that DuckDB joins them."""
    sides = []
    for table in (control, candidate):
        for name in rules["key"]:
            at = table.schema.get_field_index(name)
            table = table.set_column(at, name, table[name].cast(pa.decimal128(20, 0)))
        sides.append(table)
    return compared(sides[0], sides[1], **rules)


def untyped(part: Part, key: tuple[str, ...]) -> Part:
    columns = tuple(
        replace(one, control_type="", candidate_type="") if one.name in key else one for one in part.columns
    )
    return replace(part, columns=columns)


def table(rows: list[tuple[int, int, int]], *, categories: bool = False) -> pa.Table:
    """Columns of every width from the third number of a row."""
    cells = [cell for _, _, cell in rows]
    kinds = pa.array([None if c % 13 == 0 else "xyz"[c % 3] for c in cells], pa.string())
    return pa.table(
        {
            "id": pa.array([one for one, _, _ in rows], pa.int64()),
            "day": pa.array([day for _, day, _ in rows], pa.int32()),
            "score": pa.array([None if c % 11 == 0 else (c - 20) / 7 for c in cells], pa.float64()),
            "zero": pa.array([-0.0 if c % 5 == 0 else 0.0 for c in cells], pa.float32()),
            "flag": pa.array([None if c == 7 else c % 2 == 0 for c in cells], pa.bool_()),
            "kind": kinds.dictionary_encode() if categories else kinds,
            "name": pa.array([f"user {c}" for c in cells], pa.string()),
            "tags": pa.array([[c % 5, None] if c % 7 else None for c in cells], pa.list_(pa.int64())),
        }
    )


@settings(max_examples=60, deadline=None)
@given(control=ROWS, candidate=ROWS, two=st.booleans(), categories=st.booleans(), near=st.booleans())
def test_the_index_finds_what_a_join_finds(
    control: list[Any], candidate: list[Any], two: bool, categories: bool, near: bool
) -> None:
    key = ("id", "day") if two else ("id",)
    sides = [table(rows, categories=categories) for rows in (control, candidate)]
    rules: dict[str, Any] = {"atol": 1.0, "equal": ("negative-zero",)} if near else {}
    mine = untyped(compared(*sides, key=key, samples=3, **rules), key)
    assert mine == untyped(joined(*sides, key=key, samples=3, **rules), key)


@settings(max_examples=200, deadline=None)
@given(
    mine=st.lists(st.tuples(KEYS, st.integers(0, 3)), min_size=1, max_size=60),
    others=st.lists(st.tuples(KEYS, st.integers(0, 3)), min_size=1, max_size=60),
    width=st.integers(1, 2),
)
def test_partners_are_those_of_a_dictionary(
    mine: list[tuple[int, int]], others: list[tuple[int, int]], width: int
) -> None:
    mine, others = ([one[:width] for one in side] for side in (mine, others))
    found = match(
        *([np.array(column, "i8") for column in zip(*side, strict=True)] for side in (mine, others))
    )
    repeat = any(len(set(side)) < len(side) for side in (mine, others))
    numbers = [number for number, *_ in (*mine, *others)]
    many = width == 2 and max(numbers) - min(numbers) > 1 << 60
    if repeat or many:
        assert found is None
        return
    places = {key: row for row, key in enumerate(others)}
    assert isinstance(found, Partners)
    assert found.rows.tolist() == [places.get(key, -1) for key in mine]
    assert [mine[row] for row in found.missing] == sorted(set(mine) - set(others))
    assert [others[row] for row in found.extra] == sorted(set(others) - set(mine))


def rows(count: int, seed: int = 0) -> pa.Table:
    r = np.random.default_rng(seed)
    return pa.table(
        {
            "id": pa.array(np.arange(count, dtype="i8") * 3),
            "score": pa.array(r.normal(size=count)),
            "kind": pa.array(["alpha", "beta", None]).take(pa.array(r.integers(0, 3, count))),
            "text": pa.array([f"{n:>200}" for n in range(count)]),
        }
    )


def shuffled(table: pa.Table, seed: int = 1) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))


def test_one_cell_is_found_among_many_rows_whichever_column_it_is_in() -> None:
    control = rows(3000)
    for name, value in (("score", 9.5), ("kind", "gamma"), ("kind", None), ("text", "x")):
        values = control[name].to_pylist()
        at = next(n for n in range(1000, 3000) if values[n] not in (value, None))
        values[at] = value
        place = control.schema.get_field_index(name)
        changed = control.set_column(place, name, pa.array(values, control.schema.types[place]))
        part = compared(control, shuffled(changed), key=("id",))
        assert (part.verdict, part.total, part.compared) == (Verdict.DIFFERENT, 1, 3000)
        assert [one.path for one in part.differences] == [f"[id={3 * at}] {name}"]


def test_rows_of_one_side_are_counted_and_the_first_by_key_shown() -> None:
    control = shuffled(rows(500), 5)
    keep = pa.array([n not in (9, 6, 600) for n in control["id"].to_pylist()])
    more = pa.table({**{n: rows(3, 7)[n] for n in ("score", "kind", "text")}, "id": pa.array([-8, 1, 9000])})
    candidate = pa.concat_tables([control.filter(keep), more.select(control.column_names)])
    part = compared(control, shuffled(candidate), key=("id",), samples=2)
    assert (part.verdict, part.total, part.of) == (Verdict.DIFFERENT, 6, 503)
    assert [(one.path, one.kind) for one in part.differences] == [
        ("[id=6]", "missing"),
        ("[id=9]", "missing"),
    ]
    whole = compared(control, shuffled(candidate), key=("id",), samples=9)
    extra = [one for one in whole.differences if one.kind == "extra"]
    assert [one.path for one in extra] == ["[id=-8]", "[id=1]", "[id=9000]"]
    assert str(extra[0].candidate).startswith("id=-8, score=")


def test_a_column_too_large_for_the_memory_is_left_to_the_join() -> None:
    control = pa.table({"id": pa.array(range(4000)), "text": pa.array([f"{n:>9000}" for n in range(4000)])})
    texts = control["text"].to_pylist()
    texts[1234] = "short"
    changed = shuffled(control.set_column(1, "text", pa.array(texts)))
    small = compared(control, changed, key=("id",), memory=64 << 20)
    assert small == compared(control, changed, key=("id",))
    assert [one.path for one in small.differences] == ["[id=1234] text"]


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([dt.date(2024, 1, 1) + dt.timedelta(n) for n in range(40)]),
        pa.array([dt.datetime(2024, 1, 1) + dt.timedelta(hours=n) for n in range(40)], pa.timestamp("us")),
        pa.array(range(40), pa.uint8()),
        pa.array([(1 << 63) + n for n in range(40)], pa.uint64()),
        pa.array([f"key {n:02}" for n in range(40)]),
        pa.array([None, *range(39)], pa.int64()),
        pa.array([n / 2 for n in range(40)], pa.float64()),
    ],
    ids=lambda keys: str(keys.type),
)
def test_every_kind_of_key_finds_the_row(keys: pa.Array) -> None:
    control = pa.table({"key": keys, "score": pa.array(np.arange(40.0))})
    values = np.arange(40.0)
    values[17] = -1
    part = compared(control, shuffled(control.set_column(1, "score", pa.array(values))), key=("key",))
    assert (part.total, part.compared) == (1, 40)
    shown = str(keys[17].as_py())
    assert part.differences[0].path == f"[key={shown}] score"


def test_whole_numbers_need_no_duckdb(tmp_path: Path) -> None:
    for name, each in (("control", rows(100)), ("candidate", shuffled(rows(100)))):
        pq.write_table(each, tmp_path / f"{name}.parquet")
    text = (
        "import sys; sys.modules['duckdb'] = None\n"
        "from stepbridge.cli import main\n"
        "sys.exit(main(['compare', *sys.argv[1:], '--key', 'id']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path / "control.parquet"), str(tmp_path / "candidate.parquet")],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout


def test_sides_of_two_types_are_compared_by_the_key_too() -> None:
    control = rows(100)
    candidate = shuffled(control.set_column(0, "id", control["id"].cast(pa.int32())))
    part = compared(control, candidate, key=("id",), equal=("width",), columns={"score": Tolerance(1.0, 0.0)})
    assert (part.verdict, part.compared) == (Verdict.EQUIVALENT, 100)
