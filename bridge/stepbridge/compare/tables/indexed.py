"""Comparing rows of equal keys in memory: their places are looked up once, then each column is compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from stepbridge.compare.tables.aligned import wired
from stepbridge.compare.tables.alone import Alone
from stepbridge.compare.tables.pairing import Pair
from stepbridge.compare.tables.positions import Partners, as_key, match, numbers
from stepbridge.compare.tables.source import Opened
from stepbridge.compare.tables.tally import Keyed, Tally, differing

if TYPE_CHECKING:
    from stepbridge.compare.tables.comparison import Comparison

_ROW, _KEY = 40, 24
"""Bytes that a row of both sides takes beside the cells of its columns, and for each column of the key."""


class _TooLarge(Exception):
    """A column takes more memory than there is."""


def by_index(one: Comparison, places: Sequence[int]) -> bool:
    """Compare the rows of equal keys, which are the pairs at *places*.

    :returns: False, with nothing counted, where the key is not of whole numbers without nulls, where it
        repeats, and where the rows do not fit into the rules' memory: those need the slower ways.
    :raises Unfit: where a value has no place in its wire type.
    """
    most = max(one.control.rows, one.candidate.rows)
    left = one.rules.memory - (_ROW + _KEY * len(places)) * most
    if left < 0 or not (one.control.rows and one.candidate.rows) or most >= 1 << 31:
        return False
    walk = _prepared(one, places, left)
    if walk is None:
        return False
    try:
        walk.run()
    except _TooLarge:
        return False
    walk.finish()
    return True


def _prepared(one: Comparison, places: Sequence[int], memory: int) -> _Columns | None:
    """The columns with the rows that belong together; None where the key does not say which do."""
    pairs = [one.pairs[place] for place in places]
    with ThreadPoolExecutor(2) as pool:
        mine, others = pool.map(
            numbers,
            (one.control, one.candidate),
            ([pair.control.at for pair in pairs], [pair.candidate.at for pair in pairs]),
            (pairs, pairs),
        )
    partners = match(mine, others) if mine and others else None
    if partners is None:
        return None
    return _Columns(one, places, (mine, others), partners, memory)


class _Columns:
    """The columns of rows that belong together; each is in memory only while it is compared.

    :param keys: the key's columns of both sides, int64.
    :param memory: bytes for cells.
    """

    def __init__(
        self,
        one: Comparison,
        places: Sequence[int],
        keys: tuple[Sequence[Any], Sequence[Any]],
        partners: Partners,
        memory: int,
    ) -> None:
        import numpy as np

        self._one, self._partners = one, partners
        self._names = [one.pairs[place] for place in places]
        self._keys = keys[0]
        self._tally = Tally(one.pairs, one.rules)
        self._threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        self._bytes = memory // (2 * self._threads)
        self._lock = Lock()
        self._hard: Any = np.zeros(len(partners.rows), bool)
        self._soft: Any = np.zeros(len(partners.rows), bool)
        limit = one.rules.samples
        self._missing, self._extra = partners.missing[:limit], partners.extra[:limit]
        self._cells: dict[int, tuple[Any, Any]] = {
            place: (as_key(mine[self._missing], pair), as_key(other[self._extra], pair))
            for place, pair, mine, other in zip(places, self._names, *keys, strict=True)
        }
        self._places = list(places)
        self._coded = _coded(one)
        self._idle: SimpleQueue[tuple[Opened, Opened]] = SimpleQueue()

    def run(self) -> None:
        """Compare every column, those first that take longest.

        :raises _TooLarge: where one does not fit.
        """
        rest = [place for place in range(len(self._one.pairs)) if place not in self._cells]
        rest.sort(key=lambda place: _wide(self._one.pairs[place]), reverse=True)
        with ExitStack() as stack:
            for _ in range(self._threads):
                files = [
                    stack.enter_context(side.opened([names[n] for names in self._coded.values()]))
                    for n, side in enumerate((self._one.control, self._one.candidate))
                ]
                self._idle.put((files[0], files[1]))
            pool = stack.enter_context(ThreadPoolExecutor(self._threads))
            self._cells.update(zip(rest, pool.map(self._column, rest), strict=True))
        self._tally.count(self._hard, self._soft)

    def finish(self) -> None:
        """Say what was found."""
        one, found = self._one, self._one.found
        one.tally = self._tally
        for side, kind in enumerate(("missing", "extra")):
            alone = Alone(one, kind)
            cells = [self._cells[place][side] for place in range(len(one.pairs))]
            if len(cells[0]):
                alone.add(cells, Keyed(self._names, [cells[place] for place in self._places]))
            found.rows += alone.differences()
        found.missing, found.extra = len(self._partners.missing), len(self._partners.extra)
        found.compared = found.of = one.control.rows + found.extra
        if not (found.missing or found.extra):
            found.order = "key"

    def _column(self, place: int) -> tuple[Any, Any]:
        """Compare one column, and give the cells of the first rows that are on one side only."""
        control, candidate = self._idle.get()
        try:
            pair = self._one.pairs[place]
            others = self._others(candidate, pair, place in self._coded)
            kept = self._beside(control, place, others)
            return kept, others.cells(self._extra)
        finally:
            self._idle.put((control, candidate))

    def _beside(self, control: Opened, place: int, others: _Others) -> Any:
        """Compare one column with the candidate's, and give the cells of the first rows that it lacks."""
        import numpy as np
        import pyarrow as pa

        pair = self._one.pairs[place]
        complete = not len(self._partners.missing)
        kept = []
        start = 0
        for (array,) in control.batches([pair.control.at]):
            stop = start + len(array)
            rows, at = self._partners.rows[start:stop], np.arange(start, stop)
            if not complete:
                wanted = self._missing[(self._missing >= start) & (self._missing < stop)]
                kept.append((wanted, wired(pair, array.take(pa.array(wanted - start)))))
                has = np.flatnonzero(rows >= 0)
                array, rows, at = array.take(pa.array(has)), rows[has], at[has]
            chosen, left, right = others.against(array, rows)
            if len(chosen):
                self._add(place, left, right, at[chosen])
            start = stop
        return _in_order(kept, self._missing)

    def _add(self, place: int, left: Any, right: Any, rows: Any) -> None:
        """Compare cells of the control's *rows*, int64 of shape (k,)."""
        keys = [as_key(values[rows], pair) for values, pair in zip(self._keys, self._names, strict=True)]
        hard, soft = self._tally.column(place, left, right, Keyed(self._names, keys))
        with self._lock:
            self._hard[rows] |= hard
            self._soft[rows] |= soft

    def _others(self, candidate: Opened, pair: Pair, coded: bool) -> _Others:
        """The whole column of the candidate."""
        import pyarrow as pa

        parts, size = [], 0
        for (array,) in candidate.batches([pair.candidate.at]):
            parts.append(array if coded else wired(pair, array))
            size += parts[-1].nbytes
            if size > self._bytes:
                raise _TooLarge
        column = pa.concat_arrays(parts)
        return _Codes(pair, column) if coded else _Cells(pair, column)


