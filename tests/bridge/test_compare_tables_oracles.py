"""Tables: pandas, polars and datacompy find the same differences, each by its own way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from test_compare_tables import TABLES, side

from stepbridge.compare.base import Side
from stepbridge.compare.model import Part
from stepbridge.compare.rules import Compare, Tolerance

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
COLUMNS = ("x", "n", "t", "d")


def random_pair(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two frames of one key; in the second some rows are gone, some new, some cells changed, all shuffled."""
    r = np.random.default_rng(seed)
    rows = int(r.integers(1, 400))

    def made(ids: Any) -> pd.DataFrame:
        x = r.normal(size=len(ids))
        x[r.random(len(ids)) < 0.2] = np.nan
        texts = np.array(["a", "b", None, "ä"], dtype=object)[r.integers(0, 4, len(ids))]
        return pd.DataFrame(
            {
                "id": ids,
                "x": x,
                "n": pd.array(r.integers(0, 5, len(ids)), "int32"),
                "t": pd.array(texts, "str"),
                "d": pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 3, len(ids)), unit="D"),
            }
        )

    control = made(r.permutation(rows).astype("int64"))
    candidate = control[r.random(rows) > 0.1].copy()
    other = made(candidate["id"].to_numpy())
    for name in COLUMNS:
        hit = r.random(len(candidate)) < r.choice([0.0, 0.05, 0.5])
        candidate.loc[hit, name] = other[name].array[hit]
    new = made(np.arange(rows, rows + int(r.integers(0, 5)), dtype="int64"))
    candidate = pd.concat([candidate, new], ignore_index=True)
    return control, candidate.sample(frac=1, random_state=seed).reset_index(drop=True)


def keyed(control: Any, candidate: Any, tmp: Path, **rules: Any) -> Part:
    sides = side(control, tmp), side(candidate, tmp)
    return TABLES.compare(*sides, Compare(key=("id",), **rules), "out")


def found(part: Part) -> dict[str, int]:
    return {column.name: column.unequal for column in part.columns if column.name != "id"}


def lone(part: Part, columns: dict[str, int]) -> int:
    return part.total - sum(columns.values())


@pytest.mark.parametrize("seed", range(12))
def test_pandas_finds_the_same(tmp_path: Path, seed: int) -> None:
    control, candidate = random_pair(seed)
    part = keyed(control, candidate, tmp_path)
    merged = control.merge(candidate, on="id", how="outer", indicator=True, suffixes=("_a", "_b"))
    both = merged[merged["_merge"] == "both"]
    expected = {}
    for name in COLUMNS:
        a, b = both[f"{name}_a"], both[f"{name}_b"]
        expected[name] = int((~((a == b) | (a.isna() & b.isna()))).sum())
    assert found(part) == expected
    assert lone(part, expected) == len(merged) - len(both)
    assert part.compared == len(merged)
    distances = (both["x_a"] - both["x_b"]).abs()
    column = next(one for one in part.columns if one.name == "x")
    largest = distances[distances > 0].max()
    assert column.max_abs == (None if np.isnan(largest) else largest)
    assert column.nulls == 0


@pytest.mark.parametrize("seed", range(12, 20))
def test_polars_finds_the_same(tmp_path: Path, seed: int) -> None:
    control, candidate = (pl.from_pandas(one) for one in random_pair(seed))
    part = keyed(control, candidate, tmp_path)
    joined = control.join(candidate, on="id", how="inner")
    expected = {
        name: joined.select(pl.col(name).ne_missing(pl.col(f"{name}_right")).sum()).item() for name in COLUMNS
    }
    assert found(part) == expected
    gone = control.join(candidate, on="id", how="anti").height
    new = candidate.join(control, on="id", how="anti").height
    assert lone(part, expected) == gone + new


@pytest.mark.parametrize("seed", range(20, 26))
def test_numpy_agrees_on_tolerances(tmp_path: Path, seed: int) -> None:
    r = np.random.default_rng(seed)
    a = r.normal(size=500) * 10.0 ** r.integers(-6, 6, 500)
    b = a * (1 + r.normal(size=500) * 1e-6)
    ids = np.arange(500)
    limit = Tolerance(rtol=1e-6, atol=1e-9)
    part = keyed(
        pd.DataFrame({"id": ids, "x": a}), pd.DataFrame({"id": ids, "x": b}), tmp_path, columns={"x": limit}
    )
    near = np.isclose(b, a, rtol=limit.rtol, atol=limit.atol)
    assert found(part) == {"x": int((~near).sum())}
    assert part.columns[1].allowed == int((near & (a != b)).sum())


@pytest.mark.parametrize("seed", range(26, 32))
def test_multisets_agree_with_counters(tmp_path: Path, seed: int) -> None:
    r = np.random.default_rng(seed)
    frames = [
        pd.DataFrame({"a": r.integers(0, 3, rows), "t": np.array(["x", "y"])[r.integers(0, 2, rows)]})
        for rows in r.integers(1, 60, 2)
    ]
    counts = [frame.value_counts() for frame in frames]
    difference = counts[0].sub(counts[1], fill_value=0)
    sides = [side(frame, tmp_path) for frame in frames]
    part = TABLES.compare(sides[0], sides[1], Compare(unordered=True), "out")
    assert part.total == int(difference.abs().sum())
    assert part.verdict.same == (part.total == 0)


def datacompy_python() -> Path | None:
    given = os.environ.get("STEPBRIDGE_DATACOMPY_PYTHON")
    made = Path(tempfile.gettempdir()) / "stepbridge-bench" / "datacompy-1.1.0"
    return Path(given) if given else made / "bin" / "python" if (made / "done").exists() else None


SCRIPT = """
import json, sys
import datacompy, pandas as pd
frames = [pd.read_parquet(path) for path in sys.argv[1:3]]
made = datacompy.PandasCompare(*frames, join_columns="id", abs_tol=0, rel_tol=0)
print(json.dumps({
    "columns": {c["column"]: int(c["unequal_cnt"]) for c in made.column_stats},
    "gone": len(made.df1_unq_rows), "new": len(made.df2_unq_rows),
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(32, 36))
def test_datacompy_finds_the_same(tmp_path: Path, seed: int) -> None:
    python = datacompy_python()
    if python is None:
        pytest.skip(
            "no interpreter with datacompy: run benchmarks/bench_compare.py once, which makes one, "
            "or name it in STEPBRIDGE_DATACOMPY_PYTHON"
        )
    files = []
    for name, frame in zip(("a", "b"), random_pair(seed), strict=True):
        files.append(tmp_path / f"{name}.parquet")
        frame.to_parquet(files[-1])
    done = subprocess.run([python, "-c", SCRIPT, *files], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    sides = [Side(path.name, "stepbridge.File", path) for path in files]
    part = TABLES.compare(sides[0], sides[1], Compare(key=("id",)), "out")
    ours = found(part)
    assert ours == {name: theirs["columns"].get(name, 0) for name in ours}
    assert lone(part, ours) == theirs["gone"] + theirs["new"]


@pytest.mark.slow
def test_memory_is_held_where_much_goes_to_disk(tmp_path: Path) -> None:
    sys.path.insert(0, str(BENCHMARKS))
    import bench_compare

    bench_compare.make(tmp_path, 12_000_000, ("control", "shuffled"))
    limit = 512 << 20
    measured = bench_compare.child(sys.executable, "keyed", tmp_path, limit)
    assert (measured["rows"], measured["found"]) == (12_000_000, 12_000)
    assert measured["held"] <= limit + (256 << 20), "imports and buffers of Arrow take some on top"
