"""Artifacts into a store and back: nothing half seen, damage noticed, hostile names refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from servers import Fault, FaultProxy

from stepbridge import documents, publishing
from stepbridge.artifact import MANIFEST, Artifact, Draft, DraftFile, Manifest, Producer, StoredFile, prefix
from stepbridge.contract import StoreSettings
from stepbridge.failures import IntegrityProblem, ObjectMissing, StoreProblem
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

ODD = [
    "plain.txt",
    "with space",
    "new\nline",
    "tab\tand\\backslash",
    ".hidden",
    "..twodots",
    "trailing.",
    "100%",
    "a=b",
    "=41",
    "é",
    "日本語",
    "~tilde",
    "quote'\"`$;&|<>*?",
    "manifest.json",
    "deep/er/and/deeper/manifest.json",
    "deep/.git/config",
    "\udcff-not-utf8",
    "長" * 80,
    "/".join(["d" * 90] * 12),
]


def draft_of(folder: Path, **changes: Any) -> Draft:
    """What a codec makes of a directory."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            name = str(path.relative_to(folder))
            files.append(DraftFile(name, str(path), len(data), hashlib.sha256(data).hexdigest()))
    content = hashlib.sha256(repr([(f.path, f.sha256) for f in files]).encode()).hexdigest()
    empty = tuple(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_dir() and not any(path.iterdir())
    )
    plain = Draft(content, "stepbridge.Directory", "directory", "", tuple(files), empty)
    return dataclasses.replace(plain, **changes)


def draft_of_file(path: Path, **changes: Any) -> Draft:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    files = (DraftFile(path.name, str(path), len(data), digest),)
    return dataclasses.replace(Draft(digest, "stepbridge.File", "file", path.name, files), **changes)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def keys(store: Store, digest: str) -> list[str]:
    return [info.key.removeprefix(prefix(digest)) for info in store.list(prefix(digest))]


def test_a_file_there_and_back(store: Store, tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "my model.bin", secrets.token_bytes(1_000))
    producer = Producer("dag", "task", "manual__2026", 3, 2)
    artifact = publishing.publish(store, draft_of_file(source), producer=producer, tags={"team": "x"})
    assert artifact.uri == store.uri(prefix(artifact.digest) + "my=20model.bin")
    assert (artifact.size, artifact.files, artifact.type) == (1_000, 1, "stepbridge.File")
    manifest = publishing.read_manifest(store, artifact.digest)
    assert (manifest.producer, manifest.tags, manifest.name) == (producer, {"team": "x"}, "my model.bin")
    out = publishing.fetch(store, manifest, tmp_path / "out")
    assert out == tmp_path / "out" / "my model.bin"
    assert out.read_bytes() == source.read_bytes()
    assert publishing.missing(store, artifact) == ""


