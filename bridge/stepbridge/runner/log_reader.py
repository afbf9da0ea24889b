"""Follows an attempt's log in the store while it grows, each byte once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import BinaryIO

from stepbridge.failures import IntegrityProblem, ObjectMissing
from stepbridge.runner.logs import CHUNK, WHOLE, chunk_key
from stepbridge.store.base import Download, Store


class LogFollower:
    """Reads an attempt's log from the store piece by piece, each byte once.

    While the step runs its log lies in chunks, without gaps from byte 0 on; then the whole log is put, and
    the chunks go away. A follower goes over from one to the other wherever it is.

    :param prefix: the attempt's.
    :param offset: bytes that were given out before, by another follower.
    """

    def __init__(self, store: Store, prefix: str, *, offset: int = 0) -> None:
        self.offset = offset
        self._store = store
        self._prefix = prefix
        self._chunk = 0 if offset else 1
        self._skip = 0
        self._whole: BinaryIO | None = None

    def read(self) -> bytes:
        """What is new, at most some MiB of it; empty where nothing is, after at most two requests.

        :raises StoreProblem: where the store cannot be read; the next call goes on at the same byte.
        """
        data = self._from_file() or self._from_chunk() or self._from_whole()
        self.offset += len(data)
        return data

    def _from_chunk(self) -> bytes:
        if not self._chunk and not self._found():
            return b""
        try:
            data = self._store.get(chunk_key(self._prefix, self._chunk))[self._skip :]
        except ObjectMissing:
            return b""
        self._chunk += 1
        self._skip = 0
        return data

    def _found(self) -> bool:
        """Find the chunk in which the offset lies; whether it is there."""
        at, number = 0, 1
        for info in self._store.list(f"{self._prefix}log/"):
            if info.key != chunk_key(self._prefix, number):
                return False
            if self.offset < at + info.size:
                break
            at, number = at + info.size, number + 1
        else:
            self._chunk = number if at == self.offset else 0
            return False
        self._chunk, self._skip = number, self.offset - at
        return True

    def _from_whole(self) -> bytes:
        key = self._prefix + WHOLE
        info = self._store.head(key)
        if info is None or info.size <= self.offset:
            return b""
        self._chunk = 0
        if info.size <= 2 * CHUNK:
            return self._store.get(key)[self.offset :]
        with tempfile.TemporaryDirectory(prefix="stepbridge-log-") as directory:
            target = Path(directory, WHOLE)
            try:
                self._store.download([Download(key, target, info.size)])
            except IntegrityProblem:
                return b""  # written anew meanwhile: the next read sees it as it is then
            self._whole = open(target, "rb")  # noqa: SIM115 - read from call to call, after its name is gone
        self._whole.seek(self.offset)
        return self._whole.read(CHUNK)

    def _from_file(self) -> bytes:
        if self._whole is None:
            return b""
        data = self._whole.read(CHUNK)
        if not data:
            self._whole.close()
            self._whole = None
        return data
