"""Tables in CSV, JSON lines and Arrow files, and in parts, made into Parquet one block at a time."""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepbridge.codecs.outside_tables import CSV, FEATHER, PARQUET
from stepbridge.compare.base import Side
from stepbridge.compare.tables.folders import folder_at, read
from stepbridge.compare.tables.source import Source, open_parquet, reading
from stepbridge.compare.tables.wire import logical
from stepbridge.failures import IntegrityProblem

LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
ARROW = (*FEATHER, ".ipc")
SUFFIXES = (*PARQUET, *ARROW, *CSV, *LINES)
_BLOCK = 8 << 20
_NUMBER = r"^[+-]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]+)?$|^[+-]?inf$|^nan$|^NaN$"
_SHAPES = {
    "bool": r"^(true|false)$",
    "int64": r"^(0|-?[1-9][0-9]{0,18})$",
    "double": _NUMBER,
    "date32": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "timestamp[us]": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$",
}
"""Types that a text column may be read as, and the one way to write each; anything else stays text."""


def known(path: Path) -> bool:
    """Whether the suffix is one of a table's."""
    return path.name.lower().endswith(SUFFIXES)


def open_both(control: Side, candidate: Side, folder: Path, *, numbers: bool) -> tuple[Source, Source]:
    """Both sides as Parquet, below *folder* where they are something else.

    A CSV column is read as a type where both sides write it in that type's one way everywhere; else it is
    text, exact.

    :param numbers: a column of integers on one side and floats on the other is read as floats.
    :raises IntegrityProblem: SB304 where a side cannot be read.
    """
    first, second = (
        _open(side, folder / name) for side, name in ((control, "control"), (candidate, "candidate"))
    )
    if not (first.texts or second.texts):
        return first.source, second.source
    agreed = _agreed(first, second, numbers)
    return tuple(_typed(one, agreed, folder) for one in (first, second))  # type: ignore[return-value]


class _Opened:
    """A source, and for each of its text columns the types that all of its values fit."""

    def __init__(self, source: Source, texts: dict[str, list[str]] | None = None) -> None:
        self.source = source
        self.texts = texts or {}


def _open(side: Side, target: Path) -> _Opened:
    assert side.path is not None
    if side.path.is_dir():
        return _from_folder(side, side.path, target)
    name = side.path.name.lower()
    if side.type != "stepbridge.File" or name.endswith(PARQUET):
        return _Opened(open_parquet(side, side.path))
    if name.endswith(ARROW):
        return _Opened(_from_arrow(side, side.path, target))
    if name.endswith(LINES):
        return _Opened(_from_lines(side, side.path, target))
    return _from_csv(side, side.path, target)


def _from_folder(side: Side, path: Path, target: Path) -> _Opened:
    """One table in parts; the values of its folders' names are text of the types that all fit."""
    import pyarrow as pa

    folder = folder_at(path)
    if folder is None:
        raise IntegrityProblem(
            "SB304",
            "the folder is not one Parquet table in parts",
            place=side.origin,
            hint="compare it file by file: comparator='directory'",
        )
    source = read(side, folder, target)
    start = len(source.fields) - len(folder.columns)
    names = [f"c{start + n}" for n in range(len(folder.columns))]
    shapes = {name: list(_SHAPES) for name in names}
    seen: set[str] = set()
    if names:
        rows = sorted({folder.values(part) for part in folder.parts}, key=repr)
        columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
        _narrow(pa.RecordBatch.from_arrays(columns, names), shapes, seen)
    return _Opened(source, {name: shapes[name] if name in seen else [] for name in names})


@contextmanager
def _written(target: Path, schema: Any) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(
        target, schema, compression="lz4", use_dictionary=False, write_statistics=False
    ) as writer:
        yield writer


