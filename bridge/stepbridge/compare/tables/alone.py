"""Rows that one side only has: how many, and the first of them as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepbridge.compare.model import Difference
from stepbridge.compare.tables.pairing import Pair
from stepbridge.compare.tables.tally import MASK, Rows, shorten
from stepbridge.compare.tables.wire import shown

if TYPE_CHECKING:
    from stepbridge.compare.tables.comparison import Comparison


class Alone:
    """Rows of one side only: how many, and the first ones by key."""

    def __init__(self, one: Comparison, kind: str) -> None:
        self.count = 0
        self._one, self._kind = one, kind
        self._first: list[tuple[tuple[Any, ...], Difference]] = []

    def add(self, cells: Sequence[Any], rows: Rows) -> None:
        """Rows of one batch, one wire array per pair."""
        import numpy as np

        count = len(cells[0])
        self.count += count
        limit = self._one.rules.samples
        for place in rows.first(np.arange(count), limit):
            text = row_text(self._one.pairs, cells, int(place))
            sides = (text, None) if self._kind == "missing" else (None, text)
            rank = rows.rank(int(place))
            self._first.append((rank, Difference(rows.path(int(place)), self._kind, *sides)))
        self._first.sort(key=lambda each: each[0])
        del self._first[limit:]

    def differences(self) -> list[Difference]:
        """The first ones."""
        return [difference for _, difference in self._first]


def row_text(pairs: Sequence[Pair], cells: Sequence[Any], place: int) -> str:
    """A whole row as people read it, shortened."""
    parts = []
    for pair, array in zip(pairs, cells, strict=True):
        assert pair.wire is not None
        parts.append(f"{pair.name}={MASK if pair.masked else shown(array[place], pair.wire)}")
    return shorten(", ".join(parts))
