"""Slices that are kept, in the process and on disk: whatever is edited, they are what slicing anew gives."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from code_project import Project, project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepbridge.code import kept, memo, source
from stepbridge.code.slicing import Slice, slice_callable
from stepbridge.failures import CodeProblem

DAG = """
import json
from pathlib import Path

import helper
import ns.part
from pkg import a, sub
from pkg.b import g

HERE = Path(__file__).parent
RATE = 2


def train():
    found = sorted(path.read_text() for path in (HERE / "data").glob("*.txt"))
    return helper.f(), a.f(), g(), sub.x, ns.part.h(), json.dumps(found), RATE


def plain():
    return helper.f(), a.f(), g(), ns.part.h()
"""
FILES = {
    "dag.py": DAG,
    "helper.py": "import pkg.a\nimport pkg.more.m0\ndef f(): return 1\n",
    "pkg/__init__.py": "",
    "pkg/a.py": "from . import b\nX = 1\ndef f(): return X\n",
    "pkg/b.py": "from pkg import sub\ndef g(): return sub.x\n",
    "pkg/sub/__init__.py": "x = 3\n",
    "ns/part.py": "import json\ndef h(): return 5\n",
    "data/one.txt": "one",
    **{f"pkg/more/m{n}.py": f"import pkg.more.m{n + 1}\nX = {n}\n" for n in range(20)},
    "pkg/more/__init__.py": "",
    "pkg/more/m20.py": "from pkg import a\n",
}
TEXTS = (
    "def f(): return 1\n",
    "def f(): return 2\n",
    "import pkg.a\nimport pkg.more.m0\ndef f(): return 1\n",
    "from pkg.sub import x\ndef f(): return x\ndef g(): return x\nh = f\n",
    "def g(): return 3\nimport numpy, json\nx = 4\nX = 2\ndef f(): return X\n",
    "import os\ndef f(): return os.environ['A']\ndef h(): return open('data/one.txt').read()\n",
    "class Base: pass\ndef f(): return Base.__subclasses__()\n",
    "def f(:\n",
    "",
)
PATHS = (
    "helper.py",
    "helper/__init__.py",
    "json.py",
    "numpy.py",
    "pkg/__init__.py",
    "pkg/a.py",
    "pkg/a/__init__.py",
    "pkg/b.py",
    "pkg/sub.py",
    "pkg/sub/__init__.py",
    "pkg/sub/x.py",
    "pkg/more/m3.py",
    "ns/__init__.py",
    "ns/part.py",
    "ns/part/__init__.py",
    "lib/helper.py",
    "lib/json.py",
    "lib/ns/part.py",
    "lib/pkg/a.py",
    "data/one.txt",
    "data/two.txt",
    "data/sub/three.txt",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("STEPBRIDGE_CODE_MEMO", "off")
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        made.write(FILES)
        kept.forget()
        yield made
        kept.forget()


def sliced(here: Project, dag: ModuleType, name: str = "train", **more: Any) -> Slice:
    roots = [here.root / "lib"]
    return slice_callable(getattr(dag, name), source_file=here.root / "dag.py", roots=roots, **more)


def outcome(here: Project, dag: ModuleType, name: str, **more: Any) -> Slice | str:
    try:
        return sliced(here, dag, name, **more)
    except CodeProblem as error:
        return str(error)


COUNT = itertools.count()


def anew(here: Project, dag: ModuleType, name: str) -> Slice | str:
    """The slice without anything that is kept: nobody has asked for it with this parameter given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPBRIDGE_CODE_MEMO", "off")
        return outcome(here, dag, name, given=frozenset({f"no parameter {next(COUNT)}"}))


def apply(here: Project, edit: tuple[str, str, str]) -> None:
    kind, name, text = edit
    path = here.root / name
    if kind == "remove":
        if path.is_file():
            path.unlink()
        return
    if kind == "restore":
        text = FILES.get(name, text)
    for above in path.relative_to(here.root).parents:
        if (here.root / above).is_file():
            (here.root / above).unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    before = path.stat() if path.exists() else None
    path.write_text(text)
    if before is not None:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


EDITS = st.tuples(
    st.sampled_from(["write", "write", "remove", "restore"]), st.sampled_from(PATHS), st.sampled_from(TEXTS)
)
PROPERTY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def restart(here: Project) -> ModuleType:
    """The project as it was, loaded, and nothing kept."""
    shutil.rmtree(here.root)
    here.write(FILES)
    here.unload()
    kept.forget()
    return here.load()


@PROPERTY
@given(st.lists(EDITS, min_size=1, max_size=6), st.sampled_from(["train", "plain"]))
def test_whatever_is_edited_the_slice_is_that_of_slicing_anew(
    here: Project, edits: list[tuple[str, str, str]], name: str
) -> None:
    dag = restart(here)
    assert outcome(here, dag, name) == anew(here, dag, name)
    for edit in edits:
        apply(here, edit)
        wanted = anew(here, dag, name)
        for _ in range(2):
            assert outcome(here, dag, name) == wanted, edit


