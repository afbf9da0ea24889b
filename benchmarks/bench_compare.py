"""Comparing tables from Parquet against datacompy, a bare DuckDB join and a pass of numpy; ratios in one run.

``python benchmarks/bench_compare.py`` prints seconds, peaks and ratios, and ends with 1 where a bound is
missed or the peer is not there. Every measurement is a process of its own, all kinds in turn, so that other
load on the machine meets all of them; medians count. Seconds are those inside the process, imports excluded;
the seconds of the CPU beside them tell how busy the machine was.

The peer is datacompy, on pandas and on polars, in an environment of its own: ``--peer-python`` names its
interpreter; without it one is made below ``--cache``. ``--large`` adds 50 million rows under 2 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PEER = ("datacompy==1.1.0", "polars", "pyarrow", "pandas>=3")
LIMIT = 2 << 30


def make(
    folder: Path, rows: int, names: tuple[str, ...] = ("control", "same", "changed", "shuffled")
) -> None:
    """Eight columns; the candidate has 0.1% of the rows changed in one column, and another order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    r = np.random.default_rng(7)
    kinds = pa.array(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"])
    step = min(rows, 5_000_000)
    writers: dict[str, pq.ParquetWriter] = {}
    for start in range(0, rows, step):
        n = min(step, rows - start)
        columns = {
            "id": pa.array(np.arange(start, start + n, dtype="int64")),
            "value": pa.array(r.normal(size=n)),
            "weight": pa.array(r.random(n).astype("float32")),
            "count": pa.array(r.integers(0, 1000, n).astype("int32")),
            "when": pa.array(1_700_000_000_000_000 + r.integers(0, 10**13, n), pa.timestamp("us")),
            "kind": kinds.take(pa.array(r.integers(0, 8, n))),
            "flag": pa.array(r.random(n) < 0.5),
            "name": pa.array(np.char.add("user-", r.integers(0, 5_000_000, n).astype("U7"))),
        }
        control = pa.table(columns)
        values = control["value"].to_numpy().copy()
        hit = r.choice(n, max(n // 1000, 1), replace=False)
        values[hit] += 1.0
        changed = control.set_column(1, "value", pa.array(values))
        shuffled = changed.take(pa.array(r.permutation(n)))
        tables = {"control": control, "same": control, "changed": changed, "shuffled": shuffled}
        for name in names:
            if name not in writers:
                writers[name] = pq.ParquetWriter(folder / f"{name}.parquet", control.schema)
            writers[name].write_table(tables[name], row_group_size=1 << 20)
    for writer in writers.values():
        writer.close()


def ours(folder: Path, other: str, key: tuple[str, ...], memory: int) -> dict[str, float]:
    from stepbridge.compare.job import ALLOCATOR

    os.environ.setdefault(*ALLOCATOR)
    import duckdb  # noqa: F401 - imports are not measured
    import numpy  # noqa: F401
    import pandas  # noqa: F401 - pyarrow imports it where it makes an array
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    from stepbridge.compare.base import Side
    from stepbridge.compare.rules import Compare
    from stepbridge.compare.tables.comparator import TableComparator

    sides = [Side(name, "stepbridge.File", folder / f"{name}.parquet") for name in ("control", other)]
    start = time.perf_counter()
    part = TableComparator().compare(sides[0], sides[1], Compare(key=key, memory=memory), "bench")
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "found": part.total, "rows": part.compared}


def duck(folder: Path) -> dict[str, float]:
    """The bare join: the rows that differ, both sides' columns."""
    import duckdb

    names = ("value", "weight", "count", "when", "kind", "flag", "name")
    differ = " OR ".join(f'a."{name}" IS DISTINCT FROM b."{name}"' for name in names)
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order=false")
    start = time.perf_counter()
    found = connection.sql(
        f"SELECT * FROM read_parquet('{folder}/control.parquet') a "
        f"FULL JOIN read_parquet('{folder}/shuffled.parquet') b ON a.id = b.id "
        f"WHERE a.id IS NULL OR b.id IS NULL OR {differ}"
    ).to_arrow_table()
    return {"seconds": time.perf_counter() - start, "found": found.num_rows}


def peer(folder: Path, backend: str) -> dict[str, float]:
    import datacompy

    paths = [folder / f"{name}.parquet" for name in ("control", "shuffled")]
    options = {"join_columns": "id", "abs_tol": 0, "rel_tol": 0}
    if backend == "pandas":
        import pandas as pd

        start = time.perf_counter()
        made = datacompy.PandasCompare(*(pd.read_parquet(path) for path in paths), **options)
    else:
        import polars as pl

        start = time.perf_counter()
        made = datacompy.PolarsCompare(*(pl.read_parquet(path) for path in paths), **options)
    found = len(made.all_mismatch())
    return {"seconds": time.perf_counter() - start, "found": found}


def read(folder: Path) -> dict[str, float]:
    import pyarrow.parquet as pq

    start = time.perf_counter()
    rows = [pq.read_table(folder / f"{name}.parquet").num_rows for name in ("control", "same")]
    return {"seconds": time.perf_counter() - start, "found": 0, "rows": rows[0]}


def one_pass(folder: Path) -> dict[str, float]:
    """Read both and compare each column once, as a few lines of numpy and Arrow do it."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    start = time.perf_counter()
    control, changed = (pq.read_table(folder / f"{name}.parquet") for name in ("control", "changed"))
    found = 0
    for name in control.column_names:
        left, right = control[name], changed[name]
        if pc.count(left, mode="only_null").as_py() or str(left.type) in {"string", "bool"}:
            found += pc.sum(pc.not_equal(left, right)).as_py()
        else:
            found += int(np.count_nonzero(left.to_numpy() != right.to_numpy()))
    return {"seconds": time.perf_counter() - start, "found": found}


def measure(role: str, folder: Path, memory: int) -> dict[str, float]:
    """Run one kind, with the peak of this process's memory above what imports took, in bytes."""
    kinds = {
        "keyed": lambda: ours(folder, "shuffled", ("id",), memory),
        "aligned": lambda: ours(folder, "changed", (), memory),
        "equal": lambda: ours(folder, "same", (), memory),
        "duckdb": lambda: duck(folder),
        "read": lambda: read(folder),
        "numpy": lambda: one_pass(folder),
        "pandas": lambda: peer(folder, "pandas"),
        "polars": lambda: peer(folder, "polars"),
    }
    before = os.times()
    with Peak() as peak:
        found = kinds[role]()
    after = os.times()
    spent = after.user + after.system - before.user - before.system
    return {**found, "cpu": spent, "peak": _status("VmHWM"), "held": peak.held}


def _status(name: str) -> int:
    """A size of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


class Peak:
    """The most memory of this process that no file backs, looked at every few milliseconds."""

    def __enter__(self) -> Peak:
        self.held = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.held = max(self.held, _status("RssAnon"))


def child(python: Path | str, role: str, folder: Path, memory: int) -> dict[str, float]:
    command = [str(python), __file__, "--role", role, "--data", str(folder), "--memory", str(memory)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{role} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def peer_python(cache: Path) -> Path | None:
    """An interpreter with datacompy, made once; None, with the reason printed, where that is not possible."""
    home = cache / "datacompy-1.1.0"
    python = home / "bin" / "python"
    if (home / "done").exists():
        return python
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    commands = [[sys.executable, "-m", "venv", home], [python, "-m", "pip", "install", "-q", *PEER]]
    if uv:
        commands = [
            [uv, "venv", "-q", "-p", sys.executable, home],
            [uv, "pip", "install", "-q", "-p", python, *PEER],
        ]
    try:
        for command in commands:
            subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"!! no environment for the peer: {error}", file=sys.stderr)
        return None
    (home / "done").touch()
    return python


def rounds(asked: argparse.Namespace, folder: Path, python: Path | None) -> dict[str, dict[str, float]]:
    roles = ["keyed", "duckdb", "aligned", "numpy", "equal", "read"]
    peers = ["pandas", "polars"] if python else []
    runs: dict[str, list[dict[str, float]]] = {role: [] for role in (*roles, *peers)}
    for number in range(asked.rounds):
        for role in roles:
            runs[role].append(child(sys.executable, role, folder, asked.memory))
        for role in peers if number < asked.peer_rounds else ():
            assert python is not None
            runs[role].append(child(python, role, folder, asked.memory))
    return {
        role: {name: statistics.median(run[name] for run in each) for name in each[0]}
        for role, each in runs.items()
    }


def report(asked: argparse.Namespace) -> int:
    python = asked.peer_python or (None if asked.no_peer else peer_python(asked.cache))
    missed = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make(folder, asked.rows)
        found = rounds(asked, folder, python)
        print(f"\n{asked.rows:,} rows x 8 columns, medians of {asked.rounds}; limit {asked.memory >> 20} MiB")
        print(f"  {'':10}{'seconds':>9}{'cpu':>7}{'peak MiB':>10}{'own MiB':>9}{'found':>12}")
        for role, each in found.items():
            sizes = f"{each['peak'] / 2**20:10.0f}{each['held'] / 2**20:9.0f}"
            print(f"  {role:10}{each['seconds']:9.2f}{each['cpu']:7.2f}{sizes}{each['found']:12,.0f}")
        changed = max(asked.rows // 1000, 1) if asked.rows <= 5_000_000 else found["duckdb"]["found"]
        for role in set(found) - {"read", "equal"}:
            if found[role]["found"] != changed:
                missed.append(f"{role} found {found[role]['found']} changed rows, not {changed}")
        missed += bounds(found)
    if not python:
        print("\n!! THE PEER WAS NOT MEASURED: give --peer-python, an interpreter with datacompy 1.1.0")
        missed.append("no peer")
    if asked.large:
        missed += large(asked.large_rows)
    for text in missed:
        print(f"MISSED: {text}")
    return 1 if missed else 0


def bounds(found: dict[str, dict[str, float]]) -> list[str]:
    """Print each ratio with its bound, and name those that are missed."""
    seconds = {role: each["seconds"] for role, each in found.items()}
    lines = [
        ("keyed / bare DuckDB join", seconds["keyed"] / seconds["duckdb"], "<=", 1.3),
        ("aligned / one pass of numpy", seconds["aligned"] / seconds["numpy"], "<=", 3.0),
        ("equal / reading both", seconds["equal"] / seconds["read"], "<=", 1.5),
    ]
    if "pandas" in found:
        fastest = min(("pandas", "polars"), key=lambda role: seconds[role])
        lines += [
            ("datacompy on pandas / keyed", seconds["pandas"] / seconds["keyed"], ">=", 15.0),
            (f"datacompy's fastest, {fastest} / keyed", seconds[fastest] / seconds["keyed"], ">=", 3.0),
            (
                "peak of keyed / of datacompy on pandas",
                found["keyed"]["peak"] / found["pandas"]["peak"],
                "<=",
                0.5,
            ),
            (
                "peak of keyed / of datacompy on polars",
                found["keyed"]["peak"] / found["polars"]["peak"],
                "<=",
                0.5,
            ),
        ]
    missed = []
    print()
    for name, ratio, sense, bound in lines:
        held = ratio <= bound if sense == "<=" else ratio >= bound
        print(f"  {name:42}{ratio:7.2f}   ({sense} {bound:g}){'' if held else '  MISSED'}")
        if not held:
            missed.append(name)
    return missed


def large(rows: int) -> list[str]:
    """Many rows, shuffled within blocks, under 2 GiB; the peak is of memory that no file backs."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make(folder, rows, ("control", "shuffled"))
        found = child(sys.executable, "keyed", folder, LIMIT)
    held = found["held"]
    print(f"\n{rows:,} rows by key under {LIMIT >> 20} MiB: {found['seconds']:.0f} s, {held / 2**20:.0f} MiB")
    return [] if held <= LIMIT and found["rows"] == rows else [f"{held / 2**20:.0f} MiB of {LIMIT >> 20}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=2, help="of the rounds, those with the slow peer")
    parser.add_argument("--memory", type=int, default=1 << 30, help="bytes our comparison may hold")
    parser.add_argument("--peer-python", type=Path, help="an interpreter with datacompy")
    parser.add_argument("--no-peer", action="store_true", help="while developing; ends with 1")
    parser.add_argument("--large", action="store_true", help="also 50 million rows under 2 GiB")
    parser.add_argument("--large-rows", type=int, default=50_000_000, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "stepbridge-bench")
    parser.add_argument("--role", default="main", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role == "main":
        return report(asked)
    print(json.dumps(measure(asked.role, asked.data, asked.memory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
