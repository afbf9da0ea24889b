"""Run one function over many items in threads: bounded, first error wins, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def for_each(items: Iterable[T], work: Callable[[T], None], workers: int) -> None:
    """Call *work* with every item, at most *workers* at a time.

    Items are taken from the iterable only when a thread is free, so a long one is never held in memory. After
    the first error no further item is begun; the error is raised when the running ones have ended.
    """
    if isinstance(items, Sized):
        workers = min(workers, len(items))
    if workers < 1:
        return
    source = iter(items)
    lock = threading.Lock()
    stop = threading.Event()

    def next_items() -> Iterable[T]:
        while not stop.is_set():
            with lock:
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item

    def run() -> None:
        try:
            for item in next_items():
                work(item)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="stepbridge-store") as pool:
        running = [pool.submit(run) for _ in range(workers)]
        try:
            for future in running:
                future.result()
        finally:
            stop.set()
