"""How far distributions moved, where rows cannot be matched: evidence beside a verdict, never one itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepbridge.compare.model import Drift
from stepbridge.compare.tables.aligned import wired
from stepbridge.compare.tables.pairing import Pair
from stepbridge.compare.tables.source import Source
from stepbridge.compare.tables.tally import MASK, shorten
from stepbridge.compare.tables.wire import shown

_SAMPLE = 100_000
"""Rows of each side that quantiles, PSI, KS and top-k are taken from, evenly spread."""
_TOP = 10
_PSI, _KS, _SHARE = 0.2, 0.1, 0.05
_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


@dataclass
class _Seen:
    """One column of one side: counts of all rows, values of the sample."""

    rows: int = 0
    nulls: int = 0
    total: float = 0.0
    finite: int = 0
    values: Any = None


def measure(control: Source, candidate: Source, pairs: Sequence[Pair]) -> tuple[Drift, ...]:
    """What moved: nulls and mean of all rows; of a sample quantiles, PSI and KS, or the commonest values."""
    mine = _survey(control, pairs, "control")
    others = _survey(candidate, pairs, "candidate")
    if not control.rows or not candidate.rows:
        return ()
    sampled = max(control.rows, candidate.rows) > _SAMPLE
    note = f"of {_SAMPLE:,} rows, evenly spread" if sampled else ""
    found: list[Drift] = []
    for pair, one, other in zip(pairs, mine, others, strict=True):
        shares = one.nulls / max(one.rows, 1), other.nulls / max(other.rows, 1)
        detail = f"{shares[0]:.4g} to {shares[1]:.4g}"
        found.append(Drift(pair.name, "nulls", abs(shares[1] - shares[0]), _SHARE, detail))
        if _numeric(pair):
            found += _numbers(pair, one, other, note)
        else:
            found += _top(pair, one, other, note)
    return tuple(one for one in found if one.value)


def _numeric(pair: Pair) -> bool:
    import pyarrow.types as t

    assert pair.wire is not None
    kind = pair.wire.type
    return bool(t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind) or t.is_temporal(kind))


def _survey(source: Source, pairs: Sequence[Pair], side: str) -> list[_Seen]:
    import pyarrow as pa

    seen = [_Seen() for _ in pairs]
    kept: list[list[Any]] = [[] for _ in pairs]
    step = max(1, -(-source.rows // _SAMPLE))
    start = 0
    for arrays in source.batches([getattr(pair, side).at for pair in pairs]) if pairs else ():
        count = len(arrays[0])
        places = pa.array(range(-start % step, count, step), pa.int64())
        for pair, one, parts, array in zip(pairs, seen, kept, arrays, strict=True):
            made = wired(pair, array)
            one.rows += count
            one.nulls += made.null_count
            if _numeric(pair):
                values = _floats(made)
                values = values[~_not_finite(values)]
                one.total += float(values.sum())
                one.finite += len(values)
            parts.append(made.take(places))
        start += count
    for one, parts, pair in zip(seen, kept, pairs, strict=True):
        assert pair.wire is not None
        one.values = pa.chunked_array(parts, pair.wire.type).combine_chunks()
    return seen


def _floats(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_date32(array.type):
        array = array.cast(pa.int32())
    if t.is_temporal(array.type):
        array = array.cast(pa.int64())
    return array.drop_null().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _not_finite(values: Any) -> Any:
    import numpy as np

    return ~np.isfinite(values)


def _numbers(pair: Pair, one: _Seen, other: _Seen, note: str) -> list[Drift]:
    import numpy as np

    a, b = (values[np.isfinite(values)] for values in (_floats(one.values), _floats(other.values)))
    if not len(a) or not len(b):
        return []
    a.sort()
    b.sort()
    scale = _scale(pair)
    means = one.total / one.finite, other.total / other.finite
    ends = np.quantile(a, _QUANTILES), np.quantile(b, _QUANTILES)
    furthest = int(np.argmax(np.abs(ends[1] - ends[0])))
    quantile = float(ends[0][furthest]), float(ends[1][furthest])
    where = f"q{_QUANTILES[furthest]:g}: {_between(pair, *quantile)}"
    return [
        Drift(pair.name, "mean", abs(means[1] - means[0]) * scale, None, _between(pair, *means)),
        Drift(pair.name, "quantile", abs(quantile[1] - quantile[0]) * scale, None, _join(where, note)),
        Drift(pair.name, "psi", _psi(a, b), _PSI, note),
        Drift(pair.name, "ks", _ks(a, b), _KS, note),
    ]


def _scale(pair: Pair) -> float:
    """Seconds in one unit of a time, 1 for numbers."""
    import pyarrow.types as t

    assert pair.wire is not None
    return 86400.0 if t.is_date32(pair.wire.type) else pair.wire.scale or 1.0


def _between(pair: Pair, before: float, after: float) -> str:
    """Both numbers as people read them, times as times."""
    import pyarrow as pa
    import pyarrow.types as t

    if pair.masked:
        return MASK
    assert pair.wire is not None
    kind = pair.wire.type
    if not (t.is_temporal(kind) or pair.wire.scale):
        return f"{before:.6g} to {after:.6g}"
    bits = pa.int32() if t.is_date32(kind) else pa.int64()
    texts = [shown(pa.array([int(value)], bits).cast(kind)[0], pair.wire) for value in (before, after)]
    return " to ".join(texts)


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _psi(a: Any, b: Any) -> float:
    """The population stability index over tenths of the control."""
    import numpy as np

    edges = np.unique(np.quantile(a, np.linspace(0, 1, 11)[1:-1]))
    shares = []
    for values in (a, b):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        shares.append(np.maximum(counts / len(values), 1e-4))
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _ks(a: Any, b: Any) -> float:
    """The largest distance of the two empirical distribution functions; both sorted."""
    import numpy as np

    every = np.concatenate([a, b])
    shares = [np.searchsorted(values, every, side="right") / len(values) for values in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _top(pair: Pair, one: _Seen, other: _Seen, note: str) -> list[Drift]:
    """How far the shares of the commonest values moved, the control's and the candidate's."""
    import pyarrow.types as t

    assert pair.wire is not None
    if t.is_nested(pair.wire.type):
        return []
    counts = [_counts(side) for side in (one.values, other.values)]
    totals = [max(sum(each.values()), 1) for each in counts]
    wanted = {value for each in counts for value in sorted(each, key=lambda v: (-each[v], str(v)))[:_TOP]}
    moved = sorted(
        ((abs(counts[1].get(v, 0) / totals[1] - counts[0].get(v, 0) / totals[0]), str(v), v) for v in wanted),
        key=lambda each: (-each[0], each[1]),
    )
    if not moved:
        return []
    share, text, value = moved[0]
    shares = [each.get(value, 0) / total for each, total in zip(counts, totals, strict=True)]
    label = MASK if pair.masked else repr(shorten(text))
    detail = _join(f"{label}: {shares[0]:.4g} to {shares[1]:.4g}", note)
    return [Drift(pair.name, "top-k", share, _SHARE, detail)]


def _counts(values: Any) -> dict[Any, int]:
    counted = values.drop_null().value_counts()
    return {one["values"].as_py(): one["counts"].as_py() for one in counted}
