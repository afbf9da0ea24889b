"""Real Airflow in process: a throw-away home, DAG files loaded through DagBag, ``dag.test()``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import filedb

from throwaway import DAGS, HOME, PLUGINS, version

# Python takes a file's bytecode for fresh by its size and the second of its change: a DAG file that a test
# writes twice would be loaded as it was
sys.dont_write_bytecode = True

if importlib.util.find_spec("airflow") is None:
    pytest.skip("needs Airflow", allow_module_level=True)

PRELUDE = """
from datetime import datetime, timedelta

try:
    from airflow.sdk import DAG, TaskGroup, dag, task
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow import DAG
    from airflow.decorators import dag, task
    from airflow.operators.bash import BashOperator
    from airflow.operators.python import PythonOperator
    from airflow.utils.task_group import TaskGroup

from stepbridge import Directory, File, Resources, Secret
from stepbridge_airflow import StepOperator, from_context, from_variable, from_xcom, step

START = datetime(2026, 1, 1)
"""


def _register_provider() -> None:
    """Make the checkout a distribution with our entry point, where it is not installed."""
    try:
        importlib.metadata.distribution("stepbridge")
    except importlib.metadata.PackageNotFoundError:
        info = HOME / "site" / "stepbridge-0.1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stepbridge\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(
            "[apache_airflow_provider]\nprovider_info = stepbridge_airflow.provider_info:get_provider_info\n"
        )
        sys.path.append(str(info.parent))


_register_provider()
filedb.register()


@pytest.fixture(scope="session", autouse=True)
def airflow_database() -> None:
    """The database of the throw-away home, made once."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    made = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr[-3000:]


@dataclass
class Run:
    """A finished DAG run."""

    dag_id: str
    run_id: str
    state: str
    states: dict[str, str] = field(default_factory=dict)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """The XCom as an old task reads it, or None."""
        from airflow.utils.session import create_session

        if version() < (3,):
            from airflow.models.xcom import BaseXCom as Model
        else:
            from airflow.models.xcom import XComModel as Model
        with create_session() as session:
            row = (
                session.query(Model.value)
                .filter_by(
                    dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, key=key, map_index=map_index
                )
                .first()
            )
            if row is None:
                return None
            value = row[0]
        return _untagged(json.loads(value) if isinstance(value, bytes) else value)


def _untagged(value: Any) -> Any:
    """*value* without the tags of Airflow's serializer."""
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if isinstance(value, dict):
        if value.get("__classname__") == "builtins.tuple":
            return tuple(_untagged(value["__data__"]))
        return {key: _untagged(item) for key, item in value.items()}
    return value


class Lab:
    """DAG files of one test and a way to run them."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.version = version()
        self.number = 0

    def write(self, source: str, name: str = "") -> Path:
        """A DAG file: the usual imports and *source*; ``DAG_ID`` in it becomes an id of its own."""
        unique = uuid.uuid4().hex[:8]
        path = DAGS / (name or f"dag_{unique}.py")
        text = textwrap.dedent(source)
        path.write_text((PRELUDE + text).replace("DAG_ID", f"dag_{unique}"))
        return path

    def load(self, path: Path) -> Any:
        """The one DAG of a file, through DagBag, as Airflow's processes load it."""
        bag = self.bag(path)
        assert not bag.import_errors, next(iter(bag.import_errors.values()))
        (dag,) = bag.dags.values()
        return dag

    def bag(self, path: Path) -> Any:
        if version() < (3, 2):
            from airflow.models.dagbag import DagBag
        else:
            from airflow.dag_processing.dagbag import DagBag
        return DagBag(path)

    def import_error(self, source: str) -> str:
        """The error that Airflow shows for a DAG file."""
        bag = self.bag(self.write(source))
        assert bag.import_errors, "the DAG file was accepted"
        return str(next(iter(bag.import_errors.values())))

    def test(self, dag: Any, conf: dict[str, Any] | None = None) -> Run:
        """Run the whole DAG in this process."""
        from datetime import UTC, datetime, timedelta

        if self.version < (3,):
            # a second run of the same date deletes the first, which needs this table to be known
            with contextlib.suppress(ImportError):
                import airflow.providers.fab.auth_manager.models  # noqa: F401
        self.number += 1
        when = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=self.number)
        key = "execution_date" if version() < (3,) else "logical_date"
        done = dag.test(run_conf=conf, **{key: when})
        states = {}
        for ti in done.get_task_instances():
            name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
            states[name] = str(getattr(ti.state, "value", ti.state))
        return Run(done.dag_id, done.run_id, str(getattr(done.state, "value", done.state)), states)

    def run(self, source: str, conf: dict[str, Any] | None = None, *, expect: str = "success") -> Run:
        """Write, load and run a DAG."""
        run = self.test(self.load(self.write(source)), conf)
        assert run.state == expect, run.states
        return run


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A DAGs folder of its own and a file store of its own."""
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("AIRFLOW__STEPBRIDGE__STORE", store.as_uri())
    yield Lab(store)
    for folder in (DAGS, PLUGINS):
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
