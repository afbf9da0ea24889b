"""What a store promises, whatever stands behind it.

Keys are relative to the root, POSIX, ``[A-Za-z0-9._=/-]``, without ``//``, ``..`` or a closing slash. A write
is visible whole or not at all. Failures are ``StoreProblem`` and name the object's URI.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stepbridge.store.records import ObjectInfo, StoreSettings

__all__ = ["Download", "ObjectInfo", "Store", "Upload"]


@dataclass(frozen=True)
class Upload:
    """A local file on its way into the store."""

    source: Path
    key: str
    size: int


@dataclass(frozen=True)
class Download:
    """An object on its way to a local file, with what its record says of it.

    :param sha256: 64 hex digits, or empty where nothing is recorded (outside objects).
    :param etag: read only the content that the store names so (outside objects).
    :param version: read this version of the object (outside objects).
    """

    key: str
    target: Path
    size: int
    sha256: str = ""
    etag: str = ""
    version: str = ""


class Store(Protocol):
    """Objects under one root."""

    settings: StoreSettings

    @property
    def root(self) -> str:
        """The root URI, without a closing slash."""
        ...

    def uri(self, key: str) -> str:
        """The full URI of *key*."""
        ...

    def get(self, key: str) -> bytes:
        """The object's bytes, in one request; for small objects.

        :raises ObjectMissing: SB302.
        """
        ...

    def put(
        self, key: str, data: bytes, *, create: bool = False, tags: Mapping[str, str] | None = None
    ) -> None:
        """Write a small object in one request.

        :param create: only where no object is (``If-None-Match: *``). A conflict or a lost answer is settled
            by reading: an object with these very bytes is ours, and the call succeeds.
        :raises ObjectExists: SB303, with ``create``, where another object is there.
        """
        ...

    def read(self, key: str) -> tuple[bytes, ObjectInfo]:
        """The object's bytes and what the store says of these very bytes, in one request; for small objects.

        :raises ObjectMissing: SB302.
        """
        ...

    def replace(self, key: str, data: bytes, *, etag: str) -> None:
        """Write a small object only over the one that the store names *etag* (``If-Match``).

        A conflict or a lost answer is settled by reading: an object with these very bytes is ours, and the
        call succeeds. So *data* must hold something of its own, a nonce.

        :raises ObjectExists: SB303 where another object is there.
        :raises ObjectMissing: SB302 where none is.
        """
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """What the store says of the object, or None."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key begins with *prefix*, sorted by key."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; no error where there is none."""
        ...

    def upload(self, files: Iterable[Upload], *, tags: Mapping[str, str] | None = None) -> None:
        """Write many files, in parallel, with bounded memory.

        :raises StoreProblem: SB304 where a source's size is not the stated one when it is read.
        """
        ...

    def download(self, files: Iterable[Download]) -> None:
        """Read many objects into files, in parallel, with bounded memory, each verified, each atomic.

        A target is written under a temporary name beside it and renamed when size and digest are right.

        :raises IntegrityProblem: SB304, naming the object, where size or digest differ.
        :raises ObjectMissing: SB302.
        """
        ...
