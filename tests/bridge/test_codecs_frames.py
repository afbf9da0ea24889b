"""Tables: the canonical digest, exact round trips, and what is refused with the column's name."""

from __future__ import annotations

import datetime as dt
import io
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roundtrip import trip

from stepbridge import values
from stepbridge.artifact import Draft
from stepbridge.codecs.frames import TableCodec
from stepbridge.failures import IntegrityProblem, TypeProblem
from stepbridge.values import UNANNOTATED

MODERN = int(pd.__version__.split(".")[0]) >= 3
FAST = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def draft(value: Any, tmp: Path) -> Draft:
    staging = tmp / f"digest{len(list(tmp.iterdir()))}"
    staging.mkdir()
    return TableCodec().save(value, None, staging, place="out")


def content(value: Any, tmp: Path) -> str:
    return draft(value, tmp).content


def base() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": np.arange(6, dtype="int64"),
            "value": [0.5, math.nan, -0.0, 1e300, math.inf, 2.0],
            "small": np.arange(6, dtype="int32"),
            "when": pd.to_datetime(
                ["2024-01-01", None, "2024-02-29", "1999-12-31", "2030-01-01", "2024-01-01"]
            ),
            "kind": ["a", "b", "a", "ü", "", "a"],
            "flag": [True, False, True, True, False, False],
        }
    )


def stored_again(frame: pd.DataFrame) -> pd.DataFrame:
    sink = io.BytesIO()
    frame.to_parquet(sink)
    return pd.read_parquet(io.BytesIO(sink.getvalue()))


