"""The example: how little changed, and that both pipelines give the same under real Airflow."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DAGS = ROOT / "examples" / "dags"
OLD, MOVED = DAGS / "biopsy_screening.py", DAGS / "biopsy_screening_moved.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """``scripts/demo.py`` as a module."""
    spec = importlib.util.spec_from_file_location("stepbridge_demo", ROOT / "scripts" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def changed_lines() -> list[str]:
    before, after = OLD.read_text().splitlines(), MOVED.read_text().splitlines()
    lines = difflib.unified_diff(before, after, lineterm="", n=0)
    return [line for line in lines if line[:1] in "+-" and line[:3] not in {"+++", "---"}]


def test_moving_the_training_task_changes_a_few_lines() -> None:
    changed = [line for line in changed_lines() if line[1:].strip()]
    assert len([line for line in changed if line.startswith("-")]) == 2
    assert len([line for line in changed if line.startswith("+")]) <= 6


def test_only_the_training_task_changes() -> None:
    text = "\n".join(changed_lines())
    for name in (
        "extract",
        "build_features(",
        "evaluate",
        "report",
        "check",
        "decide",
        "score_holdout",
        "biopsy",
    ):
        assert name not in text


@pytest.mark.airflow
@pytest.mark.xdist_group("demo")
def test_the_demo_runs_both_pipelines_and_finds_them_equal(tmp_path: Path) -> None:
    pytest.importorskip("airflow")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py"), "--home", str(tmp_path / "home with space")],
        capture_output=True,
        text=True,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path / "unused")},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cache miss" in done.stdout
    assert "cache hit" in done.stdout
    assert "All downstream tasks got the same values" in done.stdout
    assert not (tmp_path / "unused").exists()
    shown = re.search(r"^```text\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown
    here = {str(tmp_path / "home with space"): ".demo", str(Path(sys.executable).parent): ".venv-demo/bin"}
    assert shape_of(done.stdout, here) == shape_of(shown[1], {"/home/you/stepbridge/": ""}), done.stdout


def shape_of(output: str, paths: dict[str, str]) -> list[str]:
    """What the demo printed without what differs from run to run."""
    for path, name in paths.items():
        output = output.replace(path, name)
    output = re.sub(r"/[0-9a-f]{2}/|\b[0-9a-f]{8,}\b|\d[\d.,]*", "#", output)
    return [" ".join(line.split()) for line in output.strip().splitlines()]


def run_of(demo: ModuleType, dag_id: str, xcoms: dict[tuple[str, str], Any]) -> Any:
    return demo.Run(dag_id, "run", "2024-01-01", "success", 1.0, {"train": ("success", 1.0)}, xcoms)


@pytest.fixture
def pair(demo: ModuleType, tmp_path: Path) -> tuple[Any, Any]:
    """Two runs that agree."""
    files = [tmp_path / "old.joblib", tmp_path / "a b" / "new.joblib"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"model")
    common = {("evaluate", "return_value"): {"auc": 0.5, "rows": 3}, ("extract", "rows"): 569}
    where = {("extract", "return_value"): "/data/biopsy_screening/2024-01-01/raw.parquet"}
    there = {("extract", "return_value"): "/data/biopsy_screening_moved/2024-01-01/raw.parquet"}
    old = run_of(demo, demo.OLD, {**common, **where, ("train", "return_value"): str(files[0])})
    details = {("train", "stepbridge"): {"cache": "miss"}}
    result = {("train", "return_value"): f"file://{files[1]}"}
    return old, run_of(demo, demo.MOVED, {**common, **there, **details, **result})


def test_compare_takes_what_is_equal(demo: ModuleType, pair: tuple[Any, Any]) -> None:
    hows = {(task, key): how for task, key, how in demo.compare(*pair)}
    assert hows["extract", "rows"] == "equal"
    assert hows["train", "return_value"].startswith("path -> URI, the same file byte by byte")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("evaluate", "return_value"), {"auc": 0.5000001, "rows": 3}),
        (("evaluate", "return_value"), {"auc": 0.5, "rows": 3.0}),
        (("extract", "rows"), "569"),
        (("extract", "return_value"), "/data/other/2024-01-01/raw.parquet"),
        (("extract", "surprise"), 1),
    ],
)
def test_compare_refuses_any_other_value(
    demo: ModuleType, pair: tuple[Any, Any], place: tuple[str, str], value: object
) -> None:
    old, moved = pair
    with pytest.raises(demo.Difference):
        demo.compare(old, replace(moved, xcoms={**moved.xcoms, place: value}))


def test_compare_refuses_another_model_file(demo: ModuleType, pair: tuple[Any, Any]) -> None:
    old, moved = pair
    demo.local_path(moved.xcoms["train", "return_value"]).write_bytes(b"other")
    with pytest.raises(demo.Difference, match="is not what"):
        demo.compare(old, moved)


def test_compare_refuses_a_missing_value(demo: ModuleType, pair: tuple[Any, Any]) -> None:
    old, moved = pair
    fewer = {place: value for place, value in moved.xcoms.items() if place != ("extract", "rows")}
    with pytest.raises(demo.Difference, match="only in the old"):
        demo.compare(old, replace(moved, xcoms=fewer))


def test_a_failed_task_is_a_difference(demo: ModuleType, pair: tuple[Any, Any]) -> None:
    with pytest.raises(demo.Difference, match="failed"):
        demo.check_states(replace(pair[0], tasks={"train": ("failed", 1.0)}))
