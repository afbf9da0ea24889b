"""Bytes that arrive: hashed while they are written, under a temporary name until they are proven right."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from stepbridge.failures import IntegrityProblem, StoreProblem
from stepbridge.store.base import Download


class Landing:
    """The target of one download, as a context manager.

    The bytes go to a temporary file beside the target; :meth:`finish` checks them and renames. Whatever goes
    wrong, no temporary file stays and the target is not touched.
    """

    def __init__(self, wanted: Download, uri: str) -> None:
        self._wanted = wanted
        self._uri = uri
        self._temporary = wanted.target.with_name(f".stepbridge-{secrets.token_hex(8)}")
        self.hash = hashlib.sha256()
        self._end = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Landing:
        try:
            self._file = self._open()
        except OSError as error:
            raise self._cannot_write(error) from error
        return self

    def _open(self) -> BinaryIO:
        try:
            return open(self._temporary, "xb", buffering=0)
        except FileNotFoundError:
            self._temporary.parent.mkdir(parents=True, exist_ok=True)
            return open(self._temporary, "xb", buffering=0)

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.hash.update(data)
        self.write_at(self._end, data)
        self._end += len(data)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Take bytes for a place of their own; the caller gives them to :attr:`hash` in their order.

        May be called by several threads at a time.
        """
        if self._file is None:
            raise AssertionError("a landing is written inside its with block")
        if offset + len(data) > self._wanted.size:
            raise self._wrong_size(f"more than {self._wanted.size}")
        try:
            rest = memoryview(data)
            while rest:
                done = os.pwrite(self._file.fileno(), rest, offset)
                rest, offset = rest[done:], offset + done
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self) -> None:
        """Compare size and digest with the record, then give the file its name.

        :raises IntegrityProblem: SB304.
        """
        if self._file is None:
            raise AssertionError("a landing is finished inside its with block")
        size = os.fstat(self._file.fileno()).st_size
        self._close()
        if size != self._wanted.size:
            raise self._wrong_size(str(size))
        if self._wanted.sha256 and self.hash.hexdigest() != self._wanted.sha256:
            raise IntegrityProblem(
                "SB304",
                f"its sha256 is {self.hash.hexdigest()}, recorded is {self._wanted.sha256}",
                place=self._uri,
                hint="it was changed or damaged after it was written: run the step that makes it again",
            )
        try:
            self._temporary.replace(self._wanted.target)
        except OSError as error:
            raise self._cannot_write(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _wrong_size(self, found: str) -> IntegrityProblem:
        return IntegrityProblem(
            "SB304",
            f"it has {found} bytes, recorded are {self._wanted.size}",
            place=self._uri,
            hint="the object was changed or cut after it was written: run the step that makes it again",
        )

    def _cannot_write(self, error: OSError) -> StoreProblem:
        return StoreProblem(
            "SB307",
            f"{self._wanted.target} cannot be written: {os.strerror(error.errno or 0)}",
            place=self._uri,
            hint="free space or give write permission where downloads go",
        )


def source_changed(uri: str, source: Path, stated: int, found: int) -> StoreProblem:
    """The error for a source that is not what was measured when it was recorded."""
    return StoreProblem(
        "SB304",
        f"{source} has {found} bytes now, {stated} when it was recorded",
        place=uri,
        hint="do not write to a file after it was returned or passed on",
    )


def source_unreadable(uri: str, source: Path, error: OSError) -> StoreProblem:
    """The error for a file that was to be stored and cannot be read."""
    return StoreProblem(
        "SB304",
        f"{source}, which was to be stored here, cannot be read: {error.strerror}",
        place=uri,
        hint="do not move or delete a file after it was returned or passed on",
    )
