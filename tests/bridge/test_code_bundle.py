"""Bundles are deterministic and safe to unpack; loading names what is missing and where."""

from __future__ import annotations

import io
import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_project import Project, outcome, project, result

from stepbridge.code.bundle import build, extract
from stepbridge.code.loading import load_entry
from stepbridge.contract import CodeRef
from stepbridge.failures import CodeProblem, StepbridgeError, StoreProblem


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        yield made


def zipped(*entries: tuple[str, bytes], mode: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return out.getvalue()


@pytest.mark.parametrize("name", ["../x.py", "/x.py", "a/../../x.py", "a//b.py", "./x.py", "a/./b.py"])
def test_names_that_leave_the_directory_are_refused(name: str, tmp_path: Path) -> None:
    target = tmp_path / "in"
    with pytest.raises(StoreProblem) as caught:
        extract(zipped((name, b"x"), ("good.py", b"y")), target)
    assert caught.value.code.id == "SB310"
    assert not target.exists()


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CodeProblem) as caught:
        extract(zipped(("a", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), tmp_path)
    assert caught.value.code.id == "SB207"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zip",
        zipped(("a", b"1"), ("a", b"2")),
        zipped(("a", b"1"), ("a/b", b"2")),
        zipped(("a", b"1"))[:-30],
    ],
)
def test_broken_bundles(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(StepbridgeError) as caught:
        extract(data, tmp_path / "in")
    assert caught.value.code.id == "SB207"


def test_a_changed_byte_is_noticed(here: Project, tmp_path: Path) -> None:
    data = build(here.slice("f", {"dag.py": "def f(): return 'needle'\n"}))
    broken = data.replace(b"needle", b"noodle", 1)
    with pytest.raises(CodeProblem) as caught:
        extract(broken, tmp_path / "in")
    assert caught.value.code.id == "SB207"


def test_entries_are_sorted_and_timeless(here: Project) -> None:
    here.write({"data.txt": "1"})
    files = {"dag.py": "import z, a\ndef f(): return z, a\n", "z.py": "", "a.py": ""}
    data = build(here.slice("f", files, files=["data.txt"]))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
    assert [info.filename for info in infos] == ["a.py", "data.txt", "stepbridge_dag_dag.py", "z.py"]
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}


def test_a_missing_module_is_named_with_the_line_that_imports_it(here: Project, tmp_path: Path) -> None:
    files = {
        "dag.py": "import helpers\ndef f(): return helpers\n",
        "helpers.py": "import json\nimport pytest\n",
    }
    piece = here.slice("f", files)
    error = outcome(piece, tmp_path / "run")["error"]
    assert "SB208" in error
    assert "helpers.py:2" in error
    assert "'pytest'" in error
    assert "roots=" in error


def test_a_missing_name_of_a_module(here: Project, tmp_path: Path) -> None:
    piece = here.slice("f", {"dag.py": "from helpers import x\ndef f(): return x\n", "helpers.py": "x = 1\n"})
    (tmp_path / "code").mkdir()
    extract(build(piece), tmp_path / "code")
    (tmp_path / "code" / "helpers.py").write_text("")
    sys.modules.pop("helpers", None)
    try:
        with pytest.raises(CodeProblem) as caught:
            load_entry(tmp_path / "code", CodeRef("bundle", piece.entry, ""), {})
    finally:
        sys.path.remove(str(tmp_path / "code"))
        for name in ("helpers", piece.entry.partition(":")[0]):
            sys.modules.pop(name, None)
    assert caught.value.code.id == "SB208"
    assert caught.value.place.endswith("stepbridge_dag_dag.py:1")


def test_image_source_imports_what_is_installed(tmp_path: Path) -> None:
    found = load_entry(tmp_path, CodeRef("image", "textwrap:dedent", ""), {})
    assert found("  a") == "a"
    assert str(tmp_path) not in sys.path
    with pytest.raises(CodeProblem) as caught:
        load_entry(tmp_path, CodeRef("image", "textwrap:nothing", ""), {})
    assert caught.value.code.id == "SB203"
    with pytest.raises(CodeProblem) as caught:
        load_entry(tmp_path, CodeRef("image", "no_such_module_here:f", ""), {})
    assert caught.value.code.id == "SB208"


def test_errors_of_user_code_pass_through(here: Project, tmp_path: Path) -> None:
    piece = here.slice("f", {"dag.py": "def f(): return 1 / 0\n"})
    assert "ZeroDivisionError" in outcome(piece, tmp_path / "run")["error"]


def test_a_shipped_module_wins_over_an_installed_one_of_its_name(here: Project, tmp_path: Path) -> None:
    """The shipped directory comes first on the path."""
    piece = here.slice(
        "f", {"dag.py": "import tools_x\ndef f(): return tools_x.V\n", "tools_x.py": "V = 'shipped'\n"}
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "tools_x.py").write_text("V = 'installed'\n")
    assert result(piece, tmp_path / "run", path=[str(tmp_path / "site")]) == "shipped"
