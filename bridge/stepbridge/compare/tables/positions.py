"""Which row of one table has the key of which row of the other, for keys of whole numbers; proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepbridge.compare.tables.aligned import wired
from stepbridge.compare.tables.pairing import Pair
from stepbridge.compare.tables.source import BATCH, Source

_CODES = 1 << 62
"""Keys of several columns are numbered below this."""
_DENSE = 4
"""Numbers stand close enough for a table by number where there are at most so many for each row."""


@dataclass(frozen=True)
class Partners:
    """Which rows belong together; the key identifies one row on either side.

    :param rows: for each of the control's n rows the candidate's, int32 of shape (n,); -1 for none.
    :param missing: the control's rows without a partner, by key.
    :param extra: the candidate's rows without a partner, by key.
    """

    rows: Any
    missing: Any
    extra: Any


def numbers(source: Source, at: Sequence[int], pairs: Sequence[Pair]) -> list[Any]:
    """The columns at *at* as int64 of shape (rows,); none where one is not of whole numbers or has a null."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.types as t

    kinds = [pair.wire.type for pair in pairs if pair.wire is not None]
    if not all((t.is_integer(k) and k != pa.uint64()) or t.is_timestamp(k) or t.is_date32(k) for k in kinds):
        return []
    found: list[Any] = [np.empty(source.rows, "i8") for _ in at]
    start = 0
    for arrays in source.batches(at):
        made = [wired(pair, array) for pair, array in zip(pairs, arrays, strict=True)]
        if any(array.null_count for array in made):
            return []
        for array, values in zip(made, found, strict=True):
            plain = array.cast(pa.int32()) if t.is_date32(array.type) else array
            values[start : start + len(plain)] = plain.cast(pa.int64()).to_numpy()
        start += len(made[0])
    return found


def sorted_numbers(source: Source, pairs: Sequence[Pair], side: str, limit: int) -> Any:
    """What :func:`numbers` makes of a key of one column, in order.

    None for other keys, and where it would take more than *limit* bytes.
    """
    import numpy as np

    if len(pairs) != 1 or source.rows * 8 > limit:
        return None
    found = numbers(source, [getattr(pairs[0], side).at], pairs)
    if not found:
        return None
    values = found[0]
    if not bool(np.all(values[1:] > values[:-1])):
        values.sort()
    return values


def as_key(values: Any, pair: Pair) -> Any:
    """What :func:`numbers` made, or some of it, in the pair's wire type again."""
    import pyarrow as pa
    import pyarrow.types as t

    assert pair.wire is not None
    made = pa.array(values)
    return (made.cast(pa.int32()) if t.is_date32(pair.wire.type) else made).cast(pair.wire.type)


def match(mine: Sequence[Any], others: Sequence[Any]) -> Partners | None:
    """Where the keys of one side, one int64 of shape (n,) for each column, stand in the other.

    None where a key occurs twice on either side, and where there could be too many keys to number them.
    """
    import numpy as np

    numbered = _codes(mine, others)
    if numbered is None:
        return None
    one, other = numbered
    low, high = int(other.min()), int(other.max())
    rows = _by_table(one, other, low, high) if high - low < _DENSE * len(other) else _by_order(one, other)
    if rows is None:
        return None
    missing = np.flatnonzero(rows < 0)
    taken: Any = np.zeros(len(other), bool)
    taken[rows[rows >= 0] if len(missing) else rows] = True
    extra = np.flatnonzero(~taken)
    if len(rows) - len(missing) != len(other) - len(extra):
        return None
    missing = missing[np.argsort(one[missing], kind="stable")]
    alone = one[missing]
    if bool((alone[1:] == alone[:-1]).any()):
        return None
    return Partners(rows, missing, extra[np.argsort(other[extra], kind="stable")])


def _codes(mine: Sequence[Any], others: Sequence[Any]) -> tuple[Any, Any] | None:
    """One number for each row, in the order of the keys."""
    if len(mine) == 1:
        return mine[0], others[0]
    total = 1
    one: Any = 0
    other: Any = 0
    for left, right in zip(mine, others, strict=True):
        low = min(int(left.min()), int(right.min()))
        span = max(int(left.max()), int(right.max())) - low + 1
        total *= span
        if total > _CODES:
            return None
        one, other = one * span + (left - low), other * span + (right - low)
    return one, other


def _by_table(mine: Any, others: Any, low: int, high: int) -> Any:
    """Rows by a table with a place for every number from *low* to *high*."""
    import numpy as np

    table: Any = np.full(high - low + 1, -1, "i4")
    for start in range(0, len(others), BATCH):
        part = others[start : start + BATCH]
        table[part - low] = np.arange(start, start + len(part), dtype="i4")
    if int(np.count_nonzero(table >= 0)) < len(others):
        return None
    inside = low <= int(mine.min()) and int(mine.max()) <= high
    rows: Any = np.full(len(mine), -1, "i4")
    for start in range(0, len(mine), BATCH):
        part = mine[start : start + BATCH]
        known = slice(None) if inside else (part >= low) & (part <= high)
        rows[start : start + BATCH][known] = table[part[known] - low]
    return rows


def _by_order(mine: Any, others: Any) -> Any:
    """Rows by sorting both sides."""
    import numpy as np

    order = np.argsort(others).astype("i4")
    ordered = others[order]
    if bool((ordered[1:] == ordered[:-1]).any()):
        return None
    walk = None if bool((mine[1:] > mine[:-1]).all()) else np.argsort(mine)
    wanted = mine if walk is None else mine[walk]
    at: Any = np.searchsorted(ordered, wanted)
    at[at == len(ordered)] = 0
    found = np.where(ordered[at] == wanted, order[at], np.int32(-1))
    if walk is None:
        return found
    rows: Any = np.empty(len(mine), "i4")
    rows[walk] = found
    return rows
