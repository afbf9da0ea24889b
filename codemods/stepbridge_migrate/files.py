"""The Python files of a project, and which of them may make tasks."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stepbridge_migrate.source import relative

_WORDS = re.compile(rb"Operator|Sensor|[Tt]ask|\bstep\b")
_SKIPPED = frozenset(
    [
        "__pycache__",
        "node_modules",
        "site-packages",
        "dist-packages",
        "venv",
        "env",
        ".venv",
        "build",
        "dist",
        "migration",
        ".git",
    ]
)


def is_installation(names: Iterable[str]) -> bool:
    """True for the names of a folder like ``site-packages``: its modules are libraries, not the project's."""
    return any(name.endswith(".dist-info") for name in names)


def may_hold_tasks(data: bytes) -> bool:
    """False for bytes that cannot make a task: they name no Airflow, or nothing that makes tasks."""
    return (b"airflow" in data or b"Airflow" in data) and _WORDS.search(data) is not None


def python_files(root: Path, paths: Sequence[Path], exclude: Sequence[str]) -> Iterator[Path]:
    """The Python files that a scan reads, each once, in the order of their paths."""
    found: dict[str, Path] = {}
    for path in paths or (root,):
        absolute = (root / path).resolve() if not path.is_absolute() else path.resolve()
        for file in _below(absolute) if absolute.is_dir() else [absolute]:
            found[relative(file, root)] = file
    yield from (path for name, path in sorted(found.items()) if not _excluded(name, exclude))


def _excluded(name: str, exclude: Iterable[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(name, glob) or fnmatch.fnmatchcase(name, f"{glob.rstrip('/')}/*")
        for glob in exclude
    )


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED and not name.startswith(".") and not name.endswith(".egg-info")
        )
        if "pyvenv.cfg" in files:
            folders[:] = []
            continue
        yield from (Path(here, name) for name in sorted(files) if name.endswith(".py"))
