"""One holder per key: a lease is an object in the store, taken, kept and taken over by conditional writes.

The lease saves work, it does not make results right: the entry of a run is committed by a conditional write
of its own, so two holders at once only cost a second run. Protocol after the remote caches of build systems.

- Taken by ``If-None-Match: *``. The body holds a nonce; what a lost answer left is told by reading it.
- Kept by the holder's heartbeat, ``If-Match`` with a new beat in the body, every third of its time to live.
- Dead when nothing was written to it for its time to live. A waiter measures that by its own clock from when
  it first saw these very bytes, and at first by the store's clock alone: that of an object it writes itself
  against that of the lease. No two machines' clocks are ever compared.
- Taken over by ``If-Match`` on the dead holder's bytes, so one of many waiters wins.
- Given up by ``If-Match`` too: the object stays and says that it is free. A deletion asks for no precondition
  and could meet the lease of a thief.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from stepbridge import documents
from stepbridge.contract import CacheTarget
from stepbridge.failures import ObjectExists, ObjectMissing, StoreProblem
from stepbridge.store.base import ObjectInfo, Store

TTL = 60.0
_RESOLUTION = 2.0
"""Seconds: stores tell the time of a write to the second."""
_LONGEST_TTL = 30 * 24 * 3600.0
"""Seconds; a lease that asks for more was not written by a holder."""
_CONFLICTS = 3
"""How often another process of the same holder may come between our read and our write."""


@dataclass(frozen=True)
class LeaseDocument:
    """``leases/<step>/<key>.json``.

    :param holder: run prefix of the attempt that runs, for people.
    :param nonce: the holder's own; the same in every beat.
    :param beat: a new text in every write, so that no two are the same bytes.
    :param ttl: seconds without a write after which the holder counts as dead.
    :param released: the holder has given it up.
    """

    key: str
    holder: str
    nonce: str
    beat: str
    ttl: float
    released: bool = False


@dataclass(frozen=True)
class Busy:
    """Another holds the lease.

    :param left: seconds until it counts as dead if it stays silent.
    """

    holder: str
    left: float


class LeaseLost(Exception):
    """Another has taken the lease over."""


class Lease:
    """One contender for the right to run *target*; use one object for all calls of one contender.

    :param holder: who asks, for people.
    :param ttl: seconds; at least three heartbeats, well above the store's slowest answer.
    :param nonce: to go on with a lease that another process of the same contender took.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        target: CacheTarget,
        holder: str,
        *,
        ttl: float = TTL,
        nonce: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._target = target
        self._holder = holder
        self._ttl = ttl
        self._clock = clock
        self.nonce = nonce or secrets.token_hex(16)
        self._seen: bytes | None = None
        self._silent_since = 0.0

    @property
    def path(self) -> str:
        """The lease's key in the store."""
        return self._target.lease_path

    def acquire(self) -> Busy | None:
        """Take the lease where it is free or its holder is dead; None where it is ours now.

        A lease that is ours already gets a beat.

        :raises StoreProblem: where the store fails.
        """
        if self._seen is None and self._create():
            return None
        for _ in range(_CONFLICTS):
            try:
                data, info = self._store.read(self.path)
            except ObjectMissing:
                return None if self._create() else Busy("", 0.0)
            found = self._parsed(data)
            holder = found.holder if found else ""
            if not self._is_ours(found):
                left = self._left(data, info, found)
                if left > 0:
                    return Busy(holder, left)
            if self._over(info, self._document()):
                return None
            if not self._is_ours(found):
                return Busy(holder, 0.0)
        return None

    def renew(self, *, ttl: float | None = None) -> None:
        """Beat.

        :param ttl: seconds that hold from now on; None for the lease's own.
        :raises LeaseLost: where the lease is another's, or gone, or given up.
        :raises StoreProblem: where the store fails; the next beat may succeed.
        """
        for _ in range(_CONFLICTS):
            try:
                data, info = self._store.read(self.path)
            except ObjectMissing as missing:
                raise LeaseLost("") from missing
            found = self._parsed(data)
            if not self._is_ours(found):
                raise LeaseLost(found.holder if found else "")
            if self._over(info, self._document(ttl)):
                return

    def release(self) -> None:
        """Give the lease up, if it is still ours. A failing store leaves it to its time to live."""
        try:
            for _ in range(_CONFLICTS):
                data, info = self._store.read(self.path)
                if not self._is_ours(self._parsed(data)):
                    return
                if self._over(info, self._document(released=True)):
                    return
        except StoreProblem:
            return

    def _create(self) -> bool:
        try:
            self._store.put(self.path, documents.dump(self._document()), create=True)
            return True
        except ObjectExists:
            return False

    def _over(self, info: ObjectInfo, document: LeaseDocument) -> bool:
        """Write *document* over the very bytes that *info* is of; False where they are not there any more."""
        try:
            self._store.replace(self.path, documents.dump(document), etag=info.etag)
            return True
        except (ObjectExists, ObjectMissing):
            return False

    def _document(self, ttl: float | None = None, *, released: bool = False) -> LeaseDocument:
        lasting = self._ttl if ttl is None else ttl
        return LeaseDocument(
            self._target.key, self._holder, self.nonce, secrets.token_hex(8), lasting, released
        )

    def _is_ours(self, found: LeaseDocument | None) -> bool:
        return found is not None and found.nonce == self.nonce and not found.released

    def _parsed(self, data: bytes) -> LeaseDocument | None:
        """The document, or None for bytes that no holder wrote: these count as a holder who is silent."""
        try:
            found = documents.load(LeaseDocument, data, place=self._store.uri(self.path))
        except (StoreProblem, OverflowError, RecursionError):
            return None
        sane = math.isfinite(found.ttl) and 0 <= found.ttl <= _LONGEST_TTL
        return found if sane and found.key == self._target.key else None

    def _left(self, data: bytes, info: ObjectInfo, found: LeaseDocument | None) -> float:
        """Seconds until these bytes count as left by a dead holder."""
        if found is not None and found.released:
            return 0.0
        if data != self._seen:
            age = self._age(info)
            self._seen = data
            self._silent_since = self._clock() - age
        ttl = found.ttl if found is not None else self._ttl
        return self._silent_since + ttl + _RESOLUTION - self._clock()

    def _age(self, info: ObjectInfo) -> float:
        """At least how long ago the lease was written, by the store's clock alone; 0 where it does not tell.

        What the asking takes is left out, so a slow store makes no holder look dead.
        """
        key = f"{self.path.removesuffix('.json')}.{secrets.token_hex(8)}.now"
        try:
            self._store.put(key, b"")
            try:
                now = self._store.head(key)
            finally:
                self._store.delete(key)
        except StoreProblem:
            return 0.0
        if now is None or now.modified is None or info.modified is None:
            return 0.0
        return max(0.0, now.modified - info.modified)


class Heart(threading.Thread):
    """Beats for a lease until stopped; a store that fails for a while costs the lease, never the run.

    :param every: seconds from the start of a beat to that of the next; a slow store does not stretch it.
    :param at_once: beat when it starts: who took the lease may have been silent, or gone, for a while.
    """

    def __init__(self, lease: Lease, every: float, *, at_once: bool = False) -> None:
        super().__init__(name="stepbridge-lease", daemon=True)
        self._lease = lease
        self._every = every
        self._first = 0.0 if at_once else every
        self._over = threading.Event()
        self.lost = False
        """Whether another has taken the lease over."""

    def run(self) -> None:
        """Beat now and then."""
        wait = self._first
        while not self._over.wait(wait):
            began = time.monotonic()
            try:
                self._lease.renew()
            except LeaseLost:
                self.lost = True
                return
            except StoreProblem:
                pass
            wait = max(self._every / 10, self._every - (time.monotonic() - began))

    def stop(self) -> None:
        """No further beat begins; waits for the one at work, for at most 30 seconds."""
        self._over.set()
        if self.is_alive():
            self.join(30)