def renamed(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return frame.rename(columns=names)


def with_column(name: str, values: Any) -> Any:
    return lambda frame: frame.assign(**{name: values(frame)})


EQUAL = {
    "copy": lambda f: f.copy(),
    "filtered": lambda f: pd.concat([f, f]).iloc[: len(f)].copy(),
    "masked": lambda f: pd.concat([f, f.assign(id=-1)]).query("id >= 0"),
    "parquet": stored_again,
    "added and dropped": lambda f: f.assign(extra=1).drop(columns="extra"),
    "sliced apart": lambda f: pd.concat([f.iloc[:2], f.iloc[2:]]),
    "reset": lambda f: f.reset_index(drop=True),
    "explicit index": lambda f: f.set_axis(pd.Index(np.arange(len(f)))),
    "reordered twice": lambda f: f[f.columns[::-1]][f.columns],
    "fortran": lambda f: pd.DataFrame({c: np.asfortranarray(f[c].to_numpy()) for c in f}).astype(f.dtypes),
    "microseconds": lambda f: f.assign(when=f["when"].astype("datetime64[us]")),
    "nanoseconds": lambda f: f.assign(when=f["when"].astype("datetime64[ns]")),
    "other nan": lambda f: f.assign(value=np.where(f["value"].isna(), -np.float64("nan"), f["value"])),
}
DIFFERENT = {
    "int width": lambda f: f.assign(id=f["id"].astype("int32")),
    "float": lambda f: f.assign(id=f["id"].astype("float64")),
    "renamed": lambda f: renamed(f, {"id": "ID"}),
    "swapped names": lambda f: renamed(f, {"id": "small", "small": "id"}),
    "column order": lambda f: f[f.columns[::-1]],
    "shifted index": lambda f: f.set_axis(f.index + 1),
    "row order": lambda f: f.iloc[::-1].reset_index(drop=True),
    "one value": lambda f: f.assign(value=f["value"].replace(2.0, np.nextafter(2.0, 3))),
    "minus zero": lambda f: f.assign(value=f["value"] + 0.0),
    "one letter": lambda f: f.assign(kind=f["kind"].replace("b", "c")),
    "moved text": lambda f: f.assign(kind=["ab", "", "a", "ü", "", "a"]),
    "null for empty": lambda f: f.assign(kind=f["kind"].replace("", None)),
    "index name": lambda f: f.rename_axis("row"),
    "columns name": lambda f: f.rename_axis(columns="c"),
    "nullable": lambda f: f.assign(id=f["id"].astype("Int64")),
    "category": lambda f: f.assign(kind=f["kind"].astype("category")),
    "zone": lambda f: f.assign(when=f["when"].dt.tz_localize("UTC")),
    "attrs": lambda f: _with_attrs(f),
    "fewer rows": lambda f: f.iloc[:-1],
    "text of numbers": lambda f: f.assign(id=f["id"].astype(str)),
}


def _with_attrs(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    frame.attrs["unit"] = "m"
    return frame


@pytest.mark.parametrize("name", EQUAL)
def test_equal_data_has_an_equal_digest(name: str, tmp_path: Path) -> None:
    assert content(EQUAL[name](base()), tmp_path) == content(base(), tmp_path)


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_data_has_a_different_digest(name: str, tmp_path: Path) -> None:
    assert content(DIFFERENT[name](base()), tmp_path) != content(base(), tmp_path)


def test_the_variants_are_all_different(tmp_path: Path) -> None:
    digests = [content(change(base()), tmp_path) for change in DIFFERENT.values()]
    assert len(set(digests)) == len(digests)


def test_chunks_offsets_and_encodings_do_not_count(tmp_path: Path) -> None:
    column = pa.array(["x", None, "yy", "", "x"] * 3)
    table = pa.table({"a": column, "n": pa.array(range(15))})
    variants = [
        pa.concat_tables([table.slice(0, 4), table.slice(4)]),
        pa.concat_tables([table, table]).slice(0, 15),
        pa.concat_tables([table.slice(3), table]).slice(12),
        table.set_column(0, "a", column.cast(pa.large_string())),
        table.set_column(0, "a", column.cast(pa.string_view())),
        table.replace_schema_metadata({"k": "v"}),
    ]
    assert {content(variant, tmp_path) for variant in variants} == {content(table, tmp_path)}
    encoded = table.set_column(0, "a", column.dictionary_encode())
    again = pa.table({"a": pa.concat_arrays([column.slice(0, 5)] * 3).dictionary_encode(), "n": table["n"]})
    assert content(encoded, tmp_path) == content(again, tmp_path)


def test_what_lies_under_a_null_does_not_count(tmp_path: Path) -> None:
    mask = np.array([False, True, False])
    one = pa.array(np.array([1, 77, 3]), mask=mask)
    other = pa.array(np.array([1, 88, 3]), mask=mask)
    assert content(pa.table({"a": one}), tmp_path) == content(pa.table({"a": other}), tmp_path)
    zero = pa.array(np.array([1, 0, 3]))
    assert content(pa.table({"a": zero}), tmp_path) != content(pa.table({"a": one}), tmp_path)
    buffers = pa.array(["a", "zz", "b"]).buffers()
    hidden = pa.Array.from_buffers(pa.string(), 3, [pa.py_buffer(b"\x05"), *buffers[1:]])
    assert content(pa.table({"a": hidden}), tmp_path) == content(pa.table({"a": ["a", None, "b"]}), tmp_path)


NESTED = {
    "list": [[1, 2], [3], None, []],
    "list moved": [[1], [2, 3], None, []],
    "struct": [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 2, "b": None}],
    "deep": [[{"a": [1]}], [], None, [{"a": []}, {"a": None}]],
}


def test_nested_columns_are_digested_by_content(tmp_path: Path) -> None:
    seen = set()
    for members in NESTED.values():
        array = pa.array(members)
        table = pa.table({"a": array})
        cut = pa.concat_tables([pa.table({"a": array}), table]).slice(4)
        apart = pa.table({"a": pa.chunked_array([array.slice(0, 1), array.slice(1)])})
        digests = {content(each, tmp_path) for each in (table, cut, apart)}
        assert len(digests) == 1
        seen |= digests
    assert len(seen) == len(NESTED)
    mapped = pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64()))
    fixed = pa.array([[1, 2], None], pa.list_(pa.int64(), 2))
    for array in (mapped, fixed):
        moved = pa.concat_arrays([array, array]).slice(len(array))
        assert content(pa.table({"a": array}), tmp_path) == content(pa.table({"a": moved}), tmp_path)


def test_dates_far_away_keep_their_unit(tmp_path: Path) -> None:
    far = pd.DataFrame({"t": np.array(["0001-01-01", "9999-12-31"], "datetime64[us]")})
    same = pd.DataFrame({"t": far["t"].astype("datetime64[s]")})
    later = pd.DataFrame({"t": far["t"].to_numpy() + np.timedelta64(1, "us")})
    assert content(far, tmp_path) == content(same, tmp_path) != content(later, tmp_path)
    pd.testing.assert_frame_equal(trip(far, UNANNOTATED, tmp_path).value, far)
    pd.testing.assert_frame_equal(trip(same, UNANNOTATED, tmp_path).value, same)


