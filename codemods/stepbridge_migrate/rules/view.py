"""A file's text as the edits see it: lines, statements, and which names it binds and uses."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from stepbridge_migrate.model import Span
from stepbridge_migrate.source import Located, SourceFile

Block = list[ast.stmt]
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, eq=False)
class View:
    """One text, parsed once.

    :param path: of the file, relative to the project's root.
    """

    path: str
    text: str

    @cached_property
    def _file(self) -> SourceFile:
        return SourceFile(self.path, b"", self.text)

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text.

        :raises SyntaxError: it is no Python.
        """
        return ast.parse(self.text, filename=self.path)

    @property
    def newline(self) -> str:
        """The line end of most lines."""
        return self._file.newline

    def span(self, node: Located) -> Span:
        """The offsets of *node*; of a definition with its decorators."""
        span = self._file.span(node)
        decorators = getattr(node, "decorator_list", None)
        if decorators:
            return Span(self.text.rindex("@", 0, self._file.span(decorators[0]).start), span.end)
        return span

    def line_start(self, offset: int) -> int:
        """The offset at which the line of *offset* begins."""
        return self._file.starts[self._file.place(offset).line - 1]

    def line_end(self, offset: int) -> int:
        """The offset of the line end after *offset*, or of the text's end."""
        end = self.next_line(offset)
        for newline in ("\r\n", "\n", "\r"):
            if self.text.endswith(newline, 0, end) and end - len(newline) >= offset:
                return end - len(newline)
        return end

    def next_line(self, offset: int) -> int:
        """The offset at which the line after that of *offset* begins, or the text's end."""
        starts = self._file.starts
        line = self._file.place(offset).line
        return starts[line] if line < len(starts) else len(self.text)

    def indent(self, offset: int) -> str | None:
        """The blanks before *offset* in its line; None where something else stands there."""
        before = self.text[self.line_start(offset) : offset]
        return None if before.strip(" \t\f") else before

    def line(self, offset: int) -> int:
        """The line of an offset, from 1."""
        return self._file.place(offset).line

    # statements --------------------------------------------------------------------------------------------

    def path_to(self, span: Span) -> list[tuple[ast.AST, Block, int]]:
        """The blocks around a span, outermost first: their owner, the block, which statement of it."""
        found: list[tuple[ast.AST, Block, int]] = []
        owner: ast.AST = self.tree
        while True:
            inner = self._statement(owner, span)
            if inner is None:
                return found
            found.append((owner, *inner))
            owner = inner[0][inner[1]]

    def _statement(self, owner: ast.AST, span: Span) -> tuple[Block, int] | None:
        for block in blocks(owner):
            for index, statement in enumerate(block):
                around = self.span(statement)
                if around.start <= span.start and span.end <= around.end:
                    return block, index
        return None

    def functions_around(self, span: Span) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """The functions that a span lies in, outermost first; a decorator does not lie in its function."""
        return [
            owner
            for owner, block, index in self.path_to(span)
            if isinstance(owner, _SCOPES) and block is owner.body and index >= 0
        ]

    # names -------------------------------------------------------------------------------------------------

    @cached_property
    def bindings(self) -> Counter[str]:
        """How often each name is bound, in any scope of the file."""
        found: Counter[str] = Counter()
        for node in ast.walk(self.tree):
            found.update(_bound(node))
        return found

    @cached_property
    def uses(self) -> Counter[str]:
        """How often each name is used; a text that is just a name counts, as in ``__all__``."""
        found: Counter[str] = Counter()
        for node in ast.walk(self.tree):
            match node:
                case ast.Name(id=name) if not isinstance(node.ctx, ast.Store):
                    found[name] += 1
                case ast.Constant(value=str() as text) if len(text) < 200:
                    found.update(_names_in(text))
        return found

    @cached_property
    def opaque(self) -> bool:
        """The file may use its names in ways that are not seen: ``globals()``, ``exec``, ``eval``."""
        known = {"globals", "locals", "vars", "exec", "eval"}
        return any(isinstance(node, ast.Name) and node.id in known for node in ast.walk(self.tree))


def blocks(owner: ast.AST) -> Iterator[Block]:
    """The lists of statements that belong to a statement."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(owner, name, None)
        if isinstance(block, list):
            yield block
    for name in ("handlers", "cases"):
        for part in getattr(owner, name, ()):
            yield part.body


def _names_in(text: str) -> list[str]:
    """The names in a text that may be an annotation or an entry of ``__all__``."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return []
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def _bound(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.arg(arg=name):
            return [name]
        case ast.alias(name=name, asname=asname):
            return [asname or name.partition(".")[0]]
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return list(names)
        case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
            return [name]
        case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
            return [name]
        case _:
            return []
