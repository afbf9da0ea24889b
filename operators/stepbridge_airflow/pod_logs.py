"""A step's log from the store into the task's log: each line once, while it runs and at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stepbridge.failures import StoreProblem
from stepbridge.runner.log_reader import LogFollower
from stepbridge.store.base import Store

SHOWN = 16 * 1024 * 1024
_TAIL = 16 * 1024
_LINE = 64 * 1024
_BESIDE = 64
"""Bytes that a line costs in the task's log beside its text: time, level, source."""
_PAUSE = 2.0


class LogPrinter:
    """Hands the lines of an attempt's log on, in order, each once, up to a bound.

    :param prefix: of the attempt.
    :param show: takes a line.
    :param offset: bytes that were shown before, by another process.
    """

    def __init__(self, store: Store, prefix: str, show: Callable[[str], None], *, offset: int = 0) -> None:
        again = min(offset, _TAIL)
        self._follower = LogFollower(store, prefix, offset=offset - again)
        self._before = again
        """Bytes that are read for the tail alone: they were shown before."""
        self._where = store.uri(prefix + "log.txt")
        self._show = show
        self._shown = offset
        self._rest = b""
        self._tail = b""
        self._cut = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def offset(self) -> int:
        """Bytes whose lines were shown; the begun line is not counted."""
        return self._follower.offset + self._before - len(self._rest)

    @property
    def tail(self) -> str:
        """The last lines that were read."""
        return self._tail.decode("utf-8", "backslashreplace")

    def start(self) -> None:
        """Go on reading in a thread until :meth:`stop`."""
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._run, name="stepbridge-log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(60)
            self._thread = None

    def read(self) -> None:
        """Show what is new; a store that fails costs lines for now, never the step."""
        with self._lock:
            try:
                while data := self._follower.read():
                    self._take(data)
            except StoreProblem:
                return

    def finish(self) -> None:
        """Show the rest, the begun line too."""
        self.stop()
        self.read()
        with self._lock:
            if self._rest:
                self._line(self._rest)
                self._rest = b""
            if self._cut:
                self._show("[stepbridge] the last lines:")
                for line in self._tail.split(b"\n")[-40:]:
                    self._show(_text(line))
                self._cut = False

    def _run(self) -> None:
        while not self._over.wait(_PAUSE):
            self.read()

    def _take(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL:]
        shown = min(self._before, len(data))
        self._before -= shown
        data = data[shown:]
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(self._shortened(line))
        self._rest = self._shortened(self._rest)

    def _shortened(self, line: bytes) -> bytes:
        """What is left of *line* when all its pieces of full length were shown."""
        at = 0
        while len(line) - at >= _LINE:
            self._line(line[at : at + _LINE])
            at += _LINE
        return line[at:]

    def _line(self, line: bytes) -> None:
        self._shown += len(line) + _BESIDE
        if self._shown <= SHOWN:
            self._show(_text(line))
        elif not self._cut:
            self._cut = True
            self._show(f"[stepbridge] the log goes on in {self._where}")


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "backslashreplace")
