"""``stepbridge cache``: what it says of runs, keys and entries in a real store, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from code_project import Project, project

from stepbridge import cli, documents
from stepbridge.artifact import Artifact
from stepbridge.cache.explain import explain_miss
from stepbridge.cache.key import Key, build_key
from stepbridge.cache.lookup import Miss, look_up
from stepbridge.contract import (
    Attempt,
    CacheEntry,
    CacheTarget,
    ErrorDocument,
    Inline,
    InputsRecord,
    Result,
    Stored,
    StoreSettings,
    Value,
)
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

MONDAY = Attempt("shop.daily", "manual__2026-01-05T00:00:00+00:00", "group.train")
TUESDAY = replace(MONDAY, run_id="manual__2026-01-06T00:00:00+00:00")
FEATURES = "LIMIT = 10\ndef clean(rows):\n    return rows[:LIMIT]\n"
DAG = "from features import clean\ndef train(rows, n=3):\n    return clean(rows), n\n"
ROWS = Stored(Artifact("file:///s/a", "ab" * 32, "", "", "", 1))

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreSettings((tmp_path / "store").as_uri()))


@pytest.fixture
def say(store: Store, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs ``stepbridge cache ...``; status, output, errors."""

    def call(*arguments: str, root: str | None = None) -> tuple[int, str, str]:
        status = cli.main(["cache", *arguments, "--store", store.root if root is None else root])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project") as made:
        yield made


def key(**changes: Any) -> Key:
    fields: dict[str, Any] = {
        "step": "shop.daily.group.train",
        "interface": "(rows, n)",
        "inputs": {"rows": ROWS, "n": Inline("json", 3)},
        "code": "c0" * 32,
        "parts": {"train": "step " + "11" * 32, "features.py": "module " + "22" * 32},
        "requires": {"numpy": "2.0"},
    }
    return build_key(**{**fields, **changes})


def ran(
    store: Store,
    attempt: Attempt,
    made: Key | None,
    *,
    failed: bool = False,
    output: Value | None = None,
    at: str = "2026-01-05T10:00:00+00:00",
) -> None:
    """What an operator and its runner leave of one run."""
    step = f"{attempt.dag_id}.{attempt.task_id}"
    record = made.record if made else {}
    target = CacheTarget(step, made.digest, record) if made else None
    reason = ""
    if target is not None:
        miss = look_up(store, target)
        reason = explain_miss(store, target, miss) if isinstance(miss, Miss) else "cache='refresh'"
    inputs = InputsRecord(step, (), {"n": Inline("json", 3)}, record, reason)
    store.put(attempt.prefix + "request.json", b"{}")
    store.put(attempt.prefix + "inputs.json", documents.dump(inputs))
    if failed:
        error = ErrorDocument(attempt, "user", "ValueError", "no rows", "SB402")
        store.put(attempt.prefix + "error.json", documents.dump(error))
        return
    value = output or Inline("json", 1)
    done = Result(
        attempt, value, cache="miss" if made else "off", key=made.digest if made else "", finished=at
    )
    store.put(attempt.prefix + "result.json", documents.dump(done))
    if target is not None:
        entry = CacheEntry(step, target.key, value, {}, record, attempt.prefix, at, "n", 12.34)
        store.put(target.path, documents.dump(entry))
        store.put(target.latest_path, documents.dump(entry))


def hit(store: Store, attempt: Attempt, made: Key, source: Attempt) -> None:
    done = Result(attempt, Inline("json", 1), cache="hit", key=made.digest, source=source.prefix)
    store.put(attempt.prefix + "result.json", documents.dump(done))


def name(attempt: Attempt, tail: str = "") -> str:
    return f"{attempt.dag_id}/{attempt.run_id}/{attempt.task_id}{tail}"


# -- explain


