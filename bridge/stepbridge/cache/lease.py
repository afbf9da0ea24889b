"""One holder per key: a lease is an object in the store, taken, kept and taken over by conditional writes.

The lease saves work, it does not make results right: the entry of a run is committed by a conditional write
of its own, so two holders at once only cost a second run. Protocol after the remote caches of build systems.

- Taken by ``If-None-Match: *``. The body holds a nonce; what a lost answer left is told by reading it.
- Kept by the holder's heartbeat, ``If-Match`` with a new beat in the body, every third of its time to live.
- Dead when nothing was written to it for its time to live. A waiter measures that by its own clock from when
  it first saw these very bytes, and at first by the store's clock alone: that of an object it writes itself
  against that of the lease. No two machines' clocks are ever compared.
- Taken over by ``If-Match`` on the dead holder's bytes, so one of many waiters wins.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from stepbridge import documents
from stepbridge.contract import CacheTarget
from stepbridge.failures import ObjectExists, ObjectMissing, StoreProblem
from stepbridge.store.base import ObjectInfo, Store

TTL = 60.0
_RESOLUTION = 2.0
"""Seconds: stores tell the time of a write to the second."""


@dataclass(frozen=True)
class LeaseDocument:
    """``leases/<step>/<key>.json``.

    :param holder: run prefix of the attempt that runs, for people.
    :param nonce: the holder's own; the same in every beat.
    :param beat: a new text in every write, so that no two are the same bytes.
    :param ttl: seconds without a write after which the holder counts as dead.
    """

    key: str
    holder: str
    nonce: str
    beat: str
    ttl: float


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
        self._seen = b""
        self._silent_since = 0.0

    @property
    def path(self) -> str:
        """The lease's key in the store."""
        return self._target.lease_path

    def acquire(self) -> Busy | None:
        """Take the lease where it is free or its holder is dead; None where it is ours now.

        :raises StoreProblem: where the store fails.
        """
        if not self._seen and self._create():
            return None
        try:
            data, info = self._store.read(self.path)
        except ObjectMissing:
            return None if self._create() else Busy("", 0.0)
        found = self._parsed(data)
        if found is not None and found.nonce == self.nonce:
            return None
        holder = found.holder if found else ""
        left = self._left(data, info, found)
        if left > 0:
            return Busy(holder, left)
        try:
            self._store.replace(self.path, documents.dump(self._document()), etag=info.etag)
            return None
        except (ObjectExists, ObjectMissing):
            return Busy(holder, 0.0)

    def _create(self) -> bool:
        try:
            self._store.put(self.path, documents.dump(self._document()), create=True)
            return True
        except ObjectExists:
            return False

    def renew(self, *, ttl: float | None = None) -> None:
        """Beat.

        :param ttl: seconds that hold from now on; None for the lease's own.
        :raises LeaseLost: where the lease is another's, or gone.
        :raises StoreProblem: where the store fails; the next beat may succeed.
        """
        try:
            data, info = self._store.read(self.path)
            found = self._parsed(data)
            if found is None or found.nonce != self.nonce:
                raise LeaseLost(found.holder if found else "")
            document = self._document() if ttl is None else replace(self._document(), ttl=ttl)
            self._store.replace(self.path, documents.dump(document), etag=info.etag)
        except ObjectMissing as missing:
            raise LeaseLost("") from missing
        except ObjectExists:
            return  # another process of ours, or a thief: the next beat tells

    def release(self) -> None:
        """Give the lease up, if it is still ours. A failing store leaves it to its time to live."""
        try:
            data, _ = self._store.read(self.path)
            found = self._parsed(data)
            if found is not None and found.nonce == self.nonce:
                self._store.delete(self.path)
        except StoreProblem:
            return

    def _document(self) -> LeaseDocument:
        return LeaseDocument(self._target.key, self._holder, self.nonce, secrets.token_hex(8), self._ttl)

    def _parsed(self, data: bytes) -> LeaseDocument | None:
        """The document, or None for bytes that are none: these count as a holder who is silent."""
        try:
            return documents.load(LeaseDocument, data, place=self._store.uri(self.path))
        except StoreProblem:
            return None

    def _left(self, data: bytes, info: ObjectInfo, found: LeaseDocument | None) -> float:
        """Seconds until these bytes count as left by a dead holder."""
        now = self._clock()
        if data != self._seen:
            self._seen = data
            self._silent_since = now - self._age(info)
        ttl = found.ttl if found is not None else self._ttl
        return self._silent_since + ttl + _RESOLUTION - now

    def _age(self, info: ObjectInfo) -> float:
        """How long ago the lease was written, by the store's clock alone; 0 where it does not tell."""
        key = f"{self.path.removesuffix('.json')}.{secrets.token_hex(8)}.now"
        try:
            self._store.put(key, b"")
            now = self._store.head(key)
            self._store.delete(key)
        except StoreProblem:
            return 0.0
        if now is None or now.modified is None or info.modified is None:
            return 0.0
        return max(0.0, now.modified - info.modified)


class Heart(threading.Thread):
    """Beats for a lease until stopped; a store that fails for a while costs the lease, never the run.

    :param every: seconds between two beats.
    """

    def __init__(self, lease: Lease, every: float) -> None:
        super().__init__(name="stepbridge-lease", daemon=True)
        self._lease = lease
        self._every = every
        self._over = threading.Event()
        self.lost = False
        """Whether another has taken the lease over."""

    def run(self) -> None:
        """Beat now and then."""
        while not self._over.wait(self._every):
            try:
                self._lease.renew()
            except LeaseLost:
                self.lost = True
                return
            except StoreProblem:
                continue

    def stop(self) -> None:
        """No further beat begins."""
        self._over.set()
        if self.is_alive():
            self.join(30)
