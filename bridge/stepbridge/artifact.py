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

from stepbridge import hashing
from stepbridge.failures import StoreProblem

MANIFEST = "manifest.json"
_INSIDE = "data/"
"""Where a directory's payload lies, apart from the manifest: who lists the URI sees the directory alone."""
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


@dataclass(frozen=True)
class Artifact:
    """A reference: all that a request, a result or a cache entry says of an artifact."""

    uri: str
    digest: str
    content: str
    type: str
    format: str
    size: int
    files: int = 1


@dataclass(frozen=True)
class DraftFile:
    """A payload that still lies on this machine.

    :param path: as in :class:`StoredFile`.
    :param source: the absolute local path; never written by the publisher.
    """

    path: str
    source: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Draft:
    """What a codec makes of a value before anything is in the store; see :class:`Manifest` for the fields.

    :param canonical: True where equal values may be stored as different bytes (tables): the payload then lies
        under a prefix of its own bytes' digest, so that no writer can change what another has committed.
    """

    TAG = "draft"

    content: str
    type: str
    format: str
    name: str
    files: tuple[DraftFile, ...]
    directories: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    canonical: bool = False

    @property
    def digest(self) -> str:
        """The artifact's digest: type, format, payload name and content."""
        return hashing.digest(("stepbridge.artifact/1", self.type, self.format, self.name, self.content))

    def keys(self) -> tuple[StoredFile, ...]:
        """The payload objects this draft becomes, in the order of ``files``."""
        lead = _INSIDE if not self.name or self.name == MANIFEST else ""
        if self.canonical and self.files:
            lead = f"{self.files[0].sha256[:16]}/"
        return tuple(
            StoredFile(file.path, lead + payload_key(file.path), file.size, file.sha256)
            for file in self.files
        )


def prefix(digest: str) -> str:
    """The key prefix of an artifact, with a closing slash."""
    return f"artifacts/{digest[:2]}/{digest}/"


def uri_of(root: str, manifest: Manifest) -> str:
    """The URI an artifact travels as: its payload object, or for a directory the prefix of its payload."""
    base = f"{root.rstrip('/')}/{prefix(manifest.digest)}"
    return base + (manifest.files[0].key if manifest.name and len(manifest.files) == 1 else _INSIDE)


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


_UNSAFE = re.compile(rb"[^A-Za-z0-9._/-]")


def safe_key(path: str) -> str:
    """*path* as an object key that every S3 server keeps: other bytes as ``=XX``; injective."""
    raw = path.encode("utf-8", "surrogateescape")
    key = _UNSAFE.sub(lambda m: b"=%02X" % m[0][0], raw).decode("ascii")
    parts = ["=2E" * len(part) if part and set(part) == {"."} else part for part in key.split("/")]
    return "/".join(parts)


def safe_segment(name: str) -> str:
    """*name* as one segment of a key: what :func:`safe_key` makes of it, without slashes."""
    return safe_key(name).replace("/", "=2F")


def payload_key(path: str) -> str:
    """The key of a payload file below its artifact's prefix; injective.

    A name too long for a store once it is escaped is stood for by its digest: the manifest keeps the name.
    """
    key = safe_key(path)
    if len(key) > 700 or any(len(part) > 240 for part in key.split("/")):
        return f"=long/{hashing.digest_bytes(path.encode('utf-8', 'surrogateescape'))}"
    return key


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