def test_a_first_run(store: Store, say: Say) -> None:
    made = key()
    ran(store, MONDAY, made)
    status, out, _ = say("explain", name(MONDAY))
    assert status == 0
    fields = made.record["fields"]
    width = len("requires:numpy")
    assert out == "\n".join(
        [
            name(MONDAY),
            "  step     shop.daily.group.train",
            f"  key      {made.digest}",
            "  state    miss",
            "  why      missed: first run of this step",
            "  entry    there: a run with this key takes it",
            f"  record   {store.root}/{MONDAY.prefix}",
            "fields",
            *(
                f"  {field:<{width}}  {fields[field]['digest'][:12]}  {fields[field]['value']}".rstrip()
                for field in sorted(fields)
            ),
            "code",
            "  features.py  222222222222  module",
            "  train        111111111111  function",
            "",
        ]
    )


def test_a_miss_says_what_changed(store: Store, say: Say) -> None:
    ran(store, MONDAY, key())
    ran(store, TUESDAY, key(inputs={"rows": ROWS, "n": Inline("json", 4)}))
    status, out, _ = say("explain", name(TUESDAY))
    assert status == 0
    assert (
        "  why      missed: input `n` changed (3 → 4); code and input `rows` equal "
        f"(against {name(MONDAY)}, 2026-01-05 10:00:00 UTC)\n"
    ) in out


def test_a_miss_whose_reason_was_not_kept_is_worked_out(store: Store, say: Say) -> None:
    for number, attempt in enumerate((MONDAY, TUESDAY)):
        ran(store, attempt, key(salt=str(number)))
        path = attempt.prefix + "inputs.json"
        inputs = documents.load(InputsRecord, store.get(path), place="")
        store.put(path, documents.dump(replace(inputs, reason="")))
        time.sleep(0.02)
    ran(store, replace(TUESDAY, run_id="later"), key(salt="9"))
    assert "why      missed: salt changed (0 → 1)" in say("explain", name(TUESDAY))[1]
    assert "why      missed: first run of this step" in say("explain", name(MONDAY))[1]


def test_a_hit_says_whose_result_it_is(store: Store, say: Say) -> None:
    made = key()
    ran(store, MONDAY, made)
    hit(store, TUESDAY, made, MONDAY)
    status, out, _ = say("explain", name(TUESDAY))
    assert status == 0
    assert f"why      hit: the result of {name(MONDAY)}, 2026-01-05 10:00:00 UTC, 12.3 s saved" in out
    assert "input:rows" in out
    status, out, _ = say("explain", name(TUESDAY), "--format", "json")
    found = json.loads(out)
    assert (found["state"], found["source"], found["seconds"]) == ("hit", MONDAY.prefix, 12.34)
    assert {row["field"] for row in found["fields"]} == set(made.record["fields"])


def test_a_hit_whose_source_is_deleted_is_explained_by_the_entry(store: Store, say: Say) -> None:
    made = build_key(step="own", interface="", inputs={}, code="c", parts={}, requires={})
    target = CacheTarget("own", made.digest, made.record)
    entry = CacheEntry(
        "own",
        made.digest,
        Inline("json", 1),
        {},
        made.record,
        MONDAY.prefix,
        "2026-01-05T10:00:00+00:00",
        "n",
    )
    store.put(target.path, documents.dump(entry))
    hit(store, TUESDAY, made, MONDAY)
    status, out, _ = say("explain", name(TUESDAY))
    assert status == 0
    assert "step     own" in out
    assert "interface" in out
    store.delete(target.path)
    status, out, _ = say("explain", name(TUESDAY))
    assert status == 0
    assert "entry    none: no run with this key is recorded" in out
    assert "the fields of this key are not kept any more" in out
    assert say("diff", name(TUESDAY), name(TUESDAY))[0] == 2


def test_a_dead_entry_is_seen(store: Store, say: Say) -> None:
    gone = Stored(Artifact(f"{store.root}/artifacts/ab/{'ab' * 32}/m.bin", "ab" * 32, "", "", "", 1))
    made = key()
    ran(store, MONDAY, made, output=gone)
    _, out, _ = say("explain", name(MONDAY))
    assert f"entry    none: {store.root}/artifacts/ab/{'ab' * 32}/manifest.json is not there" in out
    ran(store, TUESDAY, made)
    _, out, _ = say("explain", name(TUESDAY))
    assert f"is not there; the entry is by {name(MONDAY)}, 2026-01-05 10:00:00 UTC\n" in out