@pytest.mark.parametrize("names", [ODD, [], ["empty/file"]])
def test_a_directory_there_and_back(store: Store, tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "in"
    (folder / "hollow" / "inner").mkdir(parents=True)
    for number, name in enumerate(names):
        write(folder / name, secrets.token_bytes(number * 7))
    artifact = publishing.publish(store, draft_of(folder))
    assert artifact.uri.endswith(f"{artifact.digest}/data/")
    inside = artifact.uri.removeprefix(f"{store.root}/")
    assert len(list(store.list(inside))) == len(names)
    assert artifact.files == len(names)
    assert publishing.missing(store, artifact) == ""
    manifest = publishing.read_manifest(store, artifact.digest)
    out = publishing.fetch(store, manifest, tmp_path / "deep" / "out")
    assert tree(out) == tree(folder)
    assert sorted(path.name for path in out.parent.iterdir()) == ["out"]


@pytest.mark.parametrize("settings", ["file", pytest.param("moto", marks=pytest.mark.slow)], indirect=True)
def test_five_thousand_files(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number in range(5_000):
        odd = ODD[number % 14]
        write(folder / f"{number % 50} ü" / f"{number}{odd}", f"{number}".encode() * (number % 9))
    draft = draft_of(folder)
    artifact = publishing.publish(store, draft)
    assert artifact.files == 5_000
    assert publishing.missing(store, artifact) == ""
    out = publishing.fetch(store, publishing.read_manifest(store, artifact.digest), tmp_path / "out")
    assert tree(out) == tree(folder)


def test_what_is_there_is_adopted_without_an_upload(moto_settings: StoreSettings, tmp_path: Path) -> None:
    with FaultProxy(moto_settings.endpoint) as proxy:
        store = open_store(StoreSettings(moto_settings.root, endpoint=proxy.url))
        draft = draft_of_file(write(tmp_path / "f", b"1"))
        first = publishing.publish(store, draft, producer=Producer("a", "b", "c"))
        assert [method for method, _ in proxy.requests] == ["GET", "PUT", "PUT"]
        proxy.requests.clear()
        assert publishing.publish(store, draft, producer=Producer("x", "y", "z")) == first
        assert [method for method, _ in proxy.requests] == ["GET", "GET"]
        proxy.requests.clear()
        assert publishing.missing(store, first) == ""
        assert len(proxy.requests) == 1
        manifest = publishing.read_manifest(store, first.digest)
        assert manifest.producer == Producer("a", "b", "c")


def test_many_drafts_and_equal_ones(store: Store, tmp_path: Path) -> None:
    drafts = [draft_of_file(write(tmp_path / str(n), str(n % 3).encode()), name="same") for n in range(6)]
    artifacts = publishing.publish_all(store, drafts)
    assert [a.content for a in artifacts] == [d.content for d in drafts]
    assert artifacts[0] == artifacts[3]
    assert publishing.publish_all(store, []) == ()


def test_types_and_names_keep_apart(store: Store, tmp_path: Path) -> None:
    draft = draft_of_file(write(tmp_path / "f", b"{}"))
    others = [draft, dataclasses.replace(draft, type="json"), dataclasses.replace(draft, name="g")]
    assert len({a.uri for a in publishing.publish_all(store, others)}) == 3


def canonical(tmp_path: Path, data: bytes) -> Draft:
    path = write(tmp_path / hashlib.sha256(data).hexdigest()[:8] / "data.parquet", data)
    return draft_of_file(path, canonical=True, type="table", content="c" * 64)


def test_equal_tables_of_different_bytes(store: Store, tmp_path: Path) -> None:
    one, two = canonical(tmp_path, b"one"), canonical(tmp_path, b"two!")
    assert one.digest == two.digest
    first = publishing.publish(store, one)
    assert publishing.publish(store, two) == first
    out = publishing.fetch(store, publishing.read_manifest(store, first.digest), tmp_path / "out")
    assert out.read_bytes() == b"one"


def test_writers_that_race_agree_on_one_artifact(store: Store, tmp_path: Path) -> None:
    drafts = [canonical(tmp_path, f"body {n}".encode() * (n + 1)) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        artifacts = set(pool.map(lambda draft: publishing.publish(store, draft), drafts))
    manifest = publishing.read_manifest(store, drafts[0].digest)
    assert {a.uri for a in artifacts} == {store.uri(prefix(manifest.digest) + manifest.files[0].key)}
    for artifact in artifacts:
        assert publishing.missing(store, artifact) == ""
    publishing.fetch(store, manifest, tmp_path / "out")


def test_leftovers_of_a_loser_do_not_hide_the_artifact(store: Store, tmp_path: Path) -> None:
    two_files = {
        "name": "",
        "canonical": True,
        "content": "d" * 64,
        "type": "table",
    }
    write(tmp_path / "t" / "a", b"1")
    write(tmp_path / "t" / "b", b"22")
    artifact = publishing.publish(store, draft_of(tmp_path / "t", **two_files))
    store.put(f"{prefix(artifact.digest)}{'0' * 16}/a", b"333")
    assert publishing.missing(store, artifact) == ""


@pytest.mark.parametrize("harm", ["vanish", "resize", "manifest", "garbage"])
@pytest.mark.parametrize("kind", ["plain", "canonical"])
def test_a_dead_artifact_is_reported_and_repaired(store: Store, tmp_path: Path, harm: str, kind: str) -> None:
    if kind == "canonical":
        first, second = canonical(tmp_path, b"one"), canonical(tmp_path, b"two!")
    else:
        first = second = draft_of_file(write(tmp_path / "f", b"one"))
    artifact = publishing.publish(store, first)
    lead = prefix(artifact.digest)
    payload = first.keys()[0].key
    if harm == "vanish":
        store.delete(lead + payload)
    elif harm == "resize":
        store.put(lead + payload, b"longer than it was")
    elif harm == "manifest":
        store.delete(lead + MANIFEST)
    else:
        store.put(lead + MANIFEST, b'{"digest": 3')
    named = MANIFEST if harm in {"manifest", "garbage"} else payload
    if harm != "garbage":
        assert store.uri(lead + named) in publishing.missing(store, artifact)
    again = publishing.publish(store, second)
    assert publishing.missing(store, again) == ""
    out = publishing.fetch(store, publishing.read_manifest(store, again.digest), tmp_path / "out")
    assert out.read_bytes() == Path(second.files[0].source).read_bytes()


@pytest.mark.parametrize("harm", ["truncate", "flip", "swap", "vanish"])
def test_damage_is_noticed_by_the_reader_and_named(store: Store, tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "in"
    for name in ("a", "b", "c"):
        write(folder / name, secrets.token_bytes(2_000))
    artifact = publishing.publish(store, draft_of(folder))
    manifest = publishing.read_manifest(store, artifact.digest)
    lead = prefix(artifact.digest) + "data/"
    data = store.get(f"{lead}b")
    if harm == "truncate":
        store.put(f"{lead}b", data[:1_999])
    elif harm == "flip":
        store.put(f"{lead}b", data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif harm == "swap":
        store.put(f"{lead}b", store.get(f"{lead}c"))
        store.put(f"{lead}c", data)
    else:
        store.delete(f"{lead}b")
    with pytest.raises(StoreProblem, match=r"SB30[24] at .*/[bc]: ") as caught:
        publishing.fetch(store, manifest, tmp_path / "out")
    assert isinstance(caught.value, ObjectMissing if harm == "vanish" else IntegrityProblem)
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "store") == ["in"]


def test_a_swapped_or_vanished_manifest(store: Store, tmp_path: Path) -> None:
    one = publishing.publish(store, draft_of_file(write(tmp_path / "one", b"1")))
    two = publishing.publish(store, draft_of_file(write(tmp_path / "two", b"2")))
    store.put(prefix(one.digest) + MANIFEST, store.get(prefix(two.digest) + MANIFEST))
    with pytest.raises(IntegrityProblem, match=rf"SB304 at .*{one.digest}/manifest.json"):
        publishing.read_manifest(store, one.digest)
    store.delete(prefix(one.digest) + MANIFEST)
    with pytest.raises(ObjectMissing, match=rf"SB302 at .*{one.digest}/manifest.json"):
        publishing.read_manifest(store, one.digest)
    with pytest.raises(StoreProblem, match=r"SB301"):
        publishing.read_manifest(store, "../../x")


HOSTILE = [
    "../evil",
    "a/../../evil",
    "/etc/evil",
    "..",
    ".",
    "a//b",
    "",
    "a/./b",
    "nul\0",
    "a/",
]
PLACES = [(where, bad) for where in ("path", "key", "directory", "name") for bad in HOSTILE]
PLACES.remove(("name", ""))


def hostile(store: Store, manifest: Manifest) -> str:
    data = documents.dump(manifest)
    store.put(prefix(manifest.digest) + MANIFEST, data)
    return manifest.digest


@pytest.mark.parametrize(("where", "bad"), PLACES)
def test_a_manifest_cannot_name_what_lies_outside(
    file_store: Store, tmp_path: Path, bad: str, where: str
) -> None:
    file_store.put("secret", b"s")
    good = StoredFile("good", "good", 1, hashlib.sha256(b"1").hexdigest())
    name = bad if where == "name" else ""
    draft = Draft("c" * 64, "t", "f", name, ())
    file = dataclasses.replace(good, **({where: bad} if where in {"path", "key"} else {}))
    manifest = Manifest(
        draft.digest, "c" * 64, "t", "f", name, (file,), (bad,) if where == "directory" else ()
    )
    file_store.put(prefix(draft.digest) + "good", b"1")
    for call in (
        lambda: publishing.read_manifest(file_store, hostile(file_store, manifest)),
        lambda: publishing.fetch(file_store, manifest, tmp_path / "jail" / "out"),
    ):
        with pytest.raises(StoreProblem, match=r"SB310 at .*manifest.json"):
            call()
    assert not (tmp_path / "jail").exists()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schema": 99}, "SB309"),
        ({"type": "other"}, "SB304"),
        ({"content": "d" * 64}, "SB304"),
        ({"directories": ["a"]}, "SB309"),
        ({"directories": ["\ud800"]}, "SB309"),
        ({"files": "x"}, "SB309"),
        ({"unknown": 1}, "SB309"),
        ({"files": [{"path": "a", "key": "a", "size": -1, "sha256": "0" * 64}]}, "SB309"),
        ({"files": [{"path": "a", "key": "a", "size": 1, "sha256": "0"}]}, "SB309"),
        ({"files": [{"path": p, "key": p, "size": 1, "sha256": "0" * 64} for p in ("a", "a")]}, "SB309"),
        ({"files": [{"path": p, "key": p, "size": 1, "sha256": "0" * 64} for p in ("a/b", "a")]}, "SB309"),
        ({"files": [{"path": "a", "key": "manifest.json", "size": 1, "sha256": "0" * 64}]}, "SB310"),
    ],
)
def test_a_manifest_that_is_not_right(
    file_store: Store, tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    write(tmp_path / "in" / "a", b"1")
    artifact = publishing.publish(file_store, draft_of(tmp_path / "in"))
    key = prefix(artifact.digest) + MANIFEST
    file_store.put(key, json.dumps({**json.loads(file_store.get(key)), **change}).encode())
    with pytest.raises(StoreProblem, match=rf"{code} at .*manifest.json"):
        publishing.read_manifest(file_store, artifact.digest)


def test_a_target_that_is_taken(file_store: Store, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a", b"1")
    artifact = publishing.publish(file_store, draft_of(tmp_path / "in"))
    manifest = publishing.read_manifest(file_store, artifact.digest)
    (tmp_path / "out").mkdir()
    publishing.fetch(file_store, manifest, tmp_path / "out")
    with pytest.raises(StoreProblem, match=r"SB307 .*absent or an empty folder"):
        publishing.fetch(file_store, manifest, tmp_path / "out")
    assert tree(tmp_path / "out") == {"a": b"1"}


def test_a_source_that_changes_before_it_is_stored_is_never_committed(store: Store, tmp_path: Path) -> None:
    draft = draft_of_file(write(tmp_path / "f", b"before"))
    write(tmp_path / "f", b"after that")
    with pytest.raises(StoreProblem, match=r"SB304"):
        publishing.publish(store, draft)
    assert MANIFEST not in keys(store, draft.digest)


def test_a_lost_answer_to_the_commit_is_our_commit(moto_settings: StoreSettings, tmp_path: Path) -> None:
    with FaultProxy(moto_settings.endpoint) as proxy:
        store = open_store(StoreSettings(moto_settings.root, endpoint=proxy.url))
        proxy.faults = [Fault("lose", "PUT", MANIFEST)]
        artifact = publishing.publish(store, draft_of_file(write(tmp_path / "f", b"1")))
        assert publishing.missing(store, artifact) == ""


KILLED = """
import json, os, signal, sys
from stepbridge import documents, publishing
from stepbridge.artifact import Draft
from stepbridge.contract import StoreSettings
from stepbridge.store.opening import open_store

class Counting:
    def __init__(self, inner, left):
        self.inner, self.left = inner, left
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def wrote(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def put(self, *args, **named):
        self.inner.put(*args, **named)
        self.wrote()
    def upload(self, files, **named):
        for file in files:
            self.inner.upload([file], **named)
            self.wrote()

root, endpoint, left, drafts = sys.argv[1:]
store = Counting(open_store(StoreSettings(root, endpoint=endpoint)), int(left))
found = [documents.load(Draft, json.dumps(d).encode(), place="argument") for d in json.loads(drafts)]
publishing.publish_all(store, found)
"""


@pytest.mark.parametrize("settings", ["file", "moto"], indirect=True)
def test_killed_after_every_single_write(settings: StoreSettings, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a", b"1" * 1_000)
    write(tmp_path / "in" / "b", b"2" * 1_000)
    drafts = [draft_of(tmp_path / "in"), draft_of_file(write(tmp_path / "f", b"3"))]
    text = json.dumps([documents.to_json(draft) for draft in drafts])
    writes = 5
    for number in range(1, writes + 2):
        own = dataclasses.replace(settings, root=f"{settings.root}{number}")
        arguments = [own.root, own.endpoint, str(number), text]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], timeout=60, check=False)
        assert done.returncode == (-9 if number <= writes else 0)
        store = open_store(own)
        for draft in drafts:
            _whole_or_absent(store, draft, tmp_path / f"seen-{number}-{draft.format}")
        for artifact, draft in zip(publishing.publish_all(store, drafts), drafts, strict=True):
            assert publishing.missing(store, artifact) == ""
            manifest = publishing.read_manifest(store, draft.digest)
            publishing.fetch(store, manifest, tmp_path / f"after-{number}-{draft.format}")


def _whole_or_absent(store: Store, draft: Draft, target: Path) -> None:
    try:
        manifest = publishing.read_manifest(store, draft.digest)
    except ObjectMissing:
        return
    publishing.fetch(store, manifest, target)


def test_killed_at_any_moment(file_settings: StoreSettings, tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path / "in" / str(number), bytes([number]) * 300_000)
    draft = draft_of(tmp_path / "in")
    text = json.dumps([documents.to_json(draft)])
    for number in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, file_settings.root, "", "0", text], env={**os.environ}
        )
        try:
            process.wait(timeout=0.08 + 0.03 * number)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        store = open_store(file_settings)
        _whole_or_absent(store, draft, tmp_path / f"seen{number}")
        assert all(info.size == 300_000 or info.key.endswith(MANIFEST) for info in store.list(""))
    artifact = publishing.publish(open_store(file_settings), draft)
    assert publishing.missing(open_store(file_settings), artifact) == ""


MEASURED = """
import hashlib, re, sys
from pathlib import Path
from stepbridge import publishing
from stepbridge.artifact import Draft, DraftFile
from stepbridge.contract import StoreSettings
from stepbridge.store.opening import open_store

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

root, endpoint, source, target, digest = sys.argv[1:]
settings = StoreSettings(root, endpoint=endpoint)
store = open_store(settings)
path = Path(source)
before = peak()
file = DraftFile(path.name, source, path.stat().st_size, digest)
artifact = publishing.publish(store, Draft(digest, "stepbridge.File", "file", path.name, (file,)))
publishing.fetch(store, publishing.read_manifest(store, artifact.digest), Path(target))
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", ["file", pytest.param("seaweed", marks=pytest.mark.seaweed)], indirect=True
)
def test_five_gigabytes_in_bounded_memory(settings: StoreSettings, tmp_path: Path) -> None:
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.truncate(5 * 1024**3)
        file.seek(3 * 1024**3)
        file.write(b"not only holes")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    arguments = [settings.root, settings.endpoint, str(source), str(tmp_path / "out"), digest]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], stdout=subprocess.PIPE, check=True, text=True
    )
    assert int(done.stdout) < 256 * 1024
    assert (tmp_path / "out" / "sparse").stat().st_size == 5 * 1024**3


def test_no_object_and_no_error_holds_a_credential(
    moto_settings: StoreSettings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from servers import SECRET

    store = open_store(moto_settings)
    artifact = publishing.publish(store, draft_of_file(write(tmp_path / "f", b"1")))
    assert isinstance(artifact, Artifact)
    held = b"".join(store.get(info.key) for info in store.list(""))
    shown = repr(store) + repr(moto_settings) + "".join(capfd.readouterr())
    assert SECRET.encode() not in held
    assert SECRET not in shown
