"""A lease has one holder: taken, kept, given up and taken over, whatever the store and the clocks do."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from runner_harness import Harness, wait_for
from servers import Fault, FaultProxy

from stepbridge import documents
from stepbridge.cache.flight import Held, pause, take_turn
from stepbridge.cache.lease import Busy, Heart, Lease, LeaseDocument, LeaseLost
from stepbridge.contract import CacheTarget, StoreSettings
from stepbridge.failures import StoreProblem
from stepbridge.store.base import ObjectInfo, Store
from stepbridge.store.connect import Patience
from stepbridge.store.local import LocalStore
from stepbridge.store.opening import open_store
from stepbridge.store.probe import LASTS, VERDICT, Verdict, conditional_writes
from stepbridge.store.s3 import S3Store

TARGET = CacheTarget("dag.train", "ab" * 32)


@dataclass
class Clock:
    """Monotonic seconds that a test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def there(store: Store) -> LeaseDocument:
    return documents.load(LeaseDocument, store.get(TARGET.lease_path), place="lease")


def lease(store: Store, holder: str, *, ttl: float = 60.0, clock: Callable[[], float] | None = None) -> Lease:
    return Lease(store, TARGET, holder, ttl=ttl, clock=clock or time.monotonic)


def holds(store: Store, one: Lease) -> bool:
    found = there(store)
    return found.nonce == one.nonce and not found.released


def age(settings: StoreSettings, seconds: float) -> None:
    """Make the lease's object in a folder older, as its file system tells."""
    path = Path(settings.root.removeprefix("file://")) / TARGET.lease_path
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


# taken, kept, given up, taken over ----------------------------------------------------------------------


def test_one_holder_at_a_time(store: Store) -> None:
    first, second = lease(store, "first"), lease(store, "second")
    assert first.acquire() is None
    busy = second.acquire()
    assert isinstance(busy, Busy)
    assert busy.holder == "first"
    assert 0 < busy.left <= 62
    first.release()
    assert second.acquire() is None
    assert holds(store, second)
    busy = first.acquire()
    assert isinstance(busy, Busy)
    assert busy.holder == "second"


def test_a_holder_that_asks_again_has_it_and_beats(store: Store) -> None:
    one = lease(store, "one")
    assert one.acquire() is None
    before = there(store)
    assert one.acquire() is None
    after = there(store)
    assert before.nonce == after.nonce
    assert before.beat != after.beat


def test_another_process_of_the_holder_goes_on(store: Store) -> None:
    trigger = lease(store, "trigger", ttl=300.0)
    assert trigger.acquire() is None
    worker = Lease(store, TARGET, "worker", ttl=60.0, nonce=trigger.nonce)
    assert worker.acquire() is None
    assert there(store).ttl == 60.0
    worker.renew(ttl=500.0)
    assert there(store).ttl == 500.0
    worker.release()
    with pytest.raises(LeaseLost):
        trigger.renew()


def test_a_silent_holder_is_dead_after_its_time_to_live_by_the_waiters_clock(store: Store) -> None:
    clock = Clock()
    dead, waiter = lease(store, "dead", ttl=30.0), lease(store, "waiter", clock=clock)
    assert dead.acquire() is None
    first = waiter.acquire()
    assert isinstance(first, Busy)
    assert 20 < first.left <= 32
    clock.now += 25
    assert isinstance(waiter.acquire(), Busy)
    clock.now += 8
    assert waiter.acquire() is None
    assert holds(store, waiter)
    with pytest.raises(LeaseLost, match="waiter"):
        dead.renew()


def test_a_holder_that_beats_is_never_taken_over(store: Store) -> None:
    clock = Clock()
    holder, waiter = lease(store, "holder", ttl=30.0), lease(store, "waiter", clock=clock)
    assert holder.acquire() is None
    for _ in range(6):
        assert isinstance(waiter.acquire(), Busy)
        clock.now += 25
        holder.renew()
    assert isinstance(waiter.acquire(), Busy)
    assert holds(store, holder)