def test_failed_and_running_attempts(store: Store, say: Say) -> None:
    made = key()
    ran(store, MONDAY, made, failed=True)
    _, out, _ = say("explain", name(MONDAY))
    assert f"key      {made.digest}\n  state    failed" in out
    store.delete(MONDAY.prefix + "error.json")
    assert "state    unfinished" in say("explain", name(MONDAY))[1]


# -- names


def test_every_way_to_name_a_run(store: Store, say: Say) -> None:
    made = key()
    ran(store, MONDAY, made)
    ran(store, replace(MONDAY, try_number=2), made, failed=True)
    for what in (
        name(MONDAY),
        name(MONDAY, "/-1"),
        "shop.daily/latest/group.train",
        MONDAY.prefix.rsplit("/", 3)[0],
    ):
        assert "state    failed" in say("explain", what)[1], what
    for what in (
        name(MONDAY, "/-1/1"),
        MONDAY.prefix,
        made.digest,
        made.digest[:6].upper(),
    ):
        status, out, _ = say("explain", what)
        assert status == 0
        assert "state    miss" in out or "state    entry" in out, what
    entry = CacheTarget("shop.daily.group.train", made.digest).path
    for uri in (MONDAY.prefix, MONDAY.prefix.rstrip("/"), MONDAY.prefix + "result.json", entry):
        status, out, _ = say(
            "explain", store.uri(uri) if not uri.endswith("/") else f"{store.root}/{uri}", root=""
        )
        assert status == 0, uri
        assert made.digest in out


def test_names_with_slashes_and_numbers(store: Store, say: Say) -> None:
    odd = Attempt("a/b", "run/1", "t/2", 4)
    made = key()
    ran(store, odd, made)
    for tail in ("", "/4", "/4/1"):
        status, out, _ = say("explain", "a/b/run/1/t/2" + tail)
        assert (status, out.splitlines()[0]) == (0, "a/b/run/1/t/2, map index 4")


def test_latest_is_the_newest_by_the_stores_clock(store: Store, say: Say, tmp_path: Path) -> None:
    first, second = replace(MONDAY, run_id="z"), replace(MONDAY, run_id="a")
    for attempt in (first, second, replace(second, run_id="y", task_id="other")):
        ran(store, attempt, key())
    for path in (tmp_path / "store" / first.prefix).iterdir():
        os.utime(path, (1, 1))
    assert say("explain", "shop.daily/latest/group.train")[1].splitlines()[0] == name(second)


def test_a_mapped_task_needs_its_index(store: Store, say: Say) -> None:
    for index in range(3):
        ran(store, replace(MONDAY, map_index=index), key(salt=str(index)))
    status, _, err = say("explain", name(MONDAY))
    assert status == 2
    assert f"{name(MONDAY)}/0, {name(MONDAY)}/1, {name(MONDAY)}/2" in err
    assert say("explain", name(MONDAY, "/1"))[0] == 0
    status, _, err = say("explain", name(MONDAY, "/7"))
    assert status == 1
    assert "no map index 7" in err
    status, _, err = say("explain", name(MONDAY, "/1/5"))
    assert status == 1
    assert "no try 5; there is 1" in err


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nothing", "neither a run nor a key"),
        ("abcdef0", "no cache entry"),
        ("other/run/task", "lists what this store has"),
        ("shop.daily/run/task", "stepbridge runs shop.daily"),
        ("shop.daily/run/group.train", f"the newest run of this task is {MONDAY.dag_id}/{MONDAY.run_id}"),
        ("shop.daily/latest/none", "SB602"),
        ("s3://bucket/some/thing", "neither a run's record nor a cache entry"),
        (f"cache/x/{'ab' * 32}.json", "no such cache entry"),
        ("", "neither"),
        ("///", "neither"),
    ],
)
def test_what_is_not_there_is_said_with_a_next_step(store: Store, say: Say, what: str, said: str) -> None:
    ran(store, MONDAY, key())
    status, out, err = say("explain", what)
    assert (status, out) == (1, "")
    assert said in err
    assert "Next: " in err
    assert say("diff", name(MONDAY), what)[0] == 2


