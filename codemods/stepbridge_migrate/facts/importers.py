"""Finds the DAG files of a project that import something from one of its modules."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from stepbridge_migrate.files import is_installation, python_files
from stepbridge_migrate.source import Unreadable, read_bytes, relative

_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))", re.MULTILINE
)
_WORD = re.compile(rb"[A-Za-z_]\w*")
_DAGS = (b"airflow", b"Airflow", b"dag", b"DAG")
_COMMON = frozenset({b"airflow", b"as", b"import", b"from"})
_MOST = 40
"""Files that are looked at for one name: what more of them call is a library of the project."""


class Importers:
    """The import statements of all DAG files of a project, read when they are first asked for.

    :param root: the project's folder.
    :param texts: bytes that stand in the place of files.
    """

    def __init__(self, root: Path, texts: Mapping[Path, bytes]) -> None:
        self.root = root
        self.texts = texts

    def of(self, path: Path, name: str) -> Sequence[Path]:
        """The files whose imports name the function *name*, or the module at *path* as a whole."""
        module = path.parent.name if path.name == "__init__.py" else path.stem
        named = self._words.get(name.encode(), [])
        whole = self._words.get(module.encode(), [])
        return list(dict.fromkeys([*named, *whole]))[:_MOST]

    @cached_property
    def _words(self) -> Mapping[bytes, Sequence[Path]]:
        """The files by the words of their imports, in the order of their paths."""
        found: defaultdict[bytes, list[Path]] = defaultdict(list)
        if is_installation(path.name for path in self.root.iterdir()):
            return {}
        for path in python_files(self.root, (), ()):
            data = self._data(path)
            if any(word in data for word in _DAGS):
                for word in sorted(set(_imported(data))):
                    found[word].append(path)
        return dict(found)

    def _data(self, path: Path) -> bytes:
        given = self.texts.get(path)
        if given is not None:
            return given
        try:
            return read_bytes(path, relative(path, self.root))
        except Unreadable:
            return b""


def _imported(data: bytes) -> Iterator[bytes]:
    for found in _IMPORT.finditer(data):
        for part in found.groups():
            if part:
                yield from (word for word in _WORD.findall(part) if word not in _COMMON)
