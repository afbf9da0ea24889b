"""Keeps lines under the bracket that they stand under, where an edit moves the bracket to another column."""

from __future__ import annotations

import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stepbridge_migrate.edits import apply
from stepbridge_migrate.model import Edit, Span
from stepbridge_migrate.rules.view import View

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_BLANK = frozenset({tokenize.NL, tokenize.INDENT, tokenize.DEDENT})


@dataclass(frozen=True)
class _Bracket:
    """An opening bracket.

    :param line: offset at which its line begins.
    :param end: offset just after it.
    """

    line: int
    end: int

    @property
    def column(self) -> int:
        """Where text behind the bracket begins, in characters from 0."""
        return self.end - self.line


@dataclass(frozen=True)
class _Line:
    """A line that begins between brackets, and not in a string.

    :param start: offset at which it begins.
    :param first: offset of its first character that is no blank.
    :param token: the text that begins there.
    :param inside: the brackets around it, outermost first; the one that *token* closes is among them.
    """

    start: int
    first: int
    token: str
    inside: tuple[_Bracket, ...]

    @property
    def comment(self) -> bool:
        """Nothing but a comment stands in it."""
        return self.token.startswith("#")

    def stands_under(self, bracket: _Bracket) -> bool:
        """It begins in the bracket's column or right of it; a comma or a closing bracket one to the left."""
        column = self.first - self.start
        return column >= bracket.column - (self.token in _CLOSING or self.token == ",")

    def aligned(self, bracket: _Bracket) -> bool:
        """It begins exactly under the bracket, or under what follows it."""
        return self.stands_under(bracket) and self.first - self.start <= bracket.column


def moved_lines(view: View, name: Span, edits: Sequence[Edit]) -> dict[int, int]:
    """By how many columns the lines below a call have to move: by the offset at which each begins.

    Only lines that stand under a bracket move, with all that stands right of its column. Hanging indents,
    tabs and lines inside strings stay.

    :param name: of what is called.
    :param edits: of the call, in any order.
    """
    head = view.line_start(name.start)
    if "\t" in view.text[head : name.start]:
        return {}
    lines = list(_lines(view, name.start))
    aligned: dict[_Bracket, bool] = {}
    for line in lines:
        if not line.comment:
            aligned.setdefault(line.inside[-1], line.aligned(line.inside[-1]))
    under = {bracket for bracket, yes in aligned.items() if yes}
    moved: dict[int, int] = {}
    for line in lines:
        bracket = _governing(line, under, moved, head)
        by = 0 if bracket is None else _moved(view.text, bracket, edits, moved.get(bracket.line, 0))
        blanks = view.text[line.start : line.first]
        if by and not blanks.strip(" ") and len(blanks) + by >= 0:
            moved[line.start] = by
    return moved


def realigned(view: View, name: Span, edits: Sequence[Edit], moved: Mapping[int, int]) -> list[Edit]:
    """*edits* with those of the blanks of *moved* lines.

    All from the name to the last of these blanks becomes one edit: blanks alone look the same everywhere, and
    a rollback in a file that changed since could not tell whose they are.
    """
    blanks = []
    for start, by in moved.items():
        old = _spaces(view.text, start)
        end = start + len(old)
        if not any(one.start < end and one.start + len(one.old) > start for one in edits):
            blanks.append(Edit(start, old, " " * (len(old) + by)))
    if not blanks:
        return list(edits)
    begin, end = name.start, max(one.start + len(one.old) for one in blanks)
    inside = [one for one in (*edits, *blanks) if begin <= one.start < end]
    outside = [one for one in edits if one not in inside]
    old = view.text[begin:end]
    at_home = [Edit(one.start - begin, one.old, one.text) for one in inside]
    return [Edit(begin, old, apply(old, at_home, path=view.path)), *outside]


def _spaces(text: str, start: int) -> str:
    end = start
    while end < len(text) and text[end] == " ":
        end += 1
    return text[start:end]


def _governing(line: _Line, under: set[_Bracket], moved: Mapping[int, int], head: int) -> _Bracket | None:
    """The bracket that *line* moves with: the innermost that has lines under it."""
    for bracket in reversed(line.inside):
        if bracket in under:
            return bracket if line.stands_under(bracket) else None
        if bracket.line != head and bracket.line not in moved:
            return None
    return None


def _moved(text: str, bracket: _Bracket, edits: Sequence[Edit], by: int) -> int:
    """By how many columns a bracket moves.

    :param by: how many its line does.
    """
    around = [one for one in edits if one.start < bracket.end and one.start + len(one.old) >= bracket.line]
    before = [one for one in around if one.start >= bracket.line]
    crossing = [one for one in around if one.start < bracket.line < one.start + len(one.old)]
    if crossing or any(one.start + len(one.old) > bracket.end or _breaks(one.old) for one in before):
        return 0
    at_home = [Edit(one.start - bracket.line, one.old, one.text) for one in before]
    line = apply(text[bracket.line : bracket.end], at_home).replace("\r", "\n")
    return by + len(line.rpartition("\n")[2]) - bracket.column


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def _lines(view: View, begin: int) -> Iterator[_Line]:
    """The lines below that of *begin* that belong to the brackets opened from there on."""
    starts = [begin]

    def readline() -> str:
        at = starts[-1]
        if at >= len(view.text):
            return ""
        starts.append(view.next_line(at))
        return view.text[at : starts[-1]].rstrip("\r\n") + "\n"

    head = view.line_start(begin)
    inside: list[_Bracket] = []
    seen, strings = 1, 0
    for token in tokenize.generate_tokens(readline):
        kind = tokenize.tok_name[token.type]
        row, column = token.start
        if kind in ("NEWLINE", "ENDMARKER") or (token.string in _CLOSING and not inside):
            return
        if token.type in _BLANK:
            continue
        at = starts[row - 1] + column
        if row > seen and inside and not strings:
            yield _Line(starts[row - 1], at, token.string, tuple(inside))
        strings += kind.endswith("STRING_START") - kind.endswith("STRING_END")
        seen = max(seen, token.end[0])
        if token.type == tokenize.OP and token.string in _OPENING:
            line = head if row == 1 else starts[row - 1]
            inside.append(_Bracket(line, at + 1))
        elif token.type == tokenize.OP and token.string in _CLOSING:
            inside.pop()
