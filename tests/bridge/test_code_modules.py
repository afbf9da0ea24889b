"""First-party modules ship with what they import; installed ones do not; nothing is imported to find out."""

from __future__ import annotations

import ast
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_project import Project, project, result

from stepbridge.code import source
from stepbridge.code.slicing import slice_callable


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        yield made


PACKAGE = {
    "dag.py": """
        from pkg import clean, sub
        from pkg.deep.models import Model as M
        import pkg.other as o
        import pkg.deep.late
        import plain
        from space.inside import value
        def train():
            from within import thing
            return [clean(1), sub.NAME, M().size(), o.go(), pkg.deep.late.X, plain.V, value, thing()]
        """,
    "pkg/__init__.py": "from .cleaning import clean\nfrom . import constants as c\nVERSION = c.V\n",
    "pkg/cleaning.py": "from .constants import V\ndef clean(x):\n"
    "    from pkg.hidden import h\n    return x + V + h\n",
    "pkg/constants.py": "V = 1\n",
    "pkg/hidden.py": "h = 100\n",
    "pkg/sub.py": "NAME = 'sub'\n",
    "pkg/unused.py": "raise RuntimeError\n",
    "pkg/other.py": "try:\n    from .fast import go\nexcept ImportError:\n    from .slow import go\n",
    "pkg/slow.py": "def go(): return 'slow'\n",
    "pkg/deep/__init__.py": "",
    "pkg/deep/models.py": "from ..constants import V\nclass Model:\n    def size(self): return V * 5\n",
    "pkg/deep/late.py": "import importlib\nX = importlib.import_module('literal').Y\n",
    "literal.py": "Y = 'literal'\n",
    "plain.py": "import json, decimal\nif False:\n    import not_installed_anywhere\nV = json.loads('5')\n",
    "space/inside.py": "value = 'namespace'\n",
    "within.py": "from pkg.constants import *\nfrom star import *\ndef thing(): return V + a\n",
    "star.py": "from star2 import *\n__all__ = ['a', 'b']\na = 7\n",
    "star2.py": "b = 1\n",
}


def test_packages_ship_with_all_they_import(here: Project, tmp_path: Path) -> None:
    piece = here.slice("train", PACKAGE)
    expected = set(PACKAGE) - {"dag.py", "pkg/unused.py"} | {"stepbridge_dag_dag.py"}
    assert set(piece.modules) == expected
    for name in expected - {"stepbridge_dag_dag.py"}:
        assert piece.modules[name] == (here.root / name).read_bytes()
    assert result(piece, tmp_path / "run") == [102, "sub", 5, "slow", "literal", 5, "namespace", 8]
    assert piece.requires == {"not_installed_anywhere": ""}


@pytest.mark.parametrize("name", sorted(set(PACKAGE) - {"dag.py", "pkg/unused.py"}))
def test_every_reached_module_counts(name: str, here: Project) -> None:
    before = here.slice("train", PACKAGE).digest
    path = here.root / name
    text = path.read_text()
    path.write_text("# comment\n" + text + "\n\n")
    assert here.slice("train").digest == before
    path.write_text(text + "\nCHANGED = 1\n")
    assert here.slice("train").digest != before


def test_unreached_modules_do_not_count(here: Project) -> None:
    before = here.slice("train", PACKAGE).digest
    (here.root / "pkg/unused.py").write_text("X = 2\n")
    (here.root / "more.py").write_text("X = 2\n")
    assert here.slice("train").digest == before


def test_an_imported_callable(here: Project, tmp_path: Path) -> None:
    files = {
        "dag.py": "from jobs.train import run as go, made\nimport jobs.train as t\nUNUSED = 1\n",
        "jobs/__init__.py": "",
        "jobs/train.py": """
            from .helpers import h
            class Jobs:
                @classmethod
                def all(cls): return [cls.__name__, h]
            def run(x=1): return x + h
            def make(n):
                def inner(y=2): return n + h + y
                return inner
            made = make(3)
            unnamed = [make(4)]
            """,
        "jobs/helpers.py": "h = 10\n",
    }
    piece = here.slice("go", files)
    assert piece.entry == "jobs.train:run"
    assert sorted(piece.modules) == ["jobs/__init__.py", "jobs/helpers.py", "jobs/train.py"]
    assert result(piece, tmp_path / "1") == 11
    assert here.slice("made").entry == "jobs.train:made"
    assert result(here.slice("made"), tmp_path / "2") == 15
    assert result(here.slice("t.Jobs.all"), tmp_path / "3") == ["Jobs", 10]
    scope = here.slice("t.unnamed[0]")
    assert scope.entry == "jobs.stepbridge_scope_train:__stepbridge_scope_1"
    assert scope.captured == {"n": 4}
    assert result(scope, tmp_path / "4") == 16


