"""The comparator of tables: digest, schema, counts, then rows by the cheapest way that is exact."""

from __future__ import annotations

import tempfile
from pathlib import Path

from stepbridge.codecs.names import FRAME, POLARS, SERIES, TABLE
from stepbridge.codecs.outside_tables import PARQUET
from stepbridge.compare.base import Side
from stepbridge.compare.model import Fact, Part, Verdict
from stepbridge.compare.rules import Compare
from stepbridge.compare.tables import outside
from stepbridge.compare.tables.aligned import Unfit
from stepbridge.compare.tables.comparison import Comparison
from stepbridge.compare.tables.source import BATCH, Source

_TABLES = frozenset({FRAME, SERIES, TABLE, POLARS})


class TableComparator:
    """Frames, series and tables of pandas, pyarrow and polars; Parquet, CSV, JSON lines and Arrow files."""

    name = "table"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Both are tables or files whose suffix says that they are."""
        return all(_is_table(side) for side in (control, candidate))

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare two tables; memory is bounded by ``rules.memory``, the rest goes to temporary files.

        :raises IntegrityProblem: SB304 where a side cannot be read as a table.
        :raises StepbridgeError: SB208 where duckdb is needed and not installed.
        """
        if control.content and (control.content, control.type) == (candidate.content, candidate.type):
            return _equal_digests(control, name)
        with tempfile.TemporaryDirectory(prefix="stepbridge-compare-") as made:
            folder = Path(made)
            first, second = outside.open_both(
                control, candidate, folder, numbers="int-is-float" in rules.equal
            )
            first, second = _with_index(first, second, folder), _with_index(second, first, folder)
            unfit: dict[int, str] = {}
            while True:
                try:
                    return Comparison(first, second, (control, candidate), rules, name, folder, unfit).part()
                except Unfit as problem:
                    unfit[problem.pair.control.at] = str(problem)


def _is_table(side: Side) -> bool:
    if side.path is None or not side.path.is_file():
        return False
    return side.type in _TABLES or (side.type == "stepbridge.File" and outside.known(side.path))


def _equal_digests(side: Side, name: str) -> Part:
    from stepbridge.compare.tables.source import open_parquet

    assert side.path is not None
    rows, unit = 1, "files"
    if side.type in _TABLES or side.path.name.lower().endswith(PARQUET):
        rows, unit = open_parquet(side, side.path).rows, "rows"
    rule = f"the digests of both are equal: {rows:,} {unit if rows != 1 else unit[:-1]}"
    if not rows:
        rule = "both are empty: no rows, and equal digests of the schema"
    facts = (Fact("rows", str(rows), str(rows)),) if unit == "rows" else ()
    return Part(name, "table", Verdict.IDENTICAL, rule, compared=rows, of=rows, unit=unit, facts=facts)


def _with_index(source: Source, other: Source, folder: Path) -> Source:
    """The source with its range index as a column where the other's index is one."""
    from dataclasses import replace

    import pyarrow as pa
    import pyarrow.parquet as pq

    from stepbridge.compare.tables.source import Field, reading

    if source.range is None or not other.levels:
        return source
    start, step, label = source.range
    with pq.ParquetFile(source.path) as file:
        stored = file.schema_arrow
    fields = [*(f.with_name(f"c{n}") for n, f in enumerate(stored)), pa.field("index", pa.int64())]
    schema = pa.schema(fields)
    target = folder / f"indexed-{source.path.name}-{len(list(folder.iterdir()))}"
    row = start
    with reading(source.origin), pq.ParquetWriter(target, schema, compression="lz4") as writer:
        for arrays in source.batches(range(len(stored)), BATCH) if len(stored) else ():
            count = len(arrays[0])
            index = pa.array(range(row, row + count * step, step), pa.int64())
            writer.write_batch(pa.RecordBatch.from_arrays([*arrays, index], schema=schema))
            row += count * step
    made = Field(label or "index", len(stored), pa.int64(), "int64", "", index=True)
    return replace(source, path=target, fields=(*source.fields, made), range=None)
