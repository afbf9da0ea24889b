"""pandas frames and series to Arrow and back without loss, or a refusal that names the column."""

from __future__ import annotations

import base64
import contextlib
import datetime
import importlib
import io
import json
import types
from collections import Counter
from pathlib import Path
from typing import Any

from stepbridge.codecs import canonical, object_columns, parquet
from stepbridge.codecs.names import SERIES, readable
from stepbridge.codecs.parquet import Column, Packed
from stepbridge.failures import StoreProblem, TypeProblem

META = b"stepbridge"
_UNNAMED = "values"


def refusal(what: str, *, place: str, hint: str) -> TypeProblem:
    """SB108."""
    return TypeProblem("SB108", what, place=place, hint=hint)


def _modern() -> bool:
    import pandas as pd

    return int(pd.__version__.partition(".")[0]) >= 3


def pack_series(series: Any, *, place: str) -> Packed:
    """A series as a table of one column."""
    import pandas as pd

    if type(series) is not pd.Series:
        raise _subclass(series, "pandas.Series", place)
    frame = series.to_frame(name=_UNNAMED if series.name is None else series.name)
    frame.attrs = series.attrs
    return _pack(frame, {"series": "unnamed" if series.name is None else "named"}, place)


def pack_frame(frame: Any, *, place: str) -> Packed:
    """A frame as a table, its canonical columns and what it takes to make it again."""
    import pandas as pd

    if type(frame) is not pd.DataFrame:
        raise _subclass(frame, "pandas.DataFrame", place)
    return _pack(frame, {}, place)


def _subclass(value: object, base: str, place: str) -> TypeProblem:
    return TypeProblem(
        "SB103",
        f"a {readable(type(value))} holds more than a {base}",
        place=place,
        hint=f"return {base}(value), and what else counts beside it",
    )


def _pack(frame: Any, meta: dict[str, Any], place: str) -> Packed:
    _check_labels(frame, place)
    meta = {
        **meta,
        "attrs": _attrs(frame, place),
        "freq": getattr(frame.index, "freqstr", None),
        "labels": _labels_document(frame.columns),
        "fixed": [at for at, dtype in enumerate(frame.dtypes) if _fixed_zone(dtype)],
    }
    objects = object_columns.survey(frame, place)
    table = _to_arrow(frame, objects, place)
    meta["objects"] = {str(at): spec.document() for at, spec in objects.items()}
    meta["categories"] = {
        str(at): _categories_document(dtype)
        for at, dtype in enumerate(_dtypes(frame, table))
        if _is_categorical(dtype)
    }
    if not table.num_columns:
        meta["bare"] = [frame.index.start, frame.index.stop, frame.index.step, frame.index.name]
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), META: json.dumps(meta, sort_keys=True).encode()}
    )
    _check_fidelity(frame, table, place)
    return Packed(table, _columns(frame, table, objects), _facts(frame, meta), _summary(frame))


def _summary(frame: Any) -> list[tuple[str, str]]:
    return [(str(name), str(dtype)) for name, dtype in zip(frame.columns, frame.dtypes, strict=True)]


def _check_labels(frame: Any, place: str) -> None:
    if not frame.columns.is_unique:
        double = [name for name, count in Counter(frame.columns).items() if count > 1]
        raise refusal(
            f"the column names {double} occur more than once",
            place=place,
            hint="rename the columns so that each name occurs once",
        )
    texts = Counter(str(name) for name in frame.columns)
    double_texts = [text for text, count in texts.items() if count > 1]
    if double_texts:
        raise refusal(
            f"several columns have the name {double_texts[0]!r} once they are text",
            place=place,
            hint="rename the columns so that their names differ as text",
        )


