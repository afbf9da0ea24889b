"""pandas columns of Python objects: what they hold, what stands for a missing value, how both come back."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stepbridge.failures import TypeProblem

_KINDS = {
    "builtins.str": "str",
    "builtins.bytes": "bytes",
    "builtins.bool": "bool",
    "builtins.int": "int",
    "builtins.float": "float",
    "builtins.list": "list",
    "builtins.dict": "dict",
    "numpy.ndarray": "array",
    "decimal.Decimal": "decimal",
    "datetime.date": "date",
    "datetime.time": "time",
    "datetime.datetime": "datetime",
    "datetime.timedelta": "timedelta",
}
_MISSING = {"NoneType": "none", "float": "nan", "NaTType": "nat", "NAType": "na"}
_EXACT = frozenset({"float", "list", "dict", "array", "datetime", "timedelta", "empty"})


@dataclass(frozen=True)
class Spec:
    """One object column.

    :param kind: what it holds; ``empty`` where nothing.
    :param missing: which objects stand for a missing value, ``nan`` and the like.
    :param masks: where there are several, the rows of all but the first, as bits.
    """

    kind: str
    missing: tuple[str, ...] = ()
    masks: dict[str, bytes] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether the Arrow array is made and checked here, not by pyarrow's reading of pandas."""
        return self.kind in _EXACT

    def document(self) -> dict[str, Any]:
        """As JSON, for the file's metadata."""
        import pandas as pd

        masks = {name: base64.b64encode(zlib.compress(bits)).decode() for name, bits in self.masks.items()}
        writer = int(pd.__version__.partition(".")[0])
        return {"kind": self.kind, "missing": list(self.missing), "masks": masks, "pandas": writer}

    def family(self, modern: bool) -> str:
        """What the digest says of the column beyond its Arrow type."""
        masks = [hashlib.sha256(bits).hexdigest() for bits in self.masks.values()]
        missing = " ".join([*self.missing, *masks])
        if self.kind == "str" and not modern:
            return default_string(missing)
        return f"object {self.kind} {missing}"


def default_string(missing: str) -> str:
    """The family of the strings that pandas makes by default: objects in pandas 2, ``str`` in pandas 3."""
    return f"str {missing}".strip()


def survey(frame: Any, place: str) -> dict[int, Spec]:
    """The object columns and object index levels of *frame*, by their place in the table.

    :raises TypeProblem: SB108 naming the column and the types seen in it.
    """
    found = {
        at: inspect(frame.iloc[:, at].to_numpy(), f"column {frame.columns[at]!r}", place)
        for at, dtype in enumerate(frame.dtypes)
        if str(dtype) == "object"
    }
    for level in range(frame.index.nlevels):
        values = frame.index.get_level_values(level)
        if str(values.dtype) == "object":
            at = len(frame.columns) + level
            found[at] = inspect(values.to_numpy(), f"index level {level}", place)
    return found


def inspect(values: Any, what: str, place: str) -> Spec:
    """What the objects *values* are."""
    import numpy as np
    import pandas as pd

    absent = pd.isna(values)
    gaps = values[absent] if absent.any() else values[:0]
    kinds = set(map(type, values[~absent] if len(gaps) else values))
    gap_kinds = sorted(set(map(type, gaps)), key=lambda kind: kind.__name__)
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds]
    known = [_KINDS.get(name, "") for name in names]
    unknown_gap = [kind.__name__ for kind in gap_kinds if kind.__name__ not in _MISSING]
    if unknown_gap or len(kinds) > 1 or not all(known):
        raise _mixed(what, sorted({*names, *unknown_gap}), place)
    kind = known[0] if known else "empty"
    missing = tuple(_MISSING[gap.__name__] for gap in gap_kinds)
    masks = {}
    for gap in gap_kinds[1:]:
        rows = np.fromiter((type(value) is gap for value in values), bool, len(values))
        masks[_MISSING[gap.__name__]] = np.packbits(rows, bitorder="little").tobytes()
    return Spec(kind, missing, masks)


def _mixed(what: str, names: list[str], place: str) -> TypeProblem:
    shown = ", ".join(name.removeprefix("builtins.") for name in names)
    hint = "convert it to one type, for example .astype(str), or split it into columns"
    if len(names) == 1:
        hint = "convert it to numbers, strings or times, or keep such objects out of the table"
        return TypeProblem("SB108", f"{what} holds objects of type {shown}", place=place, hint=hint)
    return TypeProblem("SB108", f"{what} holds objects of mixed types: {shown}", place=place, hint=hint)


