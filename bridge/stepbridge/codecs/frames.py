"""Tables of pandas, pyarrow and polars: one codec, one Parquet file, a digest of the data and not of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepbridge.artifact import Draft, DraftFile, Manifest
from stepbridge.codecs.names import FRAME, POLARS, SERIES, TABLE, class_of, lineage, readable
from stepbridge.failures import IntegrityProblem, TypeProblem

_NAMES = {
    "pandas.DataFrame": FRAME,
    "pandas.core.frame.DataFrame": FRAME,
    "pandas.Series": SERIES,
    "pandas.core.series.Series": SERIES,
    "pyarrow.lib.Table": TABLE,
    "pyarrow.Table": TABLE,
    "polars.dataframe.frame.DataFrame": POLARS,
    "polars.DataFrame": POLARS,
}
_ROOTS = frozenset({"pandas", "pyarrow", "polars"})


def table_type(cls: object) -> str:
    """The stable name of the table type that *cls* is or derives from, or an empty string."""
    if not isinstance(cls, type):
        return ""
    if not any(name.partition(".")[0] in _ROOTS for name in lineage(cls)):
        return ""
    return next((_NAMES[name] for name in lineage(cls) if name in _NAMES), "")


class TableCodec:
    """``pandas.DataFrame``, ``pandas.Series``, ``pyarrow.Table`` and ``polars.DataFrame``."""

    name = "parquet"

    def handles_type(self, annotation: object) -> bool:
        """Any of the four, or a class derived from one."""
        return bool(table_type(class_of(annotation)))

    def handles_value(self, value: object) -> bool:
        """Any of the four, or an instance of a class derived from one."""
        return bool(table_type(type(value)))

    def type_name(self, annotation: object) -> str:
        """The name on every version of the library: ``pandas.DataFrame``."""
        return table_type(class_of(annotation))

    def save(self, value: object, annotation: object, staging: Path, *, place: str) -> Draft:
        """Digest and write the table."""
        from stepbridge.codecs import parquet

        found = table_type(type(value))
        wanted = self.type_name(annotation) or found
        if found != wanted:
            raise TypeProblem(
                "SB103",
                f"expected {wanted}, found {readable(type(value))}",
                place=place,
                hint="convert it, or change the annotation",
            )
        packed = _PACKERS[found](value, place)
        path = staging / "data.parquet"
        written = parquet.write(packed, path, place=place)
        return Draft(
            content=written.content,
            type=found,
            format=self.name,
            name=path.name,
            files=(DraftFile(path.name, str(path), written.size, written.sha256),),
            summary={
                "rows": packed.table.num_rows,
                "columns": dict(packed.dtypes),
                "content": written.content,
            },
            canonical=True,
        )

    def load(self, manifest: Manifest | None, path: Path, annotation: object, *, place: str) -> object:
        """The table, as the reader's type whichever of the four was stored; outside files by their suffix."""
        import pyarrow as pa

        wanted = self.type_name(annotation)
        stored = manifest.type if manifest is not None else ""
        try:
            if manifest is None or manifest.format != self.name:
                from stepbridge.codecs import outside_tables

                return outside_tables.read(path, wanted or FRAME, place=place)
            return _READERS[wanted or stored](path, stored, place)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise IntegrityProblem("SB304", f"not a table: {error}", place=place or str(path)) from error


def _pack_frame(value: Any, place: str) -> Any:
    from stepbridge.codecs import pandas_tables

    return pandas_tables.pack_frame(value, place=place)


def _pack_series(value: Any, place: str) -> Any:
    from stepbridge.codecs import pandas_tables

    return pandas_tables.pack_series(value, place=place)


def _pack_table(value: Any, place: str) -> Any:
    from stepbridge.codecs import arrow_tables

    return arrow_tables.pack_table(value, place=place)


def _pack_polars(value: Any, place: str) -> Any:
    from stepbridge.codecs import arrow_tables

    return arrow_tables.pack_polars(value, place=place)


def _read_frame(path: Path, stored: str, place: str) -> Any:
    from stepbridge.codecs import pandas_tables

    return pandas_tables.read_frame(path, stored, place=place)


def _read_series(path: Path, stored: str, place: str) -> Any:
    from stepbridge.codecs import pandas_tables

    return pandas_tables.read_series(path, stored, place=place)


def _read_table(path: Path, stored: str, place: str) -> Any:  # noqa: ARG001
    from stepbridge.codecs import arrow_tables

    return arrow_tables.read_table(path)


def _read_polars(path: Path, stored: str, place: str) -> Any:  # noqa: ARG001
    from stepbridge.codecs import arrow_tables

    return arrow_tables.read_polars(path, place=place)


_PACKERS: dict[str, Callable[[Any, str], Any]] = {
    FRAME: _pack_frame,
    SERIES: _pack_series,
    TABLE: _pack_table,
    POLARS: _pack_polars,
}
_READERS: dict[str, Callable[[Path, str, str], Any]] = {
    FRAME: _read_frame,
    SERIES: _read_series,
    TABLE: _read_table,
    POLARS: _read_polars,
}