def test_of_many_waiters_one_takes_a_dead_holders_lease(store: Store) -> None:
    clock = Clock()
    assert lease(store, "dead", ttl=1.0).acquire() is None
    waiters = [lease(store, f"waiter {number}", clock=clock) for number in range(8)]
    assert all(isinstance(waiter.acquire(), Busy) for waiter in waiters)
    clock.now += 10
    barrier = threading.Barrier(len(waiters))
    won: list[Lease] = []

    def take(waiter: Lease) -> None:
        barrier.wait()
        if waiter.acquire() is None:
            won.append(waiter)

    threads = [threading.Thread(target=take, args=(waiter,)) for waiter in waiters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert holds(store, won[0])


def test_a_beat_between_a_waiters_read_and_its_write_saves_the_holder(file_settings: StoreSettings) -> None:
    plain = open_store(file_settings)
    holder = lease(plain, "holder", ttl=1.0)
    clock = Clock()

    class Beating(LocalStore):
        """The holder beats right before the waiter writes."""

        def replace(self, key: str, data: bytes, *, etag: str) -> None:
            holder.renew()
            super().replace(key, data, etag=etag)

    late = Beating(file_settings, Path(file_settings.root.removeprefix("file://")))
    waiter = lease(late, "waiter", clock=clock)
    assert holder.acquire() is None
    assert isinstance(waiter.acquire(), Busy)
    clock.now += 100
    assert waiter.acquire() == Busy("holder", 0.0)
    assert holds(plain, holder)


def test_the_release_of_a_stolen_lease_leaves_the_thiefs(store: Store) -> None:
    clock = Clock()
    dead, thief = lease(store, "dead", ttl=1.0), lease(store, "thief", clock=clock)
    assert dead.acquire() is None
    thief.acquire()
    clock.now += 10
    assert thief.acquire() is None
    before = store.get(TARGET.lease_path)
    dead.release()
    assert store.get(TARGET.lease_path) == before


def test_a_theft_between_the_read_and_the_write_of_a_release_stands(file_settings: StoreSettings) -> None:
    plain = open_store(file_settings)
    clock = Clock()
    thief = lease(plain, "thief", clock=clock)

    class Stolen(LocalStore):
        """The thief strikes right after the holder has read that the lease is its own."""

        def read(self, key: str) -> tuple[bytes, ObjectInfo]:
            found = super().read(key)
            if clock.now < 2000:
                clock.now = 3000
                assert thief.acquire() is None
            return found

    holder = lease(plain, "holder", ttl=1.0)
    assert holder.acquire() is None
    assert isinstance(thief.acquire(), Busy)
    directory = Path(file_settings.root.removeprefix("file://"))
    Lease(Stolen(file_settings, directory), TARGET, "holder", nonce=holder.nonce).release()
    assert holds(plain, thief)


def test_the_same_bytes_again_are_not_the_same_lease(store: Store) -> None:
    """ABA: every write holds a text of its own, so no ETag, even one made of the content, comes again."""
    one = lease(store, "one")
    seen = set()
    for _ in range(5):
        assert one.acquire() is None
        seen.add(store.read(TARGET.lease_path)[1].etag)
        one.renew()
        seen.add(store.read(TARGET.lease_path)[1].etag)
        one.release()
        seen.add(store.read(TARGET.lease_path)[1].etag)
    assert len(seen) == 15


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00\xff",
        b"{}",
        b"[" * 100_000,
        documents.dump(LeaseDocument("another key", "h", "n", "b", 1e6)),
        documents.dump(LeaseDocument(TARGET.key, "h", "n", "b", 1e300)),
        documents.dump(LeaseDocument(TARGET.key, "h", "n", "b", -5.0)),
        documents.dump(LeaseDocument(TARGET.key, "h", "n", "b", 1.5)).replace(b"1.5", b"NaN"),
        documents.dump(LeaseDocument(TARGET.key, "h", "n", "b", 1.5)).replace(b"1.5", b"1" * 400),
    ],
)
def test_garbage_in_the_lease_is_a_silent_holder(file_store: Store, garbage: bytes) -> None:
    file_store.put(TARGET.lease_path, garbage)
    clock = Clock()
    waiter = lease(file_store, "waiter", ttl=30.0, clock=clock)
    busy = waiter.acquire()
    assert isinstance(busy, Busy)
    assert 20 < busy.left <= 32
    clock.now += 33
    assert waiter.acquire() is None
    assert holds(file_store, waiter)


