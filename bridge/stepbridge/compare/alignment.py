"""Which items of two sequences belong together, and which relaxations make two texts equal."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

Steps = tuple[tuple[str, Callable[[str], str]], ...]
"""Names of relaxations and what each makes of a text, in the order in which they are tried."""


def aligned(
    a: Sequence[T], b: Sequence[T], *, most: int, mark: Callable[[T], Hashable]
) -> Iterator[tuple[int | None, int | None]]:
    """Indices that belong together; None where one side has no such item.

    :param most: sequences of unequal lengths are aligned up to so many items, longer ones matched by index.
    :param mark: equal for items that count as equal.
    """
    if len(a) == len(b) or max(len(a), len(b)) > most:
        for n in range(max(len(a), len(b))):
            yield (n if n < len(a) else None), (n if n < len(b) else None)
        return
    matcher = difflib.SequenceMatcher(None, [mark(x) for x in a], [mark(y) for y in b], autojunk=False)
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        for n in range(max(i_end - i, j_end - j)):
            yield (i + n if i + n < i_end else None), (j + n if j + n < j_end else None)


def relaxed(a: str, b: str, equal: Collection[str], steps: Steps) -> str:
    """The relaxations of *equal* that make two texts equal, joined by ``+``; empty where none does."""
    used = []
    for name, normal in steps:
        if name in equal:
            if normal(a) != a or normal(b) != b:
                used.append(name)
            a, b = normal(a), normal(b)
            if a == b:
                return "+".join(used)
    return ""
