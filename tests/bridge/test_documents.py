"""Documents round-trip exactly and refuse what is not theirs, naming the field."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge import documents
from stepbridge.artifact import (
    Artifact,
    Draft,
    DraftFile,
    Manifest,
    StoredFile,
    check_relative,
    parse_uri,
    prefix,
    reference,
    safe_key,
)
from stepbridge.contract import (
    Attempt,
    CacheTarget,
    CodeRef,
    ContextData,
    Fields,
    Inline,
    Items,
    Limits,
    Outside,
    Pull,
    Request,
    Result,
    Stored,
    StoreSettings,
)
from stepbridge.failures import StoreProblem

STORED = Stored(Artifact("file:///s/artifacts/ab/x", "ab" * 32, "cd" * 32, "stepbridge.File", "file", 3))
VALUE = Fields(
    {
        "a": Inline("json", {"x": [1, None, 2.5]}),
        "b": Items("tuple", (STORED, Outside("s3://b/k", 4, {"etag": "e"}))),
        "c": Draft("11" * 32, "t", "f", "n", (DraftFile("n", "/tmp/n", 1, "22" * 32),)),
    }
)


def test_request_round_trips() -> None:
    request = Request(
        attempt=Attempt("d", "manual__2024-01-01T00:00:00+00:00", "g.t", 3, 2),
        step="d.t",
        code=CodeRef("bundle", "m:f", "0" * 64, "1" * 64, True, {"lr": Inline("json", 0.1)}),
        store=StoreSettings("s3://b/p", "http://127.0.0.1:1", "eu-west-1", "aws:kms", "key", True),
        args=(Inline("python", {"tuple": []}),),
        kwargs={"v": VALUE},
        context=ContextData(
            {"ds": Inline("json", "2024-01-01")}, (Pull(("x",), True, "k", VALUE),), False, ("ds",)
        ),
        limits=Limits(60),
        cache=CacheTarget("d.t", "2" * 64, {"fields": {}}),
    )
    assert documents.load(Request, documents.dump(request), place="r") == request


def test_result_round_trips() -> None:
    result = Result(Attempt("d", "r", "t"), VALUE, {"k": STORED}, "miss", "3" * 64)
    assert documents.load(Result, documents.dump(result), place="r") == result


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"files": [{"path": "p"}]}, r"files\[0\]: field 'key' is missing"),
        ({"digest": 5}, "digest: expected str, found int"),
        ({"more": 1}, r"unknown fields \['more'\]"),
        ({"producer": {"dag_id": None}}, "producer.dag_id"),
    ],
)
def test_wrong_documents_name_the_field(change: dict[str, object], named: str) -> None:
    manifest = Manifest("a" * 64, "b" * 64, "t", "f", "n", (StoredFile("n", "n", 1, "c" * 64),))
    data = json.dumps({**documents.to_json(manifest), **change}).encode()
    with pytest.raises(StoreProblem, match=named) as caught:
        documents.load(Manifest, data, place="m.json")
    assert caught.value.code.id == "SB309"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}"])
def test_not_a_document(data: bytes) -> None:
    with pytest.raises(StoreProblem) as caught:
        documents.load(Manifest, data, place="m.json")
    assert "m.json" in str(caught.value)


@given(st.text(min_size=1), st.text(min_size=1))
def test_safe_key_is_injective_and_safe(left: str, right: str) -> None:
    left, right = left.replace("\x00", ""), right.replace("\x00", "")
    left, right = (t.encode("utf-8", "ignore").decode() for t in (left, right))
    assert (safe_key(left) == safe_key(right)) == (left == right)
    assert all(part not in {".", ".."} for part in safe_key(left).split("/"))
    assert set(safe_key(left)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/=")


@given(st.text(min_size=1), st.text(min_size=1))
def test_attempts_never_share_a_prefix(left: str, right: str) -> None:
    left, right = (t.encode("utf-8", "ignore").decode() for t in (left, right))
    same = Attempt(left, "r", "t").prefix == Attempt(right, "r", "t").prefix
    assert same == (left == right)
    assert Attempt(left, "r", "t").prefix.count("/") == 6


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".", "a/.", "a\0b"])
def test_names_that_leave_the_directory_are_refused(path: str) -> None:
    with pytest.raises(StoreProblem) as caught:
        check_relative(path, place="m")
    assert caught.value.code.id == "SB310"


def test_uri_of_a_file_a_directory_and_a_table() -> None:
    one = Manifest("ab" * 32, "c", "t", "file", "m.pkl", (StoredFile("m.pkl", "m.pkl", 1, "d"),))
    tree = Manifest("ab" * 32, "c", "t", "directory", "", (StoredFile("x", "data/x", 1, "d"),))
    assert reference("s3://b/p", one).uri == f"s3://b/p/{prefix('ab' * 32)}m.pkl"
    assert reference("s3://b/p", tree).uri == f"s3://b/p/{prefix('ab' * 32)}data/"
    for uri in (reference("s3://b/p", one).uri, reference("s3://b/p", tree).uri):
        assert parse_uri(uri) == ("s3://b/p", "ab" * 32)
    assert parse_uri("s3://b/p/artifacts/aa/" + "ab" * 32 + "/x") is None
    assert parse_uri("s3://b/data.parquet") is None


def test_type_and_name_are_part_of_an_artifacts_digest() -> None:
    def draft(type_: str, name: str) -> Draft:
        return Draft("11" * 32, type_, "f", name, ())

    assert len({draft("a", "n").digest, draft("b", "n").digest, draft("a", "m").digest}) == 3
