"""A look-up hits only while everything in the entry is there, and says why it missed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stepbridge import documents, hashing, publishing
from stepbridge.artifact import Artifact, Draft, DraftFile
from stepbridge.cache.lookup import Hit, Miss, look_up
from stepbridge.contract import CacheEntry, CacheTarget, Inline, Items, Stored, StoreSettings, Value
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

KEY = "ab" * 32
TARGET = CacheTarget("dag.train", KEY)
NOW = datetime(2024, 5, 1, tzinfo=UTC)
PATH = f"import sys; sys.path[:] = {sys.path!r}\n"
"""Ahead of a script of ``python -S``, which leaves out what the environment's own start-up files import."""


def commit(store: Store, tmp_path: Path, content: bytes, name: str) -> Artifact:
    source = tmp_path / name
    source.write_bytes(content)
    digest = hashing.digest_bytes(content)
    file = DraftFile(name, str(source), len(content), digest)
    return publishing.publish(store, Draft(digest, "stepbridge.File", "file", name, (file,)))


def record(store: Store, output: Value, *, key: str = KEY, created: datetime = NOW) -> None:
    entry = CacheEntry("dag.train", key, output, {}, {}, "runs/d/r/t/-1/1/", created.isoformat(), "n")
    store.put(TARGET.path, documents.dump(entry))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreSettings((tmp_path / "store").as_uri()))


def test_hit(store: Store, tmp_path: Path) -> None:
    output = Items("list", (Stored(commit(store, tmp_path, b"abc", "m.bin")), Inline("json", 1)))
    record(store, output)
    found = look_up(store, TARGET)
    assert isinstance(found, Hit)
    assert found.entry.output == output


def test_no_entry(store: Store) -> None:
    assert look_up(store, TARGET) == Miss("no run with this key is recorded")


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=1)])
def test_young_enough(store: Store, age: timedelta) -> None:
    record(store, Inline("json", 1), created=NOW - age)
    assert isinstance(look_up(store, TARGET, max_age=timedelta(hours=1), now=NOW), Hit)


def test_expired(store: Store) -> None:
    record(store, Inline("json", 1), created=NOW - timedelta(hours=2))
    found = look_up(store, TARGET, max_age=timedelta(hours=1), now=NOW)
    assert isinstance(found, Miss)
    assert found.dead
    assert "max_age" in found.reason


def lose_payload(store: Store, made: Artifact) -> None:
    store.delete(made.uri.removeprefix(store.root + "/"))


def lose_manifest(store: Store, made: Artifact) -> None:
    store.delete(f"artifacts/{made.digest[:2]}/{made.digest}/manifest.json")


def truncate_payload(store: Store, made: Artifact) -> None:
    store.put(made.uri.removeprefix(store.root + "/"), b"a")


@pytest.mark.parametrize("harm", [lose_payload, lose_manifest, truncate_payload])
def test_a_harmed_artifact_is_a_miss_that_names_it(store: Store, tmp_path: Path, harm) -> None:  # type: ignore[no-untyped-def]
    made = commit(store, tmp_path, b"abc", "m.bin")
    record(store, Stored(made))
    harm(store, made)
    found = look_up(store, TARGET)
    assert isinstance(found, Miss)
    assert found.dead
    assert made.digest in found.reason


@pytest.mark.parametrize("text", [b"", b"{}", b"nonsense", b'{"schema": 99}'])
def test_an_entry_that_cannot_be_read_is_dead(store: Store, text: bytes) -> None:
    store.put(TARGET.path, text)
    found = look_up(store, TARGET)
    assert isinstance(found, Miss)
    assert found.dead


def test_the_entry_of_another_key_is_dead(store: Store) -> None:
    record(store, Inline("json", 1), key="cd" * 32)
    found = look_up(store, TARGET)
    assert isinstance(found, Miss)
    assert found.dead


def test_a_store_that_does_not_answer_is_a_miss(aws_environment: None) -> None:
    store = open_store(StoreSettings("s3://bucket/p", endpoint="http://127.0.0.1:9", region="us-east-1"))
    found = look_up(store, TARGET)
    assert isinstance(found, Miss)
    assert found.failed
    assert not found.dead