def exact_array(values: Any, spec: Spec, place: str) -> Any:
    """The Arrow array of an object column whose members pyarrow might change, checked member by member."""
    import pandas as pd
    import pyarrow as pa

    what = f"column {values.name!r}"
    members = values.to_numpy()
    listed = [None if gap else member for member, gap in zip(members, _gaps(members, spec), strict=True)]
    if spec.kind == "array":
        return _arrays(listed, what, place)
    try:
        array = pa.array(listed, _TYPES[spec.kind](pa) if spec.kind in _TYPES else None, from_pandas=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise _nested(what, str(error), place) from error
    back = array.to_pylist()
    if not all(map(_same, listed, back)):
        raise _nested(what, "its members would come back changed", place)
    if spec.kind == "datetime" and any(isinstance(member, pd.Timestamp) for member in back):
        raise _nested(what, "its members would come back changed", place)
    return array


_TYPES: dict[str, Callable[[Any], Any]] = {
    "float": lambda pa: pa.float64(),
    "datetime": lambda pa: pa.timestamp("us"),
    "timedelta": lambda pa: pa.duration("us"),
    "empty": lambda pa: pa.null(),
}


def _gaps(members: Any, spec: Spec) -> Iterator[bool]:
    import pandas as pd

    if spec.kind == "float":
        return iter(member is None for member in members)
    return iter(pd.isna(members).tolist())


def _arrays(listed: list[Any], what: str, place: str) -> Any:
    import pyarrow as pa

    kinds = {(member.dtype.str, member.ndim) for member in listed if member is not None}
    if len(kinds) != 1 or next(iter(kinds))[1] != 1 or next(iter(kinds))[0][1] not in "iufb":
        raise _nested(what, f"its arrays are of the kinds {sorted(kinds)}", place)
    dtype = next(member.dtype for member in listed if member is not None)
    return pa.array(listed, pa.list_(pa.from_numpy_dtype(dtype)), from_pandas=False)


def _nested(what: str, why: str, place: str) -> TypeProblem:
    return TypeProblem(
        "SB108",
        f"{what} of nested or mixed objects cannot be stored: {why}",
        place=place,
        hint="give all members one shape and type, or keep it out of the table",
    )


def _same(before: Any, after: Any) -> bool:
    if type(before) is not type(after):
        return False
    if isinstance(before, list):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, dict):
        return list(before) == list(after) and all(map(_same, before.values(), after.values()))
    return bool(before == after) or (before != before and after != after)


def needs_source(document: dict[str, Any], *, modern: bool) -> bool:
    """Whether :func:`restored` reads the Arrow column itself."""
    return not _default_text(document, modern) and document["kind"] != "empty"


def _default_text(document: dict[str, Any], modern: bool) -> bool:
    """Default strings of pandas 2, which pandas 3 reads as its own default; any strings in pandas 2."""
    return document["kind"] == "str" and (not modern or document["pandas"] < 3)


def restored(document: dict[str, Any], source: Any, natural: Any, *, modern: bool) -> Any:
    """The objects of a column, or None where what pyarrow made is right.

    :param source: the Arrow column, where :func:`needs_source` asks for it.
    :param natural: what pyarrow made of it.
    """
    if _default_text(document, modern):
        if modern or document["missing"] in ([], ["none"]):
            return None
        return _with_gaps(natural.to_numpy(object, copy=True), document)
    if document["kind"] == "empty":
        return _with_gaps(_objects([None] * len(natural)), document)
    return _with_gaps(_members(document["kind"], source), document)


def _members(kind: str, source: Any) -> Any:
    if kind in {"str", "bytes", "array"}:
        made = source.to_numpy() if source.num_chunks else _objects([])
        return made if made.flags.writeable else made.copy()
    return _objects(source.to_pylist())


def _objects(members: list[Any]) -> Any:
    import numpy as np

    made: Any = np.empty(len(members), dtype=object)
    made[:] = members
    return made


def _with_gaps(values: Any, document: dict[str, Any]) -> Any:
    import numpy as np
    import pandas as pd

    if document["kind"] == "float" or not document["missing"]:
        return values
    stand_ins = {"none": None, "nan": float("nan"), "nat": pd.NaT, "na": pd.NA}
    first, *others = document["missing"]
    if first != "none":
        values[np.fromiter((value is None for value in values), bool, len(values))] = stand_ins[first]
    for name in others:
        bits = np.frombuffer(zlib.decompress(base64.b64decode(document["masks"][name])), "u1")
        rows: Any = np.unpackbits(bits, count=len(values), bitorder="little").astype(bool)
        values[rows] = stand_ins[name]
    return values