def test_roots_and_plugins(here: Project, tmp_path: Path) -> None:
    library = tmp_path / "library"
    (library / "company").mkdir(parents=True)
    (library / "company" / "tools.py").write_text("def tool(): return 'tool'\n")
    (library / "company" / "__init__.py").write_text("")
    sys.path.append(str(library))
    try:
        found = here.slice(
            "train", {"dag.py": "from company.tools import tool\ndef train(): return tool()\n"}
        )
    finally:
        sys.path.remove(str(library))
    assert result(found, tmp_path / "1") == "tool"
    rooted = here.slice("train", roots=[library])
    assert rooted.modules == found.modules
    without = slice_callable(vars(here.load())["train"], source_file=here.root / "dag.py", roots=[])
    assert "company/tools.py" in without.modules or without.requires == {"company": ""}


def test_installed_distributions_are_named(here: Project) -> None:
    piece = here.slice(
        "train", {"dag.py": "import pytest, _pytest.mark, json\ndef train(): return pytest, _pytest, json\n"}
    )
    assert piece.requires["pytest"] == pytest.__version__
    assert list(piece.modules) == ["stepbridge_dag_dag.py"]


def test_names_like_installed_ones_are_not_taken_for_them(here: Project, tmp_path: Path) -> None:
    """A plain directory beside the DAG never hides an installed package; stepbridge itself never ships."""
    files = {
        "dag.py": "import pytest, stepbridge.hashing as h\ndef train(): return [pytest, h]\n",
        "pytest/readme.txt": "x",
        "json/readme.txt": "x",
    }
    piece = here.slice("train", files)
    assert list(piece.modules) == ["stepbridge_dag_dag.py"]
    assert "stepbridge" not in piece.requires


def test_star_imports(here: Project, tmp_path: Path) -> None:
    files = {
        "dag.py": "from consts import *\nfrom os.path import *\n"
        "def train(): return [A, basename('x/y'), helper()]\n",
        "consts.py": "from more import *\nA = 1\n_hidden = 2\n",
        "more.py": "def helper(): return 3\n",
    }
    piece = here.slice("train", files)
    assert result(piece, tmp_path / "run") == [1, "y", 3]
    assert "from os.path import *" in piece.modules["stepbridge_dag_dag.py"].decode()


def test_nothing_is_imported(here: Project) -> None:
    here.write({**PACKAGE, "trap.py": "raise RuntimeError('imported')\n"})
    module = here.load()
    (here.root / "dag.py").write_text((here.root / "dag.py").read_text())
    for name in [
        name
        for name in sys.modules
        if name.partition(".")[0] in {"pkg", "within", "plain", "space", "literal"}
    ]:
        del sys.modules[name]
    before = set(sys.modules)
    piece = slice_callable(module.train, source_file=here.root / "dag.py", roots=[here.root])
    assert "within.py" in piece.modules
    assert set(sys.modules) - before == set()


@pytest.mark.parametrize("count", [200])
def test_cost_in_a_large_project(count: int, here: Project) -> None:
    """A slice of a project of 200 modules costs about what parsing them costs."""
    body = Path(textwrap.__file__).read_text(encoding="utf-8")
    files = {f"m{n}.py": f"import m{n + 1}\n{body}" for n in range(count)}
    for name, text in files.items():
        (here.root / name).write_text(text)
    (here.root / f"m{count}.py").write_text("")
    here.write({"dag.py": "def train():\n    import m0\n    return m0\n"})
    function = here.load().train
    texts = [path.read_bytes() for path in here.root.glob("m*.py")]
    started = time.perf_counter()
    trees = [ast.parse(text) for text in texts]
    parsing = time.perf_counter() - started
    del trees
    source._source.cache_clear()
    started = time.perf_counter()
    piece = slice_callable(function, source_file=here.root / "dag.py")
    cost = time.perf_counter() - started
    assert len(piece.modules) == count + 2
    assert cost < parsing * 4, (cost, parsing)
    print(f"{cost / parsing:.2f} times ast.parse")
