"""Files, directories and paths: digests, names, links, and what cannot be stored."""

from __future__ import annotations

import hashlib
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roundtrip import trip

from stepbridge.codecs.files import save_directory, save_file
from stepbridge.codecs.handles import Directory, File
from stepbridge.failures import TypeProblem
from stepbridge.values import UNANNOTATED


def refused(value: Any, name: str, tmp: Path, annotation: Any = UNANNOTATED) -> TypeProblem:
    with pytest.raises(TypeProblem) as caught:
        trip(value, annotation, tmp)
    assert caught.value.code.id == "SB109"
    assert name in caught.value.cause
    return caught.value


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "a" / "b").mkdir(parents=True)
    (root / "empty" / "inner").mkdir(parents=True)
    (root / "one.txt").write_bytes(b"1")
    (root / "a" / "two.bin").write_bytes(b"22")
    (root / "a" / "b" / "none").write_bytes(b"")
    return root


def listing(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    "name", ["model.pkl", "noext", "ümläut é.txt", "a b\n.c", "manifest.json", "x" * 200]
)
def test_a_file_keeps_its_name_and_content(name: str, tmp_path: Path, work: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"data")
    for annotation in (File, UNANNOTATED):
        result = trip(File(path), annotation, work)
        assert isinstance(result.value, File)
        assert result.value.name == name
        assert result.value.path.read_bytes() == b"data"
        assert result.value.uri == result.seen
        made = result.drafts[0]
        assert made.content == made.files[0].sha256 == hashlib.sha256(b"data").hexdigest()
        assert made.files[0].source == str(path)
        assert made.type == "stepbridge.File"


def test_an_empty_file(tmp_path: Path, work: Path) -> None:
    (tmp_path / "none").write_bytes(b"")
    result = trip(File(tmp_path / "none"), File, work)
    assert result.value.path.read_bytes() == b""
    assert result.drafts[0].content == hashlib.sha256().hexdigest()


def test_a_name_outside_utf8(tmp_path: Path, work: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff\xfe.bin"
    with open(raw, "wb") as sink:
        sink.write(b"x")
    result = trip(File(os.fsdecode(raw)), File, work)
    assert os.fsencode(result.value.name) == b"\xff\xfe.bin"


def test_paths_become_what_lies_there(tmp_path: Path, tree: Path, work: Path) -> None:
    (tmp_path / "f.txt").write_text("x")
    for annotation in (Path, UNANNOTATED):
        result = trip(tmp_path / "f.txt", annotation, work, reader=Path)
        assert isinstance(result.value, Path)
        assert result.value.read_text() == "x"
        folder = trip(tree, annotation, work, reader=Path)
        assert listing(folder.value) == listing(tree)
        assert folder.drafts[0].type == "stepbridge.Directory"
    assert trip(str(tmp_path / "f.txt"), File, work).value.path.read_text() == "x"
    assert trip(tmp_path / "f.txt", File | None, work).value.path.read_text() == "x"


def test_a_directory_keeps_all_below_it(tree: Path, work: Path) -> None:
    for annotation in (Directory, UNANNOTATED):
        result = trip(Directory(tree), annotation, work)
        assert listing(result.value.path) == listing(tree)
        assert result.seen.endswith("/")
        assert result.drafts[0].directories == ("empty/inner",)


def test_the_digest_of_a_directory_is_of_its_tree(tree: Path, tmp_path: Path) -> None:
    first = save_directory(tree, place="x")
    again = tmp_path / "again"
    subprocess.run(["cp", "-r", tree, again], check=True)
    assert save_directory(again, place="x").content == first.content
    seen = {first.content}
    (again / "one.txt").write_bytes(b"2")
    seen.add(save_directory(again, place="x").content)
    (again / "one.txt").rename(again / "uno.txt")
    seen.add(save_directory(again, place="x").content)
    (again / "empty" / "other").mkdir()
    seen.add(save_directory(again, place="x").content)
    (again / "a" / "b" / "none").rename(again / "a" / "none")
    seen.add(save_directory(again, place="x").content)
    assert len(seen) == 5


def test_an_empty_directory(work: Path, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    result = trip(Directory(tmp_path / "void"), Directory, work)
    assert listing(result.value.path) == {}
    assert result.drafts[0].files == ()


def test_links_are_followed(tree: Path, tmp_path: Path, work: Path) -> None:
    (tmp_path / "outside.txt").write_bytes(b"out")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "deep.txt").write_bytes(b"deep")
    (tree / "leaving").symlink_to(tmp_path / "outside.txt")
    (tree / "folder").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tree / "sibling").symlink_to("one.txt")
    (tree / "chain").symlink_to("sibling")
    result = trip(Directory(tree), Directory, work).value.path
    assert (result / "leaving").read_bytes() == b"out"
    assert (result / "folder" / "deep.txt").read_bytes() == b"deep"
    assert (result / "chain").read_bytes() == b"1"
    assert not any(path.is_symlink() for path in result.rglob("*"))
    (tmp_path / "linked").symlink_to(tmp_path / "outside.txt")
    assert trip(File(tmp_path / "linked"), File, work).value.name == "linked"


