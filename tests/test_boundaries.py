"""Which package may import what: by reading the sources, and by importing with the rest blocked."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "stepbridge": ROOT / "bridge",
    "stepbridge_airflow": ROOT / "operators",
    "stepbridge_migrate": ROOT / "codemods",
}
OURS = frozenset(FOLDERS)
NUMBERS = {"pandas", "pyarrow", "polars", "numpy", "duckdb", "torch"}
HEAVY = frozenset({"boto3", "botocore", "obstore", "s3fs", "fsspec", "pydantic", "kubernetes"} | NUMBERS)
TOOLS = frozenset({"airflow", "airflow_shared", "libcst", "click", "rich"})
IN_ANOTHER_PROCESS = {"stepbridge_migrate/verify/airflow_side.py": frozenset({"airflow"})}
"""Scripts that the Python of a user's project runs; nothing of ours imports them."""
ALLOWED = {
    "stepbridge": {"stepbridge"},
    "stepbridge_airflow": {"stepbridge", "stepbridge_airflow", "airflow", "kubernetes"},
    "stepbridge_migrate": {"stepbridge", "stepbridge_migrate", "libcst", "click", "rich"},
}

IMPORT_WITH_OTHERS_BLOCKED = """
import importlib, importlib.abc, json, pkgutil, sys

wanted, blocked, everything = json.loads(sys.argv[1])
before = set(sys.modules)

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Block())
package = importlib.import_module(wanted)
if everything:
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def sources(package: str) -> list[Path]:
    return sorted((FOLDERS[package] / package).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level names of all modules that *tree* imports anywhere, those for type checkers included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield (node.module or "").partition(".")[0]


def at_module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo.extend(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            todo.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def import_blocked(wanted: str, blocked: frozenset[str], *, everything: bool) -> list[str]:
    path = os.pathsep.join(str(folder) for folder in FOLDERS.values())
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_WITH_OTHERS_BLOCKED, json.dumps([wanted, sorted(blocked), everything])],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


@pytest.mark.parametrize("package", sorted(OURS))
def test_arrows_between_packages_only_point_at_stepbridge(package: str) -> None:
    for path in sources(package):
        names = set(imported(ast.parse(path.read_text(), str(path))))
        allowed = ALLOWED[package] | IN_ANOTHER_PROCESS.get(_inside(path), frozenset())
        outside = names & (OURS | TOOLS) - allowed
        assert not outside, f"{path.relative_to(ROOT)} imports {sorted(outside)}"


@pytest.mark.parametrize("package", sorted(OURS))
def test_module_level_imports_are_light(package: str) -> None:
    for path in sources(package):
        for node in at_module_level(ast.parse(path.read_text(), str(path))):
            heavy = set(imported(node)) & HEAVY
            assert not heavy, (
                f"{path.relative_to(ROOT)}:{node.lineno} imports {sorted(heavy)} when it is imported"
            )


def test_import_stepbridge_loads_nothing_but_itself_and_the_standard_library() -> None:
    loaded = set(import_blocked("stepbridge", HEAVY | TOOLS | (OURS - {"stepbridge"}), everything=False))
    foreign = {name for name in loaded - sys.stdlib_module_names if not name.startswith("_")}
    assert foreign == {"stepbridge"}


def test_every_module_of_stepbridge_imports_without_its_libraries() -> None:
    loaded = import_blocked("stepbridge", HEAVY | TOOLS | (OURS - {"stepbridge"}), everything=True)
    assert "stepbridge" in loaded


def test_stepbridge_migrate_imports_without_airflow() -> None:
    import_blocked(
        "stepbridge_migrate", frozenset({"airflow", "stepbridge_airflow"}) | HEAVY, everything=True
    )


def test_the_migrate_script_starts_without_its_libraries() -> None:
    import_blocked("stepbridge_migrate.cli", HEAVY | TOOLS | {"stepbridge_airflow"}, everything=False)


def test_provider_info_imports_without_airflow() -> None:
    import_blocked(
        "stepbridge_airflow.provider_info", HEAVY | TOOLS | {"stepbridge_migrate"}, everything=False
    )


@pytest.mark.airflow
def test_stepbridge_airflow_imports_without_migrate() -> None:
    pytest.importorskip("airflow")
    import_blocked("stepbridge_airflow", frozenset({"stepbridge_migrate"}), everything=True)


def _inside(path: Path) -> str:
    """The path below the folder of its package."""
    return "/".join(path.relative_to(ROOT).parts[1:])


def test_what_runs_elsewhere_is_imported_nowhere() -> None:
    modules = {name.removesuffix(".py").replace("/", ".") for name in IN_ANOTHER_PROCESS}
    for package in OURS:
        for path in sources(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
                    assert not names & modules, path
