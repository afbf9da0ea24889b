"""What code reads besides its inputs is named with its place: the environment, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from code_project import Project, project


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        yield made


READS = {
    "import os\ndef train():\n    return os.environ['MODE']\n": "reads the environment variable MODE",
    "import os\ndef train():\n    return os.environ.get('MODE', 1)\n": "reads the environment variable MODE",
    "import os\ndef train():\n    return os.getenv('MODE')\n": "reads the environment variable MODE",
    "from os import getenv\ndef train():\n    return getenv('MODE')\n": "reads the environment variable MODE",
    "from os import environ as e\n\ndef train(): return e['MODE']\n": "reads the environment variable MODE",
    "N = 'MODE'; import os\ndef train():\n    return os.environ[N]\n": "reads the environment variable MODE",
    "import os\ndef train(n):\n    return os.environ[n]\n": "reads the environment",
    "import os\ndef train():\n    return dict(os.environ)\n": "reads the environment",
    "X = 1\ndef train():\n    return open('/abs/cfg.json').read()\n": "reads the file /abs/cfg.json",
    "P = '/abs/c'\ndef train():\n    return open(P, 'rb').read()\n": "reads the file /abs/c",
    "X = 1\ndef train():\n    import pandas as pd; pd.read_csv('in.csv')\n": "reads the file in.csv",
    "from pathlib import Path\ndef train():\n    return Path('a/b').read_text()\n": "reads the file a/b",
    "import pathlib\ndef train():\n    return pathlib.Path('a/b').open()\n": "reads the file a/b",
    "from pathlib import Path\ndef train():\n    return Path(__file__).parent\n": (
        "looks for files beside its source: declare them, files=[...]"
    ),
}


@pytest.mark.parametrize("text", READS)
def test_reads_outside(text: str, here: Project) -> None:
    (found,) = here.slice("train", {"dag.py": text}).reads.outside
    assert found.endswith(f"dag.py:3 {READS[text]}")


@pytest.mark.parametrize(
    "text",
    [
        "import os\nprint(os.environ)\ndef other():\n    open('/abs')\ndef train():\n    return 1\n",
        "import os\ndef train():\n    os.environ['MODE'] = '1'\n",
        "def train():\n    open('/abs/out', 'w').write('x')\n    open('/abs/out', mode='ab')\n",
        "def train(path):\n    return open(path).read()\n",
        "import os\ndef train():\n    return os.path.join('a', 'b')\n",
    ],
)
def test_reads_nothing_outside(text: str, here: Project) -> None:
    assert here.slice("train", {"dag.py": text}).reads.outside == ()


def test_reads_outside_of_modules(here: Project) -> None:
    helper = "import os\n\ndef mode():\n    return os.getenv('MODE')\n"
    text = "from features import mode\ndef train():\n    return mode()\n"
    (found,) = here.slice("train", {"features.py": helper, "dag.py": text}).reads.outside
    assert found.endswith("features.py:4 reads the environment variable MODE")


def test_declared_files_are_beside_the_source(here: Project) -> None:
    text = "def train():\n    return __file__\n"
    piece = here.slice("train", {"dag.py": text, "cfg.json": "{}"}, files=["cfg.json"])
    assert piece.reads.outside == ()