GOLDEN = {
    "base": "754cbf714003c6ab5ab074a8d1e7f50ec90652dcb7f9c7d56ce8af34ec6afba3",
    "categories": "7dd3c84ddd58d6ff562cee8e583b1bd45fc3c61a089ebef9a0b79157887b1a6f",
    "zone": "568cb2bb3e9e6765144063825d4887f4b3996b27710f007494c41f0bec5608f3",
    "index": "add21136d2cf050f3e69f9d7414e342451345ae29c762d063eaed3e235c47e71",
    "decimals": "71915fdb64c73bace59ac798577f348fe8eacda47713d991f22f9f5f41c3b2c0",
    "empty": "4996e9c9153ef936253035cf5a2b47837a3f9cdc0c60590e126909b235fbb14d",
}


def golden(name: str) -> pd.DataFrame:
    frames = {
        "base": base,
        "categories": lambda: pd.DataFrame(
            {"c": pd.Categorical(["x", None, "y"], ["y", "x", "z"], ordered=True)}
        ),
        "zone": lambda: pd.DataFrame({"t": pd.date_range("2024", periods=3, tz="Europe/Berlin")}),
        "index": lambda: base().set_index(["kind", "id"]),
        "decimals": lambda: pd.DataFrame(
            {"d": [Decimal("1.10"), None], "b": [b"x", b""], "D": [dt.date(2024, 1, 1)] * 2}
        ),
        "empty": lambda: base().iloc[:0],
    }
    return frames[name]()


@pytest.mark.parametrize("name", GOLDEN)
def test_digests_are_the_same_on_every_pandas(name: str, tmp_path: Path) -> None:
    assert content(golden(name), tmp_path) == GOLDEN[name]


def obj(*members: Any) -> pd.Series:
    return pd.Series(list(members), dtype=object)


