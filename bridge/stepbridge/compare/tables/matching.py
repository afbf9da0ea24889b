"""Which row of one table belongs to which of the other: by a key that is proved, or as multisets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepbridge.compare.model import Difference, Skipped
from stepbridge.compare.tables import indexed
from stepbridge.compare.tables.aligned import compare_in_place, same_in_place
from stepbridge.compare.tables.alone import Alone, row_text
from stepbridge.compare.tables.duck import Engine, Excess, Scan, prepare
from stepbridge.compare.tables.pairing import Pair
from stepbridge.compare.tables.positions import sorted_numbers
from stepbridge.compare.tables.tally import Keyed, Tally

if TYPE_CHECKING:
    from stepbridge.compare.tables.comparison import Comparison

_TEXT = frozenset({"text-case", "whitespace", "line-endings"})
_FLOAT = frozenset({"nan-is-null", "negative-zero"})


def by_key(one: Comparison) -> None:
    """Prove that the key identifies rows on both sides, then compare rows of equal keys."""
    places = _key_places(one)
    if places is None:
        return
    keys = [one.pairs[n] for n in places]
    aligned = same_in_place(one.control, one.candidate, keys)
    if not aligned and indexed.by_index(one, places):
        return
    with Engine(one.folder, one.rules.memory) as engine:
        sides = ("control",) if aligned else ("control", "candidate")
        limit = one.rules.memory // 8
        values = {side: sorted_numbers(_source(one, side), keys, side, limit) for side in sides}
        excess = {side: _excess(one, engine, keys, side, values[side]) for side in sides}
        if any(each.keys for each in excess.values()):
            _not_unique(one, keys, excess, aligned)
            return
        if aligned:
            one.in_place(places)
            return
        complete = _equal_values(values["control"], values["candidate"])
        del values
        scans = [
            prepare(_source(one, side), one.pairs, side, one.folder) for side in ("control", "candidate")
        ]
        _join(one, engine, scans, places, complete)


def _source(one: Comparison, side: str) -> Any:
    return one.control if side == "control" else one.candidate


def _key_places(one: Comparison) -> list[int] | None:
    """The key's places among the pairs; None where there is no such key, and the report says why."""
    found = []
    for name in one.rules.key:
        place = next((n for n, pair in enumerate(one.pairs) if pair.name == name), None)
        if place is None:
            known = any(pair.name == name for pair in one.pairing.pairs)
            lacks = [
                side
                for side in ("control", "candidate")
                if not any(field.name == name for field in _source(one, side).fields)
            ]
            why = f"the {' and the '.join(lacks)} have no such column" if len(lacks) > 1 else (
                f"the {lacks[0]} has no such column" if lacks else "its cells cannot be compared"
            )  # fmt: skip
            if known and not lacks:
                why = "its types on both sides have nothing in common, or it holds nulls only"
            _give_up(one, f"rows cannot be matched by the key {name!r}: {why}")
            return None
        found.append(place)
    return found


def _give_up(one: Comparison, why: str) -> None:
    rows = max(one.control.rows, one.candidate.rows)
    one.found.why, one.found.matched, one.found.of = why, False, rows
    one.found.skipped.append(Skipped("rows", why, rows))


def _equal_values(one: Any, other: Any) -> bool:
    """Whether both sides are known to have the same keys."""
    import numpy as np

    return one is not None and other is not None and bool(np.array_equal(one, other))


def _excess(one: Comparison, engine: Engine, keys: Sequence[Pair], side: str, values: Any) -> Excess:
    """Keys that repeat; *values* are all of them in their order, or None."""
    source = _source(one, side)
    if values is not None and bool((values[1:] != values[:-1]).all()):
        return Excess()
    scan = prepare(source, keys, side, one.folder)
    return engine.excess(scan, range(len(keys)), source.rows, one.rules.samples)


def _not_unique(one: Comparison, keys: Sequence[Pair], excess: dict[str, Excess], aligned: bool) -> None:
    counts = []
    for side, each in excess.items():
        if not each.keys:
            continue
        both = aligned and side == "control"
        counts.append(f"{each.keys:,} of them repeat in {'both' if both else f'the {side}'}")
        for scalars, times in each.first:
            arrays = [_array([scalar], pair) for scalar, pair in zip(scalars, keys, strict=True)]
            path = Keyed(keys, arrays).path(0)
            mine = f"{times:,} rows" if both or side == "control" else None
            other = f"{times:,} rows" if both or side == "candidate" else None
            detail = "the key does not identify one row"
            one.found.rows.append(Difference(path, "duplicate", mine, other, detail))
    names = ", ".join(pair.name for pair in keys)
    _give_up(one, f"the values of key {names!r} do not identify rows: {'; '.join(counts)}")


def _array(scalars: Sequence[Any], pair: Pair) -> Any:
    import pyarrow as pa

    assert pair.wire is not None
    return pa.array([each.as_py() for each in scalars], scalars[0].type).cast(pair.wire.type)


def _column(batch: Any, name: str, pair: Pair) -> Any:
    assert pair.wire is not None
    return batch.column(name).cast(pair.wire.type)


