"""Edits of a text: check them, apply them, turn them round, join two sets to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stepbridge_migrate.model import Edit, Span
from stepbridge_migrate.problems import MigrateProblem

MOVED = "SM514"
"""The code of a text that is not the one that the edits were made for."""


def ordered(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits by place, those of one place in the order given, without those that change nothing."""
    return tuple(
        sorted((one for one in edits if one.old != one.text), key=lambda one: (one.start, one.old != ""))
    )


def check(text: str, edits: Sequence[Edit], *, path: str = "") -> None:
    """Refuse edits that overlap or that were made for another text.

    :param path: of the file, for the message.
    :raises MigrateProblem: SM514 with the place.
    """
    end = 0
    for one in edits:
        if one.start < end or one.start > len(text):
            raise MigrateProblem(
                MOVED, f"the edit at character {one.start} overlaps the one before it", place=path
            )
        end = one.start + len(one.old)
        found = text[one.start : end]
        if found != one.old:
            line = text.count("\n", 0, one.start) + 1
            raise MigrateProblem(
                MOVED,
                f"there stands {_short(found)} where {_short(one.old)} was to be changed",
                place=f"{path}:{line}",
                hint="run the command again",
            )


def apply(text: str, edits: Iterable[Edit], *, path: str = "") -> str:
    """*text* with the edits made.

    :raises MigrateProblem: SM514 where they do not fit.
    """
    sequence = ordered(edits)
    check(text, sequence, path=path)
    parts: list[str] = []
    done = 0
    for one in sequence:
        parts += text[done : one.start], one.text
        done = one.start + len(one.old)
    return "".join(parts) + text[done:]


def invert(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits that lead from the edited text back."""
    back: list[Edit] = []
    shift = 0
    for one in ordered(edits):
        back.append(Edit(one.start + shift, one.text, one.old, one.shared))
        shift += len(one.text) - len(one.old)
    return _joined(back)


def compose(text: str, first: Iterable[Edit], second: Iterable[Edit]) -> tuple[Edit, ...]:
    """One set of edits of *text* that does what *first* and then *second* do.

    :param second: edits of the text that *first* gives.
    """
    one, two = ordered(first), ordered(second)
    between = apply(text, one)
    final = apply(between, two)
    back = invert(one)
    touched = sorted(
        [(edit.start, edit.start + len(edit.old)) for edit in two]
        + [(edit.start, edit.start + len(edit.old)) for edit in back]
    )
    hulls: list[tuple[int, int]] = []
    for start, end in touched:
        if hulls and start <= hulls[-1][1]:
            hulls[-1] = (hulls[-1][0], max(end, hulls[-1][1]))
        else:
            hulls.append((start, end))
    joined = []
    for start, end in hulls:
        below = _mapped(back, start, end)
        above = _mapped(two, start, end)
        inside = [edit for edit in (*back, *two) if start <= edit.start <= end]
        shared = all(edit.shared for edit in inside)
        joined.append(Edit(below[0], text[slice(*below)], final[slice(*above)], shared))
    return tuple(edit for edit in joined if edit.old != edit.text)


@dataclass(frozen=True)
class Shift:
    """Where the places of a text are after *edits*."""

    edits: tuple[Edit, ...]

    def offset(self, place: int) -> int:
        """The place of a character that no edit replaces; what is inserted at a place comes before it."""
        shift = 0
        for one in ordered(self.edits):
            if one.start + len(one.old) > place:
                break
            shift += len(one.text) - len(one.old)
        return place + shift

    def span(self, span: Span) -> Span:
        """A span that no edit changes inside."""
        start = self.offset(span.start)
        return Span(start, start + span.end - span.start)


def _mapped(edits: Sequence[Edit], start: int, end: int) -> tuple[int, int]:
    """The span of the edited text that stands for ``[start, end)``; no edit reaches over its ends."""
    before = sum(len(one.text) - len(one.old) for one in edits if one.start < start)
    inside = sum(len(one.text) - len(one.old) for one in edits if start <= one.start <= end)
    return start + before, end + before + inside


def _joined(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Edits that touch one another as one, so that each has a place of its own."""
    joined: list[Edit] = []
    for one in edits:
        last = joined[-1] if joined else None
        if last is not None and last.start + len(last.old) == one.start:
            shared = last.shared and one.shared
            joined[-1] = Edit(last.start, last.old + one.old, last.text + one.text, shared)
        else:
            joined.append(one)
    return tuple(joined)


def _short(text: str, limit: int = 60) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "...")
