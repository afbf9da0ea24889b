"""The ``stepbridge`` command on real stores: what it prints and what its exit code says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from stepbridge import File, cli, documents, load, publishing, values
from stepbridge.artifact import Artifact, Producer
from stepbridge.contract import Attempt, ErrorDocument, Inline, Result, Stored, StoreSettings
from stepbridge.failures import ObjectMissing, StoreProblem
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

ATTEMPT = Attempt("dag", "manual__2024-01-01T00:00:00+00:00", "group.train")


def save(store: Store, value: object, folder: Path) -> Artifact:
    folder.mkdir()
    encoded = values.encode(value, values.UNANNOTATED, folder, place="value", inline_limit=1024)
    (draft,) = values.drafts(encoded)
    return publishing.publish(store, draft, producer=Producer("dag", "train", "run"))


@pytest.fixture
def s3_environment(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)


def test_doctor_on_a_folder(file_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--store", file_store.root]) == 0
    assert "FAIL" not in capsys.readouterr().out


def test_doctor_on_a_bucket(
    moto_store: Store, s3_environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--store", moto_store.root]) == 0
    assert "ok    conditional write" in capsys.readouterr().out


def test_doctor_finds_a_server_that_ignores_preconditions(
    rclone_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from servers import make_bucket

    monkeypatch.setenv("AWS_ENDPOINT_URL", rclone_url)
    assert cli.main(["doctor", "--store", f"s3://{make_bucket(rclone_url)}/p"]) == 1
    assert "FAIL  conditional write" in capsys.readouterr().out


def test_doctor_without_a_bucket(
    moto_url: str, s3_environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--store", "s3://no-such-bucket/p"]) == 1
    assert "SB306" in capsys.readouterr().out


def test_no_store_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIRFLOW__STEPBRIDGE__STORE", raising=False)
    assert cli.main(["runs"]) == 2
    assert "AIRFLOW__STEPBRIDGE__STORE" in capsys.readouterr().err


def test_show(file_store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = save(file_store, pd.DataFrame({"a": [1, 2]}), tmp_path / "out")
    assert cli.main(["show", artifact.uri]) == 0
    shown = capsys.readouterr().out
    assert "pandas.DataFrame (parquet)" in shown
    assert artifact.content in shown
    assert "state    complete" in shown
    assert cli.main(["show", artifact.uri, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == artifact.digest


def test_show_says_what_is_gone(
    file_store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = save(file_store, pd.DataFrame({"a": [1, 2]}), tmp_path / "out")
    file_store.delete(artifact.uri.removeprefix(file_store.root + "/"))
    assert cli.main(["show", artifact.uri]) == 1
    assert "is not there" in capsys.readouterr().out


@pytest.mark.parametrize(("uri", "code"), [("s3://b/data.parquet", 2), ("file:///nowhere/x", 2)])
def test_show_of_something_else(uri: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", uri]) == code
    err = capsys.readouterr().err
    assert f"SB301 at {uri}: the URI is not an artifact's. Next: " in err


def test_runs(file_store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = save(file_store, pd.DataFrame({"a": [1]}), tmp_path / "out")
    done = Result(ATTEMPT, Stored(artifact), cache="miss", finished="2024-01-01T00:00:01")
    failed = ErrorDocument(Attempt("dag", "other", "train"), "user", "ValueError", "no rows", "SB402")
    lost = Attempt("elsewhere", "r", "t")
    file_store.put(ATTEMPT.prefix + "result.json", documents.dump(done))
    file_store.put(failed.attempt.prefix + "error.json", documents.dump(failed))
    file_store.put(lost.prefix + "request.json", b"{}")
    assert cli.main(["runs", "--store", file_store.root]) == 0
    everything = capsys.readouterr().out
    assert artifact.uri in everything
    assert "user: no rows" in everything
    assert "no outcome" in everything
    assert cli.main(["runs", "dag", ATTEMPT.run_id, "--store", file_store.root, "--format", "json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["prefix"] == ATTEMPT.prefix
    assert one["output"] == [artifact.uri]
    assert cli.main(["runs", "nothing", "--store", file_store.root]) == 1


def test_log(file_store: Store) -> None:
    file_store.put(ATTEMPT.prefix + "log.txt", b"one\ntwo \xff\n")
    out = subprocess.run(
        [sys.executable, "-m", "stepbridge.cli", "log", ATTEMPT.prefix, "--store", file_store.root],
        capture_output=True,
        check=True,
        env={**os.environ},
    )
    assert out.stdout == b"one\ntwo \xff\n"


def test_log_of_what_is_not_there(file_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    file_store.put(ATTEMPT.prefix + "result.json", b"{}")
    assert cli.main(["log", ATTEMPT.prefix, "--store", file_store.root]) == 0
    assert capsys.readouterr() == ("", "")
    lost = (ATTEMPT.prefix.replace("train", "trian"), ATTEMPT.prefix.replace("/1/", "/2/"))
    for what in (*lost, "dag/latest/train", "runs/dag"):
        assert cli.main(["log", what, "--store", file_store.root]) == 1
        out, err = capsys.readouterr()
        assert not out
        assert (
            f"SB602 at {what}: {file_store.root} has no attempt with this prefix. Next: `stepbridge runs"
            in err
        )


def test_runs_says_that_there_are_none(file_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for asked, said in (
        ([], "has no attempt. Next: --store"),
        (["nix"], "has no attempt of DAG 'nix'. Next: `stepbridge runs`"),
        (["nix", "r1"], "has no attempt of run 'r1' of DAG 'nix'. Next: `stepbridge runs`"),
    ):
        assert cli.main(["runs", *asked, "--store", file_store.root]) == 1
        assert said in capsys.readouterr().err
        assert cli.main(["runs", *asked, "--format", "json", "--store", file_store.root]) == 1
        assert json.loads(capsys.readouterr().out) == []


def test_load_gives_the_value_back(store: Store, settings: StoreSettings, tmp_path: Path) -> None:
    artifact = save(store, pd.DataFrame({"a": [1, 2]}), tmp_path / "out")
    if settings.endpoint:
        os.environ["AWS_ENDPOINT_URL"] = settings.endpoint
    try:
        pd.testing.assert_frame_equal(load(artifact.uri), pd.DataFrame({"a": [1, 2]}))
    finally:
        os.environ.pop("AWS_ENDPOINT_URL", None)


def test_load_gives_a_file_that_stays(file_store: Store, tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights")
    found = load(save(file_store, File(source), tmp_path / "out").uri, tmp_path / "here")
    assert isinstance(found, File)
    assert Path(found).read_bytes() == b"weights"
    assert Path(found).name == "model.bin"


def test_load_refuses_what_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="SB301"):
        load("s3://bucket/data.parquet")
    with pytest.raises(ObjectMissing, match="SB302"):
        load(f"file://{tmp_path}/artifacts/ab/{'ab' * 32}/x")


def test_inline_values_show_no_uri(file_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    file_store.put(
        ATTEMPT.prefix + "result.json", documents.dump(Result(ATTEMPT, Inline("json", 1), cache="off"))
    )
    assert cli.main(["runs", "--store", open_store(file_store.settings).root]) == 0
    assert "://" not in capsys.readouterr().out
