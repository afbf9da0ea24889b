"""The step's log: read from a pipe, shown up to a bound, kept on disk, shipped while the step runs."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from stepbridge.failures import StoreProblem
from stepbridge.runner.redact import Redactor, Stream
from stepbridge.store.base import Download, Store, Upload

WHOLE = "log.txt"
CHUNK = 4 * 1024 * 1024
SHOWN = 16 * 1024 * 1024
_TAIL = 16 * 1024
_READ = 256 * 1024
_FIRST_INTERVAL = 3.0
_LAST_INTERVAL = 10.0
_IDLE = 0.5
"""Seconds without output after which the beginning of what may be a secret is not kept back any longer."""


def chunk_key(prefix: str, number: int) -> str:
    """The key of the sealed chunk *number*, counted from one, of the attempt at *prefix*."""
    return f"{prefix}log/{number:05d}.txt"


def read_log(store: Store, prefix: str) -> Iterator[bytes]:
    """The log of the attempt at *prefix*: the whole one where it is there, else the chunks so far."""
    whole = store.head(prefix + WHOLE)
    if whole is None:
        for info in store.list(f"{prefix}log/"):
            yield store.get(info.key)
    elif whole.size <= 2 * CHUNK:
        yield store.get(prefix + WHOLE)
    else:
        yield from _stream(store, prefix + WHOLE, whole.size)


def _stream(store: Store, key: str, size: int) -> Iterator[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="stepbridge-log-") as directory:
        target = Path(directory, WHOLE)
        store.download([Download(key, target, size)])
        with open(target, "rb") as file:
            while data := file.read(CHUNK):
                yield data


def say(line: str) -> None:
    """Show a line of the runner's own; nothing happens where nobody listens."""
    Screen().write(f"[stepbridge] {line}\n".encode(errors="backslashreplace"))


class Screen:
    """The runner's standard output, which may be gone."""

    def __init__(self) -> None:
        self._open = True

    def write(self, data: bytes) -> None:
        """Write all of *data*, or nothing more ever."""
        view = memoryview(data)
        while self._open and view:
            try:
                view = view[os.write(1, view) :]
            except OSError:
                self._open = False


class Pump(threading.Thread):
    """Moves what the child writes into the spool file and, up to a bound, to the screen.

    :param source: the read end of the child's pipe; closed at the end.
    :param where: the whole log's URI, for the notice that the rest is not shown.
    :param redactor: what must stand neither in the file nor on the screen.
    """

    def __init__(
        self, source: int, spool: Path, where: str, redactor: Redactor, *, shown: int = SHOWN
    ) -> None:
        super().__init__(name="stepbridge-log", daemon=True)
        self.size = 0
        self._source = source
        self._stream = Stream(redactor)
        self._spool = spool
        self._where = where
        self._left = shown
        self._hidden = 0
        self._screen = Screen()

    def run(self) -> None:
        """Read to the end of the pipe."""
        with open(self._spool, "wb", buffering=0) as spool:
            for data in self._pieces():
                try:
                    spool.write(data)
                    self.size += len(data)
                except OSError as error:
                    self._screen.write(f"[stepbridge] the log is cut here: {error}\n".encode())
                self._show(data)
        os.close(self._source)

    def _pieces(self) -> Iterator[bytes]:
        """What comes out of the pipe, without secrets."""
        poll = select.poll()
        poll.register(self._source, select.POLLIN | select.POLLHUP)
        while True:
            if self._stream.waiting and not poll.poll(_IDLE * 1000):
                yield self._stream.flush()
            elif data := os.read(self._source, _READ):
                yield self._stream.feed(data)
            else:
                yield self._stream.flush()
                return

    def _show(self, data: bytes) -> None:
        shown = data[: self._left]
        self._screen.write(shown)
        self._left -= len(shown)
        if len(shown) < len(data) and not self._hidden:
            self._screen.write(f"\n[stepbridge] the log goes on in {self._where}\n".encode())
        self._hidden += len(data) - len(shown)

    def finish(self, seconds: float) -> None:
        """Wait for the end of the pipe, and show the last lines where the bound hid them."""
        self.join(seconds)
        if self._hidden:
            with open(self._spool, "rb") as spool:
                spool.seek(-min(_TAIL, self._hidden), os.SEEK_END)
                self._screen.write(b"\n[stepbridge] the last lines:\n" + spool.read(_TAIL) + b"\n")


class Shipper(threading.Thread):
    """Puts sealed chunks of the spool into the store while the step runs, and the whole log at the end.

    A store that fails costs the log, never the step: the chunk is tried again later.
    """

    def __init__(self, store: Store, prefix: str, pump: Pump, spool: Path) -> None:
        super().__init__(name="stepbridge-ship", daemon=True)
        self._store = store
        self._prefix = prefix
        self._pump = pump
        self._spool = spool
        self._over = threading.Event()
        self._sent = 0
        self._chunks = 0
        self._failed = 0
        self._interval = _FIRST_INTERVAL

    def run(self) -> None:
        """Look now and then whether a chunk is due."""
        sealed = time.monotonic()
        while not self._over.wait(0.5):
            waiting = self._pump.size - self._sent
            now = time.monotonic()
            if waiting >= CHUNK or (waiting and now - sealed >= self._interval):
                self._seal()
                sealed = now
                self._interval = min(_LAST_INTERVAL, self._interval * 1.25)

    def _seal(self) -> None:
        """Put the next chunk. One that failed keeps its size: it may be there, and be read already."""
        with open(self._spool, "rb") as spool:
            spool.seek(self._sent)
            data = spool.read(self._failed or CHUNK)
        try:
            self._store.put(chunk_key(self._prefix, self._chunks + 1), data)
        except StoreProblem as problem:
            say(f"a part of the log could not be stored, tried again later: {problem}")
            self._failed = len(data)
            return
        self._failed = 0
        self._chunks += 1
        self._sent += len(data)

    def finish(self, seconds: float) -> None:
        """Stop, and put the whole log into the store."""
        self._over.set()
        if self.is_alive():
            self.join(seconds)
        size = self._spool.stat().st_size if self._spool.exists() else 0
        if not size:
            return
        try:
            self._store.upload([Upload(self._spool, self._prefix + WHOLE, size)])
        except StoreProblem as problem:
            say(f"the log could not be stored: {problem}")

    def clear(self) -> None:
        """Remove the chunks, which the whole log replaces."""
        try:
            if self._chunks and self._store.head(self._prefix + WHOLE) is not None:
                for number in range(1, self._chunks + 1):
                    self._store.delete(chunk_key(self._prefix, number))
        except StoreProblem as problem:
            say(f"parts of the log stay beside it: {problem}")
