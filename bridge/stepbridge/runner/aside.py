"""Does work in a thread of its own, so that a signal ends the wait for it at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Work(threading.Thread, Generic[T]):
    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__(name="stepbridge-aside", daemon=True)
        self._call = call
        self._found: list[T] = []
        self._error: BaseException | None = None
        self._over = threading.Event()

    def run(self) -> None:
        try:
            self._found.append(self._call())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            self._error = error
        finally:
            self._over.set()

    def result(self) -> T:
        self._over.wait()
        if self._error is not None:
            raise self._error
        return self._found[0]


def aside(call: Callable[[], T]) -> T:
    """What *call* returns or raises.

    A call into native code, or one that waits for threads, does not let a signal's handler run. Beside the
    main thread it can be left behind: it must do no harm when it goes on meanwhile.
    """
    work = _Work(call)
    work.start()
    return work.result()
