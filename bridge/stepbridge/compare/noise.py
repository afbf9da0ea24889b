"""Noise: what differs between runs of the same work, and whether another difference is within it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from stepbridge.compare.model import Column, Difference, Noise, Part, Relaxation, Verdict, worst
from stepbridge.compare.render.shared import walk

ROWS = 1.2
"""A column may differ in that many times the rows in which the repeats differ at most."""
KNOWN = 1000
"""Differences of a value that are looked at one by one; where there are more, nothing is decided."""
FEW = 3
"""Fewer repeats than that are thin evidence."""
_SHOWN = 50
"""Parts of repeats that a report keeps."""
_BY_COLUMN = frozenset({"table", "array"})
_BY_PATH = frozenset({"json"})
_IN_PLACE = frozenset({"value", "null"})
"""Kinds of differences that may be noise: the same place on both sides, of the same type."""
_ABSOLUTE = re.compile(r"abs ([^ ,]+)")


@dataclass(frozen=True)
class _Judged:
    """Whether a part's differences are within noise.

    :param evidence: what the repeats show; empty where the differences are not within it.
    :param why: why they are not; empty where they are.
    """

    evidence: str = ""
    why: str = ""


def within(part: Part, repeats: Sequence[Part]) -> Part:
    """*part*, made EQUIVALENT where all its differences are within what the repeats show.

    Columns of tables and arrays: the largest distance is at most the repeats' largest, and at most
    :data:`ROWS` times as many rows differ. Values: each path differs between the repeats too, numbers by no
    more than theirs. Schemas, types, and what one side lacks are never noise; nor are bytes, images, text,
    metrics and pickles, of which a distance would say nothing. More repeats never make a part less alike.

    :param part: the control compared with the candidate, at least one difference shown.
    :param repeats: the candidate compared with its repeats, by the same rules.
    """
    if part.verdict is not Verdict.DIFFERENT:
        return part
    if part.parts:
        return _around(part, repeats)
    found = _judge(part, repeats)
    if not found.evidence:
        return part
    allowed = Relaxation("noise", f"{_runs(len(repeats))}, {found.evidence}", part.total)
    return replace(
        part,
        verdict=_own(part, relaxed=True),
        rule=f"{_count(part.total)} within the noise of the candidate: {allowed.value}",
        differences=tuple(_marked(one) for one in part.differences),
        total=0,
        columns=tuple(_passed(one) for one in part.columns),
        relaxations=(*part.relaxations, allowed),
    )


def why_not(part: Part, repeats: Sequence[Part]) -> str:
    """Why *part* is not within noise; empty where it has no difference, or where it is."""
    if part.verdict is not Verdict.DIFFERENT:
        return ""
    if part.comparator == "weights" and part.skipped:
        return f"{part.name}: not all of it was compared"
    if part.parts:
        inner = (why_not(one, _inner(repeats, one.name)) for one in part.parts)
        own = "" if part.total <= _unlike(part) else "something is on one side only, or more files differ"
        return next((why for why in inner if why), own)
    why = _judge(part, repeats).why
    if not why:
        return ""
    itself = any(one.verdict is Verdict.DIFFERENT for one in repeats)
    return f"{part.name}: {why}" + ("; the candidate differs from itself, too" if itself else "")


def needs_all(parts: Iterable[Part]) -> bool:
    """Whether every single difference must be known to judge *parts*, as of values by path."""
    return any(
        one.verdict is Verdict.DIFFERENT and one.comparator in _BY_PATH for _, one in walk(tuple(parts))
    )


def shortened(part: Part, samples: int) -> Part:
    """The part with at most *samples* differences shown; counts stay."""
    return replace(
        part,
        differences=part.differences[:samples],
        columns=tuple(replace(one, samples=one.samples[:samples]) for one in part.columns),
        parts=tuple(shortened(one, samples) for one in part.parts),
    )


def report(runs: int, parts: Sequence[Part], unknown: Sequence[str], left: Sequence[str]) -> Noise:
    """What a report says of the noise of the candidate.

    :param runs: how many repeats were asked for.
    :param parts: every comparison of a repeat with the candidate, named for its run.
    :param unknown: why the noise of something is not known.
    :param left: why differences are not within noise.
    """
    unlike = [one for one in parts if one.verdict is not Verdict.IDENTICAL]
    said = []
    if parts:
        said.append(f"{len(unlike):,} of {len(parts):,} results are not identical to the candidate's")
    if len(unlike) > _SHOWN:
        said.append(f"the first {_SHOWN} are shown")
    said += [f"noise is not known: {why}" for why in unknown[:3]]
    if len(unknown) > 3:
        said.append(f"and {len(unknown) - 3:,} more that are not known")
    said += [f"not noise: {why}" for why in left[:3]]
    if runs < FEW:
        said.append(f"fewer than {FEW} repeats are thin evidence")
    return Noise("candidate", runs, tuple(unlike[:_SHOWN]), "; ".join(said))


# the whole and its members ----------------------------------------------------------------------------


def _around(part: Part, repeats: Sequence[Part]) -> Part:
    if part.comparator == "weights" and part.skipped:
        return part  # without differences it would be INCOMPARABLE, and no better
    inner = tuple(within(one, _inner(repeats, one.name)) for one in part.parts)
    if inner == part.parts:
        return part
    own = _own(part, relaxed=False)
    if part.total > _unlike(part):
        own = Verdict.DIFFERENT
    passed = _unlike(part) - sum(not one.verdict.same for one in inner)
    verdict = worst([own, *(one.verdict for one in inner)])
    rule = part.rule
    if verdict is not Verdict.DIFFERENT:
        first = next(one for one, before in zip(inner, part.parts, strict=True) if one != before)
        rule = f"{passed:,} of {len(inner):,} are within noise; {first.name}: {first.rule}"
    return replace(part, verdict=verdict, rule=rule, total=max(part.total - passed, 0), parts=inner)


def _inner(repeats: Sequence[Part], name: str) -> list[Part]:
    """The parts of that name; a repeat without one, for it was equal, says nothing of noise."""
    return [one for repeat in repeats for one in repeat.parts if one.name == name]


def _unlike(part: Part) -> int:
    return sum(not one.verdict.same for one in part.parts)


def _own(part: Part, *, relaxed: bool) -> Verdict:
    """The verdict without differences: what relaxations and skips leave of it."""
    if any(one.allowed and one.name.startswith("ignore:") for one in part.relaxations):
        return Verdict.EXPLAINED
    used = any(one.allowed for one in part.relaxations) or part.skipped
    return Verdict.EQUIVALENT if relaxed or used else Verdict.IDENTICAL


# one part ---------------------------------------------------------------------------------------------


def _judge(part: Part, repeats: Sequence[Part]) -> _Judged:
    alike = [one for one in repeats if one.comparator == part.comparator]
    hard = [one for one in part.differences if not one.within]
    if part.comparator not in _BY_COLUMN | _BY_PATH:
        return _Judged(why=f"noise cannot be measured by the comparator {part.comparator!r}")
    if not alike:
        return _Judged(why="no repeat gave something of the same kind")
    if not hard or not part.exact:
        return _Judged(why="its differences are not known one by one")
    fixed = next((one for one in hard if one.kind not in _IN_PLACE), None)
    if fixed is not None:
        return _Judged(why=f"{fixed.path} ({fixed.kind}) is no matter of noise")
    if part.comparator in _BY_PATH:
        return _by_path(part, hard, alike)
    return _by_column(part, alike)


def _by_path(part: Part, mine: Sequence[Difference], repeats: Sequence[Part]) -> _Judged:
    if part.total != len(mine):
        return _Judged(why=f"{part.total:,} differences are too many to look at one by one")
    theirs: dict[tuple[str, str], list[Difference]] = {}
    for one in (each for repeat in repeats for each in repeat.differences if not each.within):
        theirs.setdefault((one.path, one.kind), []).append(one)
    said = []
    for one in mine:
        distances = [_distance(each) for each in theirs.get((one.path, one.kind), [])]
        known = [each for each in distances if each is not None]
        own = _distance(one)
        if own is None and None not in distances:
            return _Judged(why=f"{one.path} does not differ like that between repeats")
        if own is None:
            said.append(one.path)
        elif not known:
            return _Judged(why=f"{one.path} does not differ between repeats")
        elif own > max(known) or not own.is_finite():
            return _Judged(why=f"{one.path} is {own:.3g} apart, between repeats at most {max(known):.3g}")
        else:
            said.append(f"{one.path} at most {max(known):.3g} apart")
    return _Judged(_listed(said))


def _distance(one: Difference) -> Decimal | None:
    """How far apart two numbers are; None where they are none, infinite where it is not known."""
    rounded = _ABSOLUTE.match(one.detail)
    if rounded is None:
        return Decimal("inf") if one.detail.endswith(" apart") else None
    try:
        return abs(Decimal(one.control or "") - Decimal(one.candidate or ""))
    except InvalidOperation:
        return Decimal(rounded[1])


def _by_column(part: Part, repeats: Sequence[Part]) -> _Judged:
    mine = [one for one in part.columns if one.unequal]
    if sum(one.unequal for one in mine) != part.total:
        return _Judged(why="not only cells differ")
    said = []
    for one in mine:
        theirs = [each for repeat in repeats for each in repeat.columns if each.name == one.name]
        why = _column(one, theirs)
        if why:
            return _Judged(why=f"column {one.name!r} {why}")
        apart = _largest(each.max_abs for each in theirs)
        distance = "" if apart is None else f"at most {apart:.6g} apart, "
        rows = max(each.unequal for each in theirs)
        said.append(f"column {one.name!r}: {distance}{rows:,} {part.unit}")
    return _Judged(_listed(said))


def _column(mine: Column, theirs: Sequence[Column]) -> str:
    """Why a column's differences are not within the repeats'; empty where they are."""
    rows = max((one.unequal for one in theirs), default=0)
    if not rows:
        return "does not differ between repeats"
    if mine.unequal > ROWS * rows:
        return f"differs {mine.unequal:,} times, between repeats at most {rows:,} times"
    nulls = max(one.nulls for one in theirs)
    if mine.nulls > ROWS * nulls:
        return f"has {mine.nulls:,} values on one side only, between repeats at most {nulls:,}"
    number = mine.max_abs is not None or any(_ABSOLUTE.match(one.detail) for one in mine.samples)
    if not number:
        return ""
    apart = _largest(one.max_abs for one in theirs)
    if mine.max_abs is None or apart is None:
        return "holds numbers whose distance is not known"
    if mine.max_abs > apart:
        return f"is {mine.max_abs:.6g} apart, between repeats at most {apart:.6g}"
    if _without_distance(mine) and not any(_without_distance(one) for one in theirs):
        return "has numbers beside something that is none, such as NaN, or is masked"
    return ""


def _without_distance(column: Column) -> bool:
    """Whether something in a column of numbers has no distance; such samples come first."""
    return any(
        one.kind == "value" and not one.within and not _ABSOLUTE.match(one.detail)
        for one in column.samples[:1]
    )


def _largest(found: Iterable[float | None]) -> float | None:
    return max((one for one in found if one is not None), default=None)


def _passed(column: Column) -> Column:
    if not column.unequal:
        return column
    return replace(
        column,
        unequal=0,
        allowed=column.allowed + column.unequal,
        tolerance=f"{column.tolerance}, noise" if column.tolerance else "noise",
        samples=tuple(_marked(one) for one in column.samples),
    )


def _marked(one: Difference) -> Difference:
    return one if one.within else replace(one, within="noise")


def _count(total: int) -> str:
    return "1 difference is" if total == 1 else f"{total:,} differences are"


def _runs(count: int) -> str:
    return "1 repeat" if count == 1 else f"{count} repeats"


def _listed(said: Sequence[str]) -> str:
    more = len(said) - 3
    return "; ".join(said[:3]) + (f"; and {more:,} more" if more > 0 else "")
