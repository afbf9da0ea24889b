"""Does work in a thread of its own, so that a signal ends the wait for it at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from stepbridge.runner.processes import Signals

T = TypeVar("T")
_TICK = 1.0
"""Seconds after which a wait looks again by itself."""


class _Work(threading.Thread, Generic[T]):
    def __init__(self, call: Callable[[], T], wake: Callable[[], None]) -> None:
        super().__init__(name="stepbridge-aside", daemon=True)
        self._call = call
        self._wake = wake
        self._found: list[T] = []
        self._error: BaseException | None = None
        self.over = False

    def run(self) -> None:
        try:
            self._found.append(self._call())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            self._error = error
        finally:
            self.over = True
            self._wake()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._found[0]


def aside(call: Callable[[], T], signals: Signals) -> T:
    """What *call* returns or raises; main thread only.

    A call into native code, or one that waits for threads, does not let a signal's handler run. Beside the
    main thread it can be left behind: it must do no harm when it goes on meanwhile.

    :raises RunProblem: SB405 as soon as a signal has come; *call* is left to itself, or not begun.
    """
    signals.check()
    work = _Work(call, signals.wake)
    work.start()
    while not work.over:
        signals.wait(_TICK)
        signals.check()
    return work.result()