def _join(
    one: Comparison, engine: Engine, scans: Sequence[Scan], places: Sequence[int], complete: bool
) -> None:
    import pyarrow.compute as pc

    keys = [one.pairs[n] for n in places]
    found = one.found
    alone = {"missing": Alone(one, "missing"), "extra": Alone(one, "extra")}
    for batch in engine.unmatched(scans[0], scans[1], one.pairs, places, complete):
        mine, other = batch.column("has_control"), batch.column("has_candidate")
        for kind, mask, letter in (("missing", pc.invert(other), "a"), ("extra", pc.invert(mine), "b")):
            rows = batch.filter(mask)
            if rows.num_rows:
                key = [_column(rows, f"k{n}", pair) for n, pair in enumerate(keys)]
                cells = _cells(one.pairs, rows, letter, places, key)
                alone[kind].add(cells, Keyed(keys, key))
        rows = batch.filter(pc.and_(mine, other))
        if rows.num_rows:
            key = [_column(rows, f"k{n}", pair) for n, pair in enumerate(keys)]
            lefts = _cells(one.pairs, rows, "a", places, key)
            one.tally.add(lefts, _cells(one.pairs, rows, "b", places, key), Keyed(keys, key))
    found.missing, found.extra = alone["missing"].count, alone["extra"].count
    found.rows += [*alone["missing"].differences(), *alone["extra"].differences()]
    found.compared = found.of = one.control.rows + found.extra
    if not (found.missing or found.extra):
        found.order = "key"


def _cells(
    pairs: Sequence[Pair], rows: Any, letter: str, places: Sequence[int], key: Sequence[Any]
) -> list[Any]:
    made = []
    for n, pair in enumerate(pairs):
        made.append(key[list(places).index(n)] if n in places else _column(rows, f"{letter}{n}", pair))
    return made


def as_multiset(one: Comparison) -> None:
    """Compare rows whatever their order: in place where that is equal, else by counting distinct rows."""
    control, candidate, found = one.control, one.candidate, one.found
    found.of = max(control.rows, candidate.rows)
    if not one.pairs:
        found.missing = max(control.rows - candidate.rows, 0)
        found.extra = max(candidate.rows - control.rows, 0)
        found.compared = found.of if one.shared else 0
        return
    if control.rows == candidate.rows:
        trial = Tally(one.pairs, one.rules)
        compare_in_place(control, candidate, trial, until_first=True)
        if not (trial.rows or trial.near):
            found.compared = found.of
            return
    with Engine(one.folder, one.rules.memory) as engine:
        scans = [
            prepare(_source(one, side), one.pairs, side, one.folder) for side in ("control", "candidate")
        ]
        missing, extra = engine.multiset(scans[0], scans[1], one.pairs)
        near = [n for n, pair in enumerate(one.pairs) if _near(pair)]
        found.compared = found.of
        if (missing or extra) and near:
            _pair_up(one, engine, scans, near)
            return
        found.missing, found.extra = missing, extra
        found.order = "" if missing or extra else "unordered"
        found.matched = not (missing or extra)
        for batch in engine.surplus(one.pairs, one.rules.samples):
            _surplus(one, batch)


def _surplus(one: Comparison, batch: Any) -> None:
    cells = [_column(batch, f"v{n}", pair) for n, pair in enumerate(one.pairs)]
    for place in range(batch.num_rows):
        times = batch.column("times")[place].as_py()
        text = row_text(one.pairs, cells, place)
        side = "control" if times > 0 else "candidate"
        detail = f"the {side} has {abs(times):,} more of this row"
        if times > 0:
            one.found.rows.append(Difference("rows", "missing", text, None, detail))
        else:
            one.found.rows.append(Difference("rows", "extra", None, text, detail))


def _near(pair: Pair) -> bool:
    """Whether unequal cells of the column may be allowed."""
    import pyarrow.types as t

    assert pair.wire is not None
    names = set(pair.rule.relaxations)
    nested = t.is_nested(pair.wire.type)
    text = (t.is_large_string(pair.wire.type) or nested) and names & _TEXT
    floats = (t.is_floating(pair.wire.type) or nested) and names & _FLOAT
    return bool(pair.within or pair.rule.tolerance or text or floats)


def _pair_up(one: Comparison, engine: Engine, scans: Sequence[Scan], near: Sequence[int]) -> None:
    """Pair rows by sorting what may differ a little, within groups of rows that are equal otherwise."""
    import pyarrow.compute as pc

    found = one.found
    exact = [n for n in range(len(one.pairs)) if n not in near]
    named = [one.pairs[n] for n in (exact or near)[:3]]
    alone = {"missing": Alone(one, "missing"), "extra": Alone(one, "extra")}
    for batch in engine.paired(scans[0], scans[1], one.pairs, exact, near):
        mine, other = batch.column("has_control"), batch.column("has_candidate")
        both = batch.filter(pc.and_(mine, other))
        for kind, mask, letter in (("missing", pc.invert(other), "a"), ("extra", pc.invert(mine), "b")):
            rows = batch.filter(mask)
            if rows.num_rows:
                cells = _cells(one.pairs, rows, letter, (), ())
                alone[kind].add(cells, Keyed(named, [cells[n] for n in (exact or near)[:3]]))
        if both.num_rows:
            lefts = _cells(one.pairs, both, "a", (), ())
            rights = _cells(one.pairs, both, "b", (), ())
            one.tally.add(lefts, rights, Keyed(named, [lefts[n] for n in (exact or near)[:3]]))
    found.missing, found.extra = alone["missing"].count, alone["extra"].count
    found.rows += [*alone["missing"].differences(), *alone["extra"].differences()]
    found.order = "unordered"
    certain = found.missing or found.extra or len(near) == 1
    if one.tally.rows:
        found.matched = False
        if not certain:
            found.why = (
                f"without a key, {one.tally.rows:,} rows have no partner within tolerance when rows are "
                f"paired by sorting {len(near)} columns that may differ; give a key, or less of them"
            )
