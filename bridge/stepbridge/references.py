"""References to artifacts, drafts that become some, and the keys in the store of both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepbridge.artifact import StoredFile

MANIFEST = "manifest.json"
INSIDE = "data/"
"""Where a directory's payload lies, apart from the manifest: who lists the URI sees the directory alone."""
_UNSAFE = re.compile(rb"[^A-Za-z0-9._/-]")


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

    :param path: as in :class:`stepbridge.artifact.StoredFile`.
    :param source: the absolute local path; never written by the publisher.
    """

    path: str
    source: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Draft:
    """What a codec makes of a value before anything is in the store.

    The fields are those of :class:`stepbridge.artifact.Manifest`.

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
        from stepbridge import hashing

        return hashing.digest(("stepbridge.artifact/1", self.type, self.format, self.name, self.content))

    def keys(self) -> tuple[StoredFile, ...]:
        """The payload objects this draft becomes, in the order of ``files``."""
        from stepbridge.artifact import StoredFile

        lead = INSIDE if not self.name or self.name == MANIFEST else ""
        if self.canonical and self.files:
            lead = f"{self.files[0].sha256[:16]}/"
        return tuple(
            StoredFile(file.path, lead + payload_key(file.path), file.size, file.sha256)
            for file in self.files
        )


def prefix(digest: str) -> str:
    """The key prefix of an artifact, with a closing slash."""
    return f"artifacts/{digest[:2]}/{digest}/"


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
        from stepbridge import hashing

        return f"=long/{hashing.digest_bytes(path.encode('utf-8', 'surrogateescape'))}"
    return key
