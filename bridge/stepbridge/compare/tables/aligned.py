"""Comparing rows in place: both files are read side by side, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stepbridge.compare.tables.pairing import Pair
from stepbridge.compare.tables.source import Source
from stepbridge.compare.tables.tally import Keyed, Numbered, Tally, equal
from stepbridge.compare.tables.wire import to_wire


class Unfit(Exception):
    """Values of a column do not fit the type in which both sides could be compared.

    :param pair: the column.
    """

    def __init__(self, pair: Pair, why: str) -> None:
        super().__init__(why)
        self.pair = pair


def wired(pair: Pair, array: Any) -> Any:
    """One side's array as the pair's wire type.

    :raises Unfit: where a value does not fit.
    """
    import pyarrow as pa

    assert pair.wire is not None
    try:
        return to_wire(array, pair.wire)
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise Unfit(pair, str(error)) from error


def side_by_side(
    control: Source, candidate: Source, pairs: Sequence[Pair]
) -> Iterator[tuple[list[Any], list[Any]]]:
    """Equal numbers of rows of both sides, in wire types, until the shorter one ends."""
    mine = control.batches([pair.control.at for pair in pairs])
    others = candidate.batches([pair.candidate.at for pair in pairs])
    left: list[Any] = []
    right: list[Any] = []
    while True:
        left = left if left and len(left[0]) else next(mine, [])
        right = right if right and len(right[0]) else next(others, [])
        if not left or not right:
            return
        count = min(len(left[0]), len(right[0]))
        yield (
            [wired(pair, array.slice(0, count)) for pair, array in zip(pairs, left, strict=True)],
            [wired(pair, array.slice(0, count)) for pair, array in zip(pairs, right, strict=True)],
        )
        left = [array.slice(count) for array in left]
        right = [array.slice(count) for array in right]


def compare_in_place(
    control: Source, candidate: Source, tally: Tally, *, keys: Sequence[int] = (), until_first: bool = False
) -> int:
    """Compare row by row, as far as both sides go, and give the number of rows.

    :param keys: the places of the key's columns, by which rows are called; by their numbers without it.
    :param until_first: stop after the rows in which the first difference is found.
    """
    rows = 0
    for lefts, rights in side_by_side(control, candidate, tally.pairs):
        named = Keyed([tally.pairs[n] for n in keys], [lefts[n] for n in keys]) if keys else Numbered(rows)
        tally.add(lefts, rights, named)
        rows += len(lefts[0])
        if until_first and (tally.rows or tally.near):
            break
    return rows


def same_in_place(control: Source, candidate: Source, pairs: Sequence[Pair]) -> bool:
    """Whether the columns of *pairs* are equal row by row; stops at the first difference."""
    if control.rows != candidate.rows:
        return False
    return all(
        all(map(equal, lefts, rights)) or not _differs(lefts, rights)
        for lefts, rights in side_by_side(control, candidate, pairs)
    )


def _differs(lefts: Sequence[Any], rights: Sequence[Any]) -> bool:
    from stepbridge.compare.tables.cells import CellRule, compare_cells

    return any(
        bool(compare_cells(left, right, CellRule()).codes.any())
        for left, right in zip(lefts, rights, strict=True)
    )
