"""Records of files on disk: found by content alone, and never believed where something is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_project import Project, project

from stepbridge.code import kept, source
from stepbridge.code.slicing import Slice

COUNT = 30


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEPBRIDGE_CODE_MEMO", str(tmp_path / "records"))
    return tmp_path / "records"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        for number in range(COUNT):
            below = f"import m{number + 1}\n" if number + 1 < COUNT else ""
            made.write({f"m{number}.py": f"{below}X = {number}\ndef f(): return X\n"})
        made.write({"dag.py": "import m0\ndef train(): return m0.f()\n"})
        yield made


def anew(here: Project) -> Slice:
    """The slice as a new process makes it, from the records of files."""
    source._source.cache_clear()
    kept.forget()
    for record in Path(os.environ["STEPBRIDGE_CODE_MEMO"]).glob("*/*.slice"):
        record.unlink()
    return here.slice("train")


def the_file(records: Path) -> Path:
    (found,) = records.glob("*/*.json")
    return found


def test_the_same_with_records_and_without(
    here: Project, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = anew(here)
    assert the_file(records).stat().st_size > 1000
    second = anew(here)
    monkeypatch.setenv("STEPBRIDGE_CODE_MEMO", "off")
    for other in (second, anew(here)):
        assert (other.digest, other.parts, other.modules) == (first.digest, first.parts, first.modules)


def test_records_are_used(here: Project, records: Path) -> None:
    anew(here)
    anew(here)
    parsed = [one for one in source_files(here) if "tree" in one.__dict__]
    assert parsed == []


def source_files(here: Project) -> list[source.Source]:
    return [source.read_source(path) for path in sorted(here.root.glob("m*.py"))]


def test_an_edit_that_keeps_size_and_time_is_seen(here: Project, records: Path) -> None:
    before = anew(here)
    path = here.root / "m7.py"
    was = path.stat()
    path.write_bytes(path.read_bytes().replace(b"X = 7", b"X = 8"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert path.stat().st_size == was.st_size
    assert here.slice("train").digest != before.digest
    assert anew(here).digest != before.digest


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "directory", "unreadable"])
def test_damaged_records_are_not_believed(damage: str, here: Project, records: Path) -> None:
    before = anew(here)
    file = the_file(records)
    data = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "changed":
            file.write_bytes(data.replace(before.parts["m7.py"].split()[-1].encode(), b"0" * 64))
        case "empty":
            file.write_bytes(b"")
        case "directory":
            file.unlink()
            file.mkdir()
        case "unreadable":
            file.unlink()
            file.symlink_to("nowhere")
    assert anew(here).digest == before.digest


def test_a_place_that_cannot_be_written_does_not_matter(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEPBRIDGE_CODE_MEMO", str(tmp_path / "file"))
    assert anew(here).digest == anew(here).digest
