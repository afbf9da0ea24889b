"""Folders that hold one Parquet table in parts, as Spark, Dask and pandas write them, read as that table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from stepbridge.codecs.outside_tables import PARQUET
from stepbridge.compare.base import Side
from stepbridge.compare.tables.source import BATCH, Source, open_parquet, reading
from stepbridge.compare.trees import entries
from stepbridge.failures import IntegrityProblem

MARKER = "_SUCCESS"
"""Written last by those who write a table in parts."""
_SUMMARIES = frozenset({"_metadata", "_common_metadata"})
_NULL = "__HIVE_DEFAULT_PARTITION__"
_UUID = re.compile(
    r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}|"
    r"(?<![0-9a-zA-Z])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{16,}(?![0-9a-zA-Z])"
)
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Folder:
    """One table in parts.

    :param parts: paths of the Parquet files, relative to the folder, in the order in which they are read: by
        folder and number, without the uuids in the names.
    :param columns: of the names of the folders, ``day=2024-05-01``; empty where the parts lie flat.
    :param marked: ``_SUCCESS`` is there.
    :param summaries: files that only repeat what the parts say: ``_metadata``, checksums.
    """

    path: Path
    parts: tuple[str, ...]
    columns: tuple[str, ...]
    marked: bool
    summaries: tuple[str, ...]

    def values(self, part: str) -> tuple[str | None, ...]:
        """What the folders around *part* say, one text for each of the columns."""
        found = (_pair(one) for one in part.split("/")[:-1])
        return tuple(None if pair is None or pair[1] == _NULL else pair[1] for pair in found)


def folder_at(path: Path) -> Folder | None:
    """The folder as one table in parts; None where it is, or may be, something else.

    One table is: every file a Parquet file whose name differs from the others' by numbers and uuids only, all
    in one folder or all below the same levels of ``name=value``; or any names where the folder is marked by
    ``_SUCCESS`` or ``_metadata``, or has such levels. Folders with a log of their own, like Delta's, are not.
    """
    parts, summaries, marked = [], [], False
    if not path.is_dir():
        return None
    for name, entry in entries(path):
        last = name.rsplit("/", 1)[-1]
        if entry.kind != "file" or any(one.startswith(("_", ".")) for one in name.split("/")[:-1]):
            return None
        if name == MARKER:
            marked = True
        elif last in _SUMMARIES or (last.startswith(".") and last.endswith(".crc")):
            summaries.append(name)
        elif last.startswith((".", "_")) or not last.lower().endswith(PARQUET):
            return None
        else:
            parts.append(name)
    levels = {_levels(name) for name in parts}
    if len(levels) != 1 or None in levels:
        return None
    (columns,) = levels
    stems = {_stem(name) for name in parts}
    alike = len(stems) == 1 and all(_numbered(name) for name in parts)
    if not (alike or marked or columns or any(name in _SUMMARIES for name in summaries)):
        return None
    ordered = tuple(sorted(parts, key=_rank))
    return Folder(path, ordered, tuple(columns or ()), marked, tuple(sorted(summaries)))


def _pair(folder: str) -> tuple[str, str] | None:
    name, equals, value = folder.partition("=")
    return (unquote(name), unquote(value)) if name and equals else None


def _levels(name: str) -> tuple[str, ...] | None:
    """The names of the levels around a file; None where one is no ``name=value``."""
    found = [_pair(one) for one in name.split("/")[:-1]]
    names = tuple(one[0] for one in found if one is not None)
    return names if len(names) == len(found) == len(set(names)) else None


def _last(name: str) -> str:
    return _UUID.sub("", name.rsplit("/", 1)[-1])


def _stem(name: str) -> str:
    return _DIGITS.sub("", _last(name))


def _numbered(name: str) -> bool:
    last = name.rsplit("/", 1)[-1]
    return bool(_UUID.search(last) or _DIGITS.search(last))


def _rank(name: str) -> tuple[Any, ...]:
    """Folders and numbers in their order, part-2 before part-10; the uuid only where nothing else tells."""
    above, _, _ = name.rpartition("/")
    last = _last(name)
    numbers = tuple(int(one) for one in _DIGITS.findall(last))
    return above, _stem(name), numbers, name


def read(side: Side, folder: Folder, target: Path) -> Source:
    """The whole table as one Parquet file at *target*; the columns of its folders stand last, as text.

    :raises IntegrityProblem: SB304 where a part cannot be read, or the parts have other columns or types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    stored, notes = _schema(side, folder)
    added = [pa.field(name, pa.string()) for name in folder.columns]
    schema = pa.schema([*stored, *added], stored.metadata)
    options = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
    with reading(side.origin), pq.ParquetWriter(target, schema, **options) as writer:
        for part in folder.parts:
            values = [pa.scalar(value, pa.string()) for value in folder.values(part)]
            for batch in _batches(side, folder, part, stored.names):
                arrays = [_as(batch.column(n), one.type) for n, one in enumerate(stored)]
                arrays += [pa.repeat(value, batch.num_rows) for value in values]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    source = open_parquet(replace(side, type="stepbridge.File"), target)
    return replace(source, notes=(*source.notes, *notes))


