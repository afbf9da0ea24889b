"""Adding up what a comparison of rows finds: counts by column and by relaxation, and the worst samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stepbridge.compare.model import Column, Difference
from stepbridge.compare.rules import Compare
from stepbridge.compare.tables.cells import UNEQUAL, Cells, compare_cells
from stepbridge.compare.tables.pairing import Pair
from stepbridge.compare.tables.wire import shown

MASK = "***"
_WIDTH = 120


def shorten(text: str) -> str:
    """At most some hundred characters."""
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


class Rows(Protocol):
    """What rows of a batch are called, and in which order they are shown."""

    def first(self, places: Any, count: int) -> Any:
        """The *count* of *places* (int64 of shape (n,)) that come first."""
        ...

    def rank(self, place: int) -> tuple[Any, ...]:
        """What to sort the row by."""
        ...

    def path(self, place: int) -> str:
        """The row in a path: ``[17]`` or ``[id=17]``."""
        ...


@dataclass(frozen=True)
class Numbered:
    """Rows by their place; the batch begins at row *start*."""

    start: int

    def first(self, places: Any, count: int) -> Any:
        """See :class:`Rows`."""
        return places[:count]

    def rank(self, place: int) -> tuple[Any, ...]:
        """See :class:`Rows`."""
        return (self.start + place,)

    def path(self, place: int) -> str:
        """See :class:`Rows`."""
        return f"[{self.start + place}]"


class Keyed:
    """Rows by their keys: one wire array per key column."""

    def __init__(self, pairs: Sequence[Pair], keys: Sequence[Any]) -> None:
        self._pairs, self._keys = pairs, keys
        self._places: Any = None

    def first(self, places: Any, count: int) -> Any:
        """See :class:`Rows`."""
        import numpy as np

        if len(places) <= count:
            return places
        if self._places is None:
            self._places = self._ordered()
        chosen: Any = np.zeros(len(self._places), bool)
        chosen[places] = True
        return self._places[chosen[self._places]][:count]

    def _ordered(self) -> Any:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.types as t

        if any(t.is_nested(key.type) for key in self._keys):
            return np.array(sorted(range(len(self._keys[0])), key=self.rank))
        table = pa.table({str(n): key for n, key in enumerate(self._keys)})
        by = [(name, "ascending") for name in table.column_names]
        return pc.sort_indices(table, sort_keys=by).to_numpy().astype("i8")

    def rank(self, place: int) -> tuple[Any, ...]:
        """See :class:`Rows`."""
        values = [_plain(key[place]) for key in self._keys]
        return tuple(
            (value is None, repr(value) if isinstance(value, float | list | dict) else value or 0)
            if value is None or not isinstance(value, str | bytes)
            else (False, value)
            for value in values
        )

    def path(self, place: int) -> str:
        """See :class:`Rows`."""
        parts = []
        for pair, key in zip(self._pairs, self._keys, strict=True):
            assert pair.wire is not None
            text = MASK if pair.masked else shorten(shown(key[place], pair.wire)).strip("'")
            parts.append(f"{pair.name}={text}")
        return f"[{', '.join(parts)}]"


def _plain(scalar: Any) -> Any:
    """The Python value; the text where Python has none, as for nanoseconds and the year 10,000."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return scalar.value


@dataclass
class _Sum:
    """What was found in one column so far."""

    unequal: int = 0
    allowed: int = 0
    nulls: int = 0
    max_abs: float | None = None
    max_rel: float | None = None
    within: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[tuple[Any, ...], Difference]] = field(default_factory=list)


