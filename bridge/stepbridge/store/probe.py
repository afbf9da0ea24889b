"""Does a store keep its promise on conditional writes? Found out by racing: one at a time, liars pass."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

from stepbridge.failures import ObjectExists
from stepbridge.store.base import Store

ROUNDS = 12
WRITERS = 8


def probe_conditional_writes(store: Store, *, rounds: int = ROUNDS, writers: int = WRITERS) -> bool:
    """Whether of several writers that create one object at the same time exactly one wins, every time.

    Writes below ``probe/`` and cleans up.

    :param rounds: how many races; a server whose check and write are two steps shows it in most of them.
    :raises StoreProblem: where the store cannot be written at all.
    """
    name = secrets.token_hex(8)
    with ThreadPoolExecutor(writers, thread_name_prefix="stepbridge-probe") as pool:
        return all(_race(store, f"probe/{name}/{number}", pool, writers) for number in range(rounds))


def _race(store: Store, key: str, pool: ThreadPoolExecutor, writers: int) -> bool:
    barrier = threading.Barrier(writers)
    bodies = [secrets.token_bytes(24) for _ in range(writers)]

    def write(body: bytes) -> bool:
        barrier.wait(timeout=60)
        try:
            store.put(key, body, create=True)
        except ObjectExists:
            return False
        return True

    try:
        outcomes = list(pool.map(write, bodies))
        winners = [body for body, won in zip(bodies, outcomes, strict=True) if won]
        return len(winners) == 1 and store.get(key) == winners[0]
    finally:
        store.delete(key)
