"""SIGKILL right after every single store write: never half an artifact, never a lie."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from runner_harness import HERE, Harness, context

from stepbridge import documents, publishing, values
from stepbridge.backends.base import outcome
from stepbridge.cache.lookup import Hit, look_up
from stepbridge.contract import CacheEntry, CacheTarget, Request, Result, StoreSettings, Value
from stepbridge.store.base import Store

KILLED = -9
LAUNCHER = str(HERE / "runner_killer.py")
TARGET = CacheTarget("dag.task", "c" * 64)


def check_artifacts(store: Store, scratch: Path) -> int:
    """Every manifest that can be read leads to a payload that can be read, whole; how many there are."""
    manifests = [info.key for info in store.list("artifacts/") if info.key.endswith("/manifest.json")]
    for number, key in enumerate(manifests):
        manifest = publishing.read_manifest(store, key.split("/")[2])
        target = scratch / f"{number}"
        target.mkdir(parents=True)
        publishing.fetch(store, manifest, target)
    return len(manifests)


def check_value(store: Store, value: Value) -> None:
    for leaf in values.stored(value):
        assert publishing.missing(store, leaf.artifact) == ""


def check_store(store: Store, request: Request, scratch: Path) -> Result | None:
    """All that a reader can see is true; the result, if there is one."""
    check_artifacts(store, scratch)
    found = outcome(store, request.attempt)
    assert found is None or isinstance(found, Result)
    entry_data = store.head(TARGET.path)
    if entry_data is not None:
        entry = documents.load(CacheEntry, store.get(TARGET.path), place="entry")
        check_value(store, entry.output)
        assert isinstance(found, Result)
    if found is not None:
        check_value(store, found.output)
        for value in found.xcoms.values():
            check_value(store, value)
    return found


def attempt_at(settings: StoreSettings, tmp_path: Path, when: str, number: int) -> tuple[int, bool]:
    """Kill at the n-th write of a new store; the exit status, and whether a result was there already."""
    here = dataclasses.replace(settings, root=f"{settings.root}-{when}-{number}")
    harness = Harness(here, tmp_path / f"{when}-{number}")
    data = context({"ti": {"try_number": 1}}, tmp_path)
    request = harness.request("pushes_and_makes", context=data, cache=TARGET)
    count = {"KILLER_COUNT": str(tmp_path / f"count-{when}-{number}")}
    ran = harness.run(request, LAUNCHER, when, str(number), environment=count)
    found = check_store(harness.store, request, tmp_path / f"fetched-{when}-{number}")
    if ran.status == KILLED:
        again = dataclasses.replace(request, attempt=dataclasses.replace(request.attempt, try_number=2))
        second = harness.run(again)
        assert second.status == 0, second.lines
        check_value(harness.store, second.result.output)
        assert set(second.result.xcoms) == {"count", "blob"}
        assert check_artifacts(harness.store, tmp_path / f"again-{when}-{number}") == 2
        assert isinstance(look_up(harness.store, TARGET), Hit)
    return ran.status, found is not None


def kill_everywhere(settings: StoreSettings, tmp_path: Path) -> list[bool]:
    """Kill at the first write, the second, ... until the runner gets to its end."""
    results: list[bool] = []
    for number in range(1, 40):
        status, there = attempt_at(settings, tmp_path, "after", number)
        if status == 0:
            return results
        assert status == KILLED
        results.append(there)
    raise AssertionError("the runner never got to its end")


def test_killed_after_every_write_to_a_folder(file_settings: StoreSettings, tmp_path: Path) -> None:
    results = kill_everywhere(file_settings, tmp_path)
    # two payloads, two manifests, log, usage, result, cache entry, the step's latest entry
    assert results == [False] * 6 + [True] * 3


def test_killed_after_every_write_to_s3(moto_settings: StoreSettings, tmp_path: Path) -> None:
    assert kill_everywhere(moto_settings, tmp_path) == [False] * 6 + [True] * 3


def test_killed_before_the_first_write_leaves_nothing(file_settings: StoreSettings, tmp_path: Path) -> None:
    assert attempt_at(file_settings, tmp_path, "before", 1) == (KILLED, False)