def test_a_run_without_a_key(store: Store, say: Say) -> None:
    ran(store, MONDAY, None)
    status, _, err = say("explain", name(MONDAY))
    assert status == 1
    assert "SB604" in err
    assert "the cache was off" in err


def test_a_prefix_that_fits_several_keys(store: Store, say: Say) -> None:
    for tail in "01":
        digest = "abcdef" + tail * 58
        entry = CacheEntry(
            "s", digest, Inline("json", 1), {}, {}, MONDAY.prefix, "2026-01-05T10:00:00+00:00", "n"
        )
        store.put(CacheTarget("s", digest).path, documents.dump(entry))
    status, _, err = say("explain", "abcdef")
    assert status == 2
    assert "SB603" in err
    assert say("explain", "abcdef0")[0] == 0


# -- diff


def test_diff_of_equal_keys(store: Store, say: Say) -> None:
    made = key()
    ran(store, MONDAY, made)
    hit(store, TUESDAY, made, MONDAY)
    status, out, _ = say("diff", name(MONDAY), name(TUESDAY))
    assert status == 0
    assert out.startswith(f"A  {name(MONDAY)}  key {made.digest[:12]}\nB  {name(TUESDAY)}")
    assert "same key\nequal\n" in out


def test_diff_of_real_edits(store: Store, say: Say, here: Project) -> None:
    def of(features: str, **changes: Any) -> Key:
        piece = here.slice("train", {"dag.py": DAG, "features.py": features})
        return key(code=piece.digest, parts=piece.parts, **changes)

    old = of(FEATURES)
    new = of(
        FEATURES.replace("rows[:LIMIT]", "rows[LIMIT:]").replace("10", "11"),
        inputs={"rows": ROWS, "n": Inline("json", 4), "verbose": Inline("json", True)},
        requires={"numpy": "2.1"},
    )
    ran(store, MONDAY, old)
    ran(store, TUESDAY, new)
    status, out, _ = say("diff", name(MONDAY), name(TUESDAY))
    assert status == 1
    fields = new.record["fields"]
    assert out == "\n".join(
        [
            f"A  {name(MONDAY)}  key {old.digest[:12]}",
            f"B  {name(TUESDAY)}  key {new.digest[:12]}",
            "differs",
            "  helper `clean` in features.py changed",
            "  constant `LIMIT` in features.py changed",
            "  input `n` changed (3 → 4)",
            "  input `verbose` is new (True)",
            "  package `numpy` changed (2.0 → 2.1)",
            "equal",
            f"  image       {fields['image']['digest'][:12]}",
            f"  input:rows  {fields['input:rows']['digest'][:12]}  artifact abababababab",
            f"  interface   {fields['interface']['digest'][:12]}  (rows, n)",
            f"  salt        {fields['salt']['digest'][:12]}",
            f"  step        {fields['step']['digest'][:12]}  shop.daily.group.train",
            "",
        ]
    )
    status, out, _ = say("diff", name(MONDAY), name(TUESDAY), "--format", "json")
    assert status == 1
    found = json.loads(out)
    assert found["same"] is False
    assert found["differences"][0] == {
        "kind": "helper",
        "change": "changed",
        "name": "clean",
        "where": "features.py",
        "old": "",
        "new": "",
        "text": "helper `clean` in features.py changed",
    }
    assert {row["field"] for row in found["equal"]} >= {"input:rows", "interface"}


def test_diff_shows_code_that_changed_under_a_pin(store: Store, say: Say) -> None:
    ran(store, MONDAY, key(version="1"))
    pinned = key(version="1", code="c1" * 32, parts={"train": "step " + "12" * 32})
    assert pinned.digest == key(version="1").digest
    ran(store, TUESDAY, pinned)
    status, out, _ = say("diff", name(MONDAY), name(TUESDAY))
    assert status == 0
    assert "the step's function `train` changed" in out.partition("does not count it")[2]


