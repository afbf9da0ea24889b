"""Tables in files: how CSV, JSON lines, Arrow and Parquet files are read, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather
from test_compare_tables import TABLES, paths, side

from stepbridge.compare.base import Side
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.rules import Compare
from stepbridge.failures import IntegrityProblem

FILE = "stepbridge.File"


def compared(control: Path | Side, candidate: Path | Side, **rules: Any) -> Part:
    sides = [one if isinstance(one, Side) else Side(one.name, FILE, one) for one in (control, candidate)]
    assert TABLES.takes(*sides)
    return TABLES.compare(sides[0], sides[1], Compare(**rules), "out")


def texts(tmp: Path, control: str, candidate: str, suffix: str = ".csv") -> tuple[Path, Path]:
    found = tmp / f"control{suffix}", tmp / f"candidate{suffix}"
    for path, text in zip(found, (control, candidate), strict=True):
        path.write_text(text, encoding="utf-8", newline="")
    return found


def read_as(part: Part) -> dict[str, str]:
    return {one.name: one.control for one in part.facts if "read as" in one.name}


def test_what_is_taken(tmp_path: Path) -> None:
    names = ("a.parquet", "b.CSV", "c.tsv.gz", "d.jsonl", "e.ndjson.gz", "f.feather", "g.arrow", "h.csv.zst")
    for name in names:
        (tmp_path / name).touch()
        assert TABLES.takes(*[Side(name, FILE, tmp_path / name)] * 2)
    for name in ("a.json", "b.txt", "c.npy"):
        (tmp_path / name).touch()
        assert not TABLES.takes(*[Side(name, FILE, tmp_path / name)] * 2)
    assert not TABLES.takes(
        Side("gone", FILE, tmp_path / "gone.csv"), Side("gone", FILE, tmp_path / "gone.csv")
    )
    assert not TABLES.takes(Side("v", "json", value={}), Side("v", "json", value={}))


def test_csv_columns_are_numbers_only_where_both_sides_write_numbers(tmp_path: Path) -> None:
    head = "id,zip,price,day,ok,note,at\n"
    first = "1,01234,1.50,2024-01-01,true,a,2024-01-01 10:00:00\n"
    control = f"{head}{first}2,99999,2,2024-01-02,false,,2024-01-01T10:00:01\n"
    candidate = f"{head}{first}2,99999,2.0,2024-01-02,false,,2024-01-01 10:00:01.0\n"
    part = compared(*texts(tmp_path, control, candidate))
    assert part.verdict is Verdict.IDENTICAL
    assert read_as(part) == {
        "column 'id' read as": "int64",
        "column 'zip' read as": "text",
        "column 'price' read as": "double",
        "column 'day' read as": "date32",
        "column 'ok' read as": "bool",
        "column 'note' read as": "text",
        "column 'at' read as": "timestamp[us]",
    }
    mixed = compared(*texts(tmp_path, "a\n1\n2\n", "a\n1.0\n2.0\n"))
    assert (mixed.verdict, mixed.total, read_as(mixed)) == (
        Verdict.DIFFERENT,
        2,
        {"column 'a' read as": "text"},
    )
    relaxed = compared(*texts(tmp_path, "a\n1\n2\n", "a\n1.0\n2.0\n"), equal=("int-is-float",))
    assert relaxed.verdict.same
    assert compared(*texts(tmp_path, "a\n007\n", "a\n7\n")).verdict is Verdict.DIFFERENT
    late = "a\n" + "1\n" * 200_000
    part = compared(*texts(tmp_path, late + "2\n", late + "x\n"))
    assert (paths(part), read_as(part)) == (["[200000] a"], {"column 'a' read as": "text"})


def test_csv_quotes_nulls_headers_and_packing(tmp_path: Path) -> None:
    part = compared(*texts(tmp_path, 'a,b\n,1\n"",1\n', "a,b\n,1\n,1\n"))
    assert (paths(part), part.differences[0].kind) == (["[1] a"], "null")
    odd = '"a ""b""",a.b,,a.b,A.b\n"x\ny",1,2,3,4\n'
    assert compared(*texts(tmp_path, odd, odd)).verdict is Verdict.IDENTICAL
    changed = compared(*texts(tmp_path, odd, odd.replace(",3,", ",9,")))
    assert paths(changed) == ["[0] a.b"]
    assert compared(*texts(tmp_path, "\ufeffa\n1\n", "a\r\n1\r\n")).verdict is Verdict.IDENTICAL
    assert compared(*texts(tmp_path, "", "")).rule.startswith("both are empty")
    assert compared(*texts(tmp_path, "a,b\n", "a,b\n")).rule.startswith("both are empty")
    plain = tmp_path / "control.csv"
    plain.write_text("id,v\n1,2\n2,3\n")
    data = b"id,v\n2,3\n1,2\n"
    for suffix, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        packed = tmp_path / f"candidate.csv{suffix}"
        packed.write_bytes(pack(data))
        assert compared(plain, packed, key=("id",)).verdict is Verdict.EQUIVALENT
    tabs = tmp_path / "candidate.tsv"
    tabs.write_text("id\tv\n1\t2\n2\t4\n")
    assert paths(compared(plain, tabs, key=("id",))) == ["[id=2] v"]


