"""Comparing two Arrow arrays cell by cell: what differs, by how much, and which relaxation allows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stepbridge.compare.rules import Tolerance

UNEQUAL = 127
"""The code of a cell that no relaxation allows; 0 is an equal cell, n the n-th relaxation of the rule."""


@dataclass(frozen=True)
class CellRule:
    """How the cells of one column are compared.

    :param tolerance: None for exact.
    :param relaxations: names of what may count as equal: ``nan-is-null``, ``negative-zero``, ``text-case``,
        ``whitespace``, ``line-endings``.
    :param scale: seconds in one unit of an integer that stands for a time; 0 for plain numbers.
    """

    tolerance: Tolerance | None = None
    relaxations: tuple[str, ...] = ()
    scale: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """The relaxations by code: the first has the code 1."""
        return (*(("tolerance",) if self.tolerance else ()), *self.relaxations)

    def code(self, name: str) -> int:
        """The code of a relaxation; :data:`UNEQUAL` where it is not given."""
        return self.names.index(name) + 1 if name in self.names else UNEQUAL


@dataclass(frozen=True)
class Cells:
    """The outcome for two arrays of n cells.

    :param codes: int8 of shape (n,).
    :param flips: cells of which one side only is null, bool of shape (n,).
    :param distance: absolute differences, float64 of shape (n,), NaN where there is none; None for columns
        that are not numbers.
    :param relative: the same, relative to the control.
    """

    codes: Any
    flips: Any
    distance: Any = None
    relative: Any = None


def compare_cells(left: Any, right: Any, rule: CellRule) -> Cells:
    """Compare two Arrow arrays of one type and length.

    :raises NotImplementedError: for a type that :mod:`stepbridge.compare.tables.wire` does not make.
    """
    import numpy as np

    present_left, present_right = _valid(left), _valid(right)
    flips = present_left != present_right
    codes = np.where(flips, UNEQUAL, 0).astype("i1")
    both = present_left & present_right
    found, distance, relative = _comparer(left.type)(left, right, both, rule)
    codes[both] = found[both]
    if "nan-is-null" in rule.relaxations and _is_floating(left.type) and flips.any():
        gaps = flips & (_nan(left) | _nan(right))
        codes[gaps] = rule.code("nan-is-null")
    return Cells(codes, flips, distance, relative)


def _valid(array: Any) -> Any:
    import numpy as np

    if array.null_count == 0:
        return np.ones(len(array), bool)
    return array.is_valid().to_numpy(zero_copy_only=False)


def _is_floating(kind: Any) -> bool:
    import pyarrow.types as t

    return bool(t.is_floating(kind))


def _nan(array: Any) -> Any:
    import numpy as np

    return np.isnan(_numbers(array)) & _valid(array)


def _numbers(array: Any) -> Any:
    import pyarrow as pa

    if array.null_count:
        array = array.fill_null(pa.scalar(0, array.type))
    return array.to_numpy(zero_copy_only=False)


_Found = tuple[Any, Any, Any]
_Comparer = Callable[[Any, Any, Any, CellRule], _Found]


def _comparer(kind: Any) -> _Comparer:
    import pyarrow.types as t

    table: tuple[tuple[Callable[[Any], bool], _Comparer], ...] = (
        (t.is_floating, _floats),
        (t.is_integer, _integers),
        (t.is_date32, _dates),
        (t.is_timestamp, _stamps),
        (t.is_decimal, _decimals),
        (t.is_large_string, _texts),
        (t.is_struct, _structs),
        (t.is_large_list, _lists),
        (t.is_null, _nothing),
    )
    return next((comparer for test, comparer in table if test(kind)), _plain)


def _nothing(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:  # noqa: ARG001
    import numpy as np

    return np.zeros(len(left), "i1"), None, None


def _differ(left: Any, right: Any) -> Any:
    """Where two arrays differ, False where either is null."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.not_equal(left, right), False).to_numpy(zero_copy_only=False)


