"""Changes of module state through other names, and imports made for their effect, belong to a slice."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_project import Project, project, result


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        yield made


LOADING = """
class Loader:
    def __init__(self, into):
        self.into = into
    def load(self):
        self.into["k"] = 1
        return self
def loader(into):
    return Loader(into)
"""

CHANGED = {
    "chained": ("G = H = {}\nH['k'] = 1", {"k": 1}),
    "chained, other way": ("H = G = {}\nH['k'] = 1", {"k": 1}),
    "augmented": ("G = [1]\nref = G\nref += [5]", [1, 5]),
    "subscript": ("G = {}\nref = G\nref['x'] = 1", {"x": 1}),
    "method": ("G = []\nref = G\nref.append(2)", [2]),
    "two steps": ("G = []\na = G\nb = a\nb.append(2)", [2]),
    "pairs": ("G, D = [], []\nA, B = D, G\nB.append(1)", [1]),
    "nested pairs": ("G, D = [], []\n[A, (B, C)] = D, (G, D)\nB.append(1)", [1]),
    "condition": ("import os\nG = []\nref = G if os.sep else None\nref.append(1)", [1]),
    "or": ("G = [0]\nref = None or G\nref.append(1)", [0, 1]),
    "class": (LOADING + "G = {}\nl = Loader(G)\nl.load()", {"k": 1}),
    "keyword": (LOADING + "G = {}\nl = Loader(into=G)\nl.load()", {"k": 1}),
    "function": (LOADING + "G = {}\nl = loader(G)\nl.load()", {"k": 1}),
    "chain": (LOADING + "G = {}\nLoader(G).load()", {"k": 1}),
    "long chain": (LOADING + "G = {}\nloader(G).load().load()", {"k": 1}),
    "bound chain": (LOADING + "G = {}\nl = Loader(G).load()\nl.into['j'] = 2", {"k": 1, "j": 2}),
    "module": ("from loading import Loader\nG = {}\nl = Loader(G)\nl.load()", {"k": 1}),
    "module, chain": ("import loading\nG = {}\nloading.Loader(G).load()", {"k": 1}),
    "module, attribute": ("import loading\nG = {}\nl = loading.Loader(G)\nl.load()", {"k": 1}),
    "lambda": ("G = {}\nlist(map(lambda x: G.__setitem__(x, 1), ['a']))", {"a": 1}),
    "comprehension": ("G = {}\n[G.__setitem__(x, 1) for x in ['a']]", {"a": 1}),
    "walrus": ("G = []\nif (ref := G) is not None:\n    ref.append(1)", [1]),
    "filled": ("G = {}\ndef fill(d):\n    d['k'] = 1\n    return 1\nx = fill(G)", {"k": 1}),
    "filled by a class": (
        "G = {}\nclass L:\n    def __init__(self, d):\n        d.update(k=1)\nx = L(G)",
        {"k": 1},
    ),
    "dunder": ("G = {}\nG.__setitem__('a', 1)", {"a": 1}),
}


@pytest.mark.parametrize("name", CHANGED)
def test_changes_through_other_names(name: str, here: Project, tmp_path: Path) -> None:
    text, expected = CHANGED[name]
    body = text + "\nUNUSED = 1\ndef train():\n    return G\n"
    piece = here.slice("train", {"loading.py": LOADING, "dag.py": body})
    assert result(piece, tmp_path / "run") == expected
    assert b"UNUSED" not in piece.modules["stepbridge_dag_dag.py"]


def test_airflow_objects_are_no_aliases(here: Project, tmp_path: Path) -> None:
    pytest.importorskip("airflow.sdk")
    text = """
    from airflow.sdk import DAG
    default_args = {"owner": "a"}
    def make(name, args):
        return DAG(name, default_args=args)
    dag = DAG("d", default_args=default_args)
    dag.doc_md = "text"
    other = make("o", default_args)
    other.doc_md = "text"
    class Config:
        def __init__(self, args):
            self.args = args
    config = Config(default_args)
    config.dag = dag
    def train():
        return default_args
    """
    piece = here.slice("train", {"dag.py": text})
    assert result(piece, tmp_path / "run") == {"owner": "a"}


REGISTRY = {
    "registry.py": "TABLE = {}\n",
    "plug.py": "from registry import TABLE\nTABLE['plug'] = 1\n",
    "other.py": "X = 1\n",
}


@pytest.mark.parametrize("line", ["import plug", "import plug, other", "import os, plug as _plug"])
def test_imports_for_their_effect(line: str, here: Project, tmp_path: Path) -> None:
    text = f"{line}\nfrom registry import TABLE\ndef train():\n    return TABLE\n"
    piece = here.slice("train", {**REGISTRY, "dag.py": text})
    assert result(piece, tmp_path / "run") == {"plug": 1}
    changed = here.slice("train", {"plug.py": "from registry import TABLE\nTABLE['plug'] = 2\n"})
    assert changed.digest != piece.digest


def test_imports_for_their_effect_in_a_package(here: Project, tmp_path: Path) -> None:
    text = "import plugins.one\nfrom registry import TABLE\ndef train():\n    return TABLE\n"
    files = {"plugins/__init__.py": "", "plugins/one.py": REGISTRY["plug.py"]}
    piece = here.slice("train", {**REGISTRY, **files, "dag.py": text})
    assert result(piece, tmp_path / "run") == {"plug": 1}


def test_imports_for_their_effect_in_sliced_modules(here: Project, tmp_path: Path) -> None:
    pytest.importorskip("airflow.sdk")
    files = {
        **REGISTRY,
        "common.py": (
            "import plug, mixed\nfrom airflow.sdk import Variable\nfrom registry import TABLE\n"
            "def table():\n    return TABLE\ndef threshold():\n    return Variable.get('t')\n"
        ),
        "mixed.py": (
            "from airflow.sdk import Variable\nfrom registry import TABLE\nTABLE['mixed'] = 1\n"
            "def lazy():\n    return Variable.get('x')\n"
        ),
        "dag.py": "from common import table\ndef train():\n    return table()\n",
    }
    piece = here.slice("train", files)
    assert piece.modules["mixed.py"]
    assert result(piece, tmp_path / "run", path=[]) == {"plug": 1, "mixed": 1}


def test_named_and_foreign_imports_are_no_effects(here: Project) -> None:
    text = textwrap.dedent("""
        import json, other
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import plug
        print(other.X)
        def train():
            return 1
    """)
    piece = here.slice("train", {**REGISTRY, "dag.py": text})
    assert set(piece.modules) == {"stepbridge_dag_dag.py"}
    assert b"json" not in piece.modules["stepbridge_dag_dag.py"]


TEXTS = {
    "eval": ("X = 3\ndef train():\n    return eval('X + 1')\n", 4),
    "eval of a local": ("X = 3\ndef train():\n    y = 2\n    return eval('X + y')\n", 5),
    "eval of a helper": ("def helper(x):\n    return x * 2\ndef train():\n    return eval('helper(2)')\n", 4),
    "eval at module level": ("X = 3\nY = eval('X * 2')\ndef train():\n    return Y\n", 6),
    "exec at module level": ("A = 2\nexec('X = A + 1')\ndef train():\n    return X\n", 3),
    "exec with globals()": ("exec('X = 1', globals())\ndef train():\n    return X\n", 1),
    "exec that changes": ("C = {}\nexec('C[\"k\"] = 1')\ndef train():\n    return C\n", {"k": 1}),
    "exec that defines": (
        "A = 1\nexec('def g(n: int):\\n  return A + n')\ndef train():\n    return g(1)\n",
        2,
    ),
    "exec in a function": ("C = {}\ndef train():\n    exec('C[\"k\"] = 1')\n    return C\n", {"k": 1}),
    "globals read": ("X = 3\ndef train():\n    return globals()['X']\n", 3),
    "globals get": ("X = 3\ndef train():\n    return globals().get('X'), globals().get('NO')\n", [3, None]),
    "globals call": ("def g():\n    return 5\ndef train():\n    return globals()['g']()\n", 5),
    "globals set": ("globals()['X'] = 4\ndef train():\n    return X\n", 4),
    "globals change": ("X = []\nglobals()['X'].append(1)\ndef train():\n    return X\n", [1]),
    "globals item": ("X = {}\nglobals()['X']['a'] = 1\ndef train():\n    return X\n", {"a": 1}),
    "import by call": ("def train():\n    return __import__('other').X\n", 1),
    "effect by call": (
        "from importlib import import_module\nimport_module('plug')\nfrom registry import TABLE\n"
        "def train():\n    return TABLE\n",
        {"plug": 1},
    ),
    "effect by __import__": (
        "__import__('plug')\nfrom registry import TABLE\ndef train():\n    return TABLE\n",
        {"plug": 1},
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_literal_text(name: str, here: Project, tmp_path: Path) -> None:
    text, expected = TEXTS[name]
    piece = here.slice("train", {**REGISTRY, "dag.py": "UNUSED = 1\n" + text})
    assert result(piece, tmp_path / "run") == expected
    assert piece.reads.dynamic == ()
    assert b"UNUSED" not in piece.modules["stepbridge_dag_dag.py"]


@pytest.mark.parametrize(
    "text",
    [
        "C = {}\nfor n in 'ab':\n    exec(f'C[{n!r}] = 1')\ndef train():\n    return C\n",
        "C = {}\nexec('C[1] = 1', {'C': C})\ndef train():\n    return C\n",
        "C = {}\nglobals()['C'.upper()] = 1\ndef train():\n    return C\n",
        "C = {}\ndef train(n):\n    return eval(n)\n",
        "C = {}\ndef train(n):\n    return globals()[n]\n",
        "exec('import other')\nC = 1\ndef train(n):\n    return C\n",
    ],
)
def test_computed_text_is_dynamic(text: str, here: Project) -> None:
    assert here.slice("train", {**REGISTRY, "dag.py": text}).reads.dynamic


def test_literal_text_reads_airflow(here: Project) -> None:
    pytest.importorskip("airflow.sdk")
    text = (
        "from airflow.sdk import Variable\ndef train(**kw):\n"
        "    return eval(\"Variable.get('thr')\"), eval(\"kw['ds']\"), globals()['Variable'].get('x')\n"
    )
    reads = here.slice("train", {"dag.py": text}).reads
    assert (reads.variables, reads.context_keys) == ({"thr"}, {"ds"})
    assert reads.dynamic