ROUND = {
    "mixed": base,
    "no rows": lambda: base().iloc[:0],
    "nothing": lambda: pd.DataFrame(),
    "no columns": lambda: pd.DataFrame(index=range(3)),
    "no columns, text index": lambda: pd.DataFrame(index=["a", "b"]),
    "empty object": lambda: pd.DataFrame({"a": obj()}),
    "columns only": lambda: pd.DataFrame(columns=["a", "b"]),
    "numbered columns": lambda: pd.DataFrame(np.ones((2, 3))),
    "numbers as labels": lambda: pd.DataFrame({5: [1], 3: [2]}),
    "dates as labels": lambda: pd.DataFrame([[1, 2]], columns=pd.to_datetime(["2024-01-01", "2024-02-01"])),
    "labelled axes": lambda: base().rename_axis("row").rename_axis(columns="what"),
    "nullable": lambda: pd.DataFrame(
        {
            "i": pd.array([1, None], "Int64"),
            "u": pd.array([1, None], "UInt8"),
            "f": pd.array([1.5, None], "Float32"),
            "b": pd.array([True, None], "boolean"),
            "s": pd.array(["x", None], "string"),
        }
    ),
    "arrow dtypes": lambda: pd.DataFrame(
        {"i": pd.array([1, None], "int64[pyarrow]"), "d": pd.array([1.5, None], "double[pyarrow]")}
    ),
    "zones": lambda: pd.DataFrame(
        {
            "a": pd.date_range("2024", periods=2, tz="Europe/Berlin"),
            "b": pd.date_range("2024", periods=2, tz="UTC"),
            "c": pd.to_datetime(["2024-01-01T00:00+05:30", None]),
        }
    ),
    "units": lambda: pd.DataFrame(
        {u: np.array(["2024-01-01", "NaT"], f"datetime64[{u}]") for u in ("s", "ms", "us", "ns")}
    ),
    "spans": lambda: pd.DataFrame(
        {u: np.array([1, 2], f"timedelta64[{u}]") for u in ("s", "ms", "us", "ns")}
    ),
    "integers": lambda: pd.DataFrame(
        {
            t: np.array([0, 100], t)
            for t in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
        }
    ),
    "floats": lambda: pd.DataFrame(
        {t: np.array([-0.0, np.nan, 1.5], t) for t in ("float16", "float32", "float64")}
    ),
    "categories": lambda: pd.DataFrame(
        {
            "o": pd.Categorical(["x", None, "y"], ["y", "unused", "x"], ordered=True),
            "n": pd.Categorical([3, 1, 3]),
            "t": pd.Categorical(pd.to_datetime(["2024-01-01"] * 3)),
            "f": pd.Categorical([1.5, None, 2.5]),
            "b": pd.Categorical([True, False, True]),
            "e": pd.Categorical([None] * 3, ["q"]),
        }
    ),
    "text": lambda: pd.DataFrame({"a": ["x", None, "ü\0"], "b": ["", "a" * 1000, "z"]}),
    "object text": lambda: pd.DataFrame({"a": obj("x", None), "b": obj("x", np.nan), "c": obj("a", "b")}),
    "missing kinds": lambda: pd.DataFrame({"a": obj("x", None, np.nan, pd.NaT, pd.NA, None)}),
    "all missing": lambda: pd.DataFrame(
        {"a": obj(None, None), "b": obj(np.nan, np.nan), "c": obj(None, np.nan)}
    ),
    "decimals": lambda: pd.DataFrame({"a": obj(Decimal("1.10"), None, Decimal("-22.5"))}),
    "bytes": lambda: pd.DataFrame({"a": obj(b"x", b"", None)}),
    "dates": lambda: pd.DataFrame({"a": obj(dt.date(2024, 1, 1), None), "t": obj(dt.time(1, 2, 3), None)}),
    "object numbers": lambda: pd.DataFrame(
        {"i": obj(1, None, 2), "f": obj(1.5, None, np.nan), "b": obj(True, None, False)}
    ),
    "object times": lambda: pd.DataFrame(
        {"a": obj(dt.datetime(2024, 1, 1, 2), None), "d": obj(dt.timedelta(1), None)}
    ),
    "lists": lambda: pd.DataFrame(
        {"a": obj([1, 2], None, []), "d": obj({"k": 1}, None, {"k": 2}), "s": obj(["x"], ["y"], None)}
    ),
    "vectors": lambda: pd.DataFrame({"a": obj(np.array([1.5, np.nan]), None, np.array([], "float64"))}),
    "periods": lambda: pd.DataFrame({"p": pd.period_range("2024", periods=2, freq="M")}),
    "intervals": lambda: pd.DataFrame({"i": pd.arrays.IntervalArray.from_breaks([0, 1, 2])}),
    "named index": lambda: base().set_index("id"),
    "text index": lambda: base().set_index("kind"),
    "object index": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], dtype=object)),
    "shifted index": lambda: base().iloc[2:],
    "stepped index": lambda: base().iloc[::2],
    "date index": lambda: pd.DataFrame(
        {"a": range(3)}, index=pd.date_range("2024", periods=3, freq="D", name="day")
    ),
    "span index": lambda: pd.DataFrame({"a": range(3)}, index=pd.timedelta_range("1h", periods=3, freq="h")),
    "float index": lambda: pd.DataFrame({"a": [1, 2]}, index=[0.5, np.nan]),
    "category index": lambda: pd.DataFrame(
        {"a": [1, 2]}, index=pd.CategoricalIndex(["x", "y"], ["y", "x"], name="c")
    ),
    "many levels": lambda: base().set_index(["kind", "id", "when"]),
    "unnamed levels": lambda: pd.DataFrame(
        {"a": range(4)}, index=pd.MultiIndex.from_product([["x", "y"], [1, 2]])
    ),
    "category level": lambda: base().astype({"kind": "category"}).set_index(["kind", "id"]),
    "same name twice": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 6], name="a")),
    "column levels": lambda: pd.DataFrame(
        [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    ),
    "attrs": lambda: _with_attrs(base()),
    "unsorted": lambda: base().sort_values("value"),
}


@pytest.mark.parametrize("name", ROUND)
def test_frames_round_trip_exactly(name: str, tmp_path: Path) -> None:
    frame = ROUND[name]()
    before = frame.copy(deep=True)
    result = trip(frame, pd.DataFrame, tmp_path)
    pd.testing.assert_frame_equal(result.value, before, check_index_type=True, check_column_type=True)
    assert list(map(str, result.value.dtypes)) == list(map(str, before.dtypes))
    assert result.value.attrs == before.attrs
    for column in range(len(before.columns)):
        if str(before.dtypes.iloc[column]) == "object":
            have = list(map(type, before.iloc[:, column]))
            assert list(map(type, result.value.iloc[:, column])) == have
    pd.testing.assert_frame_equal(frame, before)
    assert trip(result.value, UNANNOTATED, tmp_path).drafts[0].content == result.drafts[0].content
    assert result.drafts[0].type == "pandas.DataFrame"


