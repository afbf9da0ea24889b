"""pyarrow tables and polars frames to Parquet and back without loss, or a refusal that names the column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepbridge.codecs import parquet
from stepbridge.codecs.names import readable
from stepbridge.codecs.parquet import Column, Packed
from stepbridge.failures import TypeProblem


def pack_table(table: Any, *, place: str) -> Packed:
    """A pyarrow table."""
    import pyarrow as pa
    import pyarrow.types as t

    if type(table) is not pa.Table:
        raise TypeProblem(
            "SB103",
            f"expected pyarrow.Table, found {readable(type(table))}",
            place=place,
            hint="return a pyarrow.Table",
        )
    _unique(table.column_names, place)
    for field in table.schema:
        if t.is_union(field.type) or t.is_run_end_encoded(field.type):
            raise TypeProblem(
                "SB108",
                f"column {field.name!r} of type {field.type} has no Parquet form",
                place=place,
                hint="convert the column to plain or nested values",
            )
    columns = [
        Column(name, "dictionary" if t.is_dictionary(data.type) else "", data)
        for name, data in zip(table.column_names, table.columns, strict=True)
    ]
    dtypes = [(field.name, str(field.type)) for field in table.schema]
    return Packed(table, columns, "pyarrow", dtypes)


def pack_polars(frame: Any, *, place: str) -> Packed:
    """A polars frame."""
    import polars as pl

    try:
        table = frame.to_arrow()
        back = pl.from_arrow(table.slice(0, 0))
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise TypeProblem(
            "SB108", f"a column has no Arrow form: {error}", place=place, hint="convert the column"
        ) from error
    for name, dtype in frame.schema.items():
        if back.schema[name] != dtype:
            raise TypeProblem(
                "SB108",
                f"column {name!r} of type {dtype} would come back as {back.schema[name]}",
                place=place,
                hint="cast the column first",
            )
    columns = [
        Column(name, str(dtype) if str(dtype).startswith(("Categorical", "Enum")) else "", data)
        for (name, dtype), data in zip(frame.schema.items(), table.columns, strict=True)
    ]
    dtypes = [(name, str(dtype)) for name, dtype in frame.schema.items()]
    return Packed(table, columns, "polars", dtypes)


def _unique(names: list[str], place: str) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise TypeProblem(
            "SB108",
            f"the column names {double} occur more than once",
            place=place,
            hint="rename the columns so that each name occurs once",
        )


def read_table(path: Path) -> Any:
    """The pyarrow table at *path*."""
    return parquet.read(path)


def read_polars(path: Path, *, place: str) -> Any:
    """The polars frame at *path*."""
    try:
        import polars as pl
    except ImportError as error:
        raise TypeProblem(
            "SB103", "polars is not installed here", place=place, hint="install polars in the step's image"
        ) from error
    return pl.from_arrow(parquet.read(path))
