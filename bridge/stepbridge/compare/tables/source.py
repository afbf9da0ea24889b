"""One side of a comparison of tables as a Parquet file: its columns, its index, its rows in batches."""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stepbridge.codecs.names import FRAME, POLARS, SERIES, TABLE
from stepbridge.compare.base import Side
from stepbridge.compare.tables.wire import type_name
from stepbridge.failures import IntegrityProblem

BATCH = 1 << 17
"""Rows in a batch."""
_FEW = 2
"""Bytes for each row that a column of few values takes at most."""


@dataclass(frozen=True)
class Field:
    """One column of a source.

    :param at: its place in the file.
    :param kind: its Arrow type.
    :param text: its type as people read it.
    :param family: what counts of its type beyond Arrow's: nullable, object, categories; None where the side
        does not say.
    :param index: it is a level of a frame's index.
    :param slow: DuckDB would not read it exactly from this file.
    """

    name: str
    at: int
    kind: Any
    text: str
    family: str | None = None
    index: bool = False
    slow: bool = False


@dataclass(frozen=True)
class Source:
    """One side.

    :param fields: columns, then index levels.
    :param range: start, step and name of an index that is a range; None where there is none.
    :param about: what else counts, by name: ``attrs``, ``column labels``.
    :param notes: how it was read, for the report.
    """

    origin: str
    path: Path
    rows: int
    fields: tuple[Field, ...]
    range: tuple[int, int, str] | None = None
    about: dict[str, str] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[Field, ...]:
        """Without the index."""
        return tuple(one for one in self.fields if not one.index)

    @property
    def levels(self) -> tuple[Field, ...]:
        """The index levels that are columns of the file."""
        return tuple(one for one in self.fields if one.index)

    def batches(self, places: Sequence[int], size: int = BATCH) -> Iterator[list[Any]]:
        """See :meth:`Opened.batches`."""
        with self.opened() as file:
            yield from file.batches(places, size)

    @contextmanager
    def opened(self, coded: Sequence[str] = ()) -> Iterator[Opened]:
        """The file, open.

        :param coded: columns, as the file calls them, to be given as dictionary arrays.
        :raises IntegrityProblem: SB304 where the file is damaged.
        """
        import pyarrow.parquet as pq

        with reading(self.origin):
            file = pq.ParquetFile(self.path, memory_map=True, pre_buffer=False, read_dictionary=list(coded))
        with file:
            yield Opened(file, self.origin)

    def few(self) -> dict[int, str]:
        """Columns of text in which few values occur often: what the file calls them, by their place.

        The file says so by what a column takes: numbers of values, and each value once.
        """
        import pyarrow.types as t

        with self.opened() as opened:
            file = opened.file
            schema, leaves = file.schema_arrow, _leaves(file.schema_arrow)
            groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
            most = _FEW * file.metadata.num_rows
        found = {}
        for place, column in enumerate(schema):
            text = t.is_string(column.type) or t.is_large_string(column.type)
            if text and schema.names.count(column.name) == 1:
                parts = [group.column(leaves[place].start) for group in groups]
                coded = all(part.has_dictionary_page for part in parts)
                if coded and sum(part.total_uncompressed_size for part in parts) < most:
                    found[place] = column.name
        return found


class Opened:
    """An open file of a source; columns may be read again and again, by one thread at a time.

    :param file: a ``pyarrow.parquet.ParquetFile``.
    """

    def __init__(self, file: Any, origin: str) -> None:
        self.file, self._origin = file, origin
        self._leaves = _leaves(file.schema_arrow)

    def batches(self, places: Sequence[int], size: int = BATCH) -> Iterator[list[Any]]:
        """The columns at *places*, some rows at a time; a list of arrays in their order.

        :raises IntegrityProblem: SB304 where the file is damaged.
        """
        wanted = sorted(set(places))
        indices = [leaf for place in wanted for leaf in self._leaves[place]]
        order = [wanted.index(place) for place in places]
        groups = list(range(self.file.metadata.num_row_groups))
        with reading(self._origin):
            for batch in self.file.reader.iter_batches(size, groups, indices, use_threads=True):
                yield [batch.column(n) for n in order]