OLD_READERS = ["mixed", "nullable", "decimals", "many levels", "text", *(["zones"] if MODERN else [])]


@pytest.mark.parametrize("name", OLD_READERS)
def test_old_readers_can_read_the_file(name: str, tmp_path: Path) -> None:
    frame = ROUND[name]()
    made = draft(frame, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(made.files[0].source), frame)


def test_the_values_can_be_changed_in_place(tmp_path: Path) -> None:
    for frame in (pd.DataFrame({"a": [1.0, 2.0]}), base(), pd.DataFrame({"a": range(3_000_000)})):
        value = trip(frame, UNANNOTATED, tmp_path).value
        value.iloc[0, 0] = 7
        assert value.iloc[0, 0] == 7


REFUSED = {
    "twice": (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a'"),
    "twice as text": (lambda: pd.DataFrame([[1, 2]], columns=["1", 1]), "'1'"),
    "int and str": (lambda: pd.DataFrame({"odd": obj(1, "x", None)}), "column 'odd'.*int, str"),
    "float and str": (lambda: pd.DataFrame({"odd": obj(1.5, "x")}), "float, str"),
    "bytes and str": (lambda: pd.DataFrame({"odd": obj(b"x", "x")}), "bytes, str"),
    "bool and int": (lambda: pd.DataFrame({"odd": obj(True, 1)}), "bool, int"),
    "objects": (lambda: pd.DataFrame({"odd": obj(object())}), "column 'odd'.*object"),
    "sets": (lambda: pd.DataFrame({"odd": obj({1})}), "set"),
    "lists of mixed": (lambda: pd.DataFrame({"odd": obj([1, "x"])}), "column 'odd'"),
    "lists of int and float": (lambda: pd.DataFrame({"odd": obj([1, 2.5])}), "column 'odd'"),
    "dicts of other keys": (lambda: pd.DataFrame({"odd": obj({"a": 1}, {"b": 2})}), "column 'odd'"),
    "huge ints": (lambda: pd.DataFrame({"odd": obj(1 << 70)}), "odd"),
    "complex": (lambda: pd.DataFrame({"odd": [1j]}), ""),
    "sparse": (lambda: pd.DataFrame({"odd": pd.arrays.SparseArray([0, 1])}), "column 'odd'.*Sparse"),
    "mixed labels": (lambda: pd.DataFrame([[1, 2]], columns=["a", 2]), "labels"),
    "tuples as labels": (
        lambda: pd.DataFrame([[1]], columns=pd.Index([("a", 1)], tupleize_cols=False)),
        "labels",
    ),
    "mixed index": (lambda: pd.DataFrame({"a": [1, 2]}, index=[1, "x"]), "index level 0.*int, str"),
    "attrs": (lambda: _odd_attrs(), "attrs"),
}


def _odd_attrs() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["x"] = object()
    return frame


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_changed_is_refused(name: str, tmp_path: Path) -> None:
    make, text = REFUSED[name]
    with pytest.raises(TypeProblem, match=text) as caught:
        trip(make(), UNANNOTATED, tmp_path)
    assert caught.value.code.id == "SB108"
    assert caught.value.hint


def test_a_subclass_is_refused(tmp_path: Path) -> None:
    class Special(pd.DataFrame):
        pass

    with pytest.raises(TypeProblem, match=r"SB103.*Special"):
        trip(Special({"a": [1]}), pd.DataFrame, tmp_path)


def test_nan_and_null_are_apart(tmp_path: Path) -> None:
    number = pd.DataFrame({"a": np.array([1.0, np.nan])})
    missing = pd.DataFrame({"a": pd.array([1.0, None], "Float64")})
    assert content(number, tmp_path) != content(missing, tmp_path)
    stored = pq.read_table(draft(number, tmp_path).files[0].source).column("a")
    assert stored.null_count == 0
    assert math.isnan(stored[1].as_py())
    stored = pq.read_table(draft(missing, tmp_path).files[0].source).column("a")
    assert stored.null_count == 1


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, 2], name="a"),
        pd.Series([1.5, np.nan]),
        pd.Series(["x", None], index=["i", "j"], name="s"),
        pd.Series([], dtype="float64"),
        pd.Series([1], name=3),
        pd.Series(pd.Categorical(["a", "b"])),
        pd.Series([1, 2], index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"])),
        pd.Series(pd.date_range("2024", periods=2, tz="UTC"), name="t"),
    ],
    ids=range(8),
)
def test_series_round_trip(series: pd.Series, tmp_path: Path) -> None:
    for annotation in (pd.Series, UNANNOTATED):
        result = trip(series, annotation, tmp_path)
        pd.testing.assert_series_equal(result.value, series)
        assert result.value.name == series.name
        assert result.drafts[0].type == "pandas.Series"
    assert content(series, tmp_path) != content(series.rename("other"), tmp_path)