class _Others(Protocol):
    """A column of the candidate."""

    def against(self, array: Any, rows: Any) -> tuple[Any, Any, Any]:
        """The control's cells as they were read and the candidate's at *rows*, int32 of shape (n,).

        :returns: the places in *array* that may differ, int64 of shape (k,), and both sides' cells there.
        """
        ...

    def cells(self, rows: Any) -> Any:
        """Those at *rows*."""
        ...


class _Cells:
    """A column as it is."""

    def __init__(self, pair: Pair, column: Any) -> None:
        self._pair, self._column = pair, column

    def against(self, array: Any, rows: Any) -> tuple[Any, Any, Any]:
        """See :class:`_Others`."""
        import pyarrow as pa

        left, right = wired(self._pair, array), self._column.take(pa.array(rows))
        chosen = differing(left, right)
        if len(chosen) == len(left):
            return chosen, left, right
        places = pa.array(chosen)
        return chosen, left.take(places), right.take(places)

    def cells(self, rows: Any) -> Any:
        """See :class:`_Others`."""
        import pyarrow as pa

        return self._column.take(pa.array(rows))


class _Codes:
    """A column of few values, each cell the number of its value."""

    def __init__(self, pair: Pair, column: Any) -> None:
        self._pair, self._column = pair, column
        self._codes = _plain(column.indices, -1)

    def against(self, array: Any, rows: Any) -> tuple[Any, Any, Any]:
        """See :class:`_Others`."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        known = pc.index_in(array.dictionary, value_set=self._column.dictionary).fill_null(-2)
        chosen = np.flatnonzero(_plain(known.take(array.indices), -1) != self._codes[rows])
        left = wired(self._pair, array.take(pa.array(chosen)))
        return chosen, left, self.cells(rows[chosen])

    def cells(self, rows: Any) -> Any:
        """See :class:`_Others`."""
        import pyarrow as pa

        return wired(self._pair, self._column.take(pa.array(rows)))


def _plain(numbers: Any, null: int) -> Any:
    import pyarrow as pa

    return numbers.fill_null(pa.scalar(null, numbers.type)).to_numpy(zero_copy_only=False)


def _coded(one: Comparison) -> dict[int, tuple[str, str]]:
    """Columns of few values, by place, with what both files call them; they are read as numbers of values."""
    mine, others = one.control.few(), one.candidate.few()
    return {
        place: (mine[pair.control.at], others[pair.candidate.at])
        for place, pair in enumerate(one.pairs)
        if pair.control.at in mine and pair.candidate.at in others
        if pair.control.kind == pair.candidate.kind
    }


def _wide(pair: Pair) -> bool:
    """Its cells are not of one width: such columns take longest."""
    import pyarrow.types as t

    assert pair.wire is not None
    return not t.is_primitive(pair.wire.type)


def _in_order(parts: Sequence[tuple[Any, Any]], rows: Any) -> Any:
    """The cells of *parts*, each with the rows they are of, in the order of *rows*."""
    import numpy as np
    import pyarrow as pa

    if not parts:
        return []
    at = np.concatenate([numbers for numbers, _ in parts])
    order = np.argsort(at)
    cells = pa.concat_arrays([cells for _, cells in parts])
    return cells.take(pa.array(order[np.searchsorted(at[order], rows)]))
