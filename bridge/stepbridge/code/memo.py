"""Keeps what was computed of files of a project, on disk and by their content, so that it is computed once.

A record is found by the sha256 of the file's bytes, never by its name or time. The directory of the records
is named by the digest of this package's own code and the version of Python: other code makes other records.
Whatever is wrong with the directory, the records are computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from stepbridge.code.links import Link, links_of
from stepbridge.code.parts import ModuleParts, Part, module_parts
from stepbridge.code.signs import AIRFLOW, DOCSTRINGS
from stepbridge.code.source import Source

WORTH = 20
"""So many new records are worth a write."""

OFF = "STEPBRIDGE_CODE_MEMO"
"""An environment variable: a directory for the records, or ``off``."""

Records = dict[str, Any]


@dataclass
class Memo:
    """The records of one project.

    :param path: the file that holds them; None where nothing is kept.
    """

    path: Path | None = None
    _known: Records | None = None
    _used: Records = field(default_factory=dict)
    _fresh: int = 0

    def links(self, source: Source, module: str, package: bool) -> tuple[Link, ...]:
        """What :func:`links_of` gives; computed once per content."""
        note = ("links", module, package)
        found: tuple[Link, ...] | None = source.notes.get(note)
        if found is None:
            key = f"links {source.digest} {module} {package:d}" if self.path else ""
            record = self._record(key)
            if record is None:
                with source.parsed():
                    found = links_of(source, module, package)
                    if AIRFLOW not in source.signs:
                        self.parts(source, DOCSTRINGS in source.signs)
                self._keep(key, (sorted(source.signs), found))
            else:
                source.__dict__["signs"] = frozenset(record[0])
                found = tuple(Link(*item) for item in record[1])
            source.notes[note] = found
        return found

    def parts(self, source: Source, docstrings: bool) -> ModuleParts:
        """What :func:`module_parts` gives; computed once per content."""
        note = ("parts", docstrings)
        found: ModuleParts | None = source.notes.get(note)
        if found is None:
            key = f"parts {source.digest} {docstrings:d}" if self.path else ""
            record = self._record(key)
            if record is None:
                with source.parsed():
                    found = module_parts(source, docstrings)
                listed = [(name, part.kind, part.digest) for name, part in found.definitions.items()]
                self._keep(key, (found.digest, listed))
            else:
                definitions = {name: Part(kind, digest) for name, kind, digest in record[1]}
                found = ModuleParts(record[0], definitions)
            source.notes[note] = found
        return found

    def save(self) -> None:
        """Write the records that were used, where enough of them are new; errors keep the old ones."""
        if self.path is None or self._fresh < WORTH:
            return
        if write_record(self.path, self._used):
            self._fresh = 0

    def _record(self, key: str) -> Any:
        if not key:
            return None
        if self._known is None:
            self._known = (read_record(self.path) if self.path else None) or {}
        found = self._known.get(key)
        if found is not None:
            self._used[key] = found
        return found

    def _keep(self, key: str, value: object) -> None:
        if key:
            self._used[key] = value
            self._fresh += 1


def memo_of(project: Path | None) -> Memo:
    """The records of the project that the file *project* belongs to."""
    directory = records_folder()
    if project is None or directory is None:
        return Memo()
    name = hashlib.sha256(os.fsencode(project)).hexdigest()[:32]
    return Memo(directory / f"{name}.json")


def records_folder() -> Path | None:
    """Where this version of the package keeps records; None where it keeps none."""
    place = os.environ.get(OFF, "")
    if place == "off":
        return None
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    except RuntimeError:
        return None
    directory = Path(place) if place else caches / "stepbridge" / "code"
    return directory / _version() if directory.is_absolute() else None


@cache
def _version() -> str:
    here = Path(__file__).parent
    own = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for path in [here.parent / "hashing.py", *sorted(here.glob("*.py"))]:
        own.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return own.hexdigest()[:32]


def write_record(path: Path, record: object) -> bool:
    """Write a JSON value and its digest in one go; False where that is not possible."""
    text = json.dumps(record, separators=(",", ":")).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new")
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        Path(name).replace(path)
    except OSError:
        return False
    return True


def read_record(path: Path) -> Any:
    """The value in a file; None where it is missing, another's, cut or changed."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            head, _, text = file.read().partition(b"\n")
    except OSError:
        return None
    if head.decode("ascii", "replace") != hashlib.sha256(text).hexdigest():
        return None
    return json.loads(text)