def _attrs(frame: Any, place: str) -> Any:
    try:
        text = json.dumps(dict(frame.attrs), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise refusal(
            f"the frame's attrs are not JSON: {error}", place=place, hint="clear df.attrs, or keep JSON in it"
        ) from error
    if json.loads(text) != frame.attrs:
        raise refusal(
            "the frame's attrs are not JSON", place=place, hint="clear df.attrs, or keep JSON in it"
        )
    return dict(frame.attrs)


def _labels_document(labels: Any) -> dict[str, Any]:
    """What pyarrow does not keep of the column labels: that they are a range, and their dtype."""
    if type(labels).__name__ == "RangeIndex":
        return {"range": [labels.start, labels.stop, labels.step]}
    plain_text = labels.nlevels == 1 and not _modern() and {str}.issuperset(map(type, labels))
    return {} if labels.nlevels > 1 or (plain_text and len(labels)) else {"dtype": str(labels.dtype)}


def _fixed_zone(dtype: Any) -> bool:
    """Whether it is a ``datetime.timezone``, which pandas 2 would make another library's."""
    zone = getattr(dtype, "tz", None)
    return type(zone) is datetime.timezone and zone is not datetime.UTC


def _relabel(frame: Any, document: dict[str, Any]) -> None:
    import pandas as pd

    labels = frame.columns
    if "range" in document:
        start, stop, step = document["range"]
        frame.columns = pd.RangeIndex(start, stop, step, name=labels.name)
    elif document.get("dtype", str(labels.dtype)) != str(labels.dtype):
        with contextlib.suppress(TypeError, ValueError):
            frame.columns = labels.astype(document["dtype"])


def _to_arrow(frame: Any, objects: dict[int, object_columns.Spec], place: str) -> Any:
    import pyarrow as pa

    exact = {
        at: object_columns.exact_array(frame.iloc[:, at], spec, place)
        for at, spec in objects.items()
        if spec.exact and at < len(frame.columns)
    }
    bare = frame.copy(deep=False)
    bare.attrs = {}
    try:
        table = pa.Table.from_pandas(bare)
    except _arrow_errors(pa) as error:
        raise refusal(
            f"{_culprit(frame)} has no Parquet form: {error}",
            place=place,
            hint="convert it to numbers, strings, times, or nested lists of one type",
        ) from error
    for at in range(len(frame.columns)):
        column = frame.iloc[:, at]
        if at in exact:
            table = _replace(table, at, exact[at])
        elif _numpy_float(column.dtype) and table.column(at).null_count:
            table = _replace(table, at, pa.array(column.to_numpy(), from_pandas=False))
    return table


def _arrow_errors(pa: Any) -> tuple[type[BaseException], ...]:
    return pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError


def _numpy_float(dtype: Any) -> bool:
    return dtype.kind == "f" and not hasattr(dtype, "na_value")


def _culprit(frame: Any) -> str:
    """The first column that pyarrow does not take."""
    import pyarrow as pa

    for at, name in enumerate(frame.columns):
        try:
            pa.Array.from_pandas(frame.iloc[:, at])
        except _arrow_errors(pa):
            return f"column {name!r} of dtype {frame.dtypes.iloc[at]}"
    return "the index"


def _replace(table: Any, at: int, array: Any) -> Any:
    import pyarrow as pa

    return table.set_column(at, pa.field(table.schema.field(at).name, array.type), array)


def _levels(frame: Any, table: Any) -> list[Any]:
    """The index levels that are columns of the table, in order."""
    index = frame.index
    count = table.num_columns - len(frame.columns)
    if not count:
        return []
    return [index.get_level_values(n) for n in range(index.nlevels)][-count:]


def _dtypes(frame: Any, table: Any) -> list[Any]:
    return [*frame.dtypes, *(level.dtype for level in _levels(frame, table))]


def _is_categorical(dtype: Any) -> bool:
    return type(dtype).__name__ == "CategoricalDtype"


def _categories_document(dtype: Any) -> dict[str, Any]:
    import pyarrow as pa

    array = pa.Array.from_pandas(dtype.categories)
    sink = io.BytesIO()
    batch = pa.RecordBatch.from_arrays([array], names=["categories"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return {
        "ordered": bool(dtype.ordered),
        "dtype": str(dtype.categories.dtype),
        "ipc": base64.b64encode(sink.getvalue()).decode(),
    }


def _categories(document: dict[str, Any]) -> Any:
    import pandas as pd
    import pyarrow as pa

    with pa.ipc.open_stream(base64.b64decode(document["ipc"])) as reader:
        series = reader.read_all().column(0).to_pandas()
    index = pd.Index(series.array)
    if document["dtype"] == "object" and _modern():
        index = pd.Index(series.to_numpy(object), dtype=object)
    return pd.CategoricalDtype(index, ordered=document["ordered"])


def _columns(frame: Any, table: Any, objects: dict[int, object_columns.Spec]) -> list[Column]:
    made = []
    for at, dtype in enumerate(frame.dtypes):
        made.append(_column(frame.columns[at], dtype, table.column(at), objects.get(at)))
    levels = _levels(frame, table)
    if not levels:
        made.append(Column(("index", _label(frame.index.name)), "int64", _range_text(frame.index)))
        if _range_text(frame.index) == "":
            made.pop()
            made.append(_range_column(frame.index))
        return made
    for n, level in enumerate(levels):
        at = len(frame.columns) + n
        label = ("index", _label(level.name))
        if frame.index.nlevels == 1 and _is_default(level):
            made.append(Column(label, "int64", f"0..{len(level)}"))
        else:
            column = _column(level.name, level.dtype, table.column(at), objects.get(at))
            made.append(Column(label, column.family, column.data))
    return made


def _range_text(index: Any) -> str:
    default = getattr(index, "start", None) == 0 and getattr(index, "step", None) == 1
    return f"0..{len(index)}" if default else ""


def _range_column(index: Any) -> Column:
    import pyarrow as pa

    return Column(("index", _label(index.name)), "int64", pa.chunked_array([pa.array(index.to_numpy())]))


def _is_default(level: Any) -> bool:
    import numpy as np

    if str(level.dtype) != "int64":
        return False
    values = level.to_numpy()
    return not len(values) or (values[0] == 0 and bool(np.array_equal(values, np.arange(len(values)))))


def _label(name: Any) -> Any:
    if isinstance(name, tuple):
        return tuple(_label(part) for part in name)
    return name.item() if type(name).__module__ == "numpy" else name


def _column(name: Any, dtype: Any, data: Any, spec: object_columns.Spec | None) -> Column:
    import pyarrow as pa

    label = _label(name)
    if _is_categorical(dtype):
        categories = pa.chunked_array([pa.Array.from_pandas(dtype.categories)])
        digest = canonical.column_digest(categories).hex()
        codes = pa.chunked_array([chunk.indices.cast(pa.int32()) for chunk in data.chunks], pa.int32())
        return Column(label, f"category {'ordered ' if dtype.ordered else ''}{digest}", codes)
    if spec is not None and spec.kind == "empty" and not (spec.missing or _modern()):
        return Column(label, object_columns.default_string(""), data.cast(pa.large_string()))
    if spec is not None:
        return Column(label, spec.family(_modern()), data)
    return Column(label, _family(dtype, data), data)


def _family(dtype: Any, data: Any) -> str:
    name = type(dtype).__name__
    if name == "StringDtype":
        if str(dtype) == "str":
            return object_columns.default_string("nan" if data.null_count else "")
        return "string nullable"
    if name == "ArrowDtype":
        return "arrow"
    if hasattr(dtype, "numpy_dtype") and hasattr(dtype, "na_value"):
        return "nullable"
    return ""


def _facts(frame: Any, meta: dict[str, Any]) -> object:
    return {
        "columns": [_label(name) for name in frame.columns.names],
        "levels": frame.index.nlevels,
        "attrs": meta["attrs"],
        "series": meta.get("series", ""),
    }


def _check_fidelity(frame: Any, table: Any, place: str) -> None:
    """Refuse what would come back with another dtype or other labels, told on no rows at all."""
    import pyarrow as pa

    try:
        back = _to_pandas(table.slice(0, 0))
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError, KeyError, SyntaxError) as error:
        raise refusal(
            f"the table cannot be made again: {error}",
            place=place,
            hint="use plain column names and numpy or nullable dtypes",
        ) from error
    if not _same_labels(frame.columns, back.columns):
        raise refusal(
            f"the column labels {_shorten(frame.columns)} would come back as {_shorten(back.columns)}",
            place=place,
            hint="make the labels strings: df.columns = ['_'.join(map(str, c)) for c in df.columns]",
        )
    for name, before, after in zip(frame.columns, frame.dtypes, back.dtypes, strict=True):
        if not _same_dtype(before, after):
            raise refusal(
                f"column {name!r} of dtype {before} would come back as {after}",
                place=place,
                hint=f"convert it first, for example df[{name!r}].astype({str(after)!r})",
            )
    if _levels(frame, table):
        _check_index(frame.index, back.index, place)
    elif not isinstance(frame.index.name, str | int | types.NoneType):
        raise _odd_index_names(frame.index, back.index, place)


def _odd_index_names(before: Any, after: Any, place: str) -> TypeProblem:
    return refusal(
        f"the index names {list(before.names)} would come back as {list(after.names)}",
        place=place,
        hint="give the index string names, or call df.reset_index()",
    )


def _check_index(before: Any, after: Any, place: str) -> None:
    if list(before.names) != list(after.names):
        raise _odd_index_names(before, after, place)
    for n in range(before.nlevels):
        have, get = before.get_level_values(n).dtype, after.get_level_values(n).dtype
        if not _same_dtype(have, get):
            raise refusal(
                f"index level {n} of dtype {have} would come back as {get}",
                place=place,
                hint="call df.reset_index(), or convert the index",
            )


def _shorten(labels: Any) -> str:
    shown = repr(list(labels[:4]))
    return shown if len(labels) <= 4 else shown[:-1] + ", ...]"


def _same_labels(before: Any, after: Any) -> bool:
    if list(before.names) != list(after.names) or before.nlevels != after.nlevels:
        return False
    if [type(name) for name in before.to_list()] != [type(name) for name in after.to_list()]:
        return False
    return (
        bool(before.equals(after)) and type(before) is type(after) and _same_dtype(before.dtype, after.dtype)
    )


def _same_dtype(before: Any, after: Any) -> bool:
    if _is_categorical(before) and _is_categorical(after):
        same = before.ordered == after.ordered and before.categories.equals(after.categories)
        return bool(same) and str(before.categories.dtype) == str(after.categories.dtype)
    return str(before) == str(after)


def _to_pandas(table: Any) -> Any:
    import pandas as pd

    with contextlib.suppress(ImportError):
        importlib.import_module("pandas.core.arrays.arrow.extension_types")  # registers Period and Interval
    meta = json.loads((table.schema.metadata or {}).get(META, b"{}"))
    objects = {int(at): spec for at, spec in meta.get("objects", {}).items()}
    kept = {
        at: table.column(at) for at in objects if object_columns.needs_source(objects[at], modern=_modern())
    }
    nulls = [at for at in range(table.num_columns) if table.column(at).null_count]
    texts = {at for at in nulls if str(table.schema.field(at).type) in {"string", "large_string"}}
    split = all(column.num_chunks > 1 for column in table.columns)
    frame: Any = table.to_pandas(split_blocks=split, self_destruct=not kept, ignore_metadata=False)
    width = len(frame.columns)
    for at, document in objects.items():
        _restore(frame, at, width, object_columns.restored, document, kept.get(at))
    for at, document in meta.get("categories", {}).items():
        _recategorise(frame, int(at), width, _categories(document))
    if not _modern():
        for at in texts - set(objects):
            if at < width and str(frame.dtypes.iloc[at]) == "object":
                frame.isetitem(at, frame.iloc[:, at].where(frame.iloc[:, at].notna(), float("nan")))
    if meta.get("freq") and isinstance(frame.index, pd.DatetimeIndex | pd.TimedeltaIndex):
        frame.index = type(frame.index)(frame.index, freq=meta["freq"])
    for at in meta.get("fixed", []):
        moments = frame.iloc[:, at]
        offset = moments.dtype.tz.utcoffset(None)
        frame.isetitem(at, moments.dt.tz_convert(datetime.timezone(offset)))
    if "bare" in meta:
        start, stop, step, name = meta["bare"]
        frame.index = pd.RangeIndex(start, stop, step, name=name)
    _relabel(frame, meta.get("labels", {}))
    frame.attrs = meta.get("attrs", {})
    return frame


def _restore(frame: Any, at: int, width: int, make: Any, document: dict[str, Any], source: Any) -> None:
    import pandas as pd

    if at < width:
        values = make(document, source, frame.iloc[:, at], modern=_modern())
        if values is not None:
            frame.isetitem(at, pd.Series(values, index=frame.index, dtype=object))
        return
    level = at - width
    values = make(document, source, frame.index.get_level_values(level), modern=_modern())
    if values is not None:
        _set_level(frame, level, pd.Index(values, dtype=object, name=frame.index.names[level]))


def _recategorise(frame: Any, at: int, width: int, dtype: Any) -> None:
    import pandas as pd

    if at < width:
        frame.isetitem(at, pd.Series(_categorical(frame.iloc[:, at], dtype), index=frame.index))
        return
    level = at - width
    values = _categorical(frame.index.get_level_values(level), dtype)
    _set_level(frame, level, pd.CategoricalIndex(values, name=frame.index.names[level]))


def _categorical(values: Any, dtype: Any) -> Any:
    import pandas as pd

    if _is_categorical(values.dtype):
        present = pd.Categorical(values)
        if present.categories.equals(dtype.categories):
            return pd.Categorical.from_codes(present.codes, dtype=dtype)
        return present.set_categories(dtype.categories, ordered=dtype.ordered)
    return pd.Categorical(values, dtype=dtype)


def _set_level(frame: Any, level: int, values: Any) -> None:
    import pandas as pd

    if frame.index.nlevels == 1:
        frame.index = values
        return
    levels: list[Any] = [frame.index.get_level_values(n) for n in range(frame.index.nlevels)]
    levels[level] = values
    frame.index = pd.MultiIndex.from_arrays(levels, names=frame.index.names)


def read_frame(path: Path, stored: str, *, place: str) -> Any:
    """The frame at *path*, whichever table type was stored."""
    frame = _to_pandas(parquet.read(path))
    if stored == SERIES and len(frame.columns) != 1:
        raise StoreProblem("SB309", "a series of more than one column", place=place)
    return frame


def read_series(path: Path, stored: str, *, place: str) -> Any:
    """The series at *path*."""
    if stored != SERIES:
        raise TypeProblem(
            "SB103", f"expected {SERIES}, found {stored}", place=place, hint="annotate it as the table it is"
        )
    import pyarrow.parquet as pq

    meta = json.loads((pq.read_schema(path).metadata or {}).get(META, b"{}"))
    frame = read_frame(path, stored, place=place)
    series = frame.iloc[:, 0]
    series.attrs = frame.attrs
    return series.rename(None) if meta.get("series") == "unnamed" else series
