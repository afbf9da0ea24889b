"""Source files as text: decoding, physical lines, and the way from a position of ``ast`` to the text."""

from __future__ import annotations

import ast
import gc
import hashlib
import io
import os
import re
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from stepbridge.code.signs import signs_of
from stepbridge.failures import CodeProblem

_NEWLINE = re.compile(r"\r\n|\r|\n")

Position = tuple[int, int]
"""A place in a file: the line's index from 0 and the character's index in it."""


@dataclass(frozen=True)
class Edit:
    """A range of a file and the text that ships in its place; the text keeps the number of lines."""

    start: Position
    end: Position
    text: str


@dataclass(frozen=True, eq=False)
class Source:
    """One Python file.

    :param path: where it was read.
    :param data: its bytes.
    :param notes: what was computed of the bytes, by what it is.
    """

    path: Path
    data: bytes
    notes: dict[object, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def tree(self) -> ast.Module:
        """What Python makes of the bytes; parsed when it is first asked for.

        :raises CodeProblem: SB201 where they are not Python.
        """
        with no_collection():
            try:
                return ast.parse(self.data, filename=str(self.path))
            except (SyntaxError, ValueError) as error:
                line = getattr(error, "lineno", None) or 1
                raise CodeProblem(
                    "SB201",
                    f"the file is not Python {_version()}: {error}",
                    place=f"{self.path}:{line}",
                    hint="the worker's Python must be able to parse what it ships",
                ) from error

    @cached_property
    def signs(self) -> frozenset[str]:
        """The kinds of words in it that matter to an analysis."""
        return signs_of(self.data)

    @contextmanager
    def parsed(self) -> Iterator[None]:
        """The tree is at hand meanwhile, and let go where it was not before: it takes much memory."""
        before = "tree" in self.__dict__
        try:
            yield
        finally:
            if not before:
                self.__dict__.pop("tree", None)

    @cached_property
    def text(self) -> str:
        """The decoded text without a byte order mark, with the newlines that Python's reader sees."""
        encoding, _ = tokenize.detect_encoding(io.BytesIO(self.data).readline)
        return _NEWLINE.sub("\n", self.data.decode(encoding)).removeprefix("\ufeff")

    @cached_property
    def encoding(self) -> str:
        """The file's encoding."""
        return tokenize.detect_encoding(io.BytesIO(self.data).readline)[0]

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The physical lines without their ends; a form feed does not end a line."""
        return tuple(self.text.split("\n"))

    def column(self, line: int, offset: int) -> int:
        """The character index of the UTF-8 byte *offset* in the line with index *line*."""
        text = self.lines[line]
        return offset if text.isascii() else len(text.encode()[:offset].decode())

    def start(self, node: ast.expr | ast.stmt | ast.excepthandler | ast.pattern | ast.alias) -> Position:
        """Where *node* begins."""
        return node.lineno - 1, self.column(node.lineno - 1, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.excepthandler | ast.pattern | ast.alias) -> Position:
        """Where *node* ends."""
        line = (node.end_lineno or node.lineno) - 1
        return line, self.column(line, node.end_col_offset or 0)

    def cut(self, start: Position, end: Position, edits: Sequence[Edit] = ()) -> str:
        """The text from *start* to *end* with each edit's range replaced."""
        parts, at = [], start
        for edit in sorted(edits, key=lambda item: item.start):
            if start <= edit.start and edit.end <= end:
                parts += [self._between(at, edit.start), edit.text]
                at = edit.end
        return "".join([*parts, self._between(at, end)])

    def _between(self, start: Position, end: Position) -> str:
        if start[0] == end[0]:
            return self.lines[start[0]][start[1] : end[1]]
        inner = self.lines[start[0] + 1 : end[0]]
        return "\n".join([self.lines[start[0]][start[1] :], *inner, self.lines[end[0]][: end[1]]])

    def indentation(self, line: int) -> str:
        """The blanks that open the line with index *line*, without form feeds."""
        text = self.lines[line]
        return text[: len(text) - len(text.lstrip(" \t\f"))].rpartition("\f")[2]

    def after(self, position: Position, token: str) -> Position:
        """The end of the next *token* at or after *position* that lies in no comment."""
        line, column = position
        while line < len(self.lines):
            rest = self.lines[line][column:]
            found, comment = rest.find(token), rest.find("#")
            if found >= 0 and not 0 <= comment < found:
                return line, column + found + len(token)
            line, column = line + 1, 0
        raise ValueError(f"no {token!r} after line {position[0] + 1} of {self.path}")

    def place(self, node: ast.AST | int) -> str:
        """``file:line`` of *node*, for errors."""
        return f"{self.path}:{node if isinstance(node, int) else getattr(node, 'lineno', 1)}"

    @cached_property
    def digest(self) -> str:
        """The sha256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


def read_source(path: Path) -> Source:
    """The file at *path*, parsed once per content when its tree is asked for.

    :raises CodeProblem: SB201 where it cannot be read.
    """
    try:
        data = content(path)
    except OSError as error:
        raise CodeProblem(
            "SB201",
            f"the source cannot be read: {error.strerror or error}",
            place=str(path),
            hint="keep the file readable on the worker, or use code='image'",
        ) from error
    return _source(path, data)


def content(path: Path | str) -> bytes:
    """The bytes of a file, by as few calls as it takes.

    :raises OSError: it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        data = os.read(handle, size + 1)
        if len(data) == size:
            return data
        parts = [data]
        while part := os.read(handle, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(handle)


@lru_cache(maxsize=1024)
def _source(path: Path, data: bytes) -> Source:
    return Source(path, data)


def _version() -> str:
    import platform

    return platform.python_version()


@contextmanager
def no_collection() -> Iterator[None]:
    """Without the cyclic collector, which otherwise takes a third of the time that parsing takes."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