class Tally:
    """What was found so far.

    ``rows`` and ``near`` count rows with a difference beyond every relaxation, and with allowed ones only.
    """

    def __init__(self, pairs: Sequence[Pair], rules: Compare) -> None:
        self.pairs = list(pairs)
        self.compared = 0
        self.rows = 0
        self.near = 0
        self._limit = rules.samples
        self._sums = [_Sum() for _ in pairs]

    @property
    def allowed(self) -> Counter[str]:
        """Cells whose difference is allowed, by relaxation."""
        return sum((one.within for one in self._sums), Counter())

    @property
    def cells(self) -> int:
        """Cells that differ beyond every relaxation."""
        return sum(one.unequal for one in self._sums)

    def add(self, lefts: Sequence[Any], rights: Sequence[Any], rows: Rows) -> None:
        """Compare rows, one wire array per pair and side, and add what differs."""
        import numpy as np

        count = len(lefts[0]) if lefts else 0
        hard: Any = np.zeros(count, bool)
        soft: Any = np.zeros(count, bool)
        for place, (left, right) in enumerate(zip(lefts, rights, strict=True)):
            if equal(left, right):
                continue
            unequal, allowed = self.column(place, left, right, rows)
            hard |= unequal
            soft |= allowed
        self.count(hard, soft)

    def column(self, place: int, left: Any, right: Any, rows: Rows) -> tuple[Any, Any]:
        """Compare cells of one column and add what differs; two columns may be added at the same time.

        :returns: where cells differ beyond every relaxation, and where by an allowed difference, two bool of
            shape (n,); :meth:`count` takes those of whole rows.
        """
        pair, one = self.pairs[place], self._sums[place]
        cells = compare_cells(left, right, pair.rule)
        unequal = (cells.codes == UNEQUAL) & (not pair.within)
        allowed = (cells.codes != 0) & ~unequal
        one.unequal += int(unequal.sum())
        one.allowed += int(allowed.sum())
        one.nulls += int((cells.flips & (cells.codes != 0)).sum())
        _count(pair, one, cells)
        _widen(one, cells)
        if self._limit:
            self._sample(pair, one, cells, unequal, allowed, left, right, rows)
        return unequal, allowed

    def count(self, hard: Any, soft: Any) -> None:
        """Add rows in which a cell differs beyond every relaxation, or by an allowed difference."""
        self.rows += int(hard.sum())
        self.near += int((soft & ~hard).sum())

    def _sample(
        self,
        pair: Pair,
        one: _Sum,
        cells: Cells,
        unequal: Any,
        allowed: Any,
        left: Any,
        right: Any,
        rows: Rows,
    ) -> None:
        for severity, chosen in ((0, unequal), (1, allowed)):
            full = len(one.samples) >= self._limit and one.samples[-1][0][0] < severity
            if full or not chosen.any():
                continue
            for place, weight in _worst(cells, chosen, self._limit, rows):
                difference = _difference(pair, cells, left, right, place, rows)
                one.samples.append(((severity, -weight, rows.rank(place)), difference))
        one.samples.sort(key=lambda sample: sample[0])
        del one.samples[self._limit :]

    def columns(self, rows: int) -> tuple[Column, ...]:
        """The summary by column; *rows* were compared."""
        return tuple(
            Column(
                pair.name,
                pair.control.text,
                pair.candidate.text,
                rows if pair.wire is not None else 0,
                one.unequal,
                one.allowed,
                one.nulls,
                one.max_abs,
                one.max_rel,
                pair.tolerance,
                tuple(difference for _, difference in one.samples),
            )
            for pair, one in zip(self.pairs, self._sums, strict=True)
        )

    def worst(self) -> list[str]:
        """Names of the columns that differ, those with the most rows first."""
        found = [(one.unequal, pair.name) for pair, one in zip(self.pairs, self._sums, strict=True)]
        return [name for count, name in sorted(found, key=lambda each: (-each[0], each[1])) if count]

    def samples(self) -> list[Difference]:
        """The worst of every column in turn, until there are enough."""
        found: list[Difference] = []
        for severity in (0, 1):
            lists = [[d for rank, d in one.samples if rank[0] == severity] for one in self._sums]
            for turn in range(self._limit):
                found += [each[turn] for each in lists if len(each) > turn]
        return found[: self._limit]