@contextmanager
def reading(origin: str) -> Iterator[None]:
    """Turn what Arrow and the disk say of a bad file into SB304 with its place."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise IntegrityProblem(
            "SB304",
            f"cannot be read as a table: {error}",
            place=origin,
            hint="see that the file is whole and of the kind its suffix says, or name another comparator",
        ) from error


def _leaves(schema: Any) -> list[range]:
    """For each column of the schema, the leaf columns of the Parquet file that hold it."""
    found, start = [], 0
    for one in schema:
        count = _leaf_count(one.type)
        found.append(range(start, start + count))
        start += count
    return found


def _leaf_count(kind: Any) -> int:
    import pyarrow as pa
    import pyarrow.types as t

    if isinstance(kind, pa.BaseExtensionType):
        return _leaf_count(kind.storage_type)
    if t.is_dictionary(kind):
        return _leaf_count(kind.value_type)
    if not t.is_nested(kind):
        return 1
    return sum(_leaf_count(kind.field(n).type) for n in range(kind.num_fields))


def open_parquet(side: Side, path: Path, names: Sequence[str] = ()) -> Source:
    """The Parquet file at *path* as a source.

    :param names: the names of the columns, where the file has made-up ones.
    :raises IntegrityProblem: SB304 where it is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(side.origin), pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        schema = file.schema_arrow
        kept = (file.metadata.metadata or {}).get(b"ARROW:schema")
        written = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept))) if kept else schema
        slow = _int96(file)
    if not len(written) and (bare := _bare(schema.metadata or {})):
        rows = len(range(*bare))
    if len(written) != len(schema):
        written = schema
    metadata = written.metadata or schema.metadata or {}
    pandas = json.loads(metadata.get(b"pandas", b"{}")) if side.type in {FRAME, SERIES, _FILE} else {}
    ours = json.loads(metadata.get(b"stepbridge", b"{}"))
    if not pandas:
        fields = tuple(_plain_field(side.type, n, one, names) for n, one in enumerate(written))
    else:
        fields = tuple(_pandas_field(n, one, pandas, ours) for n, one in enumerate(written))
    if slow:
        fields = tuple(replace(one, slow=one.at in slow) for one in fields)
    return Source(side.origin, path, rows, fields, _range(pandas, ours), _about(side.type, pandas, ours))


_FILE = "stepbridge.File"


def _bare(metadata: dict[bytes, bytes]) -> tuple[int, int, int] | None:
    """Start, stop and step of the index of a frame that has no columns: its rows are nowhere else."""
    document = json.loads(metadata.get(b"stepbridge", b"{}")).get("bare")
    return tuple(document[:3]) if document else None


def _int96(file: Any) -> frozenset[int]:
    """Places of columns that hold times of the old Parquet kind, which DuckDB would cut."""
    leaves = _leaves(file.schema_arrow)
    kinds = [file.schema.column(n).physical_type for n in range(len(file.schema.names))]
    return frozenset(n for n, own in enumerate(leaves) if any(kinds[leaf] == "INT96" for leaf in own))


ARROW = "arrow: "
"""Begins the families of tables that are not pandas'."""


def _plain_field(kind: str, at: int, one: Any, names: Sequence[str]) -> Field:
    import pyarrow.types as t

    coded = "dictionary" if t.is_dictionary(one.type) else ""
    family = f"{ARROW}{coded}" if kind in {TABLE, POLARS} else None
    return Field(names[at] if names else one.name, at, one.type, type_name(one.type), family)


def _pandas_field(at: int, one: Any, pandas: dict[str, Any], ours: dict[str, Any]) -> Field:
    document: dict[str, Any] = next(
        (c for c in pandas.get("columns", []) if c.get("field_name") == one.name), {}
    )
    dtype = str(document.get("numpy_type", ""))
    spec = ours.get("objects", {}).get(str(at))
    category = ours.get("categories", {}).get(str(at))
    index = one.name in [c for c in pandas.get("index_columns", []) if isinstance(c, str)]
    name = one.name
    if index:
        name = "index" if document.get("name") is None else str(document["name"])
    family = _family(dtype, spec, category, one.type)
    text = type_name(one.type)
    if family:
        text = f"{text} ({family.partition('#')[0].strip()})"
    return Field(name, at, one.type, text, family, index)


def _family(dtype: str, spec: Any, category: Any, kind: Any) -> str | None:
    """What pandas keeps of a column that its Arrow type does not say."""
    import pyarrow.types as t

    if category is not None:
        digest = hashlib.sha256(json.dumps(category, sort_keys=True).encode()).hexdigest()
        return f"category{' ordered' if category['ordered'] else ''} #{digest}"
    if t.is_dictionary(kind):
        return f"category{' ordered' if kind.ordered else ''}"
    if spec is not None:
        old_default = spec["kind"] == "str" and spec["pandas"] < 3
        return "str" if old_default else f"object {spec['kind']} {' '.join(spec['missing'])}".strip()
    if dtype == "object" and not (t.is_string(kind) or t.is_large_string(kind)):
        return None
    if dtype in {"str", "object"} and (t.is_string(kind) or t.is_large_string(kind)):
        return "str"
    if dtype.endswith("[pyarrow]"):
        return "arrow"
    if dtype.startswith("string"):
        return "nullable string"
    return "nullable" if dtype[:1].isupper() or dtype == "boolean" else ""


def _range(pandas: dict[str, Any], ours: dict[str, Any]) -> tuple[int, int, str] | None:
    if "bare" in ours:
        start, _, step, name = ours["bare"]
        return start, step, "" if name is None else str(name)
    for level in pandas.get("index_columns", []):
        if isinstance(level, dict) and level.get("kind") == "range":
            name = level.get("name")
            return int(level["start"]), int(level["step"]), "" if name is None else str(name)
    return None


def _about(kind: str, pandas: dict[str, Any], ours: dict[str, Any]) -> dict[str, str]:
    about = {}
    if pandas.get("columns") and pandas.get("column_indexes"):
        labels = [f"{c.get('pandas_type')} {c.get('name') or ''}" for c in pandas.get("column_indexes", [])]
        about["column labels"] = ", ".join(label.strip() for label in labels)
    if kind in {FRAME, SERIES}:
        about["attrs"] = json.dumps(ours.get("attrs", {}), sort_keys=True)
    if kind == SERIES:
        about["series"] = str(ours.get("series", ""))
    return about
