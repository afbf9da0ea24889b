"""Tables: one change is found at its place in columns of every type, and in random tables."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_compare_tables import compared, paths

from stepbridge.compare.model import Verdict

FAST = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ODD = pa.table(
    {
        "when ns": pa.array([1, None, 3], pa.timestamp("ns", "Asia/Tokyo")),
        "old": pa.array([dt.datetime(1, 1, 1), None, dt.datetime(9999, 12, 31)], pa.timestamp("s")),
        "day": pa.array([dt.date(2024, 1, 1), None, dt.date(1, 1, 1)]),
        "time": pa.array([1, None, 3], pa.time32("ms")),
        "lap": pa.array([1, None, 3], pa.duration("ns")),
        "amount": pa.array([Decimal("1.10"), None, Decimal("-3.00")], pa.decimal128(38, 2)),
        "wide": pa.array([Decimal("1.10"), None, Decimal("-3.00")], pa.decimal256(60, 2)),
        "half": pa.array(np.array([1, 2, 3], "f2")),
        "u64": pa.array([2**64 - 1, None, 3], pa.uint64()),
        "raw": pa.array([b"\x00\xff", None, b""]),
        "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
        "flag": pa.array([True, None, False]),
        "word": pa.array(["a", None, "b"]).dictionary_encode(),
        "list": pa.array([[1.0, None, -0.0], None, []], pa.list_(pa.float64())),
        "pair": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
        "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
        "struct": pa.array([{"a": 1, "b": {"c": ["x"]}}, None, {"a": None, "b": {"c": None}}]),
        "twice": pa.array([{"a": 1, "A": 2}, None, {"a": 3, "A": 4}]),
        "laps": pa.array([[1], None, [2]], pa.list_(pa.duration("us"))),
        "none": pa.nulls(3),
        "": pa.array([1, 2, 3]),
        'a "quoted" name.with.dots': pa.array([1, 2, 3]),
        "Day": pa.array([1, 2, 3]),
        "名前": pa.array(["ä", "\u0000", "🙂"]),
        "id": pa.array([10, 20, 30]),
    }
)
CHANGES = {
    "when ns": 2,
    "old": dt.datetime(2, 1, 1),
    "day": dt.date(2024, 1, 2),
    "time": dt.time(0, 0, 1),
    "lap": 7,
    "amount": Decimal("1.11"),
    "wide": Decimal("1.11"),
    "half": np.float16(1.5),
    "u64": 2**64 - 2,
    "raw": b"\x00\xfe",
    "fixed": b"ax",
    "flag": False,
    "word": "c",
    "list": [1.0, None, 0.0],
    "pair": [1, 3],
    "map": [("k", 2)],
    "struct": {"a": 1, "b": {"c": ["y"]}},
    "twice": {"a": 1, "A": 3},
    "laps": [dt.timedelta(microseconds=5)],
    "": 9,
    'a "quoted" name.with.dots': 9,
    "Day": 9,
    "名前": "a",
}


@pytest.mark.parametrize("name", CHANGES)
def test_one_change_is_found_in_columns_of_every_type(tmp_path: Path, name: str) -> None:
    at = ODD.column_names.index(name)
    kind = ODD.schema.field(name).type
    plain = pa.string() if name == "word" else kind
    rest = ODD.column(name).slice(1).combine_chunks()
    array = pa.chunked_array([pa.array([CHANGES[name]], plain).cast(kind), rest])
    changed = ODD.set_column(at, ODD.schema.field(name), array)
    expected = {"": "[0] ", "key": "[id=10] "}
    for rules, candidate in (
        ({}, changed),
        ({"key": ("id",)}, changed),
        ({"key": ("id",)}, changed.take(pa.array([2, 0, 1]))),
    ):
        part = compared(tmp_path, ODD, candidate, **rules)
        assert (part.verdict, part.total) == (Verdict.DIFFERENT, 1), part.rule
        assert part.differences[0].path == expected["key" if rules else ""] + name
    part = compared(tmp_path, ODD, changed.take(pa.array([2, 0, 1])), unordered=True)
    assert (part.verdict, part.total) == (Verdict.DIFFERENT, 2)


def test_all_types_are_equal_to_themselves(tmp_path: Path) -> None:
    for rules, candidate in (
        ({}, ODD),
        ({"key": ("id",)}, ODD),
        ({"key": ("id",)}, ODD.take(pa.array([2, 0, 1]))),
        ({"unordered": True}, ODD.take(pa.array([2, 0, 1]))),
    ):
        part = compared(tmp_path, ODD, candidate, **rules)
        assert part.verdict is (Verdict.IDENTICAL if candidate is ODD else Verdict.EQUIVALENT), part
        assert part.total == 0


@pytest.mark.parametrize("name", ["when ns", "wide", "half", "raw", "flag", "map", "twice", "名前"])
def test_columns_of_every_type_may_be_keys(tmp_path: Path, name: str) -> None:
    shuffled = ODD.take(pa.array([2, 0, 1]))
    assert compared(tmp_path, ODD, shuffled, key=(name,)).verdict is Verdict.EQUIVALENT
    twice = pa.concat_tables([ODD, ODD.slice(0, 1)])
    assert compared(tmp_path, ODD, twice, key=(name,)).differences[0].kind == "duplicate"


CELLS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (pa.float64(), st.floats(allow_nan=True)),
    "single": (pa.float32(), st.floats(width=32)),
    "text": (pa.string(), st.text(max_size=5)),
    "raw": (pa.binary(), st.binary(max_size=3)),
    "flag": (pa.bool_(), st.booleans()),
    "floats": (pa.list_(pa.float64()), st.lists(st.floats(), max_size=2)),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A table with a unique id and columns of some types, values missing here and there."""
    rows = draw(st.integers(1, 6))
    names = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=3, unique=True))
    columns = {"id": pa.array(draw(st.permutations(range(rows))), pa.int64())}
    for name in names:
        kind, cells = CELLS[name]
        values = draw(st.lists(st.none() | cells, min_size=rows, max_size=rows))
        columns[name] = pa.array(values, kind)
    return pa.table(columns)


@FAST
@given(table=tables(), data=st.data())
def test_a_single_random_change_is_found_where_it_is(tmp_path: Path, table: pa.Table, data: Any) -> None:
    name = data.draw(st.sampled_from(table.column_names[1:]))
    row = data.draw(st.integers(0, table.num_rows - 1))
    kind, cells = CELLS[name]
    values = table[name].to_pylist()
    value = data.draw(st.none() | cells)
    same = repr(pa.array([value], kind).to_pylist()) == repr(pa.array([values[row]], kind).to_pylist())
    values[row] = value
    changed = table.set_column(table.column_names.index(name), name, pa.array(values, kind))
    order = pa.array(data.draw(st.permutations(range(table.num_rows))), pa.int64())
    for rules, candidate, path in (
        ({}, changed, f"[{row}] {name}"),
        ({"key": ("id",)}, changed.take(order), f"[id={table['id'][row]}] {name}"),
    ):
        part = compared(tmp_path, table, candidate, **rules)
        back = compared(tmp_path, candidate, table, **rules)
        assert part.verdict.same == back.verdict.same == same, (part, value)
        assert same or paths(part)[0] == path
        assert part.total == back.total == (0 if same else 1)
    multi = compared(tmp_path, table, changed.take(order), unordered=True)
    assert multi.verdict.same == same