def _as(array: Any, kind: Any) -> Any:
    return array if array.type == kind else array.cast(kind)


def _batches(side: Side, folder: Folder, part: str, names: list[str]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with (
        reading(f"{side.origin.rstrip('/')}/{part}"),
        pq.ParquetFile(folder.path / part, pre_buffer=False) as file,
    ):
        for batch in file.iter_batches(BATCH):
            yield batch.select(names)


def _schema(side: Side, folder: Folder) -> tuple[Any, tuple[tuple[str, str], ...]]:
    """The schema that all parts have, and what of it they do not agree on and that is no difference of cells.

    A column of which a part has no values may have no type there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = folder.parts[0]
    fields: dict[str, Any] = {}
    order: list[str] = []
    frames: list[Any] = []
    moved = False
    for part in folder.parts:
        place = f"{side.origin.rstrip('/')}/{part}"
        with reading(place):
            schema = pq.read_schema(folder.path / part)
        order = order or list(schema.names)
        if len(set(schema.names)) != len(schema) or set(schema.names) != set(order):
            other = sorted(set(schema.names) ^ set(order)) or sorted(schema.names)
            raise _unlike(place, f"its columns are not those of {first}: {', '.join(map(repr, other[:5]))}")
        if twice := set(schema.names) & set(folder.columns):
            raise _unlike(place, f"column {min(twice)!r} is in the file and in the names of its folders")
        moved = moved or list(schema.names) != order
        for one in schema:
            known = fields.setdefault(one.name, one)
            if pa.types.is_null(known.type):
                fields[one.name] = one
            elif not pa.types.is_null(one.type) and one.type != known.type:
                said = f"column {one.name!r} is {one.type}, and {known.type} in the parts before it"
                raise _unlike(place, said)
        frames.append(json.loads((schema.metadata or {}).get(b"pandas", b"null")))
    frame, agreed = _frame(frames)
    notes = [("columns of the parts", "in more than one order, read in the first part's")] if moved else []
    if not agreed:
        notes.append(("pandas' types of the parts", "not the same in all of them, and not compared"))
    metadata = {b"pandas": json.dumps(frame).encode()} if frame else None
    plain = [fields[name].with_nullable(True).remove_metadata() for name in order]
    return pa.schema(plain, metadata), tuple(notes)


def _frame(frames: list[Any]) -> tuple[dict[str, Any] | None, bool]:
    """What pandas says of all parts alike, without indexes that count rows; and whether they are alike."""
    found: list[dict[str, Any] | None] = []
    for frame in frames:
        if frame is None:
            found.append(None)
            continue
        index = [one for one in frame.get("index_columns", []) if isinstance(one, str)]
        columns = [
            {key: one.get(key) for key in ("name", "field_name", "pandas_type", "numpy_type", "metadata")}
            for one in frame.get("columns", [])
            if one.get("pandas_type") != "empty"
        ]
        found.append({"index_columns": index, "columns": columns, "column_indexes": []})
    same = all(one == found[0] for one in found)
    return (found[0] if same else None), same


def _unlike(place: str, why: str) -> IntegrityProblem:
    return IntegrityProblem(
        "SB304",
        f"cannot be read as a part of one table: {why}",
        place=place,
        hint="compare the folders file by file: comparator='directory'",
    )
