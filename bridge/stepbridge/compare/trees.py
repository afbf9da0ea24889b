"""What lies below a folder: every file, link and empty folder by its relative path."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One name in a tree: ``file``, ``empty folder``, ``link`` (with its target), ``other``."""

    kind: str
    size: int = 0
    target: str = ""


def entries(root: Path) -> Iterator[tuple[str, Entry]]:
    """Every file, link and empty folder below *root* by its relative POSIX path.

    Links are followed, as a step's ``Directory`` follows them; one that leads nowhere or into a folder that
    holds it is itself an entry.
    """
    stack = [(os.fspath(root), "", frozenset({os.path.realpath(root)}))]
    while stack:
        folder, lead, above = stack.pop()
        with os.scandir(folder) as listing:
            found = list(listing)
        if not found and lead:
            yield lead.rstrip("/"), Entry("empty folder")
        for entry in found:
            name = lead + entry.name
            status = _status(entry)
            place = entry.path
            if entry.is_symlink() and (status is None or stat.S_ISDIR(status.st_mode)):
                place = os.path.realpath(entry.path) if status else ""
                if not place or place in above:
                    yield name, Entry("link", target=str(Path(entry.path).readlink()))
                    continue
            if status is None:
                yield name, Entry("other")
            elif stat.S_ISDIR(status.st_mode):
                inner = os.path.realpath(place)
                stack.append((entry.path, name + "/", above | {inner}))
            elif stat.S_ISREG(status.st_mode):
                yield name, Entry("file", status.st_size)
            else:
                yield name, Entry("other")


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """What the entry is, links followed; None for a link that leads nowhere or to itself."""
    try:
        return entry.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