def _count(pair: Pair, one: _Sum, cells: Cells) -> None:
    import numpy as np

    found = np.bincount(cells.codes[cells.codes != 0].astype("i8"), minlength=1)
    for code in np.flatnonzero(found):
        within = pair.within or ("" if code == UNEQUAL else relaxation(pair, int(code)))
        if within:
            one.within[within] += int(found[code])


def relaxation(pair: Pair, code: int) -> str:
    """The name of the relaxation behind a code of :mod:`stepbridge.compare.tables.cells`."""
    name = pair.rule.names[code - 1]
    return pair.source if name == "tolerance" else f"equal:{name}"


def equal(left: Any, right: Any) -> bool:
    """Whether two wire arrays are equal bit by bit; False may be wrong, True never is."""
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_floating(left.type):
        bits = pa.int64() if left.type.bit_width == 64 else pa.int32()
        left, right = left.view(bits), right.view(bits)
    elif t.is_nested(left.type) and any(name in str(left.type) for name in ("double", "float")):
        return False
    return bool(left.equals(right))


def differing(left: Any, right: Any) -> Any:
    """The places, int64 of shape (k,), outside of which two wire arrays are equal bit by bit."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.types as t

    if equal(left, right):
        return np.zeros(0, "i8")
    kind = left.type
    if left.null_count or right.null_count or t.is_nested(kind):
        return np.arange(len(left))
    if t.is_floating(kind):
        bits = f"i{kind.bit_width // 8}"
        return np.flatnonzero(left.to_numpy().view(bits) != right.to_numpy().view(bits))
    return np.flatnonzero(pc.not_equal(left, right).to_numpy(zero_copy_only=False))


def _widen(one: _Sum, cells: Cells) -> None:
    import numpy as np

    for name, values in (("max_abs", cells.distance), ("max_rel", cells.relative)):
        if values is None:
            continue
        known = values[~np.isnan(values)]
        if len(known):
            before = getattr(one, name)
            setattr(one, name, max(float(known.max()), before if before is not None else 0.0))


def _worst(cells: Cells, chosen: Any, count: int, rows: Rows) -> list[tuple[int, float]]:
    """Places and weights of the worst cells: nulls and other kinds first, then by distance, then by row."""
    import numpy as np

    places = np.flatnonzero(chosen)
    if cells.distance is None:
        return [(int(place), np.inf) for place in rows.first(places, count)]
    weights = cells.distance[places]
    weights = np.where(np.isnan(weights), np.inf, weights)
    if len(places) > count:
        bound = np.partition(weights, len(weights) - count)[len(weights) - count]
        above = weights > bound
        ties = rows.first(places[weights == bound], count - int(above.sum()))
        kept = [(int(p), float(w)) for p, w in zip(places[above], weights[above], strict=True)]
        return [*kept, *((int(place), float(bound)) for place in ties)]
    return [(int(p), float(w)) for p, w in zip(places, weights, strict=True)]


def _difference(pair: Pair, cells: Cells, left: Any, right: Any, place: int, rows: Rows) -> Difference:
    import numpy as np

    assert pair.wire is not None
    control, candidate = (
        MASK if pair.masked else shorten(shown(side[place], pair.wire)) for side in (left, right)
    )
    detail = ""
    if cells.distance is not None and not pair.masked and not np.isnan(cells.distance[place]):
        detail = f"abs {cells.distance[place]:.6g}" + (" s" if cells.relative is None else "")
        if cells.relative is not None and np.isfinite(cells.relative[place]):
            detail += f", rel {cells.relative[place]:.3g}"
    code = int(cells.codes[place])
    within = pair.within or ("" if code == UNEQUAL else relaxation(pair, code))
    kind = "null" if cells.flips[place] else "value"
    return Difference(f"{rows.path(place)} {pair.name}", kind, control, candidate, detail, within)
