"""Whether one line of text differs from another only in words that also differ between repeats."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from stepbridge.compare.model import Difference

_PLACE = re.compile(r"line (\d+)(?: \((\d+)\))?")
_PIECE = re.compile(r"\s+|\S+")
_MEASURE = re.compile(r"(\D*?)([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?)(\D*)", re.ASCII)


@dataclass(frozen=True)
class Lines:
    """Two lines that belong together.

    :param number: of the line in the first text, from 1. :param other: of the line in the second.
    """

    number: int
    other: int
    first: str
    second: str


def lines_of(one: Difference) -> Lines | None:
    """The lines of a difference of texts; None where they are masked, or longer than a report keeps them."""
    place = _PLACE.fullmatch(one.path)
    try:
        first, second = ast.literal_eval(one.control or ""), ast.literal_eval(one.candidate or "")
    except (ValueError, SyntaxError):
        return None
    if place is None or not (isinstance(first, str) and isinstance(second, str)):
        return None
    return Lines(int(place[1]), int(place[2] or place[1]), first, second)


def within(mine: Lines, repeats: Iterable[Lines]) -> tuple[str, str]:
    """``(evidence, why not)``, one of them empty.

    Each word that differs must differ at its place between repeats too: a word that holds one number, by no
    less; any other, such as a time or an id, with the same signs in it. Spaces are never noise.

    :param mine: of the control and the candidate.
    :param repeats: of the candidate and a repeat, of the same line of the candidate; others are left out.
    """
    control, candidate = _pieces(mine.first), _pieces(mine.second)
    if not _alike(control, candidate):
        return "", "has other words or spaces"
    theirs = [
        (first, second)
        for first, second in ((_pieces(one.first), _pieces(one.second)) for one in repeats)
        if first == candidate and _alike(first, second)
    ]
    said = []
    for at, (a, b) in enumerate(zip(control, candidate, strict=True)):
        if a == b:
            continue
        seen = [second[at] for _, second in theirs if second[at] != b]
        if not seen:
            return "", f"differs in {b[:40]!r}, which does not differ between repeats"
        own = _distance(a, b)
        if own is None:
            if not any(_distance(one, b) is None and _signs(one) == _signs(a) for one in seen):
                return "", f"differs in {b[:40]!r}, between repeats in another way"
            said.append(f"{b[:40]!r}")
            continue
        apart = max((one for one in (_distance(one, b) for one in seen) if one is not None), default=None)
        if apart is None or own > apart:
            most = "in another way" if apart is None else f"at most {apart:.3g}"
            return "", f"is {own:.3g} apart in {b[:40]!r}, between repeats {most}"
        said.append(f"{b[:40]!r} at most {apart:.3g} apart")
    return "words " + ", ".join(said[:3]) + (f" and {len(said) - 3} more" if len(said) > 3 else ""), ""


def _pieces(line: str) -> list[str]:
    return _PIECE.findall(line)


def _alike(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether both have as many words with the same spaces between them."""
    return len(first) == len(second) and all(
        a == b for a, b in zip(first, second, strict=True) if a.isspace() or b.isspace()
    )


def _distance(a: str, b: str) -> Decimal | None:
    """How far apart two words are that are alike but for one number; None for all others."""
    left, right = _MEASURE.fullmatch(a), _MEASURE.fullmatch(b)
    if left is None or right is None or (left[1], left[3]) != (right[1], right[3]):
        return None
    return abs(Decimal(left[2]) - Decimal(right[2]))


def _signs(word: str) -> tuple[str, bool]:
    """What times, paths and ids of one make share: the signs in them, and whether they hold digits."""
    return "".join(one for one in word if not one.isalnum()), any(one.isdigit() for one in word)