TABLES = {
    "plain": lambda: pa.table({"a": [1, None], "b": ["x", "y"]}),
    "types": lambda: pa.table(
        {
            "ts": pa.array([1, None], pa.timestamp("s", "UTC")),
            "d": pa.array([1], pa.duration("s")).take([0, 0]),
            "t32": pa.array([1, 2], pa.time32("s")),
            "dec": pa.array([Decimal("1.10"), None]),
            "f16": pa.array(np.array([1, 2], "float16")),
            "dict": pa.array(["x", "y"]).dictionary_encode(),
            "bin": pa.array([b"x", None], pa.binary(1)),
            "d64": pa.array([86400000, None], pa.date64()),
            "big": pa.array([["x"], None], pa.large_list(pa.large_string())),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())),
            "view": pa.array(["x", None], pa.string_view()),
            "null": pa.nulls(2),
            "st": pa.array([{"a": {"b": [1]}}, None]),
        }
    ),
    "empty": lambda: pa.table({"a": pa.array([], pa.int8())}),
    "no columns": lambda: pa.table({}),
    "metadata": lambda: pa.table({"a": [1]}).replace_schema_metadata({"k": "v"}),
}


@pytest.mark.parametrize("name", TABLES)
def test_arrow_tables_round_trip(name: str, tmp_path: Path) -> None:
    table = TABLES[name]()
    result = trip(table, pa.Table, tmp_path)
    assert result.value.schema.equals(table.schema)
    assert result.value.equals(table)
    assert result.drafts[0].type == "pyarrow.Table"


def test_arrow_refusals(tmp_path: Path) -> None:
    with pytest.raises(TypeProblem, match=r"SB108.*'a'"):
        trip(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), UNANNOTATED, tmp_path)
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["x", "y"])])
    with pytest.raises(TypeProblem, match=r"SB108.*'u'"):
        trip(pa.table({"u": union}), UNANNOTATED, tmp_path)


def test_polars_round_trips(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "i": [1, None],
            "f": [math.nan, None],
            "s": ["x", None],
            "t": [dt.datetime(2024, 1, 1), None],
            "l": [[1, 2], None],
            "st": [{"a": 1}, {"a": None}],
            "d": [Decimal("1.10"), None],
            "b": [b"x", None],
            "D": [dt.date(2024, 1, 1), None],
            "c": pl.Series(["x", "y"], dtype=pl.Categorical),
        }
    )
    result = trip(frame, pl.DataFrame, tmp_path)
    assert result.value.equals(frame, null_equal=True)
    assert result.value.schema == frame.schema
    assert trip(frame, pl.DataFrame, tmp_path, reader=pa.Table).value.num_rows == 2
    with pytest.raises(TypeProblem, match=r"SB10[28]"):
        trip(pl.DataFrame({"o": [object()]}), UNANNOTATED, tmp_path)
    with pytest.raises(TypeProblem, match=r"SB102.*collect"):
        trip(frame.lazy(), UNANNOTATED, tmp_path)


def test_readers_choose_the_library(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "s": ["x", "y"]})
    assert trip(frame, pd.DataFrame, tmp_path, reader=pa.Table).value.column("a").to_pylist() == [1, 2]
    assert trip(frame, pd.DataFrame, tmp_path, reader=pl.DataFrame).value["s"].to_list() == ["x", "y"]
    table = pa.table({"a": [1, 2]})
    assert trip(table, pa.Table, tmp_path, reader=pd.DataFrame).value["a"].tolist() == [1, 2]


