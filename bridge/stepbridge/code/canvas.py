"""The shipped text of a slice: a blank page on which the selected statements stand on their own lines."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from stepbridge.code.source import Edit, Position, Source


class Canvas:
    """Lines of the file that is being sliced, empty until something is placed on them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lines: list[str] = [""] * len(source.lines)
        self._open: set[int] = set()

    def text(self) -> str:
        """What has been placed, without blank lines at the end."""
        return "\n".join(self.lines).rstrip() + "\n"

    def statement(self, start: Position, end: Position, indent: str, edits: Sequence[Edit] = ()) -> None:
        """Copy the range, a whole statement or a decorator, at *indent*."""
        self.place(start[0], self.source.cut(start, end, edits), indent)

    def header(self, start: Position, end: Position, indent: str, edits: Sequence[Edit] = ()) -> None:
        """Copy the range, the header of a compound statement up to and with its colon."""
        self.statement(start, end, indent, edits)
        self._open.add(end[0])

    def line(self, line: int, text: str, indent: str, *, header: bool = False) -> None:
        """Write *text*, which the file does not hold, on a line of its own or after what stands there."""
        self.place(line, text, indent)
        if header:
            self._open.add(line)

    def place(self, line: int, text: str, indent: str) -> None:
        """Put *text* at *line*; where something stands there already, after it."""
        first, *rest = text.split("\n")
        here = self.lines[line]
        if not here:
            self.lines[line] = indent + first
        elif line in self._open:
            self.lines[line] = f"{here} {first}"
        else:
            self.lines[line] = f"{here}; {first}"
        self._open.discard(line)
        for number, part in enumerate(rest, start=line + 1):
            self.lines[number] = part

    def empty(self, line: int) -> bool:
        """True where nothing stands on the line; the line behind the last one counts."""
        return line >= len(self.lines) or not self.lines[line]

    def insert(self, line: int, text: str) -> None:
        """Write *text* on the line; where it is taken, before it, which moves the lines below."""
        if line >= len(self.lines):
            self.lines.append(text)
        elif self.lines[line]:
            self.lines.insert(line, text)
        else:
            self.lines[line] = text


def header_end(source: Source, node: ast.AST) -> Position:
    """The place behind the colon that ends the first header of a compound statement or handler."""
    match node:
        case ast.If() | ast.While():
            last: Position = source.end(node.test)
        case ast.For() | ast.AsyncFor():
            last = source.end(node.iter)
        case ast.With() | ast.AsyncWith():
            item = node.items[-1]
            last = source.end(item.optional_vars or item.context_expr)
        case ast.ExceptHandler():
            last = source.end(node.type) if node.type else source.start(node)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            raise TypeError("definitions have no header of their own here")
        case ast.stmt():
            last = source.start(node)
        case _:
            raise TypeError(type(node).__name__)
    return source.after(last, ":")


def keyword(source: Source, block: Sequence[ast.stmt], word: str) -> tuple[Position, Position]:
    """Where ``else`` or ``finally`` after *block* begins, and the place behind its colon."""
    end = source.after(source.end(block[-1]), word)
    return (end[0], end[1] - len(word)), source.after(end, ":")


def block_indent(source: Source, block: Sequence[ast.stmt], outer: str) -> str:
    """The indentation of *block*; one blank more than *outer* where it shares its header's line."""
    first = block[0]
    decorators = getattr(first, "decorator_list", None) or []
    line, column = source.start(decorators[0] if decorators else first)
    before = source.lines[line][:column].rstrip("@ (") if decorators else source.lines[line][:column]
    if decorators:
        return source.indentation(line)
    return source.indentation(line) if not before.strip(" \t\f") else outer + " "


def decorator_range(source: Source, node: ast.expr, floor: Position) -> tuple[Position, Position]:
    """The range of a decorator with its ``@``; *floor* is the end of what stands before it."""
    line, column = source.start(node)
    while True:
        left = floor[1] if line == floor[0] else 0
        at = source.lines[line].rfind("@", left, column)
        if at >= 0:
            break
        line -= 1
        column = len(source.lines[line])
    opened = source.cut((line, at), source.start(node)).count("(")
    end = source.end(node)
    for _ in range(opened):
        end = source.after(end, ")")
    return (line, at), end
