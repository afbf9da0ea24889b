"""A Python file as text and back to the same bytes, and the way from positions of ``ast`` to offsets."""

from __future__ import annotations

import ast
import re
import tokenize
from bisect import bisect_right
from codecs import BOM_UTF8
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from stepbridge.code.source import no_collection
from stepbridge_migrate.model import Finding, Place, Span

_NEWLINE = re.compile(r"\r\n|\r|\n")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_HEAD = 4096
"""Bytes in which a cookie is looked for: Python reads two lines."""


class Located(Protocol):
    """A node of ``ast`` that has a position."""

    lineno: int
    col_offset: int
    end_lineno: int | None
    end_col_offset: int | None


class Unreadable(Exception):
    """A file that cannot be taken as Python source.

    :param finding: which file, where in it, and why.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True, eq=False)
class SourceFile:
    """One Python file: its bytes and its text, newlines as they are.

    :param path: relative to the project's root, POSIX.
    :param text: without the byte order mark; offsets of :class:`~stepbridge_migrate.model.Span` count in it.
    :param encoding: of the cookie, or ``utf-8``.
    :param bom: the bytes begin with a byte order mark of UTF-8.
    """

    path: str
    data: bytes = field(repr=False)
    text: str = field(repr=False)
    encoding: str = "utf-8"
    bom: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file.

        :raises Unreadable: SM402 where it is no Python of this interpreter's version.
        """
        return parse(self.path, self.data)

    @cached_property
    def starts(self) -> list[int]:
        """The offsets at which the lines begin; a form feed begins none."""
        return [0, *(found.end() for found in _NEWLINE.finditer(self.text))]

    @cached_property
    def newline(self) -> str:
        """The line end that most lines have; ``\\n`` for a file of one line."""
        found = _NEWLINE.findall(self.text)
        return max(("\n", "\r\n", "\r"), key=found.count) if found else "\n"

    @cached_property
    def _ascii(self) -> bool:
        return self.text.isascii()

    def offset(self, line: int, column: int) -> int:
        """The offset of a position of ``ast``: *line* from 1, *column* in bytes of UTF-8 from 0."""
        start = self.starts[line - 1]
        if self._ascii:
            return start + column
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        return start + len(self.text[start:end].encode()[:column].decode(errors="ignore"))

    def span(self, node: Located) -> Span:
        """The offsets of *node*, without decorators and comments."""
        start = self.offset(node.lineno, node.col_offset)
        return Span(start, self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0))

    def place(self, offset: int) -> Place:
        """Line and column, both from 1 and in characters, of an offset."""
        line = bisect_right(self.starts, offset)
        return Place(self.path, line, offset - self.starts[line - 1] + 1)

    def place_of(self, node: Located) -> Place:
        """Where *node* begins."""
        return Place(
            self.path,
            node.lineno,
            self.offset(node.lineno, node.col_offset) - self.starts[node.lineno - 1] + 1,
        )

    def cut(self, span: Span) -> str:
        """The text of a span."""
        return self.text[span.start : span.end]

    def encode(self, text: str) -> bytes:
        """Bytes for *text* as this file would hold them.

        :raises UnicodeEncodeError: the file's encoding has no such character.
        """
        return encode(text, self.encoding, self.bom)


def encode(text: str, encoding: str, bom: bool) -> bytes:
    """The bytes of *text*; the inverse of :func:`decode`."""
    data = text.encode(encoding)
    return BOM_UTF8 + data if bom else data


def decode(path: str, data: bytes) -> SourceFile:
    """The file with the encoding that its mark or cookie says.

    :raises Unreadable: SM401 for an unknown or wrong encoding, and for one that would not give the same bytes
        back.
    """
    try:
        head = iter([line + b"\n" for line in _LINE_END.split(data[:_HEAD], 2)[:2]])
        encoding, _ = tokenize.detect_encoding(lambda: next(head, b""))
        bom = data.startswith(BOM_UTF8)
        encoding = "utf-8" if bom else encoding
        text = data[len(BOM_UTF8) if bom else 0 :].decode(encoding)
        if encode(text, encoding, bom) != data:
            raise Unreadable(
                Finding(
                    "SM401",
                    f"the encoding {encoding} does not give the same bytes back",
                    Place(path, 1),
                    "save the file as UTF-8",
                )
            )
    except (SyntaxError, UnicodeError, LookupError) as error:
        line = 1
        if isinstance(error, UnicodeDecodeError):
            line = 1 + data[: error.start].count(b"\n")
        raise Unreadable(
            Finding(
                "SM401",
                f"the text cannot be decoded: {error}",
                Place(path, line),
                "save the file as UTF-8, or name its encoding in the first line",
            )
        ) from error
    return SourceFile(path, data, text, encoding, bom)


def read(path: Path, root: Path) -> SourceFile:
    """The file at *path*, named by its path below *root*.

    :raises Unreadable: SM401 where it cannot be opened or decoded.
    """
    name = relative(path, root)
    return decode(name, read_bytes(path, name))


def read_bytes(path: Path, name: str) -> bytes:
    """The bytes of the file at *path*; *name* is for the finding.

    :raises Unreadable: SM401.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(
            Finding("SM401", f"the file cannot be read: {error.strerror or error}", Place(name, 1))
        ) from error


def relative(path: Path, root: Path) -> str:
    """*path* as the records name it: POSIX, below *root* where it lies there."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def parse(path: str, data: bytes) -> ast.Module:
    """The tree of a file's bytes.

    :raises Unreadable: SM402 where this interpreter cannot parse them.
    """
    try:
        with no_collection():
            return ast.parse(data, filename=path)
    except SyntaxError as error:
        line, column = error.lineno or 1, max(error.offset or 1, 1)
        raise Unreadable(_no_python(path, line, column, error.msg)) from error
    except ValueError as error:
        raise Unreadable(_no_python(path, 1, 1, str(error))) from error
    except (MemoryError, RecursionError) as error:
        raise Unreadable(too_much(path)) from error


def too_much(path: str) -> Finding:
    """The finding for a file that takes more stack or memory than there is."""
    return Finding(
        "SM403",
        "the code is too large or nested too deep to be analysed",
        Place(path, 1),
        "edit what generates it, or exclude the file",
    )


def _no_python(path: str, line: int, column: int, why: str) -> Finding:
    return Finding(
        "SM402",
        f"this Python cannot parse the file: {why}",
        Place(path, line, column),
        "mend the syntax, or run migrate with a Python that can parse it",
    )
