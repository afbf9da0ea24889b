"""Roots, endpoints, regions, encryption, credentials: what is accepted, and how mistakes are answered."""

from __future__ import annotations

import os
import pickle
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers import CREDENTIALS, SECRET, Fault, FaultProxy, client

from stepbridge.contract import StoreSettings
from stepbridge.failures import StoreProblem
from stepbridge.store.base import Download, Upload
from stepbridge.store.connect import Patience, _shared_credentials, endpoint_of, region_of
from stepbridge.store.opening import open_store, settings_for
from stepbridge.store.s3 import S3Store

HASTY = Patience(retries=1, first=0.01, longest=0.02)


@pytest.mark.parametrize(
    "root",
    ["gs://bucket/x", "http://host/x", "s3:/bucket", "/plain/path", "", "az://a", "hdfs://x/y", "s3a://b/c"],
)
def test_another_scheme_is_refused(root: str) -> None:
    with pytest.raises(StoreProblem, match=r"SB301.*use s3://bucket/prefix or file:///folder"):
        open_store(StoreSettings(root))


@pytest.mark.parametrize("root", ["s3://", "s3://UPPER/x", "s3://a/x", "s3:///x", "file://relative/x"])
def test_a_root_that_names_nothing_is_refused(root: str) -> None:
    with pytest.raises(StoreProblem, match=r"SB301"):
        open_store(StoreSettings(root))


@pytest.mark.parametrize("prefix", ["../x", "a//b", "a b", "a/./b"])
def test_a_prefix_that_servers_do_not_keep_is_refused(prefix: str) -> None:
    with pytest.raises(StoreProblem, match="SB310"):
        open_store(StoreSettings(f"s3://bucket/{prefix}"))


