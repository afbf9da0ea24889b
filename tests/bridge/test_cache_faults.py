"""The real runner on a store that fails: no wrong hit, no lost result, and a look-up that fails lets run."""

from __future__ import annotations

import dataclasses
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from runner_harness import Harness, Ran
from servers import Fault, FaultProxy

from stepbridge import documents, publishing
from stepbridge.cache.lookup import Hit, Miss, look_up
from stepbridge.contract import CacheEntry, CacheTarget, Result, Stored, StoreSettings, Value
from stepbridge.leaves import stored
from stepbridge.store.base import Store
from stepbridge.store.connect import Patience
from stepbridge.store.opening import open_store
from stepbridge.store.s3 import S3Store

TARGET = CacheTarget("dag.task", "c" * 64)
ACTIONS = ("status 503", "status 500", "status 429", "reset", "lose", "cut")
PASSING = ("status 503", "status 500", "status 429", "reset", "lose")
METHODS = ("GET", "PUT", "HEAD", "POST")


@pytest.fixture
def proxy(moto_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(moto_url) as running:
        yield running


@pytest.fixture
def through(proxy: FaultProxy, moto_settings: StoreSettings) -> StoreSettings:
    return dataclasses.replace(moto_settings, endpoint=proxy.url)


def impatient(settings: StoreSettings) -> S3Store:
    bucket, _, prefix = settings.root.removeprefix("s3://").partition("/")
    return S3Store(settings, bucket, prefix, Patience(retries=1, first=0.01, longest=0.02, total=2.0))


def content(store: Store, value: Value, folder: Path) -> bytes:
    (leaf,) = stored(value)
    assert isinstance(leaf, Stored)
    manifest = publishing.read_manifest(store, leaf.artifact.digest)
    return publishing.fetch(store, manifest, folder / secrets.token_hex(4)).read_bytes()


def run(harness: Harness, text: str) -> Ran:
    return harness.call("makes_file", text, cache=TARGET)


def check(ran: Ran, store: Store, text: str, folder: Path) -> Result:
    """The runner ended well, its result is whole, and what hits is the result of this very work."""
    assert ran.status == 0, ran.lines
    result = documents.load(Result, store.get(ran.attempt.prefix + "result.json"), place="result")
    assert content(store, result.output, folder) == text.encode()
    found = look_up(store, TARGET)
    if isinstance(found, Hit):
        assert found.entry.source == ran.attempt.prefix
        assert content(store, found.entry.output, folder) == text.encode()
    return result


PLACES = ("/artifacts/", "/cache/", "result.json", "request.json", "/runs/")


@pytest.mark.parametrize("action", ["lose", "status 503", "reset", "status 409"])
def test_each_write_of_a_run_fails_at_first(
    proxy: FaultProxy, through: StoreSettings, moto_store: Store, tmp_path: Path, action: str
) -> None:
    harness = Harness(through, tmp_path / "scratch")
    request = harness.request("makes_file", "one", cache=TARGET)
    uri, _ = harness.put(request)
    assert uri
    if action == "status 409":
        faults = [Fault(action, "PUT", part, header="If-None-Match") for part in ("cache/", "result.json")]
    else:
        faults = [Fault(action, "PUT", part) for part in ("artifacts/", "manifest.json", "cache/", "result")]
    harness_run = harness.start(request)
    proxy.faults = faults
    output, _ = harness_run.communicate(timeout=120)
    ran = Ran(harness_run.returncode, output.decode(), moto_store, request.attempt)
    check(ran, moto_store, "one", tmp_path)
    assert all(fault.times == 0 for fault in faults), faults
    assert isinstance(look_up(moto_store, TARGET), Hit)


@pytest.mark.parametrize("action", ["status 503", "reset"])
def test_an_entry_that_cannot_be_written_costs_no_result(
    proxy: FaultProxy, through: StoreSettings, moto_store: Store, tmp_path: Path, action: str
) -> None:
    harness = Harness(through, tmp_path / "scratch")
    proxy.faults = [Fault("status 403", "PUT", "/cache/", times=5000)]
    ran = run(harness, "one")
    check(ran, moto_store, "one", tmp_path)
    assert "the result was not cached" in ran.lines
    assert look_up(moto_store, TARGET) == Miss("no run with this key is recorded")


@pytest.mark.parametrize("action", [*ACTIONS, "short"])
def test_a_look_up_that_fails_is_a_miss_that_says_so(
    proxy: FaultProxy, through: StoreSettings, moto_store: Store, tmp_path: Path, action: str
) -> None:
    harness = Harness(dataclasses.replace(moto_store.settings), tmp_path / "scratch")
    check(run(harness, "one"), moto_store, "one", tmp_path)
    store = impatient(through)
    assert isinstance(look_up(store, TARGET), Hit)
    for part in ("/cache/", "list-type"):
        proxy.faults = [Fault(action, "GET", part, times=5000)]
        found = look_up(store, TARGET)
        assert isinstance(found, Miss)
        assert found.reason
        assert found.failed or found.dead
        assert found.failed or action == "short"
    proxy.faults = []
    assert isinstance(look_up(store, TARGET), Hit)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_look_up_survives_faults_that_pass(
    proxy: FaultProxy, through: StoreSettings, moto_store: Store, tmp_path: Path, action: str
) -> None:
    harness = Harness(dataclasses.replace(moto_store.settings), tmp_path / "scratch")
    check(run(harness, "one"), moto_store, "one", tmp_path)
    for part in ("/cache/", "list-type"):
        proxy.faults = [Fault(action, "GET", part)]
        assert isinstance(look_up(impatient(through), TARGET), Hit)
        assert proxy.faults[0].times == 0


def faults(chance: random.Random) -> list[Fault]:
    """Faults somewhere in the run to come, fewer than would exhaust a client's patience with one object."""
    if chance.random() < 0.3:
        return [Fault("cut", "GET", chance.choice(PLACES)) for _ in range(3)]
    return [Fault(chance.choice(PASSING), chance.choice(METHODS), chance.choice(PLACES)) for _ in range(8)]


def rounds(
    seed: int, number: int, proxy: FaultProxy, through: StoreSettings, moto_store: Store, tmp_path: Path
) -> None:
    """Run after run on one key, whose entry is dropped in between; each under faults of its own."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    harness = Harness(through, tmp_path / "scratch")
    for each in range(number):
        text = f"{seed}-{each}"
        proxy.faults = []
        request = harness.request("makes_file", text, cache=TARGET)
        harness.put(request)
        process = harness.start(request)
        proxy.faults = faults(chance)
        output, _ = process.communicate(timeout=180)
        proxy.faults = []
        ran = Ran(process.returncode, output.decode("utf-8", "replace"), moto_store, request.attempt)
        check(ran, moto_store, text, tmp_path)
        moto_store.delete(TARGET.path)


def test_runs_on_a_store_that_fails_at_random(
    proxy: FaultProxy, through: StoreSettings, moto_store: Store, tmp_path: Path
) -> None:
    rounds(secrets.randbelow(10**6), 3, proxy, through, moto_store, tmp_path)


@pytest.mark.slow
def test_many_runs_on_a_store_that_fails_at_random(
    proxy: FaultProxy, through: StoreSettings, moto_store: Store, tmp_path: Path
) -> None:
    rounds(secrets.randbelow(10**6), 40, proxy, through, moto_store, tmp_path)


def test_settings_of_a_store_hold_for_its_look_ups(moto_settings: StoreSettings) -> None:
    assert look_up(open_store(moto_settings), TARGET) == Miss("no run with this key is recorded")


def test_a_bit_turned_on_the_way_never_hits_with_another_value(
    proxy: FaultProxy, through: StoreSettings, moto_store: Store, tmp_path: Path
) -> None:
    harness = Harness(dataclasses.replace(moto_store.settings), tmp_path / "scratch")
    ran = harness.call("add", 40, 2, cache=TARGET)
    assert ran.value == 42
    data = moto_store.get(TARGET.path)
    sound = documents.load(CacheEntry, data, place="entry")
    for place in range(len(data)):
        moto_store.put(TARGET.path, data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        found = look_up(moto_store, TARGET)
        if isinstance(found, Hit):
            assert (found.entry.output, found.entry.xcoms) == (sound.output, sound.xcoms), place