def test_broken_files_are_named(tmp_path: Path) -> None:
    for suffix, bad in (
        (".csv", b"a,b\n1,2,3\n"),
        (".csv", b'"a\n1'),
        (".csv", b"a\n\xff\xfe\n"),
        (".csv.gz", b"a\n1\n"),
        (".jsonl", b'{"a": 1}\n{"a": \n'),
        (".jsonl", b'{"a": 1}\n{"a": "x"}\n'),
        (".feather", b"nothing"),
        (".parquet", b""),
    ):
        path = tmp_path / f"bad{suffix}"
        path.write_bytes(bad)
        with pytest.raises(IntegrityProblem, match=rf"SB304 at bad{suffix}"):
            compared(path, path)


def test_json_lines_are_typed_by_all_lines_and_times_stay_text(tmp_path: Path) -> None:
    lines = [{"id": n, "at": "2024-01-01T00:00:00Z", "deep": {"x": [n, n]}} for n in range(5)]
    text = "\n".join(map(json.dumps, lines)) + "\n"
    later = text + json.dumps({"id": 9, "extra": 1.5, "at": "no time"})
    part = compared(*texts(tmp_path, later, later.replace("no time", "no  time"), ".jsonl"))
    assert paths(part) == ["[5] at"]
    moved = "\n".join(map(json.dumps, reversed(lines))).replace("[3, 3]", "[3, 4]")
    part = compared(*texts(tmp_path, text, moved, ".ndjson"), key=("id",))
    assert (paths(part), part.total) == (["[id=3] deep"], 1)
    typed = compared(*texts(tmp_path, '{"a": 1}\n', '{"a": 1.0}\n', ".jsonl"))
    assert (typed.verdict, typed.differences[0].kind) == (Verdict.DIFFERENT, "type")
    assert compared(*texts(tmp_path, "", "\n\n", ".jsonl")).rule.startswith("both are empty")


def test_one_table_in_every_format(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [3, 1, 2], "v": [0.5, 1.5, -2.0], "t": ["x", "ä", "z"]})
    table = pa.Table.from_pandas(frame, preserve_index=False)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True, force_ascii=False)
    feather.write_feather(table, str(tmp_path / "t.feather"))
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, tmp_path / "t.parquet")
    frame.to_parquet(tmp_path / "pandas.parquet")
    files = ["t.csv", "t.jsonl", "t.feather", "t.arrow", "t.parquet", "pandas.parquet"]
    for one in files:
        for other in files:
            part = compared(tmp_path / one, tmp_path / other)
            assert part.verdict is Verdict.IDENTICAL, (one, other, part.rule)
    payload = side(frame, tmp_path)
    assert compared(payload, tmp_path / "pandas.parquet").verdict is Verdict.IDENTICAL
    part = compared(payload, tmp_path / "t.csv", key=("id",))
    assert part.verdict is Verdict.IDENTICAL


def test_parquet_files_cut_and_encoded_in_other_ways(tmp_path: Path) -> None:
    table = pa.table({"id": range(1000), "t": [f"v{n % 3}" for n in range(1000)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7, compression="none")
    coded = table.set_column(1, "t", table["t"].dictionary_encode().cast(pa.large_string()))
    pq.write_table(coded, tmp_path / "b.parquet", row_group_size=300, compression="zstd", store_schema=False)
    assert compared(tmp_path / "a.parquet", tmp_path / "b.parquet").verdict is Verdict.IDENTICAL
    old = pa.table({"at": pa.array([1, 2**60], pa.timestamp("ns")), "id": [1, 2]})
    pq.write_table(old, tmp_path / "old.parquet", use_deprecated_int96_timestamps=True)
    pq.write_table(old.take(pa.array([1, 0])), tmp_path / "new.parquet")
    part = compared(tmp_path / "old.parquet", tmp_path / "new.parquet", key=("id",))
    assert part.verdict is Verdict.EQUIVALENT, part


def test_equal_files_by_digest(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    one = Side("one", FILE, path, content="sha256:1")
    part = compared(one, one)
    assert (part.verdict, part.compared, part.of, part.unit) == (Verdict.IDENTICAL, 1, 1, "files")


CELL = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["", "true", "2024-01-01", "1e5", "-0", "0x1", "null", "NaN", "1_000", "+1", "."]),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=4),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=5))
def test_any_csv_is_equal_to_itself(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    text = "a,b\n" + "".join(
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows
    )
    part = compared(*texts(tmp_path, text, text))
    assert (part.verdict, part.of) == (Verdict.IDENTICAL, len(rows))


def test_csv_is_read_like_the_typed_side(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2], "x": [1.0, 2.0], "zip": ["1", "2"], "day": pa.array([1, 2], pa.date32())})
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("n,x,zip,day\n1,1,1,1970-01-02\n2,2,2,1970-01-03\n")
    part = compared(tmp_path / "t.parquet", tmp_path / "t.csv")
    assert part.verdict is Verdict.IDENTICAL, part.rule
    (tmp_path / "u.csv").write_text("n,x,zip,day\n1,1,1,1970-01-02\n2,2.5,2,1970-01-03\n")
    assert paths(compared(tmp_path / "t.parquet", tmp_path / "u.csv")) == ["[1] x"]
