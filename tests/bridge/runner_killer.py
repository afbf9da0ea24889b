"""Starts the runner with a store that kills the process, SIGKILL, right before or after the n-th write.

``python runner_killer.py before|after N URI --digest ...``; the number of writes is appended to the file that
``KILLER_COUNT`` names, so that the test knows when it has killed at every one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from stepbridge.contract import StoreSettings
from stepbridge.runner.__main__ import main
from stepbridge.store import opening
from stepbridge.store.base import Download, ObjectInfo, Store, Upload


class KillingStore:
    """Another store, counted."""

    written = 0
    lock = threading.Lock()

    def __init__(self, inner: Store, when: str, number: int) -> None:
        self.settings = inner.settings
        self._inner = inner
        self._when = when
        self._number = number

    @property
    def root(self) -> str:
        return self._inner.root

    def uri(self, key: str) -> str:
        return self._inner.uri(key)

    def get(self, key: str) -> bytes:
        return self._inner.get(key)

    def head(self, key: str) -> ObjectInfo | None:
        return self._inner.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def download(self, files: Iterable[Download]) -> None:
        self._inner.download(files)

    def put(
        self, key: str, data: bytes, *, create: bool = False, tags: Mapping[str, str] | None = None
    ) -> None:
        with KillingStore.lock:
            self._before(key)
            self._inner.put(key, data, create=create, tags=tags)
            self._after()

    def delete(self, key: str) -> None:
        with KillingStore.lock:
            self._before(key)
            self._inner.delete(key)
            self._after()

    def upload(self, files: Iterable[Upload], *, tags: Mapping[str, str] | None = None) -> None:
        for file in files:
            with KillingStore.lock:
                self._before(file.key)
                self._inner.upload([file], tags=tags)
                self._after()

    def _before(self, key: str) -> None:
        KillingStore.written += 1
        with Path(os.environ["KILLER_COUNT"]).open("a") as file:
            file.write(f"{key}\n")
        if self._when == "before" and KillingStore.written == self._number:
            os.kill(os.getpid(), signal.SIGKILL)

    def _after(self) -> None:
        if self._when == "after" and KillingStore.written == self._number:
            os.kill(os.getpid(), signal.SIGKILL)


def launch(arguments: list[str]) -> int:
    when, number, *rest = arguments
    really = opening.open_store

    def open_store(settings: StoreSettings) -> Store:
        return KillingStore(really(settings), when, int(number))

    opening.open_store = open_store
    return main(rest)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
