"""Of many processes that want one key's result one runs, whoever is killed, on every kind of store."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flight_workers import POINTS, TARGET, Race, arguments

from stepbridge import documents
from stepbridge.backends.base import python_path
from stepbridge.cache.lookup import Hit, look_up
from stepbridge.contract import StoreSettings
from stepbridge.store.opening import open_store

TTL = 4.0
AFTER_RUN = ("begun", "during", "ran", "uploaded", "committed")


@dataclass(frozen=True)
class Raced:
    """The end of a race."""

    lines: list[dict[str, Any]]
    killed: int
    runs: list[str]
    notes: set[str]

    @property
    def contents(self) -> set[str]:
        return {line["content"] for line in self.lines}


def race(settings: StoreSettings, folder: Path, count: int, *, die: str = "", ttl: float = TTL) -> Raced:
    folder.mkdir()
    started = Race(documents.to_json(settings), str(folder), count, ttl, 0.4, die)
    path = python_path(os.environ.get("PYTHONPATH", ""))
    ran = subprocess.run(
        arguments(started), env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=240
    )
    assert ran.returncode == 0, ran.stderr.decode()
    *lines, end = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(lines) + end["killed"] == count, (end, ran.stderr.decode()[-3000:])
    noted = folder / "runs"
    runs = noted.read_text().split() if noted.exists() else []
    return Raced(lines, end["killed"], runs, {item.name for item in folder.iterdir()})


def check_one_run(settings: StoreSettings, folder: Path, count: int) -> None:
    """Exactly one runs, all get its result, nothing is left but a lease that is free."""
    done = race(settings, folder, count, ttl=20.0)
    assert len(done.runs) == 1
    assert done.killed == 0
    assert len(done.lines) == count
    assert [str(line["pid"]) for line in done.lines if line["ran"]] == done.runs
    assert len(done.contents) == 1
    assert done.contents.pop().startswith(f"made by {done.runs[0]} ")
    assert not {"lost", "beside"} & done.notes
    store = open_store(settings)
    assert isinstance(look_up(store, TARGET), Hit)
    assert [info.key for info in store.list("leases/")] == [TARGET.lease_path]
    assert len([info for info in store.list("artifacts/") if info.key.endswith("manifest.json")]) == 1


def check_killed(settings: StoreSettings, folder: Path, count: int, die: str) -> None:
    """The winner is killed at *die*: exactly one more runs, unless the result was there already."""
    done = race(settings, folder, count, die=die)
    assert done.killed == 1
    assert len(done.lines) == count - 1
    survivors = [line for line in done.lines if line["ran"]]
    assert len(survivors) == (0 if die == "committed" else 1)
    assert len(done.runs) == (die in AFTER_RUN) + len(survivors)
    assert len(done.contents) == 1
    assert not {"lost", "beside"} & done.notes
    assert isinstance(look_up(open_store(settings), TARGET), Hit)


def test_sixteen_processes_one_runs(settings: StoreSettings, tmp_path: Path) -> None:
    check_one_run(settings, tmp_path / "race", 16)


@pytest.mark.slow
def test_sixty_four_processes_one_runs(settings: StoreSettings, tmp_path: Path) -> None:
    for number in range(3):
        here = StoreSettings(f"{settings.root}-{number}", endpoint=settings.endpoint)
        check_one_run(here, tmp_path / f"race-{number}", 64)


@pytest.mark.parametrize("die", ["during", "uploaded", "committed"])
def test_a_winner_of_eight_is_killed(file_settings: StoreSettings, tmp_path: Path, die: str) -> None:
    check_killed(file_settings, tmp_path / "race", 8, die)


@pytest.mark.slow
@pytest.mark.parametrize("die", POINTS)
def test_a_winner_of_sixty_four_is_killed(settings: StoreSettings, tmp_path: Path, die: str) -> None:
    check_killed(settings, tmp_path / "race", 64, die)


def test_a_dead_entry_is_replaced_by_the_one_that_runs(file_settings: StoreSettings, tmp_path: Path) -> None:
    open_store(file_settings).put(TARGET.path, b'{"cut": ')
    check_one_run(file_settings, tmp_path / "race", 8)
