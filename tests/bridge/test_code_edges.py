"""Every way in which a step reaches code: the bundle computes something else, so the digest is another."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from bundle_runs import Runs, forks
from code_edges import FILES, ONE_FILE, SEVERAL
from code_project import Project, project

CASES: dict[str, Mapping[str, str]] = {
    **{name: {"dag.py": text} for name, text in ONE_FILE.items()},
    **SEVERAL,
    **FILES,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with forks(tmp_path_factory.mktemp("runs")) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        yield made


def edited(files: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    return {name: text.replace(old, new) for name, text in files.items()}


def commented(files: Mapping[str, str]) -> dict[str, str]:
    return {
        name: f"# why\n\n{text}\n\n# and no more\n" if name.endswith(".py") else text
        for name, text in files.items()
    }


def reformatted(files: Mapping[str, str]) -> dict[str, str]:
    return {
        name: ast.unparse(ast.parse(text)) + "\n" if name.endswith(".py") else text
        for name, text in files.items()
    }


def documented(files: Mapping[str, str]) -> dict[str, str]:
    """A docstring in the step, and with it one in every module that has none."""
    found = {}
    for name, text in files.items():
        if name.endswith(".py"):
            tree = ast.parse(text)
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.name == "train":
                    node.body.insert(0, ast.Expr(ast.Constant("Says what it does.")))
            text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
        found[name] = text
    return found


def extended(files: Mapping[str, str]) -> dict[str, str]:
    more = "\n\nUNREACHED = 5\n\n\ndef unreached(x):\n    return UNREACHED + x\n"
    return {**files, "dag.py": files["dag.py"] + more}


@pytest.mark.parametrize("name", CASES)
def test_another_result_is_another_digest(name: str, here: Project, runs: Runs) -> None:
    files = CASES[name]
    before = here.slice("train", files)
    first = runs.result(before)
    after = here.slice("train", edited(files, "1111", "2222"))
    second = runs.result(after)
    assert first != second
    assert before.digest != after.digest


@pytest.mark.parametrize("name", CASES)
def test_the_same_work_is_the_same_digest(name: str, here: Project, runs: Runs) -> None:
    files = CASES[name]
    before = here.slice("train", files)
    for change in (commented, reformatted, extended, *([] if "doc" in name else [documented])):
        after = here.slice("train", change(files))
        assert after.digest == before.digest, change.__name__
        assert runs.result(after) == runs.result(before)
