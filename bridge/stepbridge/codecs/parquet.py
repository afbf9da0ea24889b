"""Writing and reading the one Parquet file of a table, digest, encoding and checksum side by side."""

from __future__ import annotations

import base64
import hashlib
import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbridge import hashing
from stepbridge.codecs import canonical
from stepbridge.failures import TypeProblem

_ROW_GROUP = 1 << 20
_SAMPLE = 1 << 14
_PAYS = 0.85
_DELTA_PAYS = 0.6


@dataclass(frozen=True)
class Column:
    """One column as the digest sees it.

    :param name: its label, of whatever hashable plain type.
    :param family: what the Arrow type does not say: nullable, object, the categories' digest.
    :param data: a ``pyarrow.ChunkedArray``, or text that stands for the data (a range).
    """

    name: object
    family: str
    data: Any


@dataclass(frozen=True)
class Packed:
    """A table ready to be written.

    :param facts: what else counts: labels of the axes, attributes.
    :param dtypes: column and type as people see them, for the summary.
    """

    table: Any
    columns: Sequence[Column]
    facts: object
    dtypes: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Written:
    """What a write gave."""

    content: str
    sha256: str
    size: int


def content_digest(packed: Packed, *, place: str) -> str:
    """The canonical digest of the table."""
    parts = []
    for column in packed.columns:
        try:
            data = column.data if isinstance(column.data, str) else canonical.column_digest(column.data)
        except canonical.Unhashable as error:
            raise TypeProblem(
                "SB108",
                f"column {column.name!r} is of the Arrow type {error}, which a table file does not keep",
                place=place,
                hint="convert the column",
            ) from error
        parts.append((column.name, column.family, data))
    return hashing.digest(("stepbridge.table/1", packed.table.num_rows, parts, packed.facts), place=place)


class _Trail:
    """Digests a growing file up to each mark, beside the one who writes it."""

    def __init__(self, path: Path) -> None:
        self._marks: queue.Queue[int | None] = queue.Queue()
        self._path = path
        self._digest = hashlib.sha256()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def mark(self, position: int) -> None:
        """All bytes below *position* are final."""
        self._marks.put(position)

    def __enter__(self) -> _Trail:
        return self

    def __exit__(self, *_: object) -> None:
        self._marks.put(None)
        self._thread.join()

    def digest(self) -> str:
        """The digest of all marked bytes, once the trail is left."""
        return self._digest.hexdigest()

    def _run(self) -> None:
        buffer = memoryview(bytearray(hashing.CHUNK))
        done = 0
        with open(self._path, "rb", buffering=0) as source:
            while (mark := self._marks.get()) is not None:
                while done < mark:
                    count = source.readinto(buffer[: min(len(buffer), mark - done)])
                    if not count:
                        break
                    self._digest.update(buffer[:count])
                    done += count


