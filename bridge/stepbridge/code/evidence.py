"""What a slice was made of, so that it can be checked later that all of it still stands.

It stands while the bytes of every file that was read are the same (by sha256: no time and no size says that a
file is unchanged), every place that was looked at for a module or a data file holds what it held, nothing
included, and no live value that the code names has become a part of a DAG.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbridge.code import locate
from stepbridge.code.datafiles import Answer, Asked, Disk
from stepbridge.code.reach import Reach
from stepbridge.code.region import builds_dag
from stepbridge.code.resolve import Finder, Module, files_of
from stepbridge.code.source import content

Place = tuple[str, tuple[str, ...], str] | None
"""Where a module of the top level was found: its file, the directories of its submodules, its base."""
Names = tuple[str, str, tuple[str, ...]]
"""A module that was sliced, empty for the entry's own file; its file; the names that the code reads of it."""


@dataclass(frozen=True)
class Evidence:
    """What a slice was made of.

    :param files: sha256 of each source by its path.
    :param tops: where the modules of the top level were found.
    :param absent: where files of submodules were looked for and are not.
    :param present: files of submodules that are there and were not read.
    :param folders: where a package without a file was looked for, and whether a directory is there.
    :param disk: what the search for data files asked.
    :param names: whose values are no parts of a DAG.
    """

    files: Mapping[str, str]
    tops: Mapping[str, Place]
    absent: tuple[str, ...]
    present: tuple[str, ...]
    folders: tuple[tuple[str, bool], ...]
    disk: tuple[tuple[Asked, Answer], ...]
    names: tuple[Names, ...]


def evidence_of(reach: Reach) -> Evidence:
    """What *reach* has read and looked at."""
    code, found = reach.code, reach.finder.found
    files = {str(path): source.digest for path, source in code.sources.items()}
    absent, present, folders = _looks(found)
    return Evidence(
        files=files,
        tops={name: _where(module) for name, module in found.items() if "." not in name},
        absent=tuple(absent),
        present=tuple(path for path in present if path not in files),
        folders=tuple(folders.items()),
        disk=tuple(reach.beside.disk.seen.items()),
        names=tuple(
            (
                shipped if found.get(shipped) is not None else "",
                str(region.source.path),
                tuple(sorted(name for home, name in region.needed if not home)),
            )
            for shipped, region in code.regions.items()
        ),
    )


def standing(evidence: Evidence, function: object, finder: Finder) -> dict[str, bytes] | None:
    """The bytes of all sources by path, where everything is as it was; else None.

    :param function: the callable that was sliced.
    :param finder: of the same directories, and fresh.
    """
    contents: dict[str, bytes] = {}
    sha256, access = hashlib.sha256, os.access
    try:
        for path, digest in evidence.files.items():
            data = contents[path] = content(path)
            if sha256(data).hexdigest() != digest:
                return None
    except OSError:
        return None
    disk = Disk()
    stands = (
        not any(access(path, os.F_OK) and Path(path).is_file() for path in evidence.absent)
        and all(Path(path).is_file() for path in evidence.present)
        and all(Path(path).is_dir() == there for path, there in evidence.folders)
        and all(_where(finder.find(name)) == place for name, place in evidence.tops.items())
        and all(disk.ask(asked) == answer for asked, answer in evidence.disk)
        and not any(_in_a_dag(names, function) for names in evidence.names)
    )
    return contents if stands else None


def _in_a_dag(names: Names, function: object) -> bool:
    module, path, read = names
    live: Mapping[str, Any] = (
        locate.globals_of(module) if module else locate.live_globals(function, Path(path))
    )
    return any(builds_dag(live[name]) for name in read if name in live)


def _where(found: Module | None) -> Place:
    if found is None:
        return None
    return str(found.path or ""), tuple(map(str, found.search)), str(found.base)


def _looks(found: Mapping[str, Module | None]) -> tuple[list[str], list[str], dict[str, bool]]:
    """What the search for submodules met: files that are not there, files that are, and directories."""
    absent: list[str] = []
    present: list[str] = []
    folders: dict[str, bool] = {}
    for name, module in found.items():
        parent, _, last = name.rpartition(".")
        package = found.get(parent) if parent else None
        if package is None or not package.search:
            continue
        file = str(module.path) if module is not None and module.path is not None else ""
        for path in files_of(last, package.search):
            if path == file:
                present.append(path)
                break
            absent.append(path)
        if not file:
            parts = module.search if module is not None else ()
            folders |= {f"{item}/{last}": Path(item, last) in parts for item in package.search}
    return absent, present, folders