def test_a_lease_that_was_deleted_is_lost_and_free(store: Store) -> None:
    one, other = lease(store, "one"), lease(store, "other")
    assert one.acquire() is None
    assert isinstance(other.acquire(), Busy)
    store.delete(TARGET.lease_path)
    with pytest.raises(LeaseLost):
        one.renew()
    one.release()
    assert other.acquire() is None


# clocks -------------------------------------------------------------------------------------------------


def test_a_lease_left_hours_ago_is_taken_at_once(file_settings: StoreSettings) -> None:
    store = open_store(file_settings)
    assert lease(store, "dead", ttl=60.0).acquire() is None
    age(file_settings, 4 * 3600)
    assert lease(store, "waiter").acquire() is None


def test_a_lease_left_a_while_ago_is_taken_at_once_from_a_server(moto_store: Store) -> None:
    """A server's own ``Last-Modified`` against its own again: nobody's clock here counts."""
    assert lease(moto_store, "dead", ttl=0.5).acquire() is None
    time.sleep(4)
    assert lease(moto_store, "waiter").acquire() is None


@pytest.mark.parametrize("skew", [-900.0, 900.0])
def test_the_clocks_of_the_machines_make_no_difference(
    store: Store, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """The holder's machine, then the waiter's, is a quarter of an hour off."""
    real = time.time
    holder = lease(store, "holder", clock=lambda: time.monotonic() + skew)
    waiter = lease(store, "waiter", clock=lambda: time.monotonic() - 7 * skew)
    monkeypatch.setattr(time, "time", lambda: real() + skew)
    assert holder.acquire() is None
    monkeypatch.setattr(time, "time", lambda: real() - skew)
    busy = waiter.acquire()
    assert isinstance(busy, Busy)
    assert 55 < busy.left <= 62
    monkeypatch.setattr(time, "time", lambda: real() + skew)
    holder.renew()
    holder.release()
    assert waiter.acquire() is None


def test_no_wall_clock_is_read() -> None:
    import stepbridge.cache.flight
    import stepbridge.cache.lease

    for module in (stepbridge.cache.lease, stepbridge.cache.flight):
        text = Path(module.__file__ or "").read_text()
        assert "time.time" not in text
        assert "datetime" not in text.replace("import timedelta", "").replace("from datetime", "")


def test_a_file_system_whose_clock_runs_ahead(file_settings: StoreSettings) -> None:
    """A lease dated in the store's future counts as written now, never as dead, never as immortal."""
    store = open_store(file_settings)
    clock = Clock()
    assert lease(store, "dead", ttl=30.0).acquire() is None
    age(file_settings, -3600)
    waiter = lease(store, "waiter", clock=clock)
    busy = waiter.acquire()
    assert isinstance(busy, Busy)
    assert busy.left <= 32
    clock.now += 33
    assert waiter.acquire() is None


# broken stores ------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(moto_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(moto_url) as running:
        yield running


@pytest.fixture
def faulty(proxy: FaultProxy, moto_settings: StoreSettings) -> S3Store:
    bucket, _, prefix = moto_settings.root.removeprefix("s3://").partition("/")
    patience = Patience(retries=2, first=0.01, longest=0.05)
    return S3Store(StoreSettings(moto_settings.root, endpoint=proxy.url), bucket, prefix, patience)


ACTIONS = ["lose", "status 409", "status 503", "status 500", "reset"]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("action", ACTIONS)
def test_the_answer_to_each_write_fails(
    proxy: FaultProxy, faulty: S3Store, moto_store: Store, action: str, times: int
) -> None:
    """Taken, kept, given up: each write's answer is lost or an error, and what was meant is so."""
    one, other = lease(faulty, "one"), lease(moto_store, "other")
    for step in (one.acquire, one.renew):
        proxy.faults = [Fault(action, "PUT", "leases/", times=times)]
        assert step() is None  # type: ignore[func-returns-value]
        assert proxy.faults[0].times == 0
        assert holds(moto_store, one)
        assert isinstance(other.acquire(), Busy)
    proxy.faults = [Fault(action, "PUT", "leases/", times=times)]
    one.release()
    assert proxy.faults[0].times == 0
    assert there(moto_store).released
    assert other.acquire() is None


@pytest.mark.parametrize("action", ["lose", "status 409", "status 503", "cut"])
def test_a_takeover_whose_answer_fails(
    proxy: FaultProxy, faulty: S3Store, moto_store: Store, action: str
) -> None:
    clock = Clock()
    assert lease(moto_store, "dead", ttl=1.0).acquire() is None
    thief = lease(faulty, "thief", clock=clock)
    assert isinstance(thief.acquire(), Busy)
    clock.now += 10
    method = "GET" if action == "cut" else "PUT"
    proxy.faults = [Fault(action, method, TARGET.lease_path)]
    assert thief.acquire() is None
    assert proxy.faults[0].times == 0
    assert holds(moto_store, thief)


def test_a_lost_takeover_does_not_beat_a_thief(proxy: FaultProxy, faulty: S3Store, moto_store: Store) -> None:
    """Two take a dead lease over; the answer to the loser is lost: it reads, and sees that it lost."""
    clock = Clock()
    assert lease(moto_store, "dead", ttl=1.0).acquire() is None
    slow, quick = lease(faulty, "slow", clock=clock), lease(moto_store, "quick", clock=clock)
    assert isinstance(slow.acquire(), Busy)
    assert isinstance(quick.acquire(), Busy)
    clock.now += 10
    assert quick.acquire() is None
    proxy.faults = [Fault("lose", "PUT", "leases/")]
    assert isinstance(slow.acquire(), Busy)
    assert holds(moto_store, quick)


def test_a_lease_is_asked_for_again_after_the_store_broke_down(
    proxy: FaultProxy, faulty: S3Store, moto_store: Store
) -> None:
    """The write came through, the store then failed: the same contender, asking again, has the lease."""
    one = lease(faulty, "one")
    proxy.faults = [
        Fault("lose", "PUT", "leases/"),
        *(Fault("status 503", method, "leases/", times=50) for method in ("PUT", "GET")),
    ]
    with pytest.raises(StoreProblem):
        one.acquire()
    assert holds(moto_store, one)
    proxy.faults = []
    assert one.acquire() is None
    assert isinstance(lease(moto_store, "other").acquire(), Busy)


def test_the_release_to_a_broken_store_raises_nothing(proxy: FaultProxy, faulty: S3Store) -> None:
    one = lease(faulty, "one")
    assert one.acquire() is None
    proxy.faults = [Fault("status 503", method, "", times=500) for method in ("PUT", "GET", "DELETE")]
    one.release()


class SlowStore(LocalStore):
    """Every request takes *latency* seconds, half on the way there, half back."""

    latency = 0.0
    down = False

    def _slowly(self) -> None:
        if self.down:
            raise StoreProblem("SB305", "the store is down", place=self.root)
        time.sleep(self.latency / 2)

    def get(self, key: str) -> bytes:
        self._slowly()
        found = super().get(key)
        self._slowly()
        return found

    def read(self, key: str) -> tuple[bytes, ObjectInfo]:
        self._slowly()
        found = super().read(key)
        self._slowly()
        return found

    def replace(self, key: str, data: bytes, *, etag: str) -> None:
        self._slowly()
        super().replace(key, data, etag=etag)
        self._slowly()

    def put(
        self, key: str, data: bytes, *, create: bool = False, tags: Mapping[str, str] | None = None
    ) -> None:
        self._slowly()
        super().put(key, data, create=create, tags=tags)
        self._slowly()

    def head(self, key: str) -> ObjectInfo | None:
        self._slowly()
        return super().head(key)


@pytest.fixture
def slow(file_settings: StoreSettings) -> SlowStore:
    return SlowStore(file_settings, Path(file_settings.root.removeprefix("file://")))


def beating(store: Store, one: Lease, every: float) -> Heart:
    heart = Heart(one, every)
    heart.start()
    return heart


def test_a_runner_beats_before_it_does_anything_long(file_settings: StoreSettings, tmp_path: Path) -> None:
    """Who took the lease may have died while the runner was starting: it is kept from the start on."""
    harness = Harness(file_settings, tmp_path / "work")
    holder = lease(harness.store, "worker")
    assert holder.acquire() is None
    taken = there(harness.store)
    request = harness.request("sleeps", 60, cache=TARGET, lease=holder.nonce)
    process = harness.start(request)
    try:
        wait_for(process, b"sleeping")
        limit = time.monotonic() + 5
        while there(harness.store).beat == taken.beat and time.monotonic() < limit:
            time.sleep(0.05)
        kept = there(harness.store)
        assert (kept.nonce, kept.holder) == (taken.nonce, request.attempt.prefix)
        assert kept.beat != taken.beat
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_store_slower_than_the_heart(slow: SlowStore, file_store: Store) -> None:
    """Each beat takes longer than the time between two; the holder lives, for slow and quick waiters."""
    slow.latency = 0.5
    holder = lease(slow, "holder", ttl=1.0)
    assert holder.acquire() is None
    heart = beating(slow, holder, 0.3)
    waiters = [lease(file_store, "quick", ttl=1.0), lease(slow, "slow", ttl=1.0)]
    until = time.monotonic() + 6
    while time.monotonic() < until:
        assert all(isinstance(waiter.acquire(), Busy) for waiter in waiters)
        time.sleep(0.05)
    assert not heart.lost
    heart.stop()
    holder.release()
    assert waiters[0].acquire() is None


def test_a_waiter_whose_look_takes_longer_than_the_lease_lives(slow: SlowStore, file_store: Store) -> None:
    """What it read is long out of date when it writes: the holder beats all the time, and keeps the lease."""
    holder = lease(file_store, "holder", ttl=0.5)
    assert holder.acquire() is None
    heart = beating(file_store, holder, 0.1)
    slow.latency = 1.2
    waiter = lease(slow, "waiter", ttl=0.5)
    assert isinstance(waiter.acquire(), Busy)
    assert isinstance(waiter.acquire(), Busy)
    heart.stop()
    assert not heart.lost
    assert holds(file_store, holder)


def test_a_store_down_for_longer_than_the_lease_lives_and_nobody_waits(slow: SlowStore) -> None:
    holder = lease(slow, "holder", ttl=0.3)
    assert holder.acquire() is None
    heart = beating(slow, holder, 0.1)
    slow.down = True
    time.sleep(0.8)
    slow.down = False
    time.sleep(0.4)
    heart.stop()
    assert not heart.lost
    assert holds(slow, holder)


def test_a_store_down_for_longer_than_the_lease_lives_and_a_thief_comes(
    slow: SlowStore, file_store: Store
) -> None:
    """The holder is cut off, another takes over; back again, the holder is told and touches nothing."""
    clock = Clock()
    holder, thief = lease(slow, "holder", ttl=0.3), lease(file_store, "thief", clock=clock)
    assert holder.acquire() is None
    heart = beating(slow, holder, 0.1)
    time.sleep(0.25)
    slow.down = True
    time.sleep(0.15)
    assert isinstance(thief.acquire(), Busy)
    clock.now += 10
    assert thief.acquire() is None
    slow.down = False
    heart.join(5)
    assert heart.lost
    heart.stop()
    holder.release()
    assert holds(file_store, thief)


def test_a_heart_stops_at_once_and_beats_no_more(file_store: Store) -> None:
    one = lease(file_store, "one")
    assert one.acquire() is None
    heart = beating(file_store, one, 0.05)
    time.sleep(0.3)
    heart.stop()
    assert not heart.is_alive()
    before = there(file_store).beat
    time.sleep(0.2)
    assert there(file_store).beat == before
    one.release()
    heart = beating(file_store, one, 0.05)
    heart.join(5)
    assert heart.lost
    assert there(file_store).released


# turns --------------------------------------------------------------------------------------------------


def test_a_turn_with_a_failing_look_up_still_has_one_holder(
    proxy: FaultProxy, faulty: S3Store, moto_store: Store
) -> None:
    proxy.faults = [Fault("status 503", "GET", "/cache/", times=500)]
    turn = take_turn(faulty, TARGET, lease(faulty, "one"))
    assert isinstance(turn, Held)
    assert turn.miss.failed
    assert isinstance(take_turn(moto_store, TARGET, lease(moto_store, "two")), Busy)


def test_pauses_grow_and_end_with_the_holder() -> None:
    assert 0.1 < pause(Busy("h", 60.0), 0.0) < 0.3
    assert 6 < pause(Busy("h", 60.0), 1000.0) < 14
    assert pause(Busy("h", 0.0), 1000.0) < 0.3


# the verdict on a store ---------------------------------------------------------------------------------


def test_a_store_that_keeps_its_promise_is_probed_once(store: Store) -> None:
    now = datetime.now(UTC)
    verdict = conditional_writes(store, now=now)
    assert verdict == Verdict(True, "", now.isoformat())
    assert conditional_writes(store) == verdict
    assert [info.key for info in store.list("probe/")] == [VERDICT]


def test_a_store_that_lies(rclone_url: str) -> None:
    from servers import make_bucket

    liar = open_store(StoreSettings(f"s3://{make_bucket(rclone_url)}/x", endpoint=rclone_url))
    verdict = conditional_writes(liar)
    assert not verdict.ok
    assert "of 8 writers with If-None-Match" in verdict.reason
    assert conditional_writes(liar) == verdict


class Overwriting(LocalStore):
    """Keeps If-None-Match, ignores If-Match, as some servers do."""

    def replace(self, key: str, data: bytes, *, etag: str) -> None:
        self.put(key, data)


def test_a_store_that_lies_about_replacements_alone(file_settings: StoreSettings) -> None:
    liar = Overwriting(file_settings, Path(file_settings.root.removeprefix("file://")))
    verdict = conditional_writes(liar)
    assert not verdict.ok
    assert "If-Match" in verdict.reason


@pytest.mark.parametrize(
    "text", [b"", b"[]", documents.dump(Verdict(False, "", "soon")), documents.dump(Verdict(False, "", ""))]
)
def test_a_verdict_that_cannot_be_read_is_made_again(file_store: Store, text: bytes) -> None:
    file_store.put(VERDICT, text)
    verdict = conditional_writes(file_store)
    assert verdict.ok
    assert documents.load(Verdict, file_store.get(VERDICT), place="v") == verdict


@pytest.mark.parametrize("days", [31, -31])
def test_an_old_verdict_is_made_again(file_store: Store, days: int) -> None:
    old = datetime.now(UTC) - timedelta(days=days)
    file_store.put(VERDICT, documents.dump(Verdict(False, "it lied", old.isoformat())))
    assert conditional_writes(file_store).ok
    young = datetime.now(UTC) - LASTS + timedelta(hours=1)
    file_store.put(VERDICT, documents.dump(Verdict(False, "it lied", young.isoformat())))
    assert not conditional_writes(file_store).ok


def test_a_store_that_cannot_be_probed_is_a_no_that_is_not_remembered(
    proxy: FaultProxy, faulty: S3Store, moto_store: Store
) -> None:
    for part in ("probe/", "probe/verdict"):
        proxy.faults = [Fault("status 503", method, part, times=5000) for method in ("PUT", "GET")]
        verdict = conditional_writes(faulty)
        assert not verdict.ok
        assert "could not be probed" in verdict.reason
        assert moto_store.head(VERDICT) is None
    proxy.faults = []
    assert conditional_writes(faulty).ok


def test_a_store_that_is_not_there() -> None:
    verdict = conditional_writes(open_store(StoreSettings("file:///nowhere/at/all")))
    assert not verdict.ok
    assert "/nowhere" in verdict.reason


def test_names_do_not_clash() -> None:
    """Leases and entries of different steps and keys never share a place."""
    names = ["a.b", "a/b", "a=2Fb", "ä", "a b"]
    paths = [
        CacheTarget(step, key).lease_path for step, key in itertools.product(names, ["ab" * 32, "cd" * 32])
    ]
    assert len(set(paths)) == len(paths)
