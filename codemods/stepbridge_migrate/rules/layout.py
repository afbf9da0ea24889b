"""Puts arguments into a call, takes them out and replaces them, in the layout that the call has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stepbridge_migrate.model import Argument, Edit, Span
from stepbridge_migrate.rules.view import View


@dataclass(frozen=True)
class Call:
    """The brackets of a call and what lies in them.

    :param open: offset just after the opening bracket.
    :param close: offset of the closing bracket.
    :param arguments: in the order of the text.
    """

    view: View
    open: int
    close: int
    arguments: tuple[Argument, ...]

    @classmethod
    def of(cls, view: View, opened: int, arguments: Sequence[Argument]) -> Call:
        """The call whose arguments begin at *opened*."""
        known = tuple(sorted(arguments, key=lambda one: one.span))
        end = known[-1].span.end if known else opened
        return cls(view, opened, skip(view.text, end, also=","), known)


def skip(text: str, at: int, *, also: str = "") -> int:
    """The offset of the next character that is no blank, comment, continued line or one of *also*."""
    while at < len(text):
        if text[at] == "#":
            while at < len(text) and text[at] not in "\r\n":
                at += 1
        elif text[at].isspace() or text[at] in "\\" + also:
            at += 1
        else:
            break
    return at


def change(
    call: Call,
    *,
    drop: Sequence[Argument] = (),
    replace: Sequence[tuple[Argument, str]] = (),
    add: Sequence[str] = (),
    shift: int = 0,
) -> list[Edit]:
    """The edits of a call's arguments; what is added takes the place of what is dropped where it can.

    :param replace: arguments with the text that stands for them.
    :param add: whole arguments, ``name=value``.
    :param shift: by how many columns the line of the last argument is to move; lines that are added stand
        in the column where it will be.
    """
    dropped = sorted(drop, key=lambda one: one.span)
    in_place = [*replace, *zip(dropped, add, strict=False)]
    edits = [Edit(one.span.start, _cut(call.view.text, one.span), text) for one, text in in_place]
    edits += _removed(call, dropped[len(add) :])
    return edits + _added(call, add[len(dropped) :], shift)


def _cut(text: str, span: Span) -> str:
    return text[span.start : span.end]


# adding ----------------------------------------------------------------------------------------------------


def _added(call: Call, texts: Sequence[str], shift: int) -> list[Edit]:
    if not texts:
        return []
    view, text = call.view, call.view.text
    if not call.arguments:
        return [Edit(call.open, "", ", ".join(texts))]
    end = call.arguments[-1].span.end
    indent = _own_line(call)
    leading = _leading_comma(call, shift)
    if leading is not None:
        return [Edit(end, "", "".join(f"{leading}{one}" for one in texts))]
    if indent is None:
        return [Edit(end, "", "".join(f", {one}" for one in texts))]
    lines = [f"{view.newline}{_shifted(indent, shift)}{one}" for one in texts]
    comma = skip(text, end)
    if comma < call.close and text[comma] == ",":
        at = _after_comment(text, comma + 1, call.close)
        return [Edit(at, "", "".join(f"{one}," for one in lines))]
    at = _after_comment(text, end, call.close)
    if at == end:
        return [Edit(end, "", "".join(f",{one}" for one in lines))]
    return [Edit(end, "", ","), Edit(at, "", ",".join(lines))]


def _own_line(call: Call) -> str | None:
    """The blanks before the last argument where it begins a line, None where it does not."""
    last = call.arguments[-1]
    indent = call.view.indent(last.span.start)
    if indent is None or call.view.line_start(last.span.start) <= call.open - 1:
        return None
    before = [one for one in call.arguments[:-1] if call.view.indent(one.span.start) is None]
    several = [one for one in before if call.view.line(one.span.start) != call.view.line(call.open)]
    return None if several else indent


def _shifted(indent: str, shift: int) -> str:
    return indent + " " * shift if shift >= 0 else indent[:shift]


def _leading_comma(call: Call, shift: int) -> str | None:
    """The text before an argument where lines begin with a comma: ``"\\n    , "``."""
    if len(call.arguments) < 2:
        return None
    first, last = call.arguments[-2:]
    between = call.view.text[first.span.end : last.span.start]
    head, comma, blanks = between.rpartition(",")
    if not comma or "\n" not in head.replace("\r", "\n") or blanks.strip(" \t") or "#" in blanks:
        return None
    start = max(head.rfind("\n"), head.rfind("\r"))
    indent = head[start + 1 :]
    return None if indent.strip() else f"{call.view.newline}{_shifted(indent, shift)},{blanks}"


def _after_comment(text: str, at: int, close: int) -> int:
    """The end of a comment that stands in the line of *at*; *at* itself where there is none."""
    here = at
    while here < close and text[here] in " \t\f":
        here += 1
    if here < close and text[here] == "#":
        while here < close and text[here] not in "\r\n":
            here += 1
        return here
    return at


# removing --------------------------------------------------------------------------------------------------


def _removed(call: Call, arguments: Sequence[Argument]) -> list[Edit]:
    """Neighbours are taken out together, so that no comma is left between them."""
    runs: list[list[Argument]] = []
    for one in arguments:
        index = call.arguments.index(one)
        if runs and call.arguments.index(runs[-1][-1]) == index - 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return [edit for run in runs for edit in _run(call, run)]


def _run(call: Call, run: Sequence[Argument]) -> list[Edit]:
    text = call.view.text
    first, last = call.arguments.index(run[0]), call.arguments.index(run[-1])
    start, end = run[0].span.start, run[-1].span.end
    comma = skip(text, end)
    after = comma + 1 if comma < call.close and text[comma] == "," else end
    gaps = [text[one.span.end : two.span.start] for one, two in pairwise(run)] + [text[end:after]]
    if any("#" in gap for gap in gaps):
        return _around_comments(call, run)
    own_line = call.view.indent(start) is not None and call.view.line_start(start) > call.open - 1
    rest = _after_comment(text, after, call.close)
    ends_line = rest < len(text) and text[_blanks(text, rest)] in "\r\n"
    if own_line and ends_line:
        begin, end = call.view.line_start(start), call.view.next_line(rest)
    elif last + 1 < len(call.arguments):
        begin, end = start, _blanks(text, after)
    elif first == 0 or "#" in text[call.arguments[first - 1].span.end : start]:
        begin, end = start, after
    else:
        begin = call.arguments[first - 1].span.end
    return [_edit(text, begin, end)]


def _around_comments(call: Call, run: Sequence[Argument]) -> list[Edit]:
    """Arguments and their commas, and not the comments between the two."""
    text = call.view.text
    edits = []
    for one in run:
        edits.append(_edit(text, one.span.start, one.span.end))
        comma = skip(text, one.span.end)
        if comma < call.close and text[comma] == ",":
            edits.append(_edit(text, comma, comma + 1))
    return edits


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\f":
        at += 1
    return min(at, len(text) - 1)


def _edit(text: str, start: int, end: int) -> Edit:
    return Edit(start, text[start:end], "")
