"""Moved tasks are run: each idiom's DAG gives the same states and XComs under real Airflow as before."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from stepbridge_migrate import edits, moving
from stepbridge_migrate.model import Disposition, Judged, Needs
from stepbridge_migrate.scan import scan

IDIOMS = Path(__file__).parent / "idioms"
RUNNER = Path(__file__).parent / "dag_runs.py"
PACKAGES = [str(Path(__file__).parents[2] / name) for name in ("bridge", "operators")]
QUICK = ("context_kwargs", "looped_tasks", "pull_and_push", "task_expanded", "task_group")
"""Those that run in the quick suite; all of them run in the slow one."""
_HEAD = re.compile(r"^# (?P<name>[a-z ]+)(?:: (?P<value>.*))?$", re.MULTILINE)


@dataclass(frozen=True)
class Idiom:
    """One DAG file and what its first lines say of it."""

    path: Path
    move: str
    may_refuse: bool
    other_xcoms: tuple[str, ...]
    """Tasks whose own XCom is another on purpose: a table's URI where the old task gave the table."""

    @classmethod
    def read(cls, path: Path) -> Idiom:
        text = path.read_text(encoding="utf-8")
        said = {one["name"]: one["value"] or "" for one in _HEAD.finditer(text.partition("\nfrom ")[0])}
        other = tuple(name.removeprefix("xcom of ") for name in said if name.startswith("xcom of "))
        return cls(path, said["move"], "may refuse" in said, other)


ALL = sorted(IDIOMS.glob("*.py"))


def cut_over(folder: Path, idiom: Idiom) -> Judged:
    """Move the idiom's task in the file of *folder*."""
    found = [
        judged
        for judged in scan(folder, [folder / idiom.path.name]).sites
        if fnmatchcase(judged.site.task.pattern, idiom.move)
        or any(fnmatchcase(one, idiom.move) for one in judged.site.task.ids)
        or idiom.move in judged.site.task.ids
    ]
    assert found, f"{idiom.path.name}: no site makes {idiom.move}"
    judged = found[0]
    move = moving.plan_of("cutover", folder, judged, Needs(memory="256Mi"))
    if move.plan.disposition in (Disposition.REFUSE, Disposition.KEEP):
        return Judged(judged.site, move.plan.disposition, move.plan.findings)
    (change,) = move.plan.changes
    (folder / change.path).write_bytes(move.file.encode(edits.apply(move.file.text, change.edits)))
    return judged


@dataclass
class Sides:
    """What came of running both folders."""

    old: dict[str, Any] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)


def run_both(root: Path, names: tuple[str, ...]) -> Sides:
    """Run the DAGs of *names* as they are and moved, each side by an Airflow of its own, at the same time."""
    sides = Sides()
    processes = []
    for label in ("old", "new"):
        folder = root / label / "dags"
        shutil.copytree(IDIOMS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        if label == "new":
            for path in ALL:
                if path.stem in names:
                    sides.judged[path.stem] = cut_over(folder, Idiom.read(path))
        processes.append(_start(folder, names))
    for label, process in zip(("old", "new"), processes, strict=True):
        process.wait(900)
        answer, log = root / label / "answer.json", root / label / "log.txt"
        assert process.returncode == 0, log.read_text(errors="replace")[-3000:]
        found = json.loads(answer.read_text())
        assert found["errors"] == {}, found["errors"]
        setattr(sides, label, found["runs"])
    return sides


def _start(folder: Path, names: tuple[str, ...]) -> subprocess.Popen[bytes]:
    home = folder.parent / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
    environment = {
        **kept,
        "PYTHONPATH": os.pathsep.join(PACKAGES),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__STEPBRIDGE__STORE": (folder.parent / "store").as_uri(),
        "AIRFLOW_VAR_IDIOM_TABLE": '{"name": "t"}',
    }
    with (folder.parent / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(RUNNER), str(folder), str(folder.parent / "answer.json"), *names],
            env=environment,
            cwd=folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def differences(idiom: Idiom, sides: Sides) -> list[str]:
    """Where the two runs of an idiom are not the same."""
    old, new = sides.old[idiom.path.stem], sides.new[idiom.path.stem]
    found = [f"{name}: {run['crash']}" for name, run in (("old", old), ("new", new)) if "crash" in run]
    if found:
        return found
    for what in ("state", "states"):
        if old[what] != new[what]:
            found.append(f"{what}: {old[what]} and {new[what]}")
    own = {place for place in new["xcoms"] if place.endswith(" stepbridge")}
    for place in sorted({*old["xcoms"], *new["xcoms"]} - own):
        if place.partition("[")[0] in idiom.other_xcoms:
            continue
        left, right = (side["xcoms"].get(place, "(none)") for side in (old, new))
        if left != right:
            found.append(f"{place}: {left!r} and {right!r}")
    return found


def check(root: Path, names: tuple[str, ...]) -> int:
    """Run the idioms of *names*; how many were moved."""
    sides = run_both(root, names)
    wrong = {}
    moved = 0
    for name in names:
        idiom = Idiom.read(IDIOMS / f"{name}.py")
        judged = sides.judged[name]
        if judged.disposition in (Disposition.REFUSE, Disposition.KEEP):
            assert idiom.may_refuse, [str(one) for one in judged.findings]
            continue
        moved += 1
        assert any(place.endswith(" stepbridge") for place in sides.new[name]["xcoms"]) or name in NO_DETAILS
        found = differences(idiom, sides)
        if found:
            wrong[name] = found
    assert not wrong, json.dumps(wrong, indent=1)
    return moved


NO_DETAILS = ("failing_task", "no_xcom", "skip_exception")
"""Their step pushes nothing: it fails, is skipped, or is told not to."""


@pytest.mark.airflow
def test_moved_tasks_give_what_the_old_ones_gave(tmp_path: Path) -> None:
    assert check(tmp_path, QUICK) == len(QUICK)


@pytest.mark.airflow
@pytest.mark.slow
def test_every_idiom_moved_gives_what_it_gave(tmp_path: Path) -> None:
    started = time.monotonic()
    names = tuple(path.stem for path in ALL)
    assert len(names) >= 50
    moved = check(tmp_path, names)
    print(f"{moved} of {len(names)} idioms moved and run in {time.monotonic() - started:.0f} s")
    assert moved >= len(names) - 4