def write(packed: Packed, path: Path, *, place: str) -> Written:
    """Write the table to *path*; its canonical digest is worked out meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        content = pool.submit(content_digest, packed, place=place)
        sha256 = _written(packed.table, path, place)
    return Written(content.result(), sha256, path.stat().st_size)


def _written(table: Any, path: Path, place: str) -> str:
    import pyarrow as pa

    try:
        return _write(table, path)
    except pa.ArrowException as error:
        raise TypeProblem(
            "SB108",
            f"the table has no Parquet form: {error}",
            place=place,
            hint="convert the column to plain or nested values",
        ) from error


def _write(table: Any, path: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    layout = _choose(table)
    with pa.OSFile(str(path), "wb") as sink, _Trail(path) as trail:
        with pq.ParquetWriter(
            sink,
            table.schema,
            compression=layout.compression or "none",
            use_dictionary=layout.dictionary,
            column_encoding=layout.encoding or None,
            write_statistics=False,
            store_schema=True,
        ) as writer:
            for start in range(0, max(table.num_rows, 1), _ROW_GROUP):
                writer.write_table(table.slice(start, _ROW_GROUP), row_group_size=_ROW_GROUP)
                trail.mark(sink.tell())
        trail.mark(sink.tell())
    return trail.digest()


@dataclass(frozen=True)
class _Layout:
    """How each column is written; what is in none of the three is plain and not compressed."""

    dictionary: list[str]
    compression: dict[str, str]
    encoding: dict[str, str]


def _choose(table: Any) -> _Layout:
    """What makes each column smaller, by a sample: a dictionary, differences, lz4, or nothing."""
    import pyarrow.types as t

    layout = _Layout([], {}, {})
    for field, data in zip(table.schema, table.columns, strict=True):
        sample = _sample(data)
        if t.is_dictionary(field.type) or _repeats(sample, field.type):
            layout.dictionary.append(field.name)
        elif _steps(sample, field.type):
            layout.encoding[field.name] = "DELTA_BINARY_PACKED"
            continue
        layout.compression[field.name] = "lz4" if _opaque(field.type) or _shrinks(sample) else "none"
    return layout


def _opaque(kind: Any) -> bool:
    import pyarrow.types as t

    return bool(t.is_nested(kind) or t.is_null(kind) or t.is_dictionary(kind))


def _steps(sample: Any, kind: Any) -> bool:
    """Whether the differences of neighbours need far fewer bits than the integers themselves."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.types as t

    if not (t.is_int32(kind) or t.is_int64(kind) or t.is_timestamp(kind) or t.is_duration(kind)):
        return False
    if len(sample) < 2 or sample.null_count:
        return False
    ints = sample.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).to_numpy()
    steps = np.diff(ints.astype("float64"))
    return bool(np.log2(steps.max() - steps.min() + 1) <= _DELTA_PAYS * kind.bit_width)


def _sample(data: Any) -> Any:
    middle = max(0, len(data) // 2 - _SAMPLE // 2)
    return data.slice(middle, _SAMPLE)


def _repeats(sample: Any, kind: Any) -> bool:
    import pyarrow.types as t

    texts = t.is_string(kind) or t.is_large_string(kind) or t.is_binary(kind) or t.is_large_binary(kind)
    return bool(texts and len(sample) and len(sample.unique()) < len(sample) * 0.1)


def _shrinks(sample: Any) -> bool:
    import pyarrow as pa

    whole = sample.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return False
    copied = pa.concat_arrays([whole.slice(0, len(whole))])
    buffers = [buffer for buffer in copied.buffers() if buffer is not None and buffer.size]
    before = sum(buffer.size for buffer in buffers)
    codec = pa.Codec("lz4_raw" if pa.Codec.is_available("lz4_raw") else "lz4")
    after = sum(codec.compress(buffer.to_pybytes()[: 1 << 18]).size for buffer in buffers)
    return bool(before and after < _PAYS * sum(min(buffer.size, 1 << 18) for buffer in buffers))


def read(path: Path) -> Any:
    """The table at *path*, in the very Arrow types that were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, memory_map=True) as file:
        table = file.read(use_threads=(os.cpu_count() or 1) > 1)
        kept = (file.metadata.metadata or {}).get(b"ARROW:schema")
    written = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept))) if kept else table.schema
    for at, field in enumerate(written):
        if table.schema.field(at).type != field.type:
            table = table.set_column(at, field, _cast(table.column(at), field.type))
    return table


def _cast(data: Any, kind: Any) -> Any:
    import pyarrow as pa
    import pyarrow.types as t

    if not t.is_dictionary(kind):
        return data.cast(kind)
    try:
        return data.cast(kind)
    except pa.ArrowNotImplementedError:
        plain = data.cast(kind.value_type) if data.type != kind.value_type else data
        encoded = plain.dictionary_encode()
        chunks = [
            pa.DictionaryArray.from_arrays(
                chunk.indices.cast(kind.index_type), chunk.dictionary, ordered=kind.ordered
            )
            for chunk in encoded.chunks
        ]
        return pa.chunked_array(chunks, kind)
