"""Artifacts: what one is, how its manifest reads, how its URI is made and taken apart.

An artifact is immutable and lies at ``<root>/artifacts/<aa>/<digest>/``. Its ``digest`` names type, format,
payload name and content together, so a JSON document and a file of the same bytes never share a place; its
``content`` is the digest a person can check: the sha256 of a file's bytes, of a directory's tree or of a
table's canonical form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from stepbridge.failures import StoreProblem
from stepbridge.references import (
    INSIDE,
    MANIFEST,
    Artifact,
    Draft,
    DraftFile,
    payload_key,
    prefix,
    safe_key,
    safe_segment,
)

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "Artifact",
    "Draft",
    "DraftFile",
    "Manifest",
    "Producer",
    "StoredFile",
    "check_relative",
    "parse_uri",
    "payload_key",
    "prefix",
    "reference",
    "safe_key",
    "safe_segment",
    "target_of",
    "uri_of",
]
SCHEMA = 1
_IN_URI = re.compile(r"^(?P<root>.+)/artifacts/(?P<shard>[0-9a-f]{2})/(?P<digest>[0-9a-f]{64})/(?P<rest>.*)$")


@dataclass(frozen=True)
class StoredFile:
    """One payload object.

    :param path: the file's name inside the artifact, POSIX, relative: what a reader sees after a download.
    :param key: the object's name below the artifact's prefix, safe for every S3 server.
    :param size: bytes.
    :param sha256: of the stored bytes, 64 hex digits.
    """

    path: str
    key: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Producer:
    """The attempt that made an artifact first."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1
    try_number: int = 1


@dataclass(frozen=True)
class Manifest:
    """The commit of an artifact: a reader that finds no manifest finds no artifact.

    :param type: the logical type, ``pandas.DataFrame``, ``stepbridge.File``, ...
    :param format: the codec's name, ``parquet``, ``file``, ...
    :param name: the payload's name: the last part of the URI; empty for a directory.
    :param directories: empty directories of a ``Directory``, which no payload object stands for.
    :param summary: JSON facts for people: rows, columns, schema.
    """

    digest: str
    content: str
    type: str
    format: str
    name: str
    files: tuple[StoredFile, ...]
    directories: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    producer: Producer | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def size(self) -> int:
        """Bytes of all payload objects."""
        return sum(entry.size for entry in self.files)


def uri_of(root: str, manifest: Manifest) -> str:
    """The URI an artifact travels as: its payload object, or for a directory the prefix of its payload."""
    base = f"{root.rstrip('/')}/{prefix(manifest.digest)}"
    return base + (manifest.files[0].key if manifest.name and len(manifest.files) == 1 else INSIDE)


def reference(root: str, manifest: Manifest) -> Artifact:
    """The reference to a committed artifact."""
    return Artifact(
        uri=uri_of(root, manifest),
        digest=manifest.digest,
        content=manifest.content,
        type=manifest.type,
        format=manifest.format,
        size=manifest.size,
        files=len(manifest.files),
    )


def parse_uri(uri: str) -> tuple[str, str] | None:
    """``(store root, artifact digest)`` of an artifact's URI, or None for any other string."""
    found = _IN_URI.match(uri)
    if found is None or found["shard"] != found["digest"][:2]:
        return None
    return found["root"], found["digest"]


def check_relative(path: str, *, place: str) -> PurePosixPath:
    """*path* as a path that stays inside whatever directory it is joined to.

    :raises StoreProblem: SB310 for absolute paths, ``..``, empty parts, NUL and backslash drive tricks.
    """
    parts = path.split("/")
    if not path or "\0" in path or any(part in {"", ".", ".."} for part in parts):
        raise StoreProblem(
            "SB310",
            f"the name {path!r} does not stay inside the target directory",
            place=place,
            hint="the manifest was not written by stepbridge; do not trust this artifact",
        )
    return PurePosixPath(*parts)


def target_of(directory: Path, path: str, *, place: str) -> Path:
    """Where the entry *path* of a manifest goes below *directory*."""
    return directory.joinpath(*check_relative(path, place=place).parts)
