"""The comparator of tables: digest, schema, counts, then rows by the cheapest way that is exact."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stepbridge.codecs.names import FRAME, POLARS, SERIES, TABLE
from stepbridge.codecs.outside_tables import PARQUET
from stepbridge.compare.base import Side
from stepbridge.compare.directories import DirectoryComparator
from stepbridge.compare.model import Difference, Fact, Part, Skipped, Verdict, worst
from stepbridge.compare.rules import Compare
from stepbridge.compare.tables import outside
from stepbridge.compare.tables.aligned import Unfit
from stepbridge.compare.tables.comparison import Comparison, unused_rules
from stepbridge.compare.tables.folders import MARKER, Folder, folder_at
from stepbridge.compare.tables.source import BATCH, Source
from stepbridge.compare.tally import Tally
from stepbridge.failures import IntegrityProblem

_TABLES = frozenset({FRAME, SERIES, TABLE, POLARS})
_DIRECTORY = "stepbridge.Directory"
_SHOWN = 5


class TableComparator:
    """Frames, series and tables of pandas, pyarrow and polars; Parquet, CSV, JSON lines and Arrow files.

    Also folders that are one Parquet table in parts. Two of them are compared file by file, as all folders
    are, unless the rules match rows (``key``, ``unordered``), their files have other names, or the comparator
    is named.
    """

    name = "table"

    def takes(self, control: Side, candidate: Side) -> bool:
        """Both are tables, files whose suffix says that they are, or folders of one table's parts."""
        return all(_is_table(side) for side in (control, candidate))

    def compare(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
        """Compare two tables; memory is bounded by ``rules.memory``, the rest goes to temporary files.

        :raises IntegrityProblem: SB304 where a side cannot be read as a table.
        :raises StepbridgeError: SB208 where duckdb is needed and not installed.
        """
        folders = [None if one.path is None else folder_at(one.path) for one in (control, candidate)]
        if folders[0] is not None and folders[1] is not None:
            return self._folders(control, candidate, rules, name, (folders[0], folders[1]))
        if control.content and (control.content, control.type) == (candidate.content, candidate.type):
            return _equal_digests(control, rules, name)
        part = self._tables(control, candidate, rules, name)
        return replace(part, facts=(*part.facts, *_read_as_one(folders))) if any(folders) else part

    def _folders(
        self, control: Side, candidate: Side, rules: Compare, name: str, folders: tuple[Folder, Folder]
    ) -> Part:
        named = rules.comparator == self.name
        as_one = named or rules.key or rules.unordered or folders[0].parts != folders[1].parts
        same = control.content and (control.content, control.type) == (candidate.content, candidate.type)
        if same or not as_one:
            return DirectoryComparator().compare(control, candidate, rules, name)
        try:
            part = self._tables(control, candidate, rules, name)
        except IntegrityProblem as error:
            if named:
                raise
            part = DirectoryComparator().compare(control, candidate, rules, name)
            return replace(part, facts=(*part.facts, Fact("not read as one table", str(error), "")))
        return _of_folders(part, rules, folders)

    def _tables(self, control: Side, candidate: Side, rules: Compare, name: str) -> Part:
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
    if side.path is not None and side.type == _DIRECTORY:
        return folder_at(side.path) is not None
    if side.path is None or not side.path.is_file():
        return False
    return side.type in _TABLES or (side.type == "stepbridge.File" and outside.known(side.path))


def _of_folders(part: Part, rules: Compare, folders: tuple[Folder, Folder]) -> Part:
    """The part of two folders' tables, with what the folders hold besides the rows."""
    tally = Tally(rules)
    if folders[0].marked != folders[1].marked:
        there, kind = ("a marker", "missing") if folders[0].marked else (None, "extra")
        other = "a marker" if there is None else None
        tally.differ(Difference(MARKER, kind, there, other, "the mark of a table that is complete"))
    skipped = []
    if folders[0].parts != folders[1].parts:
        counts = [f"{len(one.parts):,}" for one in folders]
        why = f"the folders are read as one table each, of {counts[0]} and {counts[1]} files"
        skipped.append(Skipped("names of the files, and which rows lie in which", why))
    if summaries := {*folders[0].summaries, *folders[1].summaries}:
        why = f"it repeats what the parts say: {', '.join(sorted(summaries)[:5])}"
        skipped.append(Skipped("summaries and checksums", why, len(summaries)))
    beside = tally.part(part.name, TableComparator.name, unit="files")
    verdict = worst([part.verdict, beside.verdict, *([Verdict.EQUIVALENT] if skipped else [])])
    rule = part.rule if not tally.real else f"{MARKER} is on one side only; {part.rule}"
    return replace(
        part,
        verdict=verdict,
        rule=f"{rule}; each folder is read as one table",
        differences=(*beside.differences, *part.differences),
        total=part.total + beside.total,
        relaxations=(*part.relaxations, *beside.relaxations),
        skipped=(*part.skipped, *skipped),
        facts=(*part.facts, *_read_as_one(folders)),
    )


def _read_as_one(folders: Sequence[Folder | None]) -> list[Fact]:
    said = ["" if one is None else _layout(one) for one in folders]
    facts = [Fact("folder read as one table", said[0], said[1])]
    first, second = ({part.rpartition("/")[0] for part in one.parts} if one else set() for one in folders)
    if all(folders) and first != second:
        facts.append(
            Fact("levels on one side only", *(_few(one) for one in (first - second, second - first)))
        )
    return facts


def _layout(folder: Folder) -> str:
    count = len(folder.parts)
    columns = f", columns {', '.join(folder.columns)} from the names of folders" if folder.columns else ""
    return f"{count:,} file{'s' * (count != 1)}{columns}"


def _few(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown


def _equal_digests(side: Side, rules: Compare, name: str) -> Part:
    from stepbridge.compare.tables.source import open_parquet

    assert side.path is not None
    rows, unit, unused = 1, "files", None
    if side.type in _TABLES or side.path.name.lower().endswith(PARQUET):
        source = open_parquet(side, side.path)
        rows, unit, unused = source.rows, "rows", unused_rules(rules, source, source)
    rule = f"the digests of both are equal: {rows:,} {unit if rows != 1 else unit[:-1]}"
    if not rows:
        rule = "both are empty: no rows, and equal digests of the schema"
    facts = (Fact("rows", str(rows), str(rows)),) if unit == "rows" else ()
    return Part(
        name,
        "table",
        Verdict.IDENTICAL,
        rule,
        compared=rows,
        of=rows,
        unit=unit,
        facts=facts,
        unused=unused,
    )


def _with_index(source: Source, other: Source, folder: Path) -> Source:
    """The source with its range index as a column where the other's index is one."""
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
