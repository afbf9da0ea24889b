"""Single flight: of many that want the result of one key, one runs and the others take what it left."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import timedelta

from stepbridge.cache.lease import Busy, Lease
from stepbridge.cache.lookup import Hit, Miss, look_up
from stepbridge.contract import CacheTarget
from stepbridge.store.base import Store

SHORTEST = 0.2
LONGEST = 10.0


@dataclass(frozen=True)
class Held:
    """The lease is ours: run, then release it.

    :param miss: why there is no result to take.
    """

    miss: Miss


def take_turn(
    store: Store, target: CacheTarget, lease: Lease, *, max_age: timedelta | None = None
) -> Hit | Held | Busy:
    """Take the result if it is there, else the lease if it can be had; look again once it is ours.

    :raises StoreProblem: where the lease's store fails; a failing look-up alone counts as a miss.
    """
    found = look_up(store, target, max_age=max_age)
    if isinstance(found, Hit):
        return found
    busy = lease.acquire()
    if busy is not None:
        return busy
    found = look_up(store, target, max_age=max_age)
    if isinstance(found, Hit):
        lease.release()
        return found
    return Held(found)


def pause(turn: Busy, waited: float) -> float:
    """Seconds until the next look: longer the longer one waits, up to the holder's death, jittered."""
    wanted = min(LONGEST, max(SHORTEST, waited / 4))
    return min(wanted, turn.left + SHORTEST) * random.uniform(0.7, 1.3)


def wait_turn(
    store: Store, target: CacheTarget, lease: Lease, *, max_age: timedelta | None = None
) -> Hit | Held:
    """Like :func:`take_turn`, in this thread until there is a result or the lease is ours."""
    began = time.monotonic()
    while True:
        turn = take_turn(store, target, lease, max_age=max_age)
        if not isinstance(turn, Busy):
            return turn
        time.sleep(pause(turn, time.monotonic() - began))
