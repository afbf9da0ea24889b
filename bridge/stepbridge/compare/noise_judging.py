"""Whether the differences of one part are within what repeats show: the rule for each kind of part."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from stepbridge.compare import noise_lines
from stepbridge.compare.images import Spot
from stepbridge.compare.metrics import breach_of, is_breach, numbers_of
from stepbridge.compare.model import Column, Difference, Part
from stepbridge.compare.values import NO_PLAIN

ROWS = 1.2
"""A column may differ in that many times the rows in which the repeats differ at most."""
ONE_BY_ONE = frozenset({"json", "metrics", "text", "image"})
"""Comparators whose differences are judged each by itself: all of them must be known."""
_BY_COLUMN = frozenset({"table", "array"})
_IN_PLACE = frozenset({"value", "null"})
"""Kinds of differences that may be noise: the same place on both sides, of the same type."""
_ABSOLUTE = re.compile(r"abs ([^ ,]+)")
_NEVER = {
    "file": "bytes of a format that is not read are no matter of noise: they say that two runs differ and "
    "not how far; write a format that is read, such as safetensors, Parquet or JSON",
    "weights": "it shows no arrays that differ, and what else it holds is no matter of noise: write the "
    "arrays as safetensors or npz",
}


@dataclass(frozen=True)
class Judged:
    """Whether a part's differences are within noise.

    :param evidence: what the repeats show; empty where the differences are not within it.
    :param why: why they are not; empty where they are.
    """

    evidence: str = ""
    why: str = ""


def judge(part: Part, repeats: Sequence[Part]) -> Judged:
    """Judge a part without parts inside it.

    :param part: the control compared with the candidate.
    :param repeats: the candidate compared with each repeat, by the same rules; parts of another comparator
        say nothing.
    """
    alike = [one for one in repeats if one.comparator == part.comparator]
    hard = [one for one in part.differences if not one.within]
    if part.comparator not in _BY_COLUMN | ONE_BY_ONE:
        why = _NEVER.get(part.comparator, f"noise cannot be measured by the comparator {part.comparator!r}")
        return Judged(why=why)
    if not alike:
        return Judged(why="no repeat gave something of the same kind")
    if not hard or not part.exact:
        return Judged(why="its differences are not known one by one")
    fixed = next((one for one in hard if one.kind not in _IN_PLACE), None)
    if fixed is not None:
        return Judged(why=f"{fixed.path} ({fixed.kind}) is no matter of noise")
    if part.comparator in _BY_COLUMN:
        return _by_column(part, alike)
    if part.total != len(hard):
        return Judged(why=f"{part.total:,} differences are too many to look at one by one")
    return _together(_one(part.comparator, each, alike) for each in hard)


def _together(found: Iterable[Judged]) -> Judged:
    """All or nothing: the first that is not within noise decides."""
    said = []
    for one in found:
        if not one.evidence:
            return one
        said.append(one.evidence)
    return Judged(_listed(said))


def _one(comparator: str, mine: Difference, repeats: Sequence[Part]) -> Judged:
    if comparator == "text":
        return _line(mine, repeats)
    if comparator == "image" and Spot.of(mine) is not None:
        return _pixels(mine, repeats)
    if comparator == "metrics" and is_breach(mine):
        return _metric(mine, repeats)
    return _path(mine, repeats)


# values -----------------------------------------------------------------------------------------------


def _path(mine: Difference, repeats: Sequence[Part]) -> Judged:
    """A value that differs at the same path between repeats: a number by no less, anything else likewise."""
    if mine.detail.endswith(" bytes") or mine.detail == NO_PLAIN:
        what = "bytes" if mine.detail != NO_PLAIN else "no plain value"
        return Judged(why=f"{mine.path} is {what}, and no matter of noise")
    theirs = [
        _distance(each)
        for repeat in repeats
        for each in repeat.differences
        if not each.within and (each.path, each.kind) == (mine.path, mine.kind)
    ]
    known = [each for each in theirs if each is not None]
    own = _distance(mine)
    if own is None:
        if None in theirs:
            return Judged(mine.path)
        return Judged(why=f"{mine.path} does not differ like that between repeats")
    if not known:
        return Judged(why=f"{mine.path} does not differ between repeats")
    if own > max(known) or not own.is_finite():
        return Judged(why=f"{mine.path} is {own:.3g} apart, between repeats at most {max(known):.3g}")
    return Judged(f"{mine.path} at most {max(known):.3g} apart")


def _distance(one: Difference) -> Decimal | None:
    """How far apart two numbers are; None where they are none, infinite where it is not known."""
    rounded = _ABSOLUTE.match(one.detail)
    if rounded is None:
        return Decimal("inf") if one.detail.endswith(" apart") else None
    try:
        return abs(Decimal(one.control or "") - Decimal(one.candidate or ""))
    except InvalidOperation:
        return Decimal(rounded[1])


# metrics ----------------------------------------------------------------------------------------------


def _metric(mine: Difference, repeats: Sequence[Part]) -> Judged:
    """A metric that broke its rule, where another run of the candidate is no worse than limit and control.

    A repeat that is further off on the wrong side makes the distance between runs larger and excuses
    nothing: that the candidate can reach the control is what must be seen.
    """
    breach = breach_of(mine)
    if breach is None:
        return Judged(why=f"the numbers of {mine.path} are masked or not finite")
    runs = [
        numbers[mine.path]
        for numbers in map(numbers_of, repeats)
        if math.isfinite(numbers.get(mine.path, math.nan))
    ]
    reached = [run for run in runs if breach.reached(run)]
    if not runs:
        return Judged(why=f"{mine.path} does not differ between repeats")
    between = [breach.candidate, *runs]
    spread = f"{min(between):.6g} to {max(between):.6g}"
    if not reached:
        return Judged(
            why=f"{mine.path} is {breach.candidate:.6g}, and no repeat reaches the control's "
            f"{breach.control:.6g} and the rule's {breach.limit:.6g}: they lie in {spread}"
        )
    return Judged(f"{mine.path} of the candidate's runs lies in {spread}")


# text -------------------------------------------------------------------------------------------------


def _line(mine: Difference, repeats: Sequence[Part]) -> Judged:
    """A line that also differs between repeats, in the same words."""
    lines = noise_lines.lines_of(mine)
    if lines is None:
        return Judged(why=f"{mine.path} is masked, or longer than a report keeps it")
    found = [
        other
        for repeat in repeats
        for each in repeat.differences
        if each.kind == "value" and not each.within
        for other in [noise_lines.lines_of(each)]
        if other is not None and other.number == lines.other
    ]
    if not found:
        return Judged(why=f"{mine.path} does not differ between repeats")
    evidence, why = noise_lines.within(lines, found)
    if why:
        return Judged(why=f"{mine.path} {why}")
    return Judged(f"{mine.path} {evidence}")


# images -----------------------------------------------------------------------------------------------


def _pixels(mine: Difference, repeats: Sequence[Part]) -> Judged:
    """The pixels of a frame: no more of them, no further apart, and nowhere else than between repeats."""
    own, frame = Spot.of(mine), _frame(mine)
    if own is None:
        return Judged(why=f"it is not known how far apart {mine.path} is")
    theirs = [
        spot
        for repeat in repeats
        for each in repeat.differences
        if each.kind == "value" and not each.within and _frame(each) == frame
        for spot in [Spot.of(each)]
        if spot is not None
    ]
    where = f"{frame}pixels"
    if not theirs:
        return Judged(why=f"{where} do not differ between repeats")
    apart, count = max(one.apart for one in theirs), max(one.count for one in theirs)
    if not own.apart <= apart or not math.isfinite(own.apart):
        return Judged(why=f"{where} are {own.apart:g} apart, between repeats at most {apart:g}")
    if own.count > count:
        return Judged(why=f"{where}: {own.count:,} differ, between repeats at most {count:,}")
    box = (
        min(one.left for one in theirs),
        max(one.right for one in theirs),
        min(one.top for one in theirs),
        max(one.bottom for one in theirs),
    )
    within = f"within x {box[0]} to {box[1]}, y {box[2]} to {box[3]}"
    if not (box[0] <= own.left and own.right <= box[1] and box[2] <= own.top and own.bottom <= box[3]):
        return Judged(why=f"{where} differ elsewhere: between repeats only {within}")
    return Judged(f"{where}: at most {apart:g} apart, {count:,} of them, {within}")


def _frame(one: Difference) -> str:
    """``frame 3 `` of an animation; empty for an image of one frame."""
    return one.path.partition("pixel (")[0]


# tables and arrays ------------------------------------------------------------------------------------


def _by_column(part: Part, repeats: Sequence[Part]) -> Judged:
    mine = [one for one in part.columns if one.unequal]
    if sum(one.unequal for one in mine) != part.total:
        return Judged(why="not only cells differ")
    said = []
    for one in mine:
        theirs = [each for repeat in repeats for each in repeat.columns if each.name == one.name]
        why = _column(one, theirs)
        if why:
            return Judged(why=f"column {one.name!r} {why}")
        apart = _largest(each.max_abs for each in theirs)
        distance = "" if apart is None else f"at most {apart:.6g} apart, "
        rows = max(each.unequal for each in theirs)
        said.append(f"column {one.name!r}: {distance}{rows:,} {part.unit}")
    return Judged(_listed(said))


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


def _listed(said: Sequence[str]) -> str:
    more = len(said) - 3
    return "; ".join(said[:3]) + (f"; and {more:,} more" if more > 0 else "")
