"""Broken networks and servers: what is retried, what is noticed, and that nothing is left behind."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Fault, FaultProxy, client

from stepbridge.contract import StoreSettings
from stepbridge.failures import IntegrityProblem, ObjectExists, ObjectMissing, StoreProblem
from stepbridge.store.base import Download, Upload
from stepbridge.store.connect import Patience
from stepbridge.store.s3 import S3Store

LARGE = 20_000_000


@pytest.fixture
def proxy(moto_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(moto_url) as running:
        yield running


@pytest.fixture
def faulty(proxy: FaultProxy, moto_settings: StoreSettings) -> S3Store:
    """A store that is reached through the proxy, with little patience."""
    bucket, _, prefix = moto_settings.root.removeprefix("s3://").partition("/")
    patience = Patience(retries=2, first=0.01, longest=0.05)
    return S3Store(StoreSettings(moto_settings.root, endpoint=proxy.url), bucket, prefix, patience)


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, str]:
    data = secrets.token_bytes(LARGE)
    (tmp_path / "large").write_bytes(data)
    return tmp_path / "large", hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("action", ["status 500", "status 503", "status 429", "reset", "cut"])
def test_a_read_survives_passing_faults(proxy: FaultProxy, faulty: S3Store, action: str) -> None:
    faulty.put("k", b"0123456789" * 1000)
    proxy.faults = [Fault(action, "GET", "/k", times=2)]
    assert faulty.get("k") == b"0123456789" * 1000
    assert proxy.faults[0].times == 0
    proxy.faults = [Fault(action, "GET", "list-type", times=2)]
    assert [info.key for info in faulty.list("")] == ["k"]


@pytest.mark.parametrize("action", ["status 500", "reset", "lose", "status 409"])
def test_a_create_whose_answer_fails_is_settled_by_reading(
    proxy: FaultProxy, faulty: S3Store, action: str
) -> None:
    proxy.faults = [Fault(action, "PUT", "/k")]
    faulty.put("k", b"mine", create=True)
    assert faulty.get("k") == b"mine"
    assert proxy.faults[0].times == 0
    faulty.put("other", b"theirs")
    proxy.faults = [Fault(action, "PUT", "/other")]
    with pytest.raises(ObjectExists, match="SB303"):
        faulty.put("other", b"mine", create=True)
    assert faulty.get("other") == b"theirs"


@pytest.mark.parametrize("action", ["status 500", "reset", "lose", "status 429"])
def test_a_write_survives_passing_faults(proxy: FaultProxy, faulty: S3Store, action: str) -> None:
    proxy.faults = [Fault(action, "PUT", "/k", times=2)]
    faulty.put("k", b"1")
    assert faulty.get("k") == b"1"
    assert proxy.faults[0].times == 0


@pytest.mark.parametrize("action", ["status 500", "reset"])
def test_a_server_that_stays_broken_is_named(proxy: FaultProxy, faulty: S3Store, action: str) -> None:
    proxy.faults = [Fault(action, method, times=10_000) for method in ("GET", "PUT", "HEAD", "POST")]
    for call in (
        lambda: faulty.get("k"),
        lambda: faulty.put("k", b"1"),
        lambda: faulty.put("k", b"1", create=True),
        lambda: faulty.head("k"),
        lambda: list(faulty.list("")),
    ):
        with pytest.raises(StoreProblem, match=rf"SB305 at s3://.*{proxy.url}"):
            call()
    assert len(proxy.requests) < 100


def test_large_uploads_survive_faults_in_every_request(
    proxy: FaultProxy, faulty: S3Store, large: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = large
    for action in ("status 500", "reset", "lose"):
        proxy.faults = [
            Fault(action, "POST", "uploads"),
            Fault(action, "PUT", "partNumber=2"),
            Fault(action, "POST", "uploadId"),
        ]
        faulty.upload([Upload(path, f"up/{action.replace(' ', '-')}", LARGE)])
        assert [fault.times for fault in proxy.faults] == [0, 0, 0]
        target = tmp_path / "back"
        faulty.download([Download(f"up/{action.replace(' ', '-')}", target, LARGE, digest)])
        assert target.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("action", ["status 500", "reset", "cut", "flip"])
def test_large_downloads_survive_passing_faults(
    proxy: FaultProxy, faulty: S3Store, large: tuple[Path, str], tmp_path: Path, action: str
) -> None:
    path, digest = large
    faulty.upload([Upload(path, "l", LARGE)])
    proxy.faults = [Fault(action, "GET", "/l", times=2 if action != "flip" else 1)]
    faulty.download([Download("l", tmp_path / "out", LARGE, digest)])
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
    assert proxy.faults[0].times == 0


@pytest.mark.parametrize(("action", "code"), [("cut", "SB305"), ("flip", "SB304"), ("short", "SB304")])
@pytest.mark.parametrize("size", [1_000, LARGE])
def test_answers_that_stay_wrong_are_an_error_that_names_the_object(
    proxy: FaultProxy, faulty: S3Store, tmp_path: Path, action: str, code: str, size: int
) -> None:
    data = secrets.token_bytes(size)
    (tmp_path / "in").write_bytes(data)
    faulty.upload([Upload(tmp_path / "in", "data/x.bin", size)])
    proxy.faults = [Fault(action, "GET", "/x.bin", times=10_000)]
    with pytest.raises(StoreProblem, match=rf"{code} at s3://.*data/x.bin") as caught:
        faulty.download([Download("data/x.bin", tmp_path / "out", size, hashlib.sha256(data).hexdigest())])
    assert isinstance(caught.value, IntegrityProblem) == (code == "SB304")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_an_object_that_vanishes_between_its_parts(
    proxy: FaultProxy, faulty: S3Store, large: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = large
    faulty.upload([Upload(path, "l", LARGE)])
    proxy.faults = [Fault("status 404", "GET", "/l", times=10)]
    with pytest.raises(ObjectMissing, match=r"SB302 at s3://.*/l"):
        faulty.download([Download("l", tmp_path / "out", LARGE, digest)])
    assert sorted(found.name for found in tmp_path.iterdir()) == ["large"]


def test_an_upload_that_fails_leaves_no_parts(
    proxy: FaultProxy, faulty: S3Store, large: tuple[Path, str], moto_settings: StoreSettings
) -> None:
    path, _ = large
    with pytest.raises(StoreProblem, match="SB304"):
        faulty.upload([Upload(path, "changed", LARGE + 1)])
    bucket, _, prefix = moto_settings.root.removeprefix("s3://").partition("/")
    left = client(moto_settings.endpoint).list_multipart_uploads(Bucket=bucket, Prefix=prefix)
    assert left.get("Uploads", []) == []


def test_a_lookup_is_one_request(proxy: FaultProxy, faulty: S3Store) -> None:
    faulty.put("k", b"1", create=True)
    faulty.get("k")
    faulty.head("k")
    list(faulty.list("k"))
    assert [method for method, _ in proxy.requests] == ["PUT", "GET", "HEAD", "GET"]
