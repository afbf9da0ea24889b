"""Files and directory trees on this machine: walked, checked and digested."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stepbridge import hashing
from stepbridge.artifact import DraftFile
from stepbridge.failures import TypeProblem

_BLOCK = 1024 * 1024
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


@dataclass(frozen=True)
class Tree:
    """A directory's content: files sorted by path, and the directories that hold nothing."""

    files: tuple[DraftFile, ...]
    empty: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Over paths, sizes and digests of the files, and the empty directories."""
        entries = [(file.path, file.sha256, file.size) for file in self.files]
        return hashing.digest(("stepbridge.tree/1", entries, list(self.empty)))


def problem(path: str | os.PathLike[str], why: str, *, place: str, hint: str = "") -> TypeProblem:
    """SB109 for the entry at *path*."""
    return TypeProblem("SB109", f"{os.fspath(path)!r} {why}", place=place, hint=hint)


def status(path: str, *, place: str) -> os.stat_result:
    """What *path* is, links followed.

    :raises TypeProblem: SB109 for what is not there, dangles, loops, or is neither file nor directory.
    """
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise _unreachable(path, error, place) from error
    for test, kind in _KINDS:
        if test(found.st_mode):
            raise problem(path, f"is {kind}", place=place, hint="keep only files and directories there")
    return found


def _unreachable(path: str, error: OSError, place: str) -> TypeProblem:
    if error.errno == errno.ELOOP:
        return problem(path, "is a symbolic link that leads to itself", place=place, hint="remove the link")
    if isinstance(error, FileNotFoundError) and os.path.islink(path):  # noqa: PTH114
        target = os.readlink(path)  # noqa: PTH115
        return problem(
            path,
            f"is a symbolic link to {target!r}, which is not there",
            place=place,
            hint="remove the link or make its target",
        )
    if isinstance(error, FileNotFoundError):
        return problem(
            path,
            "is not there",
            place=place,
            hint="write it before returning it; a relative path is seen from the working directory",
        )
    return problem(path, f"cannot be read: {error.strerror}", place=place)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file's bytes, read block by block."""
    digest = hashlib.sha256()
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as source:
        while count := source.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()


def file_entry(path: str, name: str, *, place: str) -> DraftFile:
    """The entry of one file, digested.

    :raises TypeProblem: SB109 where it cannot be read, or changes meanwhile.
    """
    try:
        before = os.stat(path)  # noqa: PTH116
        digest = sha256_of(path)
        after = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise _unreachable(path, error, place) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise problem(
            path, "changed while it was read", place=place, hint="finish writing before returning it"
        )
    return DraftFile(name, path, after.st_size, digest)


def tree_of(root: Path, *, place: str) -> Tree:
    """All below *root*, links followed, digested by several threads.

    :raises TypeProblem: SB109 naming the entry that cannot be stored.
    """
    found: list[tuple[str, str]] = []
    empty: list[str] = []
    for name, path in _walk(str(root), "", frozenset(), place):
        if path:
            found.append((name, path))
        else:
            empty.append(name)
    found.sort(key=lambda entry: os.fsencode(entry[0]))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1)) as pool:
        files = tuple(pool.map(lambda entry: file_entry(entry[1], entry[0], place=place), found))
    return Tree(files, tuple(sorted(empty, key=os.fsencode)))


def _walk(
    directory: str, prefix: str, above: frozenset[tuple[int, int]], place: str
) -> Iterator[tuple[str, str]]:
    """``(relative name, path)`` of each file, ``(relative name, "")`` of each empty directory."""
    here = status(directory, place=place)
    identity = (here.st_dev, here.st_ino)
    if identity in above:
        raise problem(
            directory, "is a symbolic link to a directory that holds it", place=place, hint="remove the link"
        )
    try:
        with os.scandir(directory) as entries:
            names = [(entry.name, entry.path) for entry in entries]
    except OSError as error:
        raise _unreachable(directory, error, place) from error
    if not names and prefix:
        yield prefix, ""
    for name, path in names:
        relative = f"{prefix}/{name}" if prefix else name
        if stat.S_ISDIR(status(path, place=place).st_mode):
            yield from _walk(path, relative, above | {identity}, place)
        else:
            yield relative, path