def test_diff_of_a_key_and_a_run(store: Store, say: Say) -> None:
    old, new = key(), key(salt="x")
    ran(store, MONDAY, old)
    ran(store, TUESDAY, new)
    assert say("diff", old.digest[:10], name(TUESDAY))[0] == 1
    assert say("diff", old.digest[:10], name(MONDAY))[0] == 0


# -- list and drop


def test_on_a_bucket(moto_store: Store, moto_url: str, monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    old, new = key(), key(salt="x")
    ran(moto_store, MONDAY, old)
    ran(moto_store, TUESDAY, new)
    root = moto_store.root
    assert "missed: salt changed" in say("explain", name(TUESDAY), root=root)[1]
    assert say("diff", f"{root}/{MONDAY.prefix}", new.digest[:9], root=root)[0] == 1
    assert say("explain", "shop.daily/latest/group.train", root=root)[0] == 0
    assert len(say("list", root=root)[1].splitlines()) == 3
    assert say("drop", "shop.daily.group.train", "--yes", root=root)[0] == 0
    assert list(moto_store.list("cache/")) == []


def test_list_and_drop(store: Store, say: Say, tmp_path: Path) -> None:
    big = Stored(Artifact("file:///s/a", "ab" * 32, "", "", "", 3 << 20))
    old, new = key(), key(salt="x")
    ran(store, MONDAY, old, output=big)
    ran(store, TUESDAY, new, at="2026-01-06T10:00:00+00:00")
    ran(store, replace(MONDAY, task_id="other"), key(step="shop.daily.other"))
    status, out, _ = say("list", "shop.daily.group.train")
    assert status == 0
    step = "shop.daily.group.train"
    assert out.splitlines() == [
        f"{new.digest[:12]}  2026-01-06 10:00:00 UTC         0 B  saves 12.3 s  {step}  by {name(TUESDAY)}",
        f"{old.digest[:12]}  2026-01-05 10:00:00 UTC     3.0 MiB  saves 12.3 s  {step}  by {name(MONDAY)}",
        "2 entries, 3.0 MiB of artifacts",
    ]
    found = json.loads(say("list", "--format", "json")[1])
    assert sorted(one["size"] for one in found) == [0, 0, 3 << 20]
    target = CacheTarget("shop.daily.group.train", old.digest)
    status, out, _ = say("drop", old.digest)
    assert (status, store.head(target.path) is None) == (0, False)
    assert "nothing was deleted" in out
    os.utime(tmp_path / "store" / target.path, (1, 1))
    status, out, _ = say("drop", "shop.daily.group.train", "--older-than", "30d", "--yes")
    assert status == 0
    assert out == f"deleted {store.uri(target.path)}\n"
    assert store.head(target.latest_path) is not None
    assert say("drop", "shop.daily.group.train", "--older-than", "30d", "--yes")[0] == 1
    assert say("drop", new.digest[:8], "--yes")[0] == 0
    assert [info.key for info in store.list(target.folder)] == []
    assert say("list", "shop.daily.group.train")[0] == 1
    assert len(json.loads(say("list", "--format", "json")[1])) == 1


def test_drop_is_careful(store: Store, say: Say) -> None:
    for tail in "01":
        store.put(f"cache/s/{'abcdef' + tail * 58}.json", b"{}")
    assert say("drop", "abcdef", "--yes")[0] == 2
    assert say("drop", "ab", "--yes")[0] == 1
    for what in ("ab", "no.step", "abc123"):
        status, out, err = say("drop", what)
        assert (status, out) == (1, "")
        assert f"SB602 at {what}: no step and no key" in err
        assert "`stepbridge cache list`" in err
    status, out, err = say("drop", "s", "--older-than", "30d", "--yes")
    assert (status, out) == (1, "")
    assert "none of its entries is as old as --older-than says. Next: " in err
    assert len(list(store.list("cache/"))) == 2
    with pytest.raises(SystemExit, match="2"):
        say("drop", "s", "--older-than", "soon")


def test_help_names_what_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["cache", "explain", "--help"])
    assert re.search(r"DAG/RUN/TASK\[/MAP_INDEX\[/TRY\]\]", capsys.readouterr().out)