def _plain(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:  # noqa: ARG001
    import numpy as np

    return np.where(_differ(left, right), UNEQUAL, 0).astype("i1"), None, None


def _floats(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:
    import numpy as np

    a, b = _numbers(left), _numbers(right)
    bits = f"u{a.dtype.itemsize}"
    differ = (a.view(bits) != b.view(bits)) & both & ~(np.isnan(a) & np.isnan(b))
    codes = np.where(differ, UNEQUAL, 0).astype("i1")
    distance, relative = _distances(a.astype("f8"), b.astype("f8"), differ)
    if rule.tolerance:
        near = _within(a.astype("f8"), distance, rule.tolerance)
        if rule.tolerance.ulp:
            near |= _ulps(a, b) <= rule.tolerance.ulp
        codes[differ & near] = rule.code("tolerance")
    signs = differ & (a == b) & (codes == UNEQUAL)
    codes[signs] = rule.code("negative-zero")
    return codes, distance, relative


def _distances(a: Any, b: Any, differ: Any) -> tuple[Any, Any]:
    import numpy as np

    with np.errstate(all="ignore"):
        distance = np.where(differ, np.abs(a - b), np.nan)
        return distance, _relative(distance, a)


def _relative(distance: Any, a: Any) -> Any:
    import numpy as np

    with np.errstate(all="ignore"):
        share = distance / np.abs(a)
    return np.where(np.isnan(share) & (distance == 0), 0.0, share)


def _within(a: Any, distance: Any, tolerance: Tolerance) -> Any:
    import numpy as np

    with np.errstate(all="ignore"):
        limit = tolerance.atol + (tolerance.rtol * np.abs(a) if tolerance.rtol else 0.0)
        return np.isfinite(distance) & np.isfinite(a) & (distance <= limit)


def _ulps(a: Any, b: Any) -> Any:
    """How many floats lie between two floats of one sign or around 0; a huge number for NaN and infinity."""
    import numpy as np

    size = a.dtype.itemsize
    integers = f"i{size}"
    top = np.array(np.iinfo(integers).min, integers)
    ends = []
    for values in (a, b):
        ints = values.view(integers)
        ends.append(np.where(ints < 0, top - ints, ints).astype("f8" if size < 8 else integers))
    apart = _gap(*ends) if size == 8 else np.abs(ends[0] - ends[1])
    return np.where(np.isfinite(a) & np.isfinite(b), apart, np.inf)


def _gap(a: Any, b: Any) -> Any:
    """|a - b| of integers of 64 bits, exact until it becomes a float."""
    import numpy as np

    with np.errstate(over="ignore"):
        larger = np.where(a >= b, a, b).view("u8")
        smaller = np.where(a >= b, b, a).view("u8")
        return (larger - smaller).astype("f8")


def _integers(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:
    import numpy as np

    a, b = _numbers(left), _numbers(right)
    wide = "u8" if a.dtype.kind == "u" else "i8"
    return _whole(np.ascontiguousarray(a.astype(wide)), np.ascontiguousarray(b.astype(wide)), both, rule)


def _whole(a: Any, b: Any, both: Any, rule: CellRule) -> _Found:
    import numpy as np

    differ = (a != b) & both
    codes = np.where(differ, UNEQUAL, 0).astype("i1")
    scale = rule.scale or 1.0
    distance = np.where(differ, _gap(a, b) * scale, np.nan)
    control = a.astype("f8") * scale
    if rule.tolerance:
        codes[differ & _within(control, distance, rule.tolerance)] = rule.code("tolerance")
    return codes, distance, None if rule.scale else _relative(distance, control)


def _dates(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:
    import pyarrow as pa

    days = CellRule(rule.tolerance, rule.relaxations, 86400.0)
    return _integers(left.cast(pa.int32()), right.cast(pa.int32()), both, days)


def _stamps(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:
    import pyarrow as pa

    return _integers(left.cast(pa.int64()), right.cast(pa.int64()), both, rule)


def _decimals(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:
    import numpy as np
    import pyarrow as pa

    differ = _differ(left, right) & both
    codes = np.where(differ, UNEQUAL, 0).astype("i1")
    a, b = _numbers(left.cast(pa.float64())), _numbers(right.cast(pa.float64()))
    distance, relative = _distances(a, b, differ)
    if rule.tolerance:
        codes[differ & _within(a, distance, rule.tolerance)] = rule.code("tolerance")
    return codes, distance, relative


def _texts(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:  # noqa: ARG001
    import numpy as np
    import pyarrow.compute as pc

    differ = _differ(left, right)
    codes = np.where(differ, UNEQUAL, 0).astype("i1")
    steps: dict[str, Callable[[Any], Any]] = {
        "line-endings": lambda texts: pc.replace_substring(
            pc.replace_substring(texts, "\r\n", "\n"), "\r", "\n"
        ),
        "whitespace": lambda texts: pc.utf8_trim_whitespace(
            pc.replace_substring_regex(texts, pattern=r"[\s\p{Z}]+", replacement=" ")
        ),
        "text-case": pc.utf8_lower,
    }
    for name, step in steps.items():
        if name in rule.relaxations and (codes == UNEQUAL).any():
            left, right = step(left), step(right)
            codes[(codes == UNEQUAL) & ~_differ(left, right)] = rule.code(name)
    return codes, None, None


def _structs(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:
    import numpy as np

    codes: Any = np.zeros(len(left), "i1")
    for a, b in zip(left.flatten(), right.flatten(), strict=True):
        codes = np.maximum(codes, compare_cells(a, b, rule).codes)
    codes[~both] = 0
    return codes, None, None


def _lists(left: Any, right: Any, both: Any, rule: CellRule) -> _Found:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    codes: Any = np.zeros(len(left), "i1")
    zero = pa.scalar(0, pa.int64())
    lengths, others = (_numbers(pc.fill_null(pc.list_value_length(side), zero)) for side in (left, right))
    codes[both & (lengths != others)] = UNEQUAL
    matched = both & (lengths == others) & (lengths > 0)
    if matched.any():
        chosen = pa.array(matched)
        inner = compare_cells(left.filter(chosen).flatten(), right.filter(chosen).flatten(), rule).codes
        starts = np.concatenate([[0], np.cumsum(lengths[matched])[:-1]])
        codes[matched] = np.maximum.reduceat(inner, starts)
    return codes, None, None
