"""Tables that stepbridge did not write, read by the suffix of their file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepbridge.codecs.names import FRAME, POLARS, SERIES, TABLE
from stepbridge.failures import TypeProblem

PARQUET = (".parquet", ".pq", ".parq")
FEATHER = (".feather", ".arrow")
CSV = (".csv", ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zst", ".tsv", ".tsv.gz")


def read(path: Path, wanted: str, *, place: str) -> Any:
    """The table at *path* as the type named *wanted*.

    :raises TypeProblem: SB102 for a suffix that is not known.
    """
    name = path.name.lower()
    if path.is_dir() or name.endswith(PARQUET):
        return _parquet(path, wanted, place)
    if name.endswith(FEATHER):
        from pyarrow import feather

        return _from_arrow(feather.read_table(path), wanted, place)
    if name.endswith(CSV):
        return _csv(path, "\t" if ".tsv" in name else ",", wanted, place)
    raise TypeProblem(
        "SB102",
        f"{path.name!r} has no suffix that says how to read a table",
        place=place,
        hint=f"name it {', '.join((*PARQUET, *FEATHER, *CSV))}, or annotate it File and read it yourself",
    )


def _parquet(path: Path, wanted: str, place: str) -> Any:
    if wanted in {FRAME, SERIES}:
        import pandas as pd

        return _narrowed(pd.read_parquet(path), wanted, place)
    import pyarrow.parquet as pq

    return _from_arrow(pq.read_table(path), wanted, place)


def _csv(path: Path, separator: str, wanted: str, place: str) -> Any:
    import pandas as pd

    frame = pd.read_csv(path, sep=separator)
    if wanted in {FRAME, SERIES}:
        return _narrowed(frame, wanted, place)
    import pyarrow as pa

    return _from_arrow(pa.Table.from_pandas(frame, preserve_index=False), wanted, place)


def _narrowed(frame: Any, wanted: str, place: str) -> Any:
    if wanted == FRAME:
        return frame
    if len(frame.columns) != 1:
        raise TypeProblem(
            "SB103",
            f"expected {SERIES}, found a table of {len(frame.columns)} columns",
            place=place,
            hint="annotate it pandas.DataFrame",
        )
    return frame.iloc[:, 0]


def _from_arrow(table: Any, wanted: str, place: str) -> Any:
    if wanted == TABLE:
        return table
    if wanted == POLARS:
        import polars as pl

        return pl.from_arrow(table)
    return _narrowed(table.to_pandas(), wanted, place)