def test_a_look_up_loads_no_heavy_library(store: Store, tmp_path: Path) -> None:
    record(store, Stored(commit(store, tmp_path, b"abc", "m.bin")))
    script = f"""
import sys
from stepbridge.cache.lookup import Hit, look_up
from stepbridge.contract import CacheTarget, StoreSettings
from stepbridge.store.opening import open_store
from stepbridge.values import xcom_view
found = look_up(open_store(StoreSettings({store.root!r})), CacheTarget("dag.train", {KEY!r}))
assert isinstance(found, Hit), found
assert xcom_view(found.entry.output).endswith("m.bin")
heavy = {{"pandas", "pyarrow", "numpy", "boto3", "botocore", "polars", "airflow"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_look_up_in_a_bucket_imports_only_what_it_uses(
    moto_settings: StoreSettings, tmp_path: Path
) -> None:
    """Each of these costs a fresh process 0.5 ms to 12 ms, beside about 50 ms for all of a look-up."""
    store = open_store(moto_settings)
    record(store, Stored(commit(store, tmp_path, b"abc", "m.bin")))
    script = f"""
import sys
before = set(sys.modules)
from stepbridge.cache.entry import CacheTarget
from stepbridge.cache.lookup import Hit, look_up
from stepbridge.store.opening import open_store
from stepbridge.store.records import StoreSettings
settings = StoreSettings({moto_settings.root!r}, {moto_settings.endpoint!r}, "us-east-1")
found = look_up(open_store(settings), CacheTarget("dag.train", {KEY!r}))
assert isinstance(found, Hit), found
print("\\n".join(set(sys.modules) - before))
"""
    ran = subprocess.run(
        [sys.executable, "-S", "-c", PATH + script], check=True, capture_output=True, text=True
    )
    loaded = set(ran.stdout.split())
    ours = {name.removeprefix("stepbridge.") for name in loaded if name.startswith("stepbridge.")}
    assert ours == {
        "cache",
        "cache.entry",
        "cache.lookup",
        "carried",
        "documents",
        "failures",
        "leaves",
        "presence",
        "references",
        "store",
        "store.connect",
        "store.keys",
        "store.opening",
        "store.records",
        "store.s3",
    }
    unused = {"asyncio", "configparser", "http", "ipaddress", "pathlib", "random", "ssl", "urllib.parse"}
    assert not loaded & unused


@pytest.mark.parametrize(
    ("value", "home"),
    [
        (Inline("json", 1), "stepbridge.carried"),
        (TARGET, "stepbridge.cache.entry"),
        (StoreSettings("s3://bucket/x"), "stepbridge.store.records"),
    ],
)
def test_a_pickle_that_names_the_first_home_of_a_record_is_read(value: object, home: str) -> None:
    written = pickle.dumps(value, protocol=0)
    assert home.encode() in written
    assert pickle.loads(written.replace(home.encode(), b"stepbridge.contract")) == value


@pytest.mark.parametrize("created", ["", "yesterday", "2024-05-01T00:00:00", "2024-05-03T00:00:00+00:00"])
def test_an_entry_whose_age_cannot_be_told_is_dead_where_age_counts(store: Store, created: str) -> None:
    """No date, no time zone, or a date that is not yet: it must neither raise nor stay young for ever."""
    entry = CacheEntry("dag.train", KEY, Inline("json", 1), {}, {}, "runs/d/r/t/-1/1/", created, "n")
    store.put(TARGET.path, documents.dump(entry))
    found = look_up(store, TARGET, max_age=timedelta(days=7), now=NOW)
    assert isinstance(found, Miss)
    assert found.dead
    assert isinstance(look_up(store, TARGET, now=NOW), Hit)


@pytest.mark.parametrize("skew", [timedelta(minutes=10), timedelta(minutes=-10)])
def test_a_clock_that_is_minutes_off_makes_no_entry_unusable(store: Store, skew: timedelta) -> None:
    record(store, Inline("json", 1), created=NOW + skew)
    assert isinstance(look_up(store, TARGET, max_age=timedelta(hours=1), now=NOW), Hit)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"seconds": ' + b"1" * 400 + b"}"])
def test_an_entry_that_no_parser_takes_is_dead(store: Store, text: bytes) -> None:
    store.put(TARGET.path, text)
    found = look_up(store, TARGET)
    assert isinstance(found, Miss)
    assert found.dead