def test_what_cannot_be_stored_is_named(tree: Path, tmp_path: Path, work: Path) -> None:
    (tree / "a" / "dangling").symlink_to("nowhere")
    problem = refused(Directory(tree), "a/dangling", work)
    assert "nowhere" in problem.cause
    refused(File(tree / "a" / "dangling"), "dangling", work)
    (tree / "a" / "dangling").unlink()
    (tree / "a" / "loop").symlink_to("loop")
    refused(Directory(tree), "a/loop", work)
    (tree / "a" / "loop").unlink()
    (tree / "a" / "up").symlink_to("..", target_is_directory=True)
    refused(Directory(tree), "a/up", work)
    (tree / "a" / "up").unlink()
    os.mkfifo(tree / "a" / "pipe")
    refused(Directory(tree), "a/pipe", work)
    refused(File(tree / "a" / "pipe"), "pipe", work)
    (tree / "a" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        old = Path.cwd()
        os.chdir(tree)
        try:
            server.bind("sock")
        finally:
            os.chdir(old)
        refused(Directory(tree), "sock", work)
    refused(File("/dev/null"), "/dev/null", work)


def test_missing_and_mistaken_paths(tree: Path, tmp_path: Path, work: Path) -> None:
    assert refused(File("out/nothing.pkl"), "nothing.pkl", work).hint
    refused(Directory("out/nothing"), "nothing", work)
    refused(tmp_path / "nothing", "nothing", work, Path)
    refused(tmp_path / "nothing", "nothing", work)
    assert "Directory" in refused(File(tree), "tree", work).hint
    assert "File" in refused(Directory(tree / "one.txt"), "one.txt", work).hint
    with pytest.raises(TypeProblem, match=r"SB103"):
        trip(3, File, work)
    with pytest.raises(TypeProblem, match=r"SB103"):
        trip(File(tree / "one.txt"), File, work, reader=Directory)
    with pytest.raises(TypeProblem, match=r"SB103"):
        trip(Directory(tree), Directory, work, reader=File)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_entry_is_named(tree: Path, work: Path) -> None:
    (tree / "a" / "two.bin").chmod(0)
    refused(Directory(tree), "two.bin", work)


def test_five_thousand_files(tmp_path: Path) -> None:
    root = tmp_path / "many"
    for folder in range(50):
        (root / f"d{folder}").mkdir(parents=True)
        for number in range(100):
            (root / f"d{folder}" / f"f {number} é.txt").write_bytes(b"%d" % number)
    made = save_directory(root, place="x")
    assert len(made.files) == 5000
    assert [file.path for file in made.files] == sorted((file.path for file in made.files), key=os.fsencode)
    assert save_directory(root, place="x").content == made.content


BIG = """
import resource, sys
from stepbridge.codecs.files import save_file
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = save_file(sys.argv[1], place="x")
print(made.files[0].size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def digest_of_hole(path: Path, size: int) -> tuple[int, int]:
    with open(path, "wb") as sink:
        sink.truncate(size)
    done = subprocess.run([sys.executable, "-c", BIG, str(path)], capture_output=True, text=True, check=True)
    found, grown = done.stdout.split()
    return int(found), int(grown)


def test_memory_is_bounded(tmp_path: Path) -> None:
    size, grown = digest_of_hole(tmp_path / "big", 300 << 20)
    assert size == 300 << 20
    assert grown < 32 * 1024
    assert resource.getpagesize() > 0


@pytest.mark.slow
def test_five_gigabytes(tmp_path: Path) -> None:
    size, grown = digest_of_hole(tmp_path / "big", 5 << 30)
    assert size == 5 << 30
    assert grown < 32 * 1024


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    import threading

    path = tmp_path / "log"
    path.write_bytes(b"x" * (64 << 20))
    stop = threading.Event()

    def write() -> None:
        with path.open("ab") as sink:
            while not stop.is_set():
                sink.write(b"more")
                sink.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(TypeProblem, match=r"SB109.*changed"):
            save_file(path, place="x")
    finally:
        stop.set()
        writer.join()


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=50), max_size=6)
)
def test_any_tree_round_trips(
    tmp_path_factory: pytest.TempPathFactory, files: dict[tuple[str, ...], bytes]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for parts, data in files.items():
        target = root.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            continue
    result = trip(Directory(root), Directory, tmp_path_factory.mktemp("work"))
    assert listing(result.value.path) == listing(root)