def test_files_become_tables_by_their_suffix(tmp_path: Path) -> None:
    codec = TableCodec()
    frame = pd.DataFrame({"a": [1, 2], "s": ["x", "y"]})
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_csv(tmp_path / "x.CSV.gz", index=False, compression="gzip")
    frame.to_feather(tmp_path / "x.feather")
    for name in ("x.parquet", "x.csv", "x.feather"):
        for kind in (pd.DataFrame, pa.Table, pl.DataFrame):
            loaded = codec.load(None, tmp_path / name, kind, place="in")
            assert isinstance(loaded, kind)
            assert list(loaded["a"] if kind is not pa.Table else loaded["a"].to_pylist()) == [1, 2]
    (tmp_path / "x.dat").write_bytes(b"")
    with pytest.raises(TypeProblem, match=r"SB102.*x.dat"):
        codec.load(None, tmp_path / "x.dat", pd.DataFrame, place="in")
    with pytest.raises(TypeProblem, match=r"SB103.*2 columns"):
        codec.load(None, tmp_path / "x.csv", pd.Series, place="in")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(IntegrityProblem, match=r"SB304"):
        codec.load(None, tmp_path / "broken.parquet", pd.DataFrame, place="in")


def test_the_summary_is_for_people(tmp_path: Path) -> None:
    made = draft(base(), tmp_path)
    assert made.name == "data.parquet"
    assert made.format == "parquet"
    assert made.canonical
    assert made.summary["rows"] == 6
    assert list(made.summary["columns"]) == list(base().columns)
    assert made.summary["content"] == made.content
    big = pd.DataFrame({"a": np.arange(2_500_000), "s": np.arange(2_500_000).astype(str)})
    made = draft(big, tmp_path)
    import hashlib

    assert made.files[0].sha256 == hashlib.sha256(Path(made.files[0].source).read_bytes()).hexdigest()
    assert made.files[0].size == Path(made.files[0].source).stat().st_size
    pd.testing.assert_frame_equal(
        TableCodec().load(_manifest(made), Path(made.files[0].source), None, place=""), big
    )


def _manifest(made: Draft) -> Any:
    from stepbridge.artifact import Manifest

    return Manifest(made.digest, made.content, made.type, made.format, made.name, made.keys())


COLUMNS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3).map(lambda v: np.array(v, "int64")),
    st.lists(st.floats(), min_size=3, max_size=3).map(lambda v: np.array(v, "float64")),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.text()), min_size=3, max_size=3).map(lambda v: pd.array(v, "string")),
    st.lists(st.text(), min_size=3, max_size=3).map(lambda v: obj(*v)),
    st.lists(st.one_of(st.none(), st.text()), min_size=3, max_size=3).map(lambda v: obj(*v)),
    st.lists(st.one_of(st.none(), st.binary()), min_size=3, max_size=3).map(lambda v: obj(*v)),
    st.lists(st.one_of(st.none(), st.dates()), min_size=3, max_size=3).map(lambda v: obj(*v)),
    st.lists(st.one_of(st.none(), st.datetimes()), min_size=3, max_size=3).map(
        lambda v: np.array(v, "datetime64[us]")
    ),
    st.lists(st.one_of(st.none(), st.integers(0, 255)), min_size=3, max_size=3).map(
        lambda v: pd.array(v, "UInt8")
    ),
    st.lists(st.sampled_from(["a", "b", None]), min_size=3, max_size=3).map(
        lambda v: pd.Categorical(v, ["b", "a"])
    ),
)


@FAST
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), COLUMNS, max_size=4))
def test_any_frame_round_trips(tmp_path_factory: pytest.TempPathFactory, columns: dict[str, Any]) -> None:
    frame = pd.DataFrame(columns)
    tmp = tmp_path_factory.mktemp("frame")
    result = trip(frame, pd.DataFrame, tmp)
    pd.testing.assert_frame_equal(result.value, frame)
    if not any(str(dtype) == "object" for dtype in frame.dtypes):
        assert content(stored_again(frame), tmp) == result.drafts[0].content


def test_inline_limit_does_not_touch_tables(tmp_path: Path) -> None:
    assert (
        len(values.drafts(values.encode(base(), UNANNOTATED, tmp_path, place="x", inline_limit=1 << 30))) == 1
    )
