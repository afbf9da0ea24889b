"""Scans a project: every task site of every file, judged, the same for any number of processes."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from stepbridge.code.source import no_collection
from stepbridge_migrate import rules
from stepbridge_migrate.facts.file import sites_of
from stepbridge_migrate.facts.project import Project
from stepbridge_migrate.files import may_hold_tasks, python_files
from stepbridge_migrate.model import Finding, Inventory, Judged
from stepbridge_migrate.source import Unreadable, parse, read_bytes, relative, too_much

Progress = Callable[[int, int], None]
"""Called with the number of files that are done and of all files."""

_CHUNKS = 12
_SMALL = 40
_TOGETHER = 32


@dataclass(frozen=True)
class FileResult:
    """What one file gave.

    :param relevant: the prefilter let it through.
    """

    path: str
    sites: tuple[Judged, ...] = ()
    skipped: tuple[Finding, ...] = ()
    relevant: bool = False


def scan(
    root: Path,
    paths: Sequence[Path] = (),
    *,
    jobs: int = 1,
    exclude: Sequence[str] = (),
    progress: Progress | None = None,
) -> Inventory:
    """Read all Python files below *paths* and judge every task site in them.

    :param root: the project's folder; the records name files below it.
    :param paths: files and folders, absolute or relative to *root*; *root* itself where there are none.
    :param jobs: number of processes.
    :param exclude: globs of paths below *root* that are not read: ``legacy/*``, ``*_test.py``.
    """
    root = root.resolve()
    files = list(python_files(root, paths, exclude))
    results: list[FileResult] = []
    for found in _results(root, files, jobs):
        results += found
        if progress is not None:
            progress(len(results), len(files))
    named = _named(root, paths)
    results += [_passed_by(root, path) for path in files if path in named]
    results.sort(key=lambda result: result.path)
    sites = [judged for result in results for judged in result.sites]
    return Inventory(
        str(root),
        tuple(sorted(sites, key=lambda judged: (judged.site.place, judged.site.call))),
        len(files),
        sum(bool(result.sites) for result in results),
        tuple(finding for result in results for finding in result.skipped),
    )


def _named(root: Path, paths: Sequence[Path]) -> set[Path]:
    """The files among *paths*: who names one wants to know that it cannot be read."""
    return {found for path in paths if (found := (root / path).resolve()).is_file()}


def _passed_by(root: Path, path: Path) -> FileResult:
    """What keeps a named file from being parsed that the prefilter passed by; of all others it is said."""
    name = relative(path, root)
    try:
        data = read_bytes(path, name)
    except Unreadable:
        return FileResult(name)
    try:
        if not may_hold_tasks(data):
            parse(name, data)
    except Unreadable as error:
        return FileResult(name, (), (error.finding,))
    return FileResult(name)


def _results(root: Path, files: Sequence[Path], jobs: int) -> Iterator[list[FileResult]]:
    if jobs < 2 or len(files) < _SMALL:
        project = Project(root)
        for start in range(0, len(files), _TOGETHER):
            yield _scan_files(project, files[start : start + _TOGETHER])
        return
    size = max(1, min(_TOGETHER, -(-len(files) // (jobs * _CHUNKS))))
    chunks = [files[start : start + size] for start in range(0, len(files), size)]
    pool = ProcessPoolExecutor(jobs - 1, mp_context=get_context("spawn"), initializer=_start)
    try:
        yield from _shared(pool, _project(root), chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _shared(
    pool: ProcessPoolExecutor, project: Project, chunks: Sequence[Sequence[Path]]
) -> Iterator[list[FileResult]]:
    """Other processes take chunks from the front, this one meanwhile from the end."""
    given = [pool.submit(_scan_chunk, project.root, chunk) for chunk in chunks]
    while given and given[-1].cancel():
        yield _scan_files(project, chunks[len(given) - 1])
        given.pop()
    for chunk, future in zip(chunks, given, strict=False):
        try:
            yield future.result()
        except BrokenProcessPool:
            yield _scan_files(project, chunk)


def _start() -> None:
    """In a worker process: an interrupt is the first process's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache(maxsize=1)
def _project(root: Path) -> Project:
    return Project(root)


def _scan_chunk(root: Path, files: Sequence[Path]) -> list[FileResult]:
    return _scan_files(_project(root), files)


def _scan_files(project: Project, files: Sequence[Path]) -> list[FileResult]:
    """Some files, with the cyclic collector at rest meanwhile: it would go through every tree again."""
    with no_collection(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [scan_file(project, path) for path in files]


def scan_file(project: Project, path: Path) -> FileResult:
    """The sites of one file."""
    name = relative(path, project.root)
    try:
        data = read_bytes(path, name)
        if not may_hold_tasks(data):
            return FileResult(name)
        module = project.module(path, data)
        sites = sites_of(project, module)
        project.done(module)
        return FileResult(name, tuple(rules.judge(site) for site in sites), (), True)
    except Unreadable as error:
        return FileResult(name, (), (error.finding,), True)
    except (RecursionError, MemoryError):
        return FileResult(name, (), (too_much(name),), True)
