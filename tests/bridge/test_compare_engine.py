"""Whole results compared: every type of ours, from memory and real stores, with plug-ins that misbehave."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import servers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepbridge import Directory, File, publishing, values
from stepbridge.codecs.handles import Pickle
from stepbridge.compare import job
from stepbridge.compare.checking import check
from stepbridge.compare.engine import compare_values
from stepbridge.compare.model import Part, Verdict
from stepbridge.compare.render.shared import walk
from stepbridge.compare.rules import Compare, Ignore, Metric, Output, Tolerance
from stepbridge.compare.sides import value_at, value_of
from stepbridge.contract import Items, Stored, StoreSettings, Value
from stepbridge.failures import StepbridgeError
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store


def frame(last: int = 3) -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, last], "score": [0.5, np.nan, 2.0], "name": ["a", None, "ü"]})


def written(path: Path, data: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    return path


RESULTS: Mapping[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "null": (lambda _: None, lambda _: 0),
    "integer": (lambda _: 1 << 200, lambda _: (1 << 200) + 1),
    "float": (lambda _: float("nan"), lambda _: None),
    "text": (lambda _: "a\nb", lambda _: "a\nc"),
    "bytes": (lambda _: b"\0\1", lambda _: b"\0\2"),
    "json": (lambda _: {"a": [1, {"b": None}]}, lambda _: {"a": [1, {"b": False}]}),
    "python": (
        lambda _: {"when": datetime(2026, 1, 1, tzinfo=UTC), "day": date(2026, 1, 1), "sum": Decimal("1.0")},
        lambda _: {"when": datetime(2026, 1, 1, tzinfo=UTC), "day": date(2026, 1, 1), "sum": Decimal("1.00")},
    ),
    "duration": (lambda _: timedelta(1), lambda _: timedelta(1, 0, 1)),
    "frame": (lambda _: frame(), lambda _: frame(4)),
    "series": (lambda _: frame()["score"], lambda _: frame()["id"]),
    "table": (lambda _: pa.table({"x": [1, 2]}), lambda _: pa.table({"x": [1, 3]})),
    "polars": (lambda _: pl.DataFrame({"x": [1, 2]}), lambda _: pl.DataFrame({"x": [1, None]})),
    "array": (lambda _: np.arange(6.0).reshape(2, 3), lambda _: np.arange(6.0).reshape(3, 2)),
    "file": (lambda tmp: File(written(tmp / "f.bin", "1")), lambda tmp: File(written(tmp / "f.bin", "2"))),
    "directory": (
        lambda tmp: Directory(written(tmp / "d/x/f", "1").parents[1]),
        lambda tmp: Directory(written(tmp / "d/x/f", "2").parents[1]),
    ),
    "list of frames": (lambda _: [frame(), frame(5)], lambda _: [frame(), frame(6)]),
    "mapping": (
        lambda tmp: {"model": File(written(tmp / "m", "1")), "auc": 0.5},
        lambda tmp: {"model": File(written(tmp / "m", "1")), "auc": 0.6},
    ),
    "tuple": (lambda _: (frame(), 1), lambda _: (frame(), 2)),
    "nothing in it": (lambda _: [], lambda _: [None]),
    "empty frame": (lambda _: frame().iloc[:0], lambda _: frame().iloc[:1]),
}


def made(make: Callable[[Path], Any], folder: Path) -> Value:
    folder.mkdir(parents=True)
    return value_of(make(folder), folder)


def stored(value: Value, store: Store) -> Value:
    """The value with its drafts published."""
    return values.with_artifacts(value, [publishing.publish(store, one) for one in values.drafts(value)])


def compared(control: Value, candidate: Value, given: StoreSettings | None = None, **rules: Any) -> Part:
    (part,) = compare_values({"v": control}, {"v": candidate}, Compare(**rules), given)
    return part


@pytest.mark.parametrize("kind", RESULTS)
def test_every_type_in_memory(kind: str, tmp_path: Path) -> None:
    same, other = RESULTS[kind]
    a, again, b = made(same, tmp_path / "a"), made(same, tmp_path / "again"), made(other, tmp_path / "b")
    for pair in ((a, a), (a, again), (b, b)):
        part = compared(*pair)
        assert part.verdict is Verdict.IDENTICAL, part.rule
        assert part.compared == part.of
        assert not part.skipped
    for pair in ((a, b), (b, a)):
        part = compared(*pair)
        assert part.verdict in (Verdict.DIFFERENT, Verdict.INCOMPARABLE), part.rule
        assert part.rule


@pytest.mark.parametrize("where", ["file", "moto"])
def test_every_type_through_a_store(where: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    given: StoreSettings = request.getfixturevalue(f"{where}_settings")
    store = open_store(given)
    for kind, (same, other) in RESULTS.items():
        local = made(same, tmp_path / kind / "a")
        a, b = stored(local, store), stored(made(other, tmp_path / kind / "b"), store)
        assert compared(a, a, given).verdict is Verdict.IDENTICAL, kind
        assert compared(local, a, given).verdict is Verdict.IDENTICAL, kind
        assert compared(a, b, given).verdict in (Verdict.DIFFERENT, Verdict.INCOMPARABLE), kind


def test_empty_results_are_said_to_be_empty(tmp_path: Path) -> None:
    for n, empty in enumerate(("", [], {}, b"", frame().iloc[:0], File(written(tmp_path / "e", "")))):
        value = made(lambda _, one=empty: one, tmp_path / str(n))
        part = compared(value, value)
        assert part.verdict is Verdict.IDENTICAL
        assert part.rule.startswith("both are empty"), part.rule


def test_a_change_has_its_place_in_a_list_of_frames(tmp_path: Path) -> None:
    a = made(lambda _: {"parts": [frame(), frame()]}, tmp_path / "a")
    b = made(lambda _: {"parts": [frame(), frame(9)]}, tmp_path / "b")
    part = compared(a, b)
    deepest = [one for _, one in walk((part,)) if one.verdict is Verdict.DIFFERENT][-1]
    assert deepest.name == "v.parts[1]"
    more = compared(a, made(lambda _: {"parts": [frame()]}, tmp_path / "c"))
    assert [one.rule for _, one in walk((more,))][-1] == "only the control gives it"


def test_lists_are_not_tuples_unless_said(tmp_path: Path) -> None:
    a, b = made(lambda _: [frame()], tmp_path / "a"), made(lambda _: (frame(),), tmp_path / "b")
    assert isinstance(a, Items)
    assert compared(a, b).verdict is Verdict.INCOMPARABLE
    assert compared(a, b, equal=("list-is-tuple",)).verdict.same


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


def members(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)


@given(st.recursive(LEAVES, members, max_leaves=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_json_is_identical_to_itself(tmp_path: Path, value: Any) -> None:
    one = value_of(value, tmp_path)
    assert compared(one, value_of(value, tmp_path)).verdict is Verdict.IDENTICAL
    part = compared(one, value_of([value], tmp_path))
    assert not part.verdict.same


def test_a_path_as_text_stands_for_its_file(tmp_path: Path) -> None:
    path = written(tmp_path / "out" / "m.json", '{"a": 1}')
    old = value_of(str(path), tmp_path)
    new = value_of(File(written(tmp_path / "new" / "m.json", '{"a": 1}')), tmp_path)
    part = compared(old, new)
    assert part.verdict is Verdict.IDENTICAL
    assert part.facts[-1].name == "compared by what lies at"
    changed = value_of(File(written(tmp_path / "other" / "m.json", '{"a": 2}')), tmp_path)
    assert [one.path for one in compared(old, changed).differences] == ["$.a"]
    folder = value_of(Directory(tmp_path / "new"), tmp_path)
    assert compared(value_of(str(tmp_path / "out"), tmp_path), folder).verdict is Verdict.IDENTICAL
    for nowhere in (str(tmp_path / "nowhere"), "m.json", "ftp://host/x"):
        assert compared(value_of(nowhere, tmp_path), new).verdict is Verdict.INCOMPARABLE


def test_a_uri_as_text_stands_for_its_artifact(moto_settings: StoreSettings, tmp_path: Path) -> None:
    store = open_store(moto_settings)
    artifact = stored(made(lambda _: frame(), tmp_path / "a"), store)
    assert isinstance(artifact, Stored)
    text = value_of(artifact.artifact.uri, tmp_path)
    local = made(lambda _: frame(), tmp_path / "b")
    assert compared(text, local, moto_settings).verdict is Verdict.IDENTICAL
    assert compared(value_at(artifact.artifact.uri, moto_settings), local, moto_settings).verdict.same


@pytest.mark.parametrize("where", ["file", "moto"])
def test_missing_and_damaged_artifacts(where: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    given: StoreSettings = request.getfixturevalue(f"{where}_settings")
    store = open_store(given)
    value = stored(made(lambda tmp: File(written(tmp / "f", "1" * 100)), tmp_path / "a"), store)
    other = stored(made(lambda tmp: File(written(tmp / "f", "2" * 100)), tmp_path / "b"), store)
    assert isinstance(value, Stored)
    key = value.artifact.uri.removeprefix(store.root).lstrip("/")
    store.put(key, b"3" * 100)
    part = compared(value, other, given)
    assert (part.verdict, "SB304" in part.rule) == (Verdict.TOOL_ERROR, True), part.rule
    store.delete(key)
    part = compared(other, value, given)
    assert (part.verdict, "SB302" in part.rule) == (Verdict.TOOL_ERROR, True), part.rule
    parts = compare_values({"a": value, "b": other}, {"a": other, "b": other}, Compare(), given)
    assert [one.verdict for one in parts] == [Verdict.TOOL_ERROR, Verdict.IDENTICAL]


def test_names_of_one_side_only_and_ignored_ones(tmp_path: Path) -> None:
    one = value_of(1, tmp_path)
    rules = Compare(ignore=(Ignore("debug", "not used"),))
    parts = compare_values({"a": one, "c": one, "debug": one}, {"b": one, "c": one}, rules)
    assert [(part.name, part.verdict) for part in parts] == [
        ("a", Verdict.DIFFERENT),
        ("c", Verdict.IDENTICAL),
        ("debug", Verdict.SKIPPED),
        ("b", Verdict.DIFFERENT),
    ]


def test_a_metric_that_is_nowhere_is_not_passed_over(tmp_path: Path) -> None:
    one = value_of([1, 2], tmp_path)
    parts = compare_values({"v": one}, {"v": one}, Compare(metrics=(Metric("auc >= control"),)))
    assert [part.verdict for part in parts] == [Verdict.IDENTICAL, Verdict.INCOMPARABLE]
    better = value_of({"auc": 0.5}, tmp_path)
    assert compared(better, better, metrics=(Metric("auc > control"),)).verdict is Verdict.DIFFERENT
    same = value_of(File(written(tmp_path / "m.json", '{"auc": 0.5}')), tmp_path)
    assert compared(same, same, metrics=(Metric("auc > control"),)).verdict is Verdict.DIFFERENT


def test_pickles_are_compared_and_not_loaded(tmp_path: Path) -> None:
    encoded = [values.encode({"x": n}, Pickle[dict], tmp_path, place="v") for n in (1, 1, 2)]
    assert compared(encoded[0], encoded[1]).verdict is Verdict.IDENTICAL
    assert compared(encoded[0], encoded[2]).verdict is Verdict.DIFFERENT


def test_a_comparator_by_name(tmp_path: Path) -> None:
    a = value_of(File(written(tmp_path / "a.json", "{}")), tmp_path)
    b = value_of(File(written(tmp_path / "b.json", "{ }")), tmp_path)
    assert compared(a, b, comparator="file").verdict is Verdict.IDENTICAL
    part = compared(a, b, comparator="table")
    assert part.verdict is Verdict.INCOMPARABLE
    assert "'table' does not take" in part.rule
    part = compared(a, b, comparator="tabel")
    assert part.verdict is Verdict.TOOL_ERROR
    assert "SB702" in part.rule


# rules -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Compare(equal=("int-is-flaot",)), "int-is-float"),
        (Compare(rtol=-1.0), "rtol"),
        (Compare(atol=float("nan")), "rtol, atol"),
        (Compare(columns={"x": Tolerance(ulp=-1)}), "columns['x']"),
        (Compare(dtypes={"f4": Tolerance(rtol=float("inf"))}), "dtypes['f4']"),
        (Compare(ignore=(Ignore("x", " "),)), "no reason"),
        (Compare(ignore=(Ignore("x", "why", until="soon"),)), "until='soon'"),
        (Compare(key=("a",), unordered=True), "unordered"),
        (Compare(key=("a", "a")), "twice"),
        (Compare(samples=-1), "samples"),
        (Compare(pixels=256), "pixels"),
        (Compare(memory=1 << 20), "64 MiB"),
        (Compare(metrics=(Metric("auc better"),)), "auc better"),
        (Compare(outputs=(Output("a", "x", "y"), Output("a", "x", "y"))), "same name"),
        (Compare(outputs=(Output("a"),)), "a place or a query"),
        (Compare(outputs=(Output("a", sql="select 1"),)), "no connection"),
        (Compare(outputs=(Output("a", "x", argument="p", environment="E"),)), "told once"),
        (Compare(outputs=(Output("a", "s3://b/p/"),)), "idempotent"),
    ],
)
def test_rules_that_cannot_hold_are_named(rules: Compare, said: str) -> None:
    with pytest.raises(StepbridgeError) as caught:
        check(rules)
    assert caught.value.code.id == "SB701"
    assert said in str(caught.value)
    assert caught.value.hint


def test_rules_that_hold() -> None:
    check(Compare())
    check(Compare(outputs=(Output("a", "s3://b/p/", argument="out"), Output("b", sql="q", connection="c"))))
    check(Compare(outputs=(Output("a", "s3://b/p/"),), idempotent=True))


# in a process of its own -----------------------------------------------------------------------------

PLUGIN = """
import os, time
from stepbridge.compare.model import Part, Verdict