def _from_arrow(side: Side, path: Path, target: Path) -> Source:
    import pyarrow as pa

    with reading(side.origin), pa.memory_map(str(path)) as file:
        try:
            reader = pa.ipc.open_file(file)
            batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            file.seek(0)
            reader = pa.ipc.open_stream(file)
            batches = iter(reader)
        names = reader.schema.names
        made_up = pa.schema([f.with_name(f"c{n}") for n, f in enumerate(reader.schema)])
        metadata = reader.schema.metadata if len(set(names)) == len(names) else None
        schema = reader.schema if metadata else made_up
        with _written(target, schema) as writer:
            for batch in batches:
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    return open_parquet(side, target, () if metadata else names)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked where its suffix says that it is packed."""
    import pyarrow as pa

    suffix = path.suffix.lower()
    if suffix == ".xz":
        with lzma.open(path) as unpacked:
            yield unpacked
    elif suffix in {".gz", ".bz2", ".zst"}:
        with pa.input_stream(str(path), compression=_CODECS[suffix]) as stream:
            yield stream
    else:
        with open(path, "rb") as plain:
            yield plain


_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


def _from_csv(side: Side, path: Path, target: Path) -> _Opened:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    separator = "\t" if ".tsv" in path.name.lower() else ","
    with reading(side.origin):
        header, lines = _header(side, path, separator)
    names = [f"c{n}" for n in range(len(header))]
    schema = pa.schema([(name, pa.string()) for name in names])
    shapes = {name: list(_SHAPES) for name in names}
    seen: set[str] = set()
    with reading(side.origin), _written(target, schema) as writer, _opened(path) as stream:
        if header:
            options = {
                "read_options": arrow_csv.ReadOptions(column_names=names, skip_rows=lines, block_size=_BLOCK),
                "parse_options": arrow_csv.ParseOptions(
                    delimiter=separator, newlines_in_values=True, ignore_empty_lines=len(header) > 1
                ),
                "convert_options": arrow_csv.ConvertOptions(
                    column_types=schema,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            }
            for batch in _csv_batches(arrow_csv, stream, options):
                writer.write_batch(batch)
                _narrow(batch, shapes, seen)
    source = open_parquet(side, target, header)
    return _Opened(source, {name: shapes[name] if name in seen else [] for name in names})


def _csv_batches(arrow_csv: Any, stream: Any, options: dict[str, Any]) -> Iterator[Any]:
    import pyarrow as pa

    try:
        reader = arrow_csv.open_csv(stream, **options)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return
        raise
    yield from reader


def _header(side: Side, path: Path, separator: str) -> tuple[list[str], int]:
    """The names in the first line, and how many lines of the file they take."""
    with _opened(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=separator, strict=True)
        try:
            return next(reader, []), reader.line_num
        except csv.Error as error:
            raise IntegrityProblem(
                "SB304",
                f"the header is no CSV: {error}",
                place=side.origin,
                hint="close the quotes in the first line",
            ) from error


def _narrow(batch: Any, shapes: dict[str, list[str]], seen: set[str]) -> None:
    """Drop the types that a block of text does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, left in shapes.items():
        values = batch.column(name)
        if values.null_count == len(values):
            continue
        seen.add(name)
        for shape in list(left):
            fits = pc.all(pc.match_substring_regex(values, _SHAPES[shape])).as_py()
            try:
                if fits:
                    values.cast(_type(shape))
            except pa.ArrowInvalid:
                fits = False
            if not fits:
                left.remove(shape)


