"""A project with real DAG files, and the real entry point run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import stepbridge
import stepbridge_migrate
from stepbridge_migrate import cli

ROOT = Path(__file__).resolve().parents[2]
DAILY = '''\
"""Train every day."""

from datetime import datetime

import features
from airflow import DAG
from airflow.models import Variable
from airflow.operators.python import BranchPythonOperator, PythonOperator


def extract(ds, **context):
    context["ti"].xcom_push(key="rows", value=3)
    return f"/data/{ds}.csv"


def fit(ti, **context):
    rows = ti.xcom_pull(task_ids="extract", key="rows")
    limit = Variable.get("limit")
    return features.fit(rows, limit)


def stream():
    yield 1


def load(region):
    print(region)  # café


with DAG("daily", start_date=datetime(2024, 1, 1), schedule=None) as dag:
    first = PythonOperator(task_id="extract", python_callable=extract)
    train = PythonOperator(
        task_id="train",
        python_callable=fit,
        retries=2,  # the cluster is flaky
    )
    gate = BranchPythonOperator(task_id="gate", python_callable=lambda: "load_eu")
    shout = PythonOperator(task_id="shout", python_callable=stream)
    for region in ("eu", "us"):
        gate >> PythonOperator(task_id=f"load_{region}", python_callable=load, op_args=[region])
    first >> train >> gate
'''


@dataclass(frozen=True)
class Answer:
    """What a command printed and ended with."""

    code: int
    out: str
    err: str


Migrate = Callable[..., Answer]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed project with ``dags/daily.py`` and a module beside it; the working directory."""
    root = tmp_path / "project"
    (root / "dags").mkdir(parents=True)
    (root / "dags/daily.py").write_text(DAILY, encoding="utf-8")
    (root / "dags/features.py").write_text("def fit(rows, limit):\n    return rows\n")
    (root / "pyproject.toml").write_text("[tool.stepbridge]\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all")
    monkeypatch.chdir(root)
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def migrate(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Migrate:
    """Runs a command in this process, where no Airflow can be found."""
    monkeypatch.setitem(sys.modules, "airflow", None)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        code = cli.main(arguments)
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run


def environment(**more: str) -> dict[str, str]:
    """Of a process that runs the command, in a checkout or an installation."""
    folders = {str(Path(package.__file__).parents[1]) for package in (stepbridge, stepbridge_migrate)}
    path = os.pathsep.join([*sorted(folders), str(ROOT / "operators")])
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    return {**inherited, "PYTHONPATH": path, "COLUMNS": "100", **more}


def process(root: Path, *arguments: str, **more: str) -> Answer:
    """Runs a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "stepbridge_migrate.cli", *arguments],
        cwd=root,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below *root* but git's own, with its bytes and its time of change."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }
