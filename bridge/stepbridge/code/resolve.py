"""Where a module's file lies, by look-up along directories: nothing is ever imported."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from stepbridge.code.airflow_names import OWN_ROOTS, is_airflow
from stepbridge.code.bound import Chain

Origin = Literal["stdlib", "airflow", "third", "first", "missing"]
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)


@dataclass(frozen=True)
class Module:
    """A first-party module.

    :param path: its file; None for a namespace package.
    :param search: for a package, the directories of its submodules.
    :param base: the directory its top-level name was found in.
    """

    name: str
    path: Path | None
    search: tuple[Path, ...]
    base: Path

    @property
    def package(self) -> bool:
        """True for packages."""
        return bool(self.search)

    @cached_property
    def shipped(self) -> str:
        """The name of its file in the bundle."""
        stem = self.name.replace(".", "/")
        return f"{stem}/__init__.py" if self.package else f"{stem}.py"


@cache
def _library() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib")
    return tuple(Path(os.path.realpath(sysconfig.get_path(name))) for name in names)


def installed(path: Path) -> bool:
    """True for files of the interpreter's library or of an installed distribution."""
    if _INSTALLED & set(path.parts):
        return True
    real = Path(os.path.realpath(path))
    return bool(_INSTALLED & set(real.parts)) or any(real.is_relative_to(lib) for lib in _library())


def absolute(path: str | Path) -> Path:
    """*path* from the root, without ``..`` and without following links."""
    return Path(os.path.normpath(Path(path).absolute()))


class Finder:
    """Finds first-party modules.

    :param first: directories that come before everything: the DAG file's own and the declared roots.
    """

    def __init__(self, first: Sequence[Path]) -> None:
        self.first = tuple(dict.fromkeys(absolute(item) for item in first))
        entries = (absolute(entry) for entry in sys.path)
        self.rest = tuple(
            entry
            for entry in dict.fromkeys(entries)
            if entry not in self.first and entry.is_dir() and not installed(entry)
        )
        self._found: dict[str, Module | None] = {}
        self._origins: dict[str, Origin] = {}

    @property
    def found(self) -> Mapping[str, Module | None]:
        """All that was asked, with the answers."""
        return self._found

    def find(self, name: str) -> Module | None:
        """The first-party module called *name*, None for any other."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def innermost(self, name: str, chain: Chain) -> tuple[Module | None, Chain]:
        """The module that ``name.chain`` leads into, through packages, and what of the chain is left."""
        found = self.find(name)
        while found is not None and chain and found.package:
            below = self.find(f"{found.name}.{chain[0]}")
            if below is None:
                break
            found, chain = below, chain[1:]
        return found, chain

    def _find(self, name: str) -> Module | None:
        parent, _, last = name.rpartition(".")
        if not parent:
            return self._top(name)
        package = self.find(parent)
        if package is None or not package.search:
            return None
        return self._regular(name, last, package.search, package.base) or self._namespace(
            name, last, package.search, package.base
        )

    def origin(self, name: str) -> Origin:
        """Whose module *name* is."""
        top = name.partition(".")[0]
        if top not in self._origins:
            self._origins[top] = self._origin(top)
        return self._origins[top]

    def _origin(self, top: str) -> Origin:
        if is_airflow(top):
            return "airflow"
        if top in OWN_ROOTS:
            return "third"
        if self.find(top) is not None:
            return "first"
        if top in sys.stdlib_module_names:
            return "stdlib"
        return "third" if _spec(top) is not None else "missing"

    def _top(self, name: str) -> Module | None:
        if is_airflow(name) or name in OWN_ROOTS or name in sys.builtin_module_names:
            return None
        live = _live(name)
        if live is not None and installed(live) and not _below(live, self.first):
            return None
        for base in self.first:
            found = self._regular(name, name, (base,), base)
            if found:
                return found
        if name in sys.stdlib_module_names:
            return None
        for base in self.rest:
            found = self._regular(name, name, (base,), base)
            if found:
                return found
        return self._elsewhere(name)

    def _elsewhere(self, name: str) -> Module | None:
        spec = _spec(name)
        if spec is not None and spec.origin and spec.origin not in {"built-in", "frozen", "namespace"}:
            path = Path(spec.origin)
            if installed(path) or path.suffix != ".py":
                return None
            package = bool(spec.submodule_search_locations)
            base = path.parent.parent if package else path.parent
            return Module(name, path, (path.parent,) if package else (), base)
        if spec is not None and any(installed(Path(item)) for item in spec.submodule_search_locations or ()):
            return None
        return self._namespace(name, name, (*self.first, *self.rest), None)

    @staticmethod
    def _regular(name: str, last: str, search: Sequence[Path], base: Path) -> Module | None:
        for number, path in enumerate(files_of(last, search)):
            if os.path.isfile(path):  # noqa: PTH113
                directory, beside = search[number // 2], number % 2
                return Module(name, Path(path), () if beside else (directory / last,), base)
        return None

    @staticmethod
    def _namespace(name: str, last: str, search: Sequence[Path], base: Path | None) -> Module | None:
        found = tuple(item / last for item in search if (item / last).is_dir())
        return Module(name, None, found, base or found[0].parent) if found else None

    def name_of(self, path: Path) -> str | None:
        """The name under which the file at *path* is a first-party module: the shortest that finds it."""
        path = absolute(path)
        for base in (*self.first, *self.rest):
            if not path.is_relative_to(base):
                continue
            parts = list(path.relative_to(base).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            if not parts or not all(part.isidentifier() for part in parts):
                continue
            found = self.find(".".join(parts))
            if found is not None and found.path is not None and found.path == path:
                return found.name
        return None


def files_of(last: str, search: Sequence[Path]) -> Iterator[str]:
    """Where the module *last* of a package may lie, the first place first."""
    for directory in search:
        yield f"{directory}/{last}/__init__.py"
        yield f"{directory}/{last}.py"


def _below(path: Path, directories: Sequence[Path]) -> bool:
    return any(path.is_relative_to(item) for item in directories)


def _live(name: str) -> Path | None:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return Path(file) if isinstance(file, str) else None


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """The spec of a top-level name: finding one imports nothing."""
    try:
        return importlib.util.find_spec(name)
    except (ValueError, ImportError, AttributeError):
        return None


def is_extension(path: Path) -> bool:
    """True for compiled modules."""
    return path.name.endswith(_EXTENSIONS)