def _type(shape: str) -> Any:
    import pyarrow as pa

    return {
        "bool": pa.bool_(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "date32": pa.date32(),
        "timestamp[us]": pa.timestamp("us"),
    }[shape]


def _agreed(first: _Opened, second: _Opened, numbers: bool) -> dict[tuple[str, int], str]:
    """The type of each text column that is in both, by name and by the how-manyeth of that name."""
    mine, others = _by_name(first), _by_name(second)
    agreed = {}
    for key in mine.keys() & others.keys():
        a, b = (side[key][0] if side[key] else "" for side in (mine, others))
        if a == b and a:
            agreed[key] = a
        elif numbers and {a, b} == {"int64", "double"}:
            agreed[key] = "double"
    if not (first.texts and second.texts):
        texts, typed = (mine, second) if first.texts else (others, first)
        kinds = dict(zip(_by_name(typed), (one.kind for one in typed.source.fields), strict=True))
        agreed = {key: _like(kinds.get(key), shapes) for key, shapes in texts.items()}
    return agreed


def _like(kind: Any, shapes: list[str]) -> str:
    """Of the types that a text column fits, the one that is most like the other side's."""
    import pyarrow.types as t

    if kind is None:
        return shapes[0] if shapes else ""
    tests: dict[str, Any] = {
        "bool": t.is_boolean,
        "int64": t.is_integer,
        "double": lambda k: t.is_floating(k) or t.is_decimal(k),
        "date32": t.is_date,
        "timestamp[us]": t.is_timestamp,
    }
    return next((shape for shape in shapes if tests[shape](logical(kind))), "")


def _by_name(opened: _Opened) -> dict[tuple[str, int], list[str]]:
    found: dict[tuple[str, int], list[str]] = {}
    for column in opened.source.fields:
        times = sum(1 for name, _ in found if name == column.name)
        found[column.name, times] = opened.texts.get(f"c{column.at}", [])
    return found


def _typed(opened: _Opened, agreed: dict[tuple[str, int], str], folder: Path) -> Source:
    """The source with its text columns in the types that were agreed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = opened.source
    if not opened.texts:
        return source
    shapes = {
        one.at: agreed.get(key, "")
        for key, one in zip(_by_name(opened), source.fields, strict=True)
        if f"c{one.at}" in opened.texts
    }
    fields = sorted(source.fields, key=lambda one: one.at)
    notes = (
        *source.notes,
        *((f"column {fields[at].name!r} read as", shape or "text") for at, shape in shapes.items()),
    )
    if not any(shapes.values()):
        return replace(source, notes=notes)
    stored = pq.read_schema(source.path)
    types = [_type(shapes[at]) if shapes.get(at) else one.type for at, one in enumerate(stored)]
    schema = pa.schema(
        [one.with_type(kind) for one, kind in zip(stored, types, strict=True)], stored.metadata
    )
    target = folder / f"{source.path.name}-typed"
    with reading(source.origin), _written(target, schema) as writer:
        for arrays in source.batches(range(len(types))):
            cast = [array.cast(kind) for array, kind in zip(arrays, types, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(cast, schema=schema))
    source.path.unlink()
    side = Side(source.origin, "stepbridge.File")
    return replace(open_parquet(side, target, [one.name for one in fields]), notes=notes)


def _from_lines(side: Side, path: Path, target: Path) -> Source:
    """JSON lines: a first pass finds the types of all lines, a second one reads; times stay text."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    schema = pa.schema([])
    with reading(side.origin):
        for block in _blocks(path):
            found = arrow_json.read_json(pa.BufferReader(block), _whole(arrow_json, block)).schema
            plain = pa.schema([pa.field(f.name, _no_times(f.type)) for f in found])
            schema = pa.unify_schemas([schema, plain], promote_options="permissive")
        made_up = pa.schema([field.with_name(f"c{n}") for n, field in enumerate(schema)])
        options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        with _written(target, made_up) as writer:
            for block in _blocks(path):
                table = arrow_json.read_json(pa.BufferReader(block), _whole(arrow_json, block), options)
                writer.write_table(pa.Table.from_arrays(table.select(schema.names).columns, schema=made_up))
    return open_parquet(side, target, schema.names)


def _whole(arrow_json: Any, block: bytes) -> Any:
    return arrow_json.ReadOptions(block_size=len(block) + 1, use_threads=False)


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, some megabytes at a time; blank lines are left out."""
    with _opened(path) as stream:
        rest = b""
        while data := stream.read(_BLOCK):
            cut = data.rfind(b"\n") + 1
            block = rest + data[:cut]
            rest = data[cut:] if cut else block + data
            if cut and block.strip():
                yield block
        if rest.strip():
            yield rest


def _no_times(kind: Any) -> Any:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_timestamp(kind):
        return pa.string()
    if t.is_list(kind):
        return pa.list_(_no_times(kind.value_type))
    if t.is_struct(kind):
        return pa.struct([pa.field(f.name, _no_times(f.type)) for f in kind])
    return kind
