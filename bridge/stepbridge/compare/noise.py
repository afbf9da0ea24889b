"""Noise: what differs between runs of the same work, and whether another difference is within it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from stepbridge.compare.model import Column, Difference, Noise, Part, Relaxation, Verdict, worst
from stepbridge.compare.noise_judging import ONE_BY_ONE, judge
from stepbridge.compare.render.shared import walk

KNOWN = 1000
"""Differences of a value that are looked at one by one; where there are more, nothing is decided."""
FEW = 3
"""Fewer repeats than that are thin evidence."""
_SHOWN = 50
"""Parts of repeats that a report keeps."""


def within(part: Part, repeats: Sequence[Part]) -> Part:
    """*part*, made EQUIVALENT where all its differences are within what the repeats show.

    What that is for each kind of part, :mod:`stepbridge.compare.noise_judging` says. Schemas, types, and what
    one side lacks are never noise. More repeats never make a part less alike.

    :param part: the control compared with the candidate, at least one difference shown.
    :param repeats: the candidate compared with its repeats, by the same rules.
    """
    if part.verdict is not Verdict.DIFFERENT:
        return part
    if part.parts:
        return _around(part, repeats)
    found = judge(part, repeats)
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
    why = judge(part, repeats).why
    if not why:
        return ""
    itself = any(one.verdict is Verdict.DIFFERENT for one in repeats)
    return f"{part.name}: {why}" + ("; the candidate differs from itself, too" if itself else "")


def needs_all(parts: Iterable[Part]) -> bool:
    """Whether every single difference must be known to judge *parts*, as of values by path."""
    return any(
        one.verdict is Verdict.DIFFERENT and one.comparator in ONE_BY_ONE for _, one in walk(tuple(parts))
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