@pytest.mark.parametrize(
    "settings",
    [
        StoreSettings("s3://bucket/x", encryption="rot13"),
        StoreSettings("s3://bucket/x", encryption="AES256", kms_key="k"),
        StoreSettings("s3://bucket/x", kms_key="k"),
        StoreSettings("s3://bucket/x", endpoint="localhost:9000"),
        StoreSettings("s3://bucket/x", endpoint="https://user:password@host"),
        StoreSettings("s3://bucket/x", endpoint="https://host/path?password=x"),
        StoreSettings("s3://bucket/x", endpoint="ftp://host"),
        StoreSettings("s3://bucket/x", endpoint="https://"),
        StoreSettings("s3://bucket/x", endpoint="https://host name"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: StoreSettings) -> None:
    with pytest.raises(StoreProblem, match="SB311") as caught:
        open_store(settings)
    assert "password" not in str(caught.value)


def test_settings_for_a_uri() -> None:
    base = StoreSettings("s3://bucket/x", endpoint="https://e", region="r", encryption="AES256")
    other = settings_for("s3://other-bucket/deep/key.csv", base)
    assert (other.root, other.endpoint, other.region) == ("s3://other-bucket", "https://e", "r")
    assert settings_for("s3://other-bucket/k").endpoint == ""
    assert settings_for("s3://other-bucket/k", StoreSettings("file:///x")).root == "s3://other-bucket"
    assert settings_for("file:///data/in/x.csv").root == "file:///data/in"
    assert settings_for("file:///data/in/").root == "file:///data/in"
    with pytest.raises(StoreProblem, match=r"SB301"):
        settings_for("ftp://x/y")


def test_a_closing_slash_of_the_root_changes_nothing(moto_settings: StoreSettings, tmp_path: Path) -> None:
    for root, endpoint in ((moto_settings.root, moto_settings.endpoint), (f"file://{tmp_path}/s", "")):
        open_store(StoreSettings(root + "/", endpoint=endpoint + "/" if endpoint else "")).put("a/b", b"1")
        store = open_store(StoreSettings(root, endpoint=endpoint))
        assert store.get("a/b") == b"1"
        assert store.uri("a/b") == f"{root}/a/b"


def test_a_bucket_that_is_absent(moto_url: str, tmp_path: Path) -> None:
    store = open_store(StoreSettings("s3://no-such-bucket/x", endpoint=moto_url))
    (tmp_path / "f").write_bytes(b"1")
    calls: list[Any] = [
        lambda: store.get("k"),
        lambda: store.put("k", b""),
        lambda: store.put("k", b"", create=True),
        lambda: list(store.list("k/")),
        lambda: store.upload([Upload(tmp_path / "f", "k", 1)]),
        lambda: store.download([Download("k", tmp_path / "o", 1)]),
    ]
    for call in calls:
        with pytest.raises(StoreProblem, match=r"SB306 at s3://no-such-bucket/x.*no bucket 'no-such-bucket'"):
            call()


def test_an_endpoint_that_does_not_answer() -> None:
    store = S3Store(StoreSettings("s3://bucket/x", endpoint="http://127.0.0.1:9"), "bucket", "x", HASTY)
    for call in (lambda: store.get("k"), lambda: store.put("k", b""), lambda: list(store.list(""))):
        with pytest.raises(StoreProblem, match=r"SB305 at s3://bucket/x.*http://127.0.0.1:9 .*reachable"):
            call()


def test_no_http_unless_the_endpoint_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    store = open_store(StoreSettings("s3://bucket/x"))
    assert isinstance(store, S3Store)
    assert store.client.client_options["allow_http"] in (False, "false")


def test_denied(moto_settings: StoreSettings, tmp_path: Path) -> None:
    with FaultProxy(moto_settings.endpoint) as proxy:
        bucket, _, prefix = moto_settings.root.removeprefix("s3://").partition("/")
        store = S3Store(StoreSettings(moto_settings.root, endpoint=proxy.url), bucket, prefix, HASTY)
        proxy.faults = [Fault("status 403", method, times=9) for method in ("GET", "PUT", "HEAD")]
        with pytest.raises(StoreProblem, match=r"SB305 .*denied the read.*s3:GetObject"):
            store.get("k")
        with pytest.raises(StoreProblem, match=r"SB305 .*denied the read"):
            store.head("k")
        with pytest.raises(StoreProblem, match=r"SB307 .*denied the write.*s3:PutObject"):
            store.put("k", b"")
        with pytest.raises(StoreProblem, match=r"SB307 .*denied the write"):
            store.put("k", b"", create=True)


@pytest.mark.seaweed
def test_wrong_credentials(seaweed_url: str, seaweed_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StoreSettings(f"s3://{seaweed_bucket}/x", endpoint=seaweed_url)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-value")
    with pytest.raises(StoreProblem, match=r"SB305 .*credentials at hand") as caught:
        open_store(settings).put("k", b"1")
    assert "wrong-secret-value" not in str(caught.value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(StoreProblem, match=r"SB305 .*credentials at hand"):
        open_store(settings).get("k")


def test_a_folder_whose_parent_is_absent(tmp_path: Path) -> None:
    store = open_store(StoreSettings(f"file://{tmp_path}/no/such"))
    for call in (lambda: store.put("k", b""), lambda: store.get("k")):
        with pytest.raises(StoreProblem, match=r"SB306 at file://.*make the folder"):
            call()
    fresh = open_store(StoreSettings(f"file://{tmp_path}/fresh"))
    assert fresh.head("k") is None
    assert list(fresh.list("")) == []
    assert not (tmp_path / "fresh").exists()
    fresh.put("k", b"1")
    assert (tmp_path / "fresh" / "k").read_bytes() == b"1"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    for root in ("file:///proc/stepbridge", f"file://{tmp_path}/f"):
        with pytest.raises(StoreProblem, match=r"SB30[67] at file://"):
            open_store(StoreSettings(root)).put("k", b"1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(mode=0o555)
    with pytest.raises(StoreProblem, match=r"SB307 at file://.*[Pp]ermission"):
        open_store(StoreSettings(f"file://{tmp_path}/s")).put("k", b"1")


@pytest.mark.parametrize(("encryption", "key"), [("AES256", ""), ("aws:kms", ""), ("aws:kms", "alias/mine")])
def test_encryption_goes_out_with_every_write(
    moto_settings: StoreSettings, tmp_path: Path, encryption: str, key: str
) -> None:
    settings = StoreSettings(
        moto_settings.root, endpoint=moto_settings.endpoint, encryption=encryption, kms_key=key
    )
    store = open_store(settings)
    (tmp_path / "small").write_bytes(b"1")
    (tmp_path / "large").write_bytes(bytes(9_000_000))
    store.put("put", b"1")
    store.put("create", b"1", create=True)
    store.upload([Upload(tmp_path / "small", "small", 1), Upload(tmp_path / "large", "large", 9_000_000)])
    bucket, _, prefix = settings.root.removeprefix("s3://").partition("/")
    for name in ("put", "create", "small", "large"):
        answer = client(settings.endpoint).head_object(Bucket=bucket, Key=f"{prefix}/{name}")
        assert answer["ServerSideEncryption"] == encryption
        if key:
            assert answer["SSEKMSKeyId"] == key


def test_tags_go_out_and_are_made_valid(moto_settings: StoreSettings, tmp_path: Path) -> None:
    store = open_store(moto_settings)
    (tmp_path / "large").write_bytes(bytes(9_000_000))
    tags = {"stepbridge:class": "runs", "stepbridge:dag": "métier/?&=" + "x" * 300}
    store.put("k", b"1", create=True, tags=tags)
    store.upload([Upload(tmp_path / "large", "large", 9_000_000)], tags=tags)
    store.put("many", b"1", tags={f"t{n}": "v" for n in range(14)})
    bucket, _, prefix = moto_settings.root.removeprefix("s3://").partition("/")

    def found(key: str) -> dict[str, str]:
        answer = client(moto_settings.endpoint).get_object_tagging(Bucket=bucket, Key=f"{prefix}/{key}")
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    assert found("k") == found("large")
    assert found("k")["stepbridge:class"] == "runs"
    assert found("k")["stepbridge:dag"] == "m_tier/__=" + "x" * 246
    assert len(found("many")) == 10


def test_endpoint_and_region_from_environment_and_profile(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[default]\nregion = eu-west-1\n[profile team]\nregion = eu-north-1\nendpoint_url = https://team\n"
    )
    env = {"AWS_CONFIG_FILE": str(config), "HOME": str(tmp_path)}
    plain = StoreSettings("s3://bucket/x")
    assert (endpoint_of(plain, env), region_of(plain, env)) == ("", "eu-west-1")
    env["AWS_PROFILE"] = "team"
    assert (endpoint_of(plain, env), region_of(plain, env)) == ("https://team", "eu-north-1")
    env["AWS_DEFAULT_REGION"] = "ap-south-1"
    assert region_of(plain, env) == "ap-south-1"
    env.update(AWS_ENDPOINT_URL="https://all", AWS_REGION="sa-east-1")
    assert (endpoint_of(plain, env), region_of(plain, env)) == ("https://all", "sa-east-1")
    env["AWS_ENDPOINT_URL_S3"] = "https://s3-only"
    assert endpoint_of(plain, env) == "https://s3-only"
    given = StoreSettings("s3://bucket/x", endpoint="https://given", region="us-west-2")
    assert (endpoint_of(given, env), region_of(given, env)) == ("https://given", "us-west-2")
    assert region_of(plain, {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path)}) == "us-east-1"


def test_the_given_endpoint_beats_the_environment(
    moto_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    store = open_store(moto_settings)
    store.put("k", b"1")
    assert store.get("k") == b"1"


def test_the_environments_endpoint_is_used(
    moto_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_settings.endpoint)
    open_store(StoreSettings(moto_settings.root)).put("k", b"1")
    assert open_store(moto_settings).get("k") == b"1"


@pytest.mark.parametrize(
    ("style", "bucket", "endpoint", "address"),
    [
        (None, "bucket", "", "https://bucket.s3.eu-west-1.amazonaws.com"),
        (None, "dotted.bucket", "", "https://s3.eu-west-1.amazonaws.com/dotted.bucket"),
        (True, "bucket", "", "https://s3.eu-west-1.amazonaws.com/bucket"),
        (None, "bucket", "https://store:9000", "https://store:9000/bucket"),
        (False, "bucket", "https://store:9000", "https://bucket.store:9000"),
    ],
)
def test_how_a_bucket_is_addressed(
    aws_environment: None, style: bool | None, bucket: str, endpoint: str, address: str
) -> None:
    from datetime import timedelta

    import obstore

    settings = StoreSettings(f"s3://{bucket}/x", endpoint=endpoint, region="eu-west-1", path_style=style)
    store = open_store(settings)
    assert isinstance(store, S3Store)
    signed = obstore.sign(store.client, "GET", "key", timedelta(minutes=1))
    assert signed.split("?")[0] == f"{address}/key"


def test_credentials_of_a_profile_come_from_boto3(
    seaweed_url: str, seaweed_bucket: str, tmp_path: Path
) -> None:
    shared = tmp_path / "credentials"
    shared.write_text(
        f"[team]\naws_access_key_id = {CREDENTIALS['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {SECRET}\n"
    )
    code = f"""
import sys
from stepbridge.contract import StoreSettings
from stepbridge.store.opening import open_store
store = open_store(StoreSettings("s3://{seaweed_bucket}/{secrets.token_hex(4)}", endpoint="{seaweed_url}"))
store.put("k", b"1")
assert store.get("k") == b"1"
assert "boto3" in sys.modules
"""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env.update(AWS_SHARED_CREDENTIALS_FILE=str(shared), AWS_PROFILE="team", AWS_CONFIG_FILE=os.devnull)
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_a_profile_without_credentials_asks_no_boto3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert _shared_credentials() is None


def test_errors_keep_their_parts_across_a_process(file_store: Any) -> None:
    with pytest.raises(StoreProblem) as caught:
        file_store.get("k")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.place, type(again)) == (
        str(caught.value),
        caught.value.place,
        type(caught.value),
    )


def test_a_forked_child_is_told_instead_of_hanging(moto_settings: StoreSettings) -> None:
    code = f"""
import os, sys
from stepbridge.contract import StoreSettings
from stepbridge.store.opening import open_store
settings = StoreSettings({moto_settings.root!r}, endpoint={moto_settings.endpoint!r})
open_store(settings).put("k", b"1")
pid = os.fork()
if pid == 0:
    import signal
    from stepbridge.failures import StoreProblem
    signal.alarm(20)
    try:
        open_store(settings).get("k")
    except StoreProblem as error:
        os._exit(0 if "forked" in str(error) else 2)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
