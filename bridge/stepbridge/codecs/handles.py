"""The handle types that steps pass around: a file, a directory, and the mark for what may be pickled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

T = TypeVar("T")


class _Handle(os.PathLike[str]):
    """A path that may come from the store; usable wherever a path is."""

    __slots__ = ("_path", "_uri")

    def __init__(self, path: str | os.PathLike[str], *, uri: str = "") -> None:
        """Name what lies at *path*, seen from the directory the process is in now.

        :param uri: where it came from, when it came from the store.
        """
        self._path = Path(path).absolute()
        self._uri = uri

    @property
    def path(self) -> Path:
        """Where it lies on this machine, absolute."""
        return self._path

    @property
    def uri(self) -> str:
        """Where it came from, or an empty string for what was made here."""
        return self._uri

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._path.name

    def __fspath__(self) -> str:
        return str(self._path)

    def __str__(self) -> str:
        return str(self._path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _Handle) and other._path == self._path

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._path))


class File(_Handle):
    """One file: return ``File("out/model.pkl")`` and the step's output is that file, under that name."""

    __slots__ = ()

    def open(self, mode: str = "r", *, encoding: str | None = None, newline: str | None = None) -> IO[Any]:
        """Open the file; text is UTF-8 unless told."""
        text = None if "b" in mode else encoding or "utf-8"
        return self._path.open(mode, encoding=text, newline=newline)


class Directory(_Handle):
    """One directory with all below it: return ``Directory("out")``."""

    __slots__ = ()

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        """The path of an entry."""
        return self._path / name

    def __iter__(self) -> Iterator[Path]:
        """The paths of the entries of the first level, sorted."""
        return iter(sorted(self._path.iterdir()))

    def open(
        self, name: str, mode: str = "r", *, encoding: str | None = None, newline: str | None = None
    ) -> IO[Any]:
        """Open the file *name* of the directory; text is UTF-8 unless told."""
        text = None if "b" in mode else encoding or "utf-8"
        return (self._path / name).open(mode, encoding=text, newline=newline)


class PickleMark:
    """What tells ``Pickle[T]`` from ``T``."""

    def __repr__(self) -> str:
        return "Pickle"


PICKLE = PickleMark()
Pickle = Annotated[T, PICKLE]
"""``Pickle[T]`` allows a value of type T to be stored with pickle, which nothing else ever is."""
