"""Which of the known names was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(wanted: str, known: Iterable[str], *, limit: int = 5) -> tuple[str, ...]:
    """At most *limit* of the *known* names that resemble *wanted*, nearest first, equal ones in their order.

    A name counts as near where its letters do, where it ends in what was asked for (``train`` for
    ``dag.train``), or where one contains the other.
    """
    folded = wanted.casefold()
    scored: list[tuple[float, int, str]] = []
    for place, name in enumerate(dict.fromkeys(known)):
        candidate = name.casefold()
        score = difflib.SequenceMatcher(None, folded, candidate, autojunk=False).ratio()
        if candidate.endswith("." + folded.rpartition(".")[2]):
            score += 0.5
        elif folded and (folded in candidate or candidate in folded):
            score += 0.25
        if score >= 0.6:
            scored.append((-score, place, name))
    return tuple(name for _, _, name in sorted(scored)[:limit])


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?``, or the known names where none is near."""
    names = tuple(known)
    close = nearest(wanted, names, limit=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
