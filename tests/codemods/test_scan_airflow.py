"""The ids that the scan says against those that Airflow has when it imports the same files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

import pytest
from inventories import DAGS

from stepbridge_migrate.facts.file import sites_of
from stepbridge_migrate.facts.project import Project
from stepbridge_migrate.model import Making

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

TRUTH = """
import inspect, json, logging, sys
logging.disable(logging.CRITICAL)
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
known = set(inspect.signature(DagBag.__init__).parameters)
options = {"include_examples": False} if "include_examples" in known else {}
found = {}
for path in json.load(sys.stdin):
    bag = DagBag(dag_folder=path, **options)
    ids = {name: sorted(map(str, dag.task_ids)) for name, dag in bag.dags.items()}
    found[path] = None if bag.import_errors else ids
print("TRUTH" + json.dumps(found))
"""


def airflow_ids(paths: list[Path], home: Path) -> dict[str, dict[str, list[str]] | None]:
    """The task ids per DAG of each file; None for a file that does not import here."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": os.pathsep.join([str(DAGS / "dags"), str(DAGS / "plugins"), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", TRUTH],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("TRUTH"))
    found: dict[str, dict[str, list[str]] | None] = json.loads(line.removeprefix("TRUTH"))
    return found


def example_files() -> list[Path]:
    spec = find_spec("airflow")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("Airflow is not installed")
    (root,) = spec.submodule_search_locations
    folders = [Path(root, "example_dags"), Path(root, "providers/standard/example_dags")]
    return [
        path
        for folder in folders
        for path in sorted(folder.glob("example_*.py")) + sorted(folder.glob("tutorial*.py"))
    ]


def differences(path: Path, truth: dict[str, list[str]]) -> list[str]:
    """Where the scan of *path* says something else than *truth*."""
    project = Project(path.parent.parent.resolve())
    ids: dict[str, set[str]] = defaultdict(set)
    maybe: dict[str, set[str]] = defaultdict(set)
    patterns: dict[str, set[str]] = defaultdict(set)
    for site in sites_of(project, project.module(path.resolve())):
        for dag in site.dag.ids:
            known = set(site.task.ids)
            if len(site.dag.ids) > 1:
                known &= set(truth.get(dag, ()))
            (maybe if Making.CONDITIONAL in site.making else ids)[dag] |= known
            patterns[dag].add(site.task.pattern)
    wrong = []
    for dag in sorted({*truth, *ids}):
        real = set(truth.get(dag, ()))
        wrong += [f"{path.name}: {dag} has no task {name}" for name in sorted(ids[dag] - real)]
        missed = {
            name for name in real - maybe[dag] if not any(fnmatchcase(name, one) for one in patterns[dag])
        }
        wrong += [f"{path.name}: {dag}.{name} was not found" for name in sorted(missed)]
    return wrong


def test_ids_are_those_of_airflow(tmp_path: Path) -> None:
    own = [DAGS / "dags" / name for name in ("loops.py", "taskflow.py", "ugly.py")]
    paths = [*example_files(), *own]
    truth = airflow_ids(paths, tmp_path)
    read = [path for path in paths if truth[str(path)] is not None]
    assert len(read) > 60
    assert own[0] in read
    assert [text for path in read for text in differences(path, truth[str(path)] or {})] == []
