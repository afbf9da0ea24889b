"""Objects that others made: identified by content, brought only while unchanged."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Any

import pytest
from servers import Fault, FaultProxy, client, make_bucket

from stepbridge.contract import StoreSettings
from stepbridge.failures import IntegrityProblem, ObjectMissing, StoreProblem
from stepbridge.outside import bring, identify


@pytest.fixture(params=["moto", pytest.param("seaweed", marks=pytest.mark.seaweed)])
def server(request: pytest.FixtureRequest) -> tuple[Any, str, StoreSettings]:
    """A client, a bucket, and the settings of a store beside it."""
    url = request.getfixturevalue(f"{request.param}_url")
    bucket = request.getfixturevalue(f"{request.param}_bucket")
    return client(url), bucket, StoreSettings("s3://some-other-bucket/x", endpoint=url)


def test_a_local_file(tmp_path: Path) -> None:
    path = tmp_path / "in put.csv"
    path.write_bytes(b"a,b\n1,2\n")
    outside = identify(str(path))
    assert outside.uri == f"file://{path}"
    assert outside.size == 8
    assert outside.identity == {"sha256": hashlib.sha256(b"a,b\n1,2\n").hexdigest()}
    assert identify(f"file://{path}") == outside
    out = bring(outside, tmp_path / "out")
    assert out == tmp_path / "out" / "in put.csv"
    assert out.read_bytes() == path.read_bytes()
    other = tmp_path / "other.csv"
    other.write_bytes(b"a,b\n1,2\n")
    assert identify(str(other)).identity == outside.identity
    path.write_bytes(b"a,b\n1,3\n")
    assert identify(str(path)).identity != outside.identity
    with pytest.raises(IntegrityProblem, match=r"SB304 at file://.*in put.csv"):
        bring(outside, tmp_path / "again")
    path.write_bytes(b"shorter")
    with pytest.raises(IntegrityProblem, match=r"SB304"):
        bring(outside, tmp_path / "again")
    assert not (tmp_path / "again" / "in put.csv").exists()


def test_a_relative_path_and_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").write_bytes(b"")
    outside = identify("empty")
    assert (outside.uri, outside.size) == (f"file://{tmp_path}/empty", 0)
    assert bring(outside, tmp_path / "out").read_bytes() == b""


def test_a_local_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "sub" / "b c").write_bytes(b"22")
    outside = identify(str(folder))
    assert outside.uri == f"file://{folder}/"
    assert outside.size == 3
    assert identify(f"file://{folder}/") == outside
    out = bring(outside, tmp_path / "out")
    assert (out / "sub" / "b c").read_bytes() == b"22"
    (folder / "a").rename(folder / "z")
    assert identify(str(folder)).identity != outside.identity
    with pytest.raises(IntegrityProblem, match=r"SB304"):
        bring(outside, tmp_path / "again")


@pytest.mark.parametrize("uri", ["gs://b/k", "https://host/x.csv", "hdfs://x", "az://c/b", "s3a://bucket/k"])
def test_another_scheme_is_refused_with_those_that_work(uri: str) -> None:
    with pytest.raises(StoreProblem, match=r"SB301 .*s3://bucket/key, file:///path or a path"):
        identify(uri)


def test_what_is_not_there(tmp_path: Path, server: tuple[Any, str, StoreSettings]) -> None:
    _, bucket, base = server
    for uri in (str(tmp_path / "no"), f"file://{tmp_path}/no", f"s3://{bucket}/no", f"s3://{bucket}/no/"):
        with pytest.raises(ObjectMissing, match=rf"SB302 at {uri}"):
            identify(uri, base)
    with pytest.raises(StoreProblem, match=r"SB306"):
        identify("s3://no-such-bucket-here/no/", base)


@pytest.mark.parametrize(
    "uri", ["s3://bucket", "s3://bucket/", "s3://bucket//x", "s3://bucket/a/../b", "s3:///x"]
)
def test_a_uri_that_names_no_object(aws_environment: None, uri: str) -> None:
    with pytest.raises(StoreProblem, match=r"SB301"):
        identify(uri)


@pytest.mark.parametrize("name", ["in.csv", "with space/ü=%+.csv"])
@pytest.mark.parametrize("size", [0, 10, 9_000_000])
def test_an_object(server: tuple[Any, str, StoreSettings], tmp_path: Path, name: str, size: int) -> None:
    s3, bucket, base = server
    data = secrets.token_bytes(size)
    key = f"{secrets.token_hex(3)}/{name}"
    s3.put_object(Bucket=bucket, Key=key, Body=data)
    outside = identify(f"s3://{bucket}/{key}", base)
    assert outside.size == size
    assert outside.identity["etag"]
    assert identify(f"s3://{bucket}/{key}", base) == outside
    assert bring(outside, tmp_path, base).read_bytes() == data
    s3.put_object(Bucket=bucket, Key=key, Body=secrets.token_bytes(size) + b"1")
    assert identify(f"s3://{bucket}/{key}", base).identity != outside.identity
    with pytest.raises(IntegrityProblem, match=rf"SB304 at s3://{bucket}"):
        bring(outside, tmp_path / "again", base)
    if size:
        s3.put_object(Bucket=bucket, Key=key, Body=secrets.token_bytes(size))
        with pytest.raises(IntegrityProblem, match=r"SB304 .*identified"):
            bring(outside, tmp_path / "again", base)
    s3.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ObjectMissing, match=r"SB302"):
        bring(outside, tmp_path / "again", base)


def test_a_versioned_object_is_read_as_it_was(moto_url: str, tmp_path: Path) -> None:
    s3, bucket = client(moto_url), make_bucket(moto_url)
    base = StoreSettings("s3://some-other-bucket/x", endpoint=moto_url)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"first")
    outside = identify(f"s3://{bucket}/k", base)
    assert list(outside.identity) == ["version"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"other")
    assert bring(outside, tmp_path, base).read_bytes() == b"first"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=outside.identity["version"])
    with pytest.raises(StoreProblem, match=r"SB30[24]"):
        bring(outside, tmp_path, base)


def test_a_folder_of_objects(server: tuple[Any, str, StoreSettings], tmp_path: Path) -> None:
    s3, bucket, base = server
    lead = f"{secrets.token_hex(3)}/data set"
    for name in ("a.csv", "deep/b.csv"):
        s3.put_object(Bucket=bucket, Key=f"{lead}/{name}", Body=name.encode())
    s3.put_object(Bucket=bucket, Key=f"{lead} not", Body=b"")
    uri = f"s3://{bucket}/{lead}/"
    outside = identify(uri, base)
    assert outside.size == 15
    out = bring(outside, tmp_path, base)
    assert out == tmp_path / "data set"
    assert {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.csv")} == {
        "a.csv": b"a.csv",
        "deep/b.csv": b"deep/b.csv",
    }
    s3.put_object(Bucket=bucket, Key=f"{lead}/a.csv", Body=b"A.csv")
    assert identify(uri, base).identity != outside.identity
    with pytest.raises(IntegrityProblem, match=r"SB304"):
        bring(outside, tmp_path / "again", base)
    with pytest.raises(ObjectMissing, match="closing slash"):
        identify(uri.rstrip("/"), base)


def test_a_server_that_compares_bare_etags(moto_url: str, moto_bucket: str, tmp_path: Path) -> None:
    client(moto_url).put_object(Bucket=moto_bucket, Key="bare", Body=b"1")
    with FaultProxy(moto_url) as proxy:
        base = StoreSettings("s3://x-bucket/x", endpoint=proxy.url)
        outside = identify(f"s3://{moto_bucket}/bare", base)
        proxy.faults = [Fault("status 412", "GET", "/bare", header="If-Match")]
        assert bring(outside, tmp_path, base).read_bytes() == b"1"


def test_names_that_would_leave_the_target(moto_url: str, moto_bucket: str, tmp_path: Path) -> None:
    base = StoreSettings("s3://x-bucket/x", endpoint=moto_url)
    s3 = client(moto_url)
    s3.put_object(Bucket=moto_bucket, Key="jail/../../evil", Body=b"1")
    s3.put_object(Bucket=moto_bucket, Key="jail/fine", Body=b"1")
    with pytest.raises(StoreProblem, match="SB3"):
        bring(identify(f"s3://{moto_bucket}/jail/", base), tmp_path / "in" / "out", base)
    assert not list(tmp_path.rglob("evil"))
