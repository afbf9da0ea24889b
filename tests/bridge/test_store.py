"""The promise of ``Store``, kept alike by a folder, moto and SeaweedFS."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stepbridge.artifact import MANIFEST, payload_key, safe_key
from stepbridge.failures import IntegrityProblem, ObjectExists, ObjectMissing, StoreProblem
from stepbridge.store.base import Download, Store, Upload
from stepbridge.store.probe import probe_conditional_writes


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_put_get_head_list_delete(store: Store) -> None:
    store.put("a/one.json", b"1", tags={"stepbridge:class": "a", "odd": "é?"})
    store.put("a/two=2F.json", b"22")
    store.put("a/b/three", b"")
    store.put("ab", b"4")
    assert store.get("a/two=2F.json") == b"22"
    assert store.get("a/b/three") == b""
    found = store.head("a/one.json")
    assert found is not None
    assert (found.key, found.size) == ("a/one.json", 1)
    assert found.etag
    assert found.modified is not None
    assert [(info.key, info.size) for info in store.list("a/")] == [
        ("a/b/three", 0),
        ("a/one.json", 1),
        ("a/two=2F.json", 2),
    ]
    assert [info.key for info in store.list("a")] == ["a/b/three", "a/one.json", "a/two=2F.json", "ab"]
    assert [info.key for info in store.list("a/t")] == ["a/two=2F.json"]
    assert len(list(store.list(""))) == 4
    store.put("a/one.json", b"changed")
    assert store.get("a/one.json") == b"changed"
    store.delete("a/one.json")
    store.delete("a/one.json")
    assert store.head("a/one.json") is None
    assert list(store.list("nothing/")) == []
    with pytest.raises(ObjectMissing, match=r"SB302 at .*a/one.json"):
        store.get("a/one.json")
    assert store.uri("a/x") == f"{store.root}/a/x"


def test_a_folder_of_objects_is_no_object(store: Store) -> None:
    store.put("a/b/c", b"1")
    assert store.head("a/b") is None
    with pytest.raises(ObjectMissing):
        store.get("a/b")


def test_create_has_one_winner_and_settles_repeats(store: Store) -> None:
    store.put("c/x", b"mine", create=True)
    store.put("c/x", b"mine", create=True)
    with pytest.raises(ObjectExists, match=r"SB303 at .*c/x"):
        store.put("c/x", b"other", create=True)
    assert store.get("c/x") == b"mine"


def test_racing_writers_have_one_winner(store: Store) -> None:
    assert probe_conditional_writes(store, rounds=3)
    assert list(store.list("probe/")) == []


def test_a_server_that_ignores_preconditions_is_found_out(rclone_url: str) -> None:
    from servers import make_bucket

    from stepbridge.contract import StoreSettings
    from stepbridge.store.opening import open_store

    liar = open_store(StoreSettings(f"s3://{make_bucket(rclone_url)}/x", endpoint=rclone_url))
    assert not probe_conditional_writes(liar)


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a b", "é", "a\n", "a~b", "x" * 901, "a\\b"]
)
def test_keys_that_some_store_would_not_keep_are_refused(
    file_store: Store, moto_store: Store, key: str
) -> None:
    for each in (file_store, moto_store):
        with pytest.raises(StoreProblem, match="SB310"):
            each.put(key, b"")
        with pytest.raises(StoreProblem, match="SB310"):
            each.get(key)


def test_files_up_and_down(store: Store, tmp_path: Path) -> None:
    sizes = [0, 1, 5_000, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 21_000_000]
    ups, downs = [], []
    for number, size in enumerate(sizes):
        data = secrets.token_bytes(size)
        source = tmp_path / f"in{number}"
        source.write_bytes(data)
        ups.append(Upload(source, f"f/{number}", size))
        downs.append(
            Download(f"f/{number}", tmp_path / "out" / f"d{number % 2}" / str(number), size, sha(data))
        )
    store.upload(iter(ups), tags={"stepbridge:class": "f"})
    store.download(iter(downs))
    for up, down in zip(ups, downs, strict=True):
        assert up.source.read_bytes() == down.target.read_bytes()
    assert [info.size for info in store.list("f/")] == sizes
    assert not _leftovers(tmp_path)


def _leftovers(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.name.startswith((".stepbridge-", "~"))]


@pytest.mark.parametrize("size", [100, 9_000_000])
def test_damage_is_noticed_and_named(store: Store, tmp_path: Path, size: int) -> None:
    data = secrets.token_bytes(size)
    target = tmp_path / "out"
    target.write_bytes(b"before")
    wanted = Download("x/data.bin", target, size, sha(data))
    flipped = bytearray(data)
    flipped[size // 2] ^= 1
    for bad in (data[:-1], bytes(flipped), data + b"1", b""):
        (tmp_path / "in").write_bytes(bad)
        store.upload([Upload(tmp_path / "in", "x/data.bin", len(bad))])
        with pytest.raises(IntegrityProblem, match=r"SB304 at .*x/data.bin"):
            store.download([wanted])
    store.delete("x/data.bin")
    with pytest.raises(ObjectMissing, match=r"SB302 at .*x/data.bin"):
        store.download([wanted])
    assert target.read_bytes() == b"before"
    assert not _leftovers(tmp_path)


@pytest.mark.parametrize("stated", [10, 9_000_000])
def test_a_source_that_changed_is_an_error(store: Store, tmp_path: Path, stated: int) -> None:
    source = tmp_path / "in"
    for real in (stated - 1, stated + 1):
        source.write_bytes(bytes(real))
        with pytest.raises(StoreProblem, match=r"SB304 at .*x/y: .*in has .* when it was recorded"):
            store.upload([Upload(source, "x/y", stated)])
        assert store.head("x/y") is None
    with pytest.raises(StoreProblem, match=r"SB304 .*gone.* cannot be read"):
        store.upload([Upload(tmp_path / "gone", "x/y", stated)])
    assert store.head("x/y") is None


def test_the_first_error_stops_the_rest(store: Store, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(b"1")
    taken: list[int] = []

    def files():  # type: ignore[no-untyped-def]
        for number in range(5_000):
            taken.append(number)
            yield Upload(tmp_path / "gone" if number == 20 else good, f"many/{number}", 1)

    with pytest.raises(StoreProblem, match=r"SB304"):
        store.upload(files())
    assert len(taken) < 200


def test_a_target_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    store.put("x", b"1")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreProblem, match=r"SB307 at .*/x: .*cannot be written"):
        store.download([Download("x", tmp_path / "file" / "sub" / "out", 1, sha(b"1"))])


def test_readers_never_see_half_an_object(store: Store) -> None:
    bodies = [bytes([65 + n]) * 200_000 for n in range(4)]
    store.put("r/x", bodies[0])
    stop = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not stop.is_set():
            data = store.get("r/x")
            assert len(data) == 200_000
            assert len(set(data)) == 1
            seen.add(data[:1])

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read)
        for number in range(24):
            store.put("r/x", bodies[number % 4])
        stop.set()
        reader.result()
    assert seen


def test_a_listing_goes_over_pages(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.write_bytes(b"x")
    keys = sorted(f"p/{n:04d}" for n in range(1_203))
    store.upload([Upload(source, key, 1) for key in keys])
    assert [info.key for info in store.list("p/")] == keys


def test_lookups_import_no_boto3(moto_settings) -> None:  # type: ignore[no-untyped-def]
    code = f"""
import sys
from stepbridge.contract import StoreSettings
from stepbridge.store.opening import open_store
store = open_store(StoreSettings({moto_settings.root!r}, endpoint={moto_settings.endpoint!r}))
store.put("k", b"1", create=True); store.get("k"); store.head("k"); list(store.list("")); store.delete("k")
print(sorted({{"boto3", "botocore", "pandas", "pyarrow"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
@hypothesis_settings(max_examples=300, deadline=None)
def test_payload_keys_are_injective_and_safe(one: str, two: str) -> None:
    first, second = payload_key(one), payload_key(two)
    assert (first == second) == (one == two)
    assert first != MANIFEST
    assert all(len(part) <= 240 for part in first.split("/"))


@given(
    st.text(
        alphabet=st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
    )
)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_safe_key_is_kept_by_folder_and_server(file_store: Store, moto_store: Store, name: str) -> None:
    key = f"h/{safe_key(name)}"
    for each in (file_store, moto_store):
        each.put(key, name.encode())
        assert each.get(key) == name.encode()
        assert key in [info.key for info in each.list("h/")]
        each.delete(key)