@settings(PROPERTY, max_examples=12)
@given(st.lists(EDITS, min_size=1, max_size=4), st.sampled_from(["train", "plain"]))
def test_whatever_is_edited_between_processes(
    here: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edits: list[tuple[str, str, str]],
    name: str,
) -> None:
    dag = restart(here)
    shutil.rmtree(tmp_path / "records", ignore_errors=True)
    monkeypatch.setenv("STEPBRIDGE_CODE_MEMO", str(tmp_path / "records"))
    outcome(here, dag, name)
    assert list((tmp_path / "records").glob("*/*.slice"))
    for edit in edits:
        apply(here, edit)
        wanted = anew(here, dag, name)
        for _ in range(2):
            kept.forget()
            assert outcome(here, dag, name) == wanted, edit


def test_what_is_kept_is_used(here: Project) -> None:
    dag = here.load()
    first, second = sliced(here, dag), sliced(here, dag)
    assert second == first
    assert second.reads is first.reads
    apply(here, ("write", "data/two.txt", "two"))
    third = sliced(here, dag)
    assert third.reads is not first.reads
    assert third.digest != first.digest
    assert sliced(here, dag).reads is third.reads


def test_a_record_on_disk_is_used_by_the_next_process(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPBRIDGE_CODE_MEMO", str(tmp_path / "records"))
    dag = here.load()
    first = sliced(here, dag)
    kept.forget()
    source._source.cache_clear()
    assert sliced(here, dag) == first
    assert source._source.cache_info().misses == 0
    apply(here, ("write", "pkg/a.py", TEXTS[1]))
    kept.forget()
    changed = sliced(here, dag)
    assert source._source.cache_info().misses > 0
    assert changed.digest != first.digest


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "directory", "other question", "garbage"])
def test_damaged_records_are_not_believed(
    damage: str, here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPBRIDGE_CODE_MEMO", str(tmp_path / "records"))
    dag = here.load()
    first, other = sliced(here, dag), sliced(here, dag, "plain")
    kept.forget()
    path, another = sorted(
        (tmp_path / "records").glob("*/*.slice"), key=lambda file: '"train"' not in file.read_text()
    )
    data = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "changed":
            path.write_bytes(data.replace(first.parts["pkg/a.py"].split()[-1].encode(), b"0" * 64))
        case "empty":
            path.write_bytes(b"")
        case "directory":
            path.unlink()
            path.mkdir()
        case "other question":
            path.write_bytes(another.read_bytes())
        case "garbage":
            memo.write_record(path, {"question": json.loads(data.partition(b"\n")[2])["question"]})
    assert sliced(here, dag) == first
    assert sliced(here, dag, "plain") == other


LIVE = """
import helper
MARK = None
def train(): return MARK, helper.f()
"""


def test_a_name_that_has_become_a_dag_is_refused(here: Project) -> None:
    here.write({"dag.py": LIVE})
    dag = here.load()
    sliced(here, dag)
    DAG = type("DAG", (), {"__module__": "airflow.models.dag"})
    dag.MARK = DAG()
    with pytest.raises(CodeProblem, match="SB204"):
        sliced(here, dag)
    dag.MARK = None
    sliced(here, dag)


def test_another_function_of_the_same_name_is_another_question(here: Project) -> None:
    here.write({"dag.py": "def train(): return 1\nfirst = train\ndef train(): return 2\n"})
    dag = here.load()
    assert sliced(here, dag).digest == anew(here, dag, "train").digest  # type: ignore[union-attr]
    assert sliced(here, dag, "first") == anew(here, dag, "first")
    assert sliced(here, dag, "first").digest != sliced(here, dag).digest


def test_closures_are_not_kept(here: Project) -> None:
    here.write(
        {"dag.py": "def make(n):\n    def train(): return n\n    return train\nmade = [make(1), make(2)]\n"}
    )
    dag = here.load()
    for number in (1, 2, 1):
        found = slice_callable(dag.made[number - 1], source_file=here.root / "dag.py")
        assert found.captured == {"n": number}


def test_declared_files_are_read_each_time(here: Project) -> None:
    dag = here.load()
    first = sliced(here, dag, "plain", files=["data"])
    assert sliced(here, dag, "plain", files=["data"]) == first
    apply(here, ("write", "data/one.txt", "two"))
    second = sliced(here, dag, "plain", files=["data"])
    assert (second.digest != first.digest, second.files["data/one.txt"]) == (True, b"two")
    apply(here, ("write", "data/two.txt", ""))
    assert sliced(here, dag, "plain", files=["data"]).digest != second.digest


def test_another_path_for_imports_is_another_question(here: Project, tmp_path: Path) -> None:
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier/extra.py").write_text("X = 2\n")
    here.write({"dag.py": "def train():\n    import extra\n    return extra.X\n", "lib/extra.py": "X = 1\n"})
    dag = here.load()
    first = sliced(here, dag)
    other = slice_callable(dag.train, source_file=here.root / "dag.py", roots=[tmp_path / "earlier"])
    assert first.digest != other.digest
    assert sliced(here, dag) == first


def test_bound_arguments_are_those_of_this_callable(here: Project) -> None:
    here.write({"dag.py": "def train(n, m): return n\n"})
    dag = here.load()
    for value in (1, 2):
        found = slice_callable(functools.partial(dag.train, value, m=value), source_file=here.root / "dag.py")
        assert (found.bound_args, found.bound_kwargs) == ((value,), {"m": value})