class Comparator:
    name = "probe"
    def takes(self, control, candidate):
        return isinstance(control.value, dict) and "probe" in control.value
    def compare(self, control, candidate, rules, name):
        what = control.value["probe"]
        if what == "abort":
            os.abort()
        if what == "child":
            import subprocess
            child = subprocess.Popen(["sleep", "600"])
            with open(control.value["where"], "w") as file:
                file.write(str(child.pid))
            os.abort()
        if what == "exit":
            os._exit(3)
        if what == "memory":
            kept = bytearray(64 << 30)
        if what == "sleep":
            time.sleep(600)
        if what == "raise":
            raise RuntimeError("broken plug-in")
        return Part(name, self.name, Verdict.IDENTICAL, "probed", compared=1, of=1)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a comparator, on the path of the processes that are started."""
    site = tmp_path / "site"
    info = site / "probe-1.dist-info"
    info.mkdir(parents=True)
    (site / "probe.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[stepbridge.comparators]\nprobe = probe:Comparator\n")
    monkeypatch.syspath_prepend(str(site))
    return site


def probed(what: str, tmp: Path, seconds: float = 60) -> tuple[Part, ...]:
    first, second = value_of({"probe": what}, tmp), value_of([1], tmp)
    return job.run(job.Job({"p": first, "q": second}, {"p": first, "q": second}), seconds=seconds)


def test_a_job_answers_as_the_engine_does(plugin: Path, tmp_path: Path) -> None:
    assert [(part.verdict, part.comparator) for part in probed("well", tmp_path)] == [
        (Verdict.IDENTICAL, "probe"),
        (Verdict.IDENTICAL, "json"),
    ]
    a, b = made(lambda _: frame(), tmp_path / "a"), made(lambda _: frame(7), tmp_path / "b")
    rules = Compare(key=("id",), columns={"score": Tolerance(atol=1)}, ignore=(Ignore("n*", "why"),))
    (part,) = job.run(job.Job({"v": a}, {"v": b}, rules), seconds=60)
    (here,) = compare_values({"v": a}, {"v": b}, rules)
    assert part == here


@pytest.mark.parametrize(
    ("what", "said"), [("abort", "SIGABRT"), ("exit", "ended with 3"), ("sleep", "longer than 2 s")]
)
def test_a_process_that_dies_is_a_verdict(what: str, said: str, plugin: Path, tmp_path: Path) -> None:
    parts = probed(what, tmp_path, seconds=2 if what == "sleep" else 60)
    assert [part.verdict for part in parts] == [Verdict.TOOL_ERROR] * 2
    assert said in parts[0].rule


def test_what_a_comparator_started_ends_with_it(plugin: Path, tmp_path: Path) -> None:
    value = value_of({"probe": "child", "where": str(tmp_path / "pid")}, tmp_path)
    (part,) = job.run(job.Job({"p": value}, {"p": value}), seconds=60)
    assert part.verdict is Verdict.TOOL_ERROR
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    deadline = time.monotonic() + 10
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "the child still runs"
        time.sleep(0.05)


@pytest.mark.parametrize(("what", "said"), [("memory", "MemoryError"), ("raise", "broken plug-in")])
def test_an_error_in_one_part_leaves_the_others(what: str, said: str, plugin: Path, tmp_path: Path) -> None:
    parts = probed(what, tmp_path)
    assert [part.verdict for part in parts] == [Verdict.TOOL_ERROR, Verdict.IDENTICAL]
    assert said in parts[0].rule


def test_a_plugin_that_cannot_be_loaded_is_named(plugin: Path, tmp_path: Path) -> None:
    (plugin / "probe.py").write_text("import not_there")
    (part, _) = probed("well", tmp_path)
    assert part.verdict is Verdict.TOOL_ERROR
    assert "SB702" in part.rule
    assert "'probe' (probe:Comparator)" in part.rule


def test_a_job_reads_a_store_with_the_environment(moto_settings: StoreSettings, tmp_path: Path) -> None:
    value = stored(made(lambda _: frame(), tmp_path / "a"), open_store(moto_settings))
    assert set(servers.CREDENTIALS) <= set(os.environ)
    (part,) = job.run(job.Job({"v": value}, {"v": value}, store=moto_settings), seconds=60)
    assert part.verdict is Verdict.IDENTICAL
