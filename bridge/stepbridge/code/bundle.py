"""The zip that ships: the same source gives the same bytes, and no name in it leaves the target directory."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from stepbridge.artifact import target_of
from stepbridge.failures import CodeProblem

if TYPE_CHECKING:
    from stepbridge.code.slicing import Slice

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def build(piece: Slice) -> bytes:
    """The zip of a slice's modules and data files: sorted names, fixed times, stored without compression."""
    entries = {**piece.files, **piece.modules}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = _UNIX
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, entries[name])
    return out.getvalue()


def extract(data: bytes, directory: Path) -> None:
    """Write a bundle's files below *directory*.

    :raises StoreProblem: SB310 for a name that leaves the directory.
    :raises CodeProblem: SB207 for bytes that are no bundle.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check(infos)
            contents = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise _broken(str(error)) from error
    targets = {name: target_of(directory, name, place="the bundle") for name in contents}
    for name, target in targets.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(contents[name])
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise _broken(f"{name!r} is both a file and a directory") from error


def _check(infos: list[zipfile.ZipInfo]) -> None:
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise _broken("a name stands in it twice")
    for info in infos:
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _broken(f"{info.filename!r} is not a regular file")


def _broken(why: str) -> CodeProblem:
    return CodeProblem(
        "SB207",
        f"the shipped code is not a bundle: {why}",
        place="the bundle",
        hint="run the task again; it ships the code anew",
    )
